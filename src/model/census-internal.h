/*
 * census-internal: what the three files of census share, and the small tables that one sample needs.
 *
 * census.c begins and ends a sample, records.c takes a record, deaths.c takes an event. The tables know addresses, roles and
 * ports; must not know counters. Each is empty when zeroed, and bounded.
 */
#pragma once

#include "tcphealth/base/keyed.h"
#include "tcphealth/model/census.h"
#include "tcphealth/model/localports.h"
#include "tcphealth/model/role.h"
#include "tcphealth/model/tally.h"
#include "tcphealth/model/track.h"
#include "tcphealth/source/tcpsock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Addresses of this host, as far as sockets have shown them. */
#define ADDRSET_MAX 128u

struct addrset {
	struct in6_addr addrs[ADDRSET_MAX];
	size_t count;
	struct hash hash;
};

void addrset_add(struct addrset *set, const struct in6_addr *addr);
bool addrset_has(const struct addrset *set, const struct in6_addr *addr);

/* Roles by both addresses and ports, for the other end of a connection. */
struct mirrored {
	uint64_t key; /* tcptuple_hash() */
	uint8_t role;
};

/* 0, also where there is no room for one more, or -ENOMEM. */
int mirror_add(struct keyed *mirror, const struct tcpsock *sock, enum role role);

/* The role of the other end of `sock`; false if it was not added. */
bool mirror_find(const struct keyed *mirror, const struct tcpsock *sock, enum role *ret_role);

/*
 * Addresses and ports that connections were opened to, by keys of 64 bits. Each has one slot: whoever comes later takes it.
 */
#define SERVICES 4096u

struct services {
	uint64_t keys[SERVICES];
};

/* `sock` has this role for certain. */
void services_add(struct services *services, const struct tcpsock *sock, enum role role);

/* The role of others with the same service; false if there were none, or the two ends contradict each other. */
bool services_find(const struct services *services, const struct tcpsock *sock,
		   enum role *ret_role);

/* What a destroy event told of the role, for a TIME_WAIT that bears another cookie. The hash alone would mix up some. */
struct death_role {
	uint32_t tuple_hash;
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
	struct connects *connects;
	struct netstat counters; /* as last read */
	/* Ids that are cookies, and others, must not be mixed: each have their memory. `tuples` is NULL where not needed. */
	struct track *cookies, *tuples;
	/* Which of them this sample fills, and which the last whole one filled (NULL: there was none). */
	struct track *track, *last_track;
	/* A whole dump with cookies is behind us. */
	bool baseline;
	/* So are the events of what died during it: from now on strangers count. */
	bool counting;
	uint64_t last_now_ms;  /* the last whole sample */
	uint64_t last_full_ms; /* the last whole full one */
	/* Full dumps left in which what is missing may have died unseen. */
	unsigned int suspicious;
	/* Records that wait for the end of the dump, and the one that census_waiting() gave. */
	struct tcpsock *deferred;
	size_t deferred_count, deferred_cap, deferred_next;
	struct addrset local;
	struct keyed mirror; /* struct mirrored; without cookies only */
	struct services services;
	struct localports *localports;
	struct death_role *deaths;
	/* Cookies of entries that had to go before their event. */
	uint64_t *tombs;
	struct tally tally;
	uint64_t listening; /* LISTEN records of this sample */
	uint64_t wiped_closes;
	/* Entries that left the dumps and wait for their event. */
	size_t invisible;
	/* 0 or -ENOMEM, of functions that cannot return it. */
	int error;
};

/* When the last whole sample of this tier began; 0: none has. A full one is of both. */
uint64_t census_looked_ms(const struct census *c, enum tier tier);

/*
 * A socket has died, or a states sample sees it in another state: if it is on show since the last full sample, it is no
 * more.
 */
void census_take_off(struct census *c, struct track_entry *entry);

/* Counts the records that have waited and were not settled. 0 or -ENOMEM. */
int records_count_deferred(struct census *c);

/* 0 or -ENOMEM. */
int deaths_init(struct census *c);
void deaths_done(struct census *c);

/* The role that the event of a socket with these addresses and ports told; false if there was none. */
bool deaths_find_role(const struct census *c, const struct tcpsock *sock, enum role *ret_role);

/* The entry of `id` has to go before its event, which then must not count as a stranger's. */
void deaths_bury(struct census *c, uint64_t id);
