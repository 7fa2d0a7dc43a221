/*
 * ledger: the figures by role and port: counters for the life of the process, and the gauges of the
 * last sample.
 *
 * Owns a pair for each (role, port) that a namespace ever used, and decides which pairs have series
 * of their own. The others share `other`. The counters of a pair without series stand still, and go
 * on when it has series again: none ever falls. Knows ports and numbers; must not know sockets. One
 * thread.
 */
#pragma once

#include "tcphealth/base/portset.h"
#include "tcphealth/model/connects.h"
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
	/* Of server pairs only: connections turned away. */
	LEDGER_LISTEN_DROPS,
	/* Of client pairs only: LEDGER_FAILED + enum connects_failure. */
	LEDGER_FAILED,
	LEDGER_COUNTERS = LEDGER_FAILED + CONNECTS_FAILURES,
};

/*
 * Instead of a port: `unknown`, which always has series, and `other`, which exists in snapshots
 * only.
 */
#define LEDGER_PORT_UNKNOWN 0
#define LEDGER_PORT_OTHER   UINT32_MAX

/* "unknown" or "other", as users read it; NULL if it is a port. */
const char *ledger_port_name(uint32_t port);

/* What every record reads comes first. */
struct ledger_pair {
	/* Index of its gauges, or LEDGER_NO_VIEW. */
	uint32_t view;
	uint16_t port;
	uint8_t role;   /* enum role */
	bool published; /* has series of its own */
	/*
	 * Its series are new: they show what they began with, so that who reads them has seen that
	 * before they rise.
	 */
	bool held;
	/* Listening or included in this sample: comes before others. */
	bool pinned;
	/* Something was counted since the last sample ended. */
	bool touched;
	uint64_t counter[LEDGER_COUNTERS];
	/* Counted while it has no series, or is held: ledger_arbitrate() decides where to. */
	uint64_t fresh[LEDGER_COUNTERS];
	/* Last sample in which it was in use or pinned, monotonic. */
	uint64_t last_used_ms;
	/* When it got its series, monotonic; 0: it has none. */
	uint64_t born_ms;
};
#define LEDGER_NO_VIEW UINT32_MAX

struct ledger;

/*
 * With the client pair of port `unknown`. `excluded`: ports that never get series; borrowed, may be
 * NULL. NULL when out of memory.
 */
struct ledger *ledger_new(const struct portset *excluded);
void ledger_free(struct ledger *ledger);

/* Begins a sample: no pair is pinned, and the gauges of this tier are gone (a full sample: all). */
void ledger_begin(struct ledger *ledger, enum tier tier);

/*
 * The pair, created if there is none; NULL when out of memory. Valid until the next pair is
 * created.
 */
struct ledger_pair *ledger_pair(struct ledger *ledger, enum role role, uint16_t port);

/* A pair that has series even if no connection uses it. 0 or -ENOMEM. */
int ledger_pin(struct ledger *ledger, enum role role, uint16_t port);

/*
 * The gauges of a pair, in the part that each sample of this tier counts again; zeroed at first
 * use. NULL when out of memory. Valid until the gauges of another pair are used first.
 */
struct portview *ledger_view(struct ledger *ledger, struct ledger_pair *pair, enum tier tier);

/* Adds to a counter of the pair. */
void ledger_add(struct ledger_pair *pair, unsigned int counter, uint64_t amount);

/*
 * Ends a sample: decides which pairs have series, at most `max` of each role in all `count` ledgers
 * together.
 *
 * First come pairs that are stale or pinned, then those in use (they show a connection, or have
 * counted), then those most recently used, up to keep_ms ago. Among equals, a pair that has series
 * keeps them. Counts of a pair without series go to `other`.
 *
 * Series that come after the first sample of a ledger do not rise until LEDGER_HELD_MS have passed
 * and an answer has shown them, or for LEDGER_HELD_MAX_MS where nobody asks. served_ms: `now_ms` of
 * the last samples that were shown to anybody, 0: none. 0, or -ENOMEM: nothing changes.
 */
#define LEDGER_HELD_MS     20000u
#define LEDGER_HELD_MAX_MS 120000u
int ledger_arbitrate(struct ledger *const *ledgers, size_t count, uint32_t max, uint64_t now_ms,
		     uint64_t keep_ms, uint64_t served_ms);

/* All pairs, in no order. */
const struct ledger_pair *ledger_pairs(const struct ledger *ledger, size_t *ret_count);

/* The gauges of both parts in one; NULL if no connection is in them. Valid until the next call. */
const struct portview *ledger_pair_view(const struct ledger *ledger,
					const struct ledger_pair *pair);

/* The LEDGER_COUNTERS counters of `other`; NULL if every pair that was ever used had series. */
const uint64_t *ledger_other(const struct ledger *ledger, enum role role);
