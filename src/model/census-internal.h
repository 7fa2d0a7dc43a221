/*
 * census-internal: what the three files of census share, and the small tables that one sample needs.
 *
 * census.c begins, ends and sweeps; records.c takes a record; deaths.c takes an event. Each table is empty when zeroed, and knows no
 * counter.
 */
#ifndef TCPHEALTH_MODEL_CENSUS_INTERNAL_H
#define TCPHEALTH_MODEL_CENSUS_INTERNAL_H

#include "tcphealth/base/hash.h"
#include "tcphealth/model/census.h"
#include "tcphealth/model/role.h"
#include "tcphealth/model/tally.h"
#include "tcphealth/model/track.h"
#include "tcphealth/source/tcpsock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Addresses seen as local, at most so many: more are not remembered. */
#define ADDRSET_MAX 128u

struct addrset {
	struct in6_addr addrs[ADDRSET_MAX];
	size_t count;
	struct hash hash;
};

void addrset_add(struct addrset *set, const struct in6_addr *addr);
bool addrset_has(const struct addrset *set, const struct in6_addr *addr);
void addrset_done(struct addrset *set);

/* Roles by 4-tuple. */
struct mirrored {
	uint64_t key; /* tcptuple_hash() */
	uint8_t role;
};

struct mirror {
	struct mirrored *ends;
	size_t count, cap;
	struct hash hash;
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
	uint32_t sockets;
	uint16_t port;
};

struct busyports {
	struct busyport *ports;
	size_t count, cap;
	struct hash hash;
};

void busyports_reset(struct busyports *busy);
void busyports_done(struct busyports *busy);

/* 0 or -ENOMEM. Bounded likewise. */
int busyports_add(struct busyports *busy, const struct tcpsock *sock);

/* What a socket's destroy event told of its role: its TIME_WAIT may bear another cookie. */
struct death_role {
	uint32_t tuple_hash; /* alone, one in 65536 sockets would meet a stranger's */
	uint16_t local_port;
	uint16_t remote_port;
	uint8_t role;
	bool used;
};

struct census {
	struct census_config config;
	struct census_sample sample;
	struct ages_context context;
	struct ledger *ledger;
	struct listeners *listeners;
	/* Ids that are cookies must not be mixed with others: each kind has its memory. `tuples` is NULL while it is not needed. */
	struct track *cookies, *tuples;
	struct track *track; /* which of them this sample feeds */
	bool baseline;       /* the first whole dump with cookies is behind us */
	bool counting;       /* and so are the events of what died during it: strangers count */
	struct track *last_track; /* of the last whole sample, or NULL */
	uint64_t last_now_ms;
	uint64_t last_full_ms;
	unsigned int suspicious; /* full dumps left in which absence may be a lost event */
	struct tcpsock *deferred;
	size_t deferred_count, deferred_cap;
	size_t deferred_next; /* which of them census_waiting() gives */
	struct addrset local; /* addresses of this host, as seen */
	struct mirror mirror; /* roles by 4-tuple, for the other end; without cookies only */
	struct busyports busy;
	struct death_role *deaths;
	uint64_t *tombs; /* cookies whose entry had to go before its event */
	struct tally tally;
	uint64_t listening; /* LISTEN records of this sample */
	uint64_t wiped_closes;
	size_t invisible;
	int error; /* of a callback that cannot return one */
};

/* When the sockets of this tier were looked at last. */
uint64_t census_looked_ms(const struct census *c, enum tier tier);

/* `sock` is NULL for one that left the dumps. */
void census_note_stale(struct census *c, struct track_entry *entry, const struct tcpsock *sock,
		       const struct look *look);

/*
 * A socket that the last full sample found is seen in another state, or has died: if it is still on show, it is no more.
 * Not for one that a full sample sees: that begins anew.
 */
void census_take_off(struct census *c, struct track_entry *entry);

/* Judges the records that waited for the whole dump and have not been settled. 0 or -ENOMEM. */
int records_count_deferred(struct census *c);

/* 0 or -ENOMEM. */
int deaths_init(struct census *c);
void deaths_done(struct census *c);

/* The role that the destroy event of a socket with these addresses and ports told. */
bool deaths_find_role(const struct census *c, const struct tcpsock *sock, enum role *ret_role);

/* The entry of `id` goes before its event: that shall not count as a stranger's. */
void deaths_bury(struct census *c, uint64_t id);

#endif
