/*
 * census-internal: the small tables that one sample needs. Each is empty when zeroed, and knows no counter.
 */
#ifndef TCPHEALTH_MODEL_CENSUS_INTERNAL_H
#define TCPHEALTH_MODEL_CENSUS_INTERNAL_H

#include "tcphealth/model/role.h"
#include "tcphealth/source/tcpsock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Room for one more: `*array` of `size`d elements grows by doubling. */
bool census_make_room(void **array, size_t *cap, size_t count, size_t size);

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

#endif
