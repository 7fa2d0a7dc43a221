/*
 * census-internal: the small tables that one sample needs. Each is empty when zeroed, and knows no counter.
 */
#ifndef TCPHEALTH_MODEL_CENSUS_INTERNAL_H
#define TCPHEALTH_MODEL_CENSUS_INTERNAL_H

#include "tcphealth/model/census.h"
#include "tcphealth/model/role.h"
#include "tcphealth/source/tcpsock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Addresses seen as local, at most so many: more are not remembered. */
#define ADDRSET_SLOTS 256u

struct addrset {
	struct in6_addr slots[ADDRSET_SLOTS];
	uint64_t used[ADDRSET_SLOTS / 64];
	unsigned int count;
};

void addrset_add(struct addrset *set, const struct in6_addr *addr);
bool addrset_has(const struct addrset *set, const struct in6_addr *addr);

/* Roles by 4-tuple. */
struct mirror_slot {
	uint64_t key; /* 0: empty */
	uint8_t role;
};

struct mirror {
	struct mirror_slot *slots;
	size_t size; /* a power of two, or 0 */
	size_t count;
};

void mirror_reset(struct mirror *mirror);
void mirror_done(struct mirror *mirror);

/* 0 or -ENOMEM. Bounded: beyond some number of sockets nothing is added. */
int mirror_add(struct mirror *mirror, const struct tcpsock *sock, enum role role);

/* The role of the other end of `sock`. */
bool mirror_find(const struct mirror *mirror, const struct tcpsock *sock, enum role *ret_role);

/* Sockets by (local address, remote address, remote port). */
struct busyport {
	uint64_t key;
	uint32_t sockets; /* 0: empty */
	uint16_t port;
};

struct busyports {
	struct busyport *slots;
	size_t size;
	size_t count;
};

void busyports_reset(struct busyports *busy);
void busyports_done(struct busyports *busy);

/* 0 or -ENOMEM. Bounded likewise. */
int busyports_add(struct busyports *busy, const struct tcpsock *sock);

/* Owners of stale sockets, at most so many: stale sockets of more are counted without one. */
#define OWNERS_MAX 2048u

struct owners {
	struct census_owner *slots;
	size_t count, cap;
	uint16_t index[2 * OWNERS_MAX]; /* by hash: slot + 1, or 0 */
};

void owners_reset(struct owners *owners);
void owners_done(struct owners *owners);

/* What the last full sample found stays. */
void owners_reset_states(struct owners *owners);

/* One more socket like `owner`, whose `oldest_ms` is its own. 0 or -ENOMEM. */
int owners_note(struct owners *owners, const struct census_owner *owner);

/* One less; of another cgroup if the one given has none. */
void owners_take_off(struct owners *owners, const struct census_owner *owner);

#endif
