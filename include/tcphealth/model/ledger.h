/*
 * ledger: counters per role and port that live as long as the process, and the gauges of one sample.
 *
 * Owns a pair for each (role, port) a namespace ever used, and decides which of them have series of their own; the
 * others share `other`. Counters of a pair that lost its series stop and go on from there should it
 * come back: none ever falls. Knows ports and numbers, no sockets. One thread.
 */
#ifndef TCPHEALTH_MODEL_LEDGER_H
#define TCPHEALTH_MODEL_LEDGER_H

#include "tcphealth/base/portset.h"
#include "tcphealth/model/role.h"
#include "tcphealth/model/tally.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ledger_counter {
	LEDGER_RETRANSMITTED_SEGMENTS,
	LEDGER_SENT_SEGMENTS,
	LEDGER_SENT_BYTES, /* acknowledged */
	LEDGER_RECEIVED_BYTES,
	LEDGER_OPENED,
	LEDGER_CLOSED,
	LEDGER_FAILED_REFUSED, /* client pairs only, as the next two */
	LEDGER_FAILED_TIMEOUT,
	LEDGER_FAILED_OTHER,
};
#define LEDGER_COUNTERS 9

/* Port 0 stands for "unknown", which always has series; this for "other" (in the snapshot only). */
#define LEDGER_PORT_UNKNOWN 0
#define LEDGER_PORT_OTHER   UINT32_MAX

/* "unknown" or "other", as users read it; NULL if it is a port. */
const char *ledger_port_name(uint32_t port);

struct ledger_pair {
	/* What every socket reads comes first. */
	uint32_t view; /* index of this sample's view, or LEDGER_NO_VIEW */
	uint16_t port;
	uint8_t role;   /* enum role */
	bool published; /* has series of its own */
	bool pinned;    /* listening or included in this sample: displaces others */
	bool touched;   /* counted something since the last sample ended */
	uint64_t counter[LEDGER_COUNTERS];
	uint64_t fresh
		[LEDGER_COUNTERS]; /* counted while it has no series: ledger_arbitrate() says whose they are */
	uint64_t
		last_used_ms; /* monotonic: last sample in which it was in use, listening or included */
};
#define LEDGER_NO_VIEW UINT32_MAX

struct ledger;

/*
 * `excluded` (may be NULL; borrowed) says which ports never get series. NULL when out of memory.
 */
struct ledger *ledger_new(const struct portset *excluded);
void ledger_free(struct ledger *ledger);

/*
 * Begins a sample: no pair is pinned, and of all views the parts that this tier finds anew are gone: after a full one all,
 * and no pair is in use.
 */
void ledger_begin(struct ledger *ledger, enum tier tier);

/* The pair, created at need; NULL when out of memory. Valid until the next pair is created. */
struct ledger_pair *ledger_pair(struct ledger *ledger, enum role role, uint16_t port);

/* A pair that shall have series although nothing uses it (listening, included). 0 or -ENOMEM. */
int ledger_pin(struct ledger *ledger, enum role role, uint16_t port);

/*
 * The gauges of a pair, in the part that samples of this tier find anew; zeroed at first use. NULL when out of memory. Valid until the next
 * view is made.
 */
struct portview *ledger_view(struct ledger *ledger, struct ledger_pair *pair, enum tier tier);

/* Adds to a counter of the pair. */
void ledger_add(struct ledger_pair *pair, enum ledger_counter counter, uint64_t amount);

/*
 * Decides at the end of a sample which pairs have series: at most `max` of each role over all `count` ledgers. In use is who has
 * a view, is pinned, or has counted. What a pair without series counted goes to `other`. Rank: stale or pinned, then in use, then the most recently used; among
 * equals who has series keeps them. What was not in use for keep_ms loses its series. 0, or -ENOMEM (nothing changes).
 */
int ledger_arbitrate(struct ledger *const *ledgers, size_t count, uint32_t max, uint64_t now_ms,
		     uint64_t keep_ms);

/* All pairs ever used, in no order. */
const struct ledger_pair *ledger_pairs(const struct ledger *ledger, size_t *ret_count);

/* Both parts in one; NULL if there is no socket in them. Valid until asked again. */
const struct portview *ledger_pair_view(const struct ledger *ledger,
					const struct ledger_pair *pair);

/* Counters of `other`. */
const uint64_t *ledger_other(const struct ledger *ledger, enum role role);

#endif
