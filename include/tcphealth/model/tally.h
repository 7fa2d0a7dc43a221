/*
 * tally: what the connections of one sample add up to, by role and port.
 *
 * Owns the gauges of a pair and how they are put together. Knows numbers; no ports, no history. One thread.
 */
#ifndef TCPHEALTH_MODEL_TALLY_H
#define TCPHEALTH_MODEL_TALLY_H

#include "tcphealth/model/keepalive.h"
#include "tcphealth/model/stale.h"
#include "tcphealth/source/tcpsock.h"

#include <stdint.h>

/* What is added up over connections. */
enum tally_sum {
	TALLY_RECEIVE_QUEUE, /* bytes that came in and were not read yet */
	TALLY_SEND_QUEUE,    /* bytes not acknowledged, or not sent yet */
	TALLY_PROBES,        /* ESTABLISHED: keepalive probes without an answer */
};
#define TALLY_SUMS 3

/* Of what the worst connection counts; milliseconds. */
enum tally_peak {
	TALLY_SILENCE, /* ESTABLISHED: since the peer was heard */
	TALLY_LOSS,    /* until the kernel would notice a vanished peer; PORTVIEW_NEVER */
};
#define TALLY_PEAKS 2

#define PORTVIEW_NEVER UINT64_MAX

/* The gauges of one pair in one sample. Adding up two of them is portview_merge(). */
struct portview {
	/* What every healthy ESTABLISHED socket touches comes first: 64 bytes. */
	uint64_t peak[TALLY_PEAKS];
	uint64_t sum[TALLY_SUMS];
	uint32_t keepalive[KEEPALIVES];
	uint32_t state[TCP_STATE_COUNT];
	uint32_t stale[STALE_REASONS]; /* not of STALE_NONE */
	/* Longest time in each state, ms. */
	uint64_t oldest_ms[TCP_STATE_COUNT];
	double ephemeral_ratio; /* clients: of the busiest pair of addresses */
};

void portview_merge(struct portview *into, const struct portview *from);

#endif
