/*
 * tally: adds up the connections on show, by role and port and by cgroup.
 *
 * A connection goes in when its record is judged. If a later sample sees it in another state, or it
 * dies, the share that the last full sample added is taken off again. Owns the gauges of a pair,
 * the rows of cgroups, and `counted` and `shown` of an entry. Knows numbers; must not know ages, or
 * who has series. One thread.
 */
#pragma once

#include "tcphealth/base/keyed.h"
#include "tcphealth/model/keepalive.h"
#include "tcphealth/model/role.h"
#include "tcphealth/model/stale.h"
#include "tcphealth/model/tier.h"
#include "tcphealth/model/track.h"
#include "tcphealth/source/tcpsock.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Sums over connections. */
enum tally_sum {
	/* Bytes that the program has not read. */
	TALLY_RECEIVE_QUEUE,
	/* Bytes that the peer has not acknowledged, sent or not. */
	TALLY_SEND_QUEUE,
	TALLY_PROBES, /* ESTABLISHED: unanswered keepalive probes */
};
#define TALLY_SUMS 3

/* Of the worst connection, in ms. It stays until the next sample of its tier. */
enum tally_peak {
	/* ESTABLISHED: since the peer was heard. */
	TALLY_SILENCE,
	/*
	 * Until the kernel would notice that the peer has vanished; PORTVIEW_NEVER if it would not.
	 */
	TALLY_LOSS,
};
#define TALLY_PEAKS 2

#define PORTVIEW_NEVER UINT64_MAX

/* The gauges of one pair. What every healthy connection touches comes first, in 64 bytes. */
struct portview {
	uint64_t peak[TALLY_PEAKS];
	uint64_t sum[TALLY_SUMS];
	uint32_t keepalive[KEEPALIVES];
	uint32_t state[TCP_STATE_COUNT];
	uint32_t stale[STALE_REASONS]; /* not of STALE_NONE */
	/* Longest time in each state, ms. */
	uint64_t oldest_ms[TCP_STATE_COUNT];
	/* Clients: share of the local ports that connect() can no longer take, for the pair of addresses with the fewest left. */
	double ephemeral_ratio;
};

/* Adds up two pairs, or two parts of one. */
void portview_merge(struct portview *into, const struct portview *from);

/* The share of one connection, besides its entry. */
struct tally_share {
	uint64_t cgroup_id; /* 0: unknown */
	uint32_t sum[TALLY_SUMS];
	/* Stale: which form of its reason's rule. */
	uint8_t form;
};

/* Why a connection is stale. */
struct tally_stale {
	enum stale_reason reason; /* STALE_NONE: it is not */
	/* For how long, at least. */
	uint64_t ms;
	/* NULL: in no dump. */
	const struct tcpsock *sock;
};

/* Stale connections of one cgroup. */
struct tally_cgroup {
	uint64_t cgroup_id; /* 0: unknown */
	/* By the form of the reason's rule; no sockets in any: all were taken off. */
	struct stale_group form[STALE_FORMS];
	/* Of the oldest that is in a dump; port 0: none is. */
	struct in6_addr peer;
	uint16_t peer_port;
	uint16_t port;
	uint8_t role;
	uint8_t reason;
};

/* What each sample of one tier counts again, besides the gauges: those are in the ledger. */
struct tally_part {
	/* Connections by what decided their role, without those that left the dumps. */
	uint64_t evidence[ROLE_EVIDENCE_COUNT];
	/* A few thousand at most; stale connections of further cgroups have no row. */
	struct tally_cgroup *cgroups;
	size_t cgroup_count, cgroup_cap;
	struct hash cgroup_hash;
};

/* The share of an entry that is shown. */
struct tally_kept {
	/* A hash of its id; 0: taken off. */
	uint64_t key;
	struct tally_share share;
};

/* Empty when zeroed. */
struct tally {
	struct tally_part part[TIERS];
	/* Of the full part. */
	struct keyed kept; /* struct tally_kept */
};

/* Begins a sample: the part of this tier is gone (a full sample: all). */
void tally_begin(struct tally *tally, enum tier tier);
void tally_done(struct tally *tally);

/*
 * The tier that shows sockets in this state. CLOSE: they left the dumps, which only a full one can
 * tell.
 */
static inline enum tier tally_tier(unsigned int state)
{
	return state == TCP_STATE_ESTABLISHED || state == TCP_STATE_CLOSE ? TIER_FULL : TIER_STATES;
}

static inline void tally_raise(uint64_t *peak, uint64_t value)
{
	if (value > *peak)
		*peak = value;
}

/* Whether it is stale or has something queued. */
static inline bool tally_has_more(const struct track_entry *entry, const struct tally_share *share)
{
	uint32_t more = entry->counted;

	for (int i = 0; i < TALLY_SUMS; i++)
		more |= share->sum[i];
	return more != 0;
}

/* The rare parts of tally_move() and tally_add(). */
void tally_move_more(struct tally_part *part, struct portview *view,
		     const struct track_entry *entry, const struct tally_share *share, int sign);
int tally_prepare(struct tally *tally, const struct track_entry *entry,
		  const struct tally_share *share, const struct tally_stale *stale);

/* Puts a connection in (`sign` 1) or takes it out (-1): the only function that does. */
static inline void tally_move(struct tally_part *part, struct portview *view,
			      const struct track_entry *entry, const struct tally_share *share,
			      int sign)
{
	view->state[entry->state] += (uint32_t)sign;
	if (entry->state == TCP_STATE_ESTABLISHED)
		view->keepalive[entry->keepalive] += (uint32_t)sign;
	if (entry->state != TCP_STATE_CLOSE)
		part->evidence[entry->evidence] += (uint64_t)sign;
	if (tally_has_more(entry, share))
		tally_move_more(part, view, entry, share, sign);
}

/*
 * Adds a connection to the gauges of its pair, in the part of its state. 0, or -ENOMEM: nothing is
 * added. Inline, as every connection of every sample comes here.
 */
static inline int tally_add(struct tally *tally, struct portview *view, struct track_entry *entry,
			    struct tally_share share, struct tally_stale stale)
{
	enum tier tier = tally_tier(entry->state);

	entry->counted = stale.reason & 15u;
	if (tally_has_more(entry, &share) && tally_prepare(tally, entry, &share, &stale) < 0)
		return -ENOMEM;
	entry->shown = tier == TIER_FULL;
	tally_move(&tally->part[tier], view, entry, &share, 1);
	return 0;
}

/* Takes an entry that is shown off the gauges of its pair, in the full part. */
void tally_take_off(struct tally *tally, struct portview *view, struct track_entry *entry);
