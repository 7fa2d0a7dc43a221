/*
 * ages: what one look at a record says of its health.
 *
 * Takes a record, what the memory has of the socket, and the moment; updates the memory (since when in this state, when something last
 * moved) and judges: ages, staleness, keepalive, how long until a vanished peer were noticed. All ages are
 * lower bounds. Knows TCP's timers; must not know ports, counters or sources. One thread.
 */
#ifndef TCPHEALTH_MODEL_AGES_H
#define TCPHEALTH_MODEL_AGES_H

#include "tcphealth/model/ledger.h"
#include "tcphealth/model/stale.h"
#include "tcphealth/model/track.h"
#include "tcphealth/source/netstat.h"
#include "tcphealth/source/tcpsock.h"

#include <stdbool.h>
#include <stdint.h>

struct ages_context {
	uint64_t now_ms;      /* monotonic, when this dump began */
	uint64_t interval_ms; /* since the dump before it began; 0 if there was none */
	const struct stale_thresholds *thresholds;
	const struct netsysctl *sysctl;
};

struct look {
	enum stale_reason reason;
	enum keepalive keepalive; /* ESTABLISHED only */
	bool has_age;             /* age_ms means something in this state */
	bool has_loss; /* loss_ms counts: ESTABLISHED, held CLOSE_WAIT and FIN_WAIT2, keepalive seen unmasked */
	uint64_t stale_ms;   /* how long it has been stuck, at least */
	uint64_t age_ms;     /* in its state, at least */
	uint64_t silence_ms; /* ESTABLISHED: since the peer was heard */
	uint64_t
		loss_ms; /* PORTVIEW_NEVER, or the time until the kernel would notice a vanished peer */
};

/* The tick of a moment, for the fields of struct track_entry; and the time since one. */
uint32_t ages_tick(uint64_t mono_ms);
uint64_t ages_since(uint64_t now_ms, uint32_t tick);

/* `created`: the first look at this socket. Updates entry->state and all moments. */
void ages_look(struct track_entry *entry, const struct tcpsock *sock, bool created,
	       const struct ages_context *context, struct look *ret_look);

/* A socket that left the dumps while its program still holds it (entry->state is CLOSE). */
void ages_dead(const struct track_entry *entry, const struct ages_context *context,
	       struct look *ret_look);

#endif
