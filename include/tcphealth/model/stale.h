/*
 * stale: the reasons why a socket counts as stuck, and their thresholds.
 *
 * Names and numbers only; how a reason is found is the business of ages.
 */
#ifndef TCPHEALTH_MODEL_STALE_H
#define TCPHEALTH_MODEL_STALE_H

#include <stdint.h>

/* The first that applies, in this order. */
enum stale_reason {
	STALE_NONE,
	STALE_DEAD,        /* reset or timed out, still held by its program */
	STALE_UNACCEPTED,  /* in the accept queue */
	STALE_CLOSE_WAIT,  /* this end never closed, and nothing moves */
	STALE_FIN_WAIT2,   /* the other end never closes, and nothing moves */
	STALE_CLOSING,     /* FIN_WAIT1, CLOSING, LAST_ACK: the other end does not acknowledge */
	STALE_SYN_SENT,    /* nobody answers */
	STALE_KEEPALIVE,   /* keepalive probes unanswered */
	STALE_RETRANSMIT,  /* data or window probes unanswered, or data that cannot get out */
	STALE_ZERO_WINDOW, /* the peer answers, but its program does not read */
	STALE_UNREAD,      /* this program does not read */
	STALE_IDLE,        /* silent, and nothing would ever notice a dead peer */
};
#define STALE_REASONS 12

/* "close_wait"; "none" for STALE_NONE. */
const char *stale_reason_name(enum stale_reason reason);

struct stale_thresholds {
	uint64_t ms[STALE_REASONS]; /* by reason; not used for STALE_NONE and STALE_KEEPALIVE */
	uint32_t keepalive_probes;
};

#endif
