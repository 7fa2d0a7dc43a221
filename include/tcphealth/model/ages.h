/*
 * ages: how old a connection's condition is, and whether that makes it stale.
 *
 * A look takes one record, and what earlier ones left in the socket's entry: when it entered its
 * state, and when something last moved. All ages are lower bounds. Knows TCP's timers; must not
 * know ports, counters or sources. One thread.
 */
#pragma once

#include "tcphealth/model/ledger.h"
#include "tcphealth/model/stale.h"
#include "tcphealth/model/track.h"
#include "tcphealth/source/netstat.h"
#include "tcphealth/source/tcpsock.h"

#include <stdbool.h>
#include <stdint.h>

struct ages_context {
	/* When the record was read, at the latest; monotonic. */
	uint64_t now_ms;
	/* Between the beginnings of this dump and the one before; 0 if there was none. */
	uint64_t interval_ms;
	const struct stale_thresholds *thresholds;
	const struct netsysctl *sysctl;
};

/* What one look finds. */
struct look {
	enum stale_reason reason;
	/* Which form of the reason's rule it has, and who is to blame by that. */
	unsigned int form;
	enum stale_blame blame;
	/* Of an established or half-closed connection. */
	enum keepalive keepalive;
	/* Whether age_ms means something in this state. */
	bool has_age;
	/*
	 * Whether loss_ms does: keepalive is known, and the connection is ESTABLISHED, or
	 * half-closed and held by a program.
	 */
	bool has_loss;
	/* For how long `reason` has applied. */
	uint64_t stale_ms;
	/* Time in its state. */
	uint64_t age_ms;
	/* ESTABLISHED: since the peer was last heard. */
	uint64_t silence_ms;
	/* Until the kernel would notice a vanished peer; PORTVIEW_NEVER if it would not. */
	uint64_t loss_ms;
};

/* A moment as struct track_entry keeps it, and the ms since one. */
uint32_t ages_tick(uint64_t mono_ms);
uint64_t ages_since(uint64_t now_ms, uint32_t tick);

/*
 * Judges a record, and updates the state and the moments of its entry. `created`: this is the first
 * record of the socket.
 */
void ages_look(struct track_entry *entry, const struct tcpsock *sock, bool created,
	       const struct ages_context *context, struct look *ret_look);

/*
 * Judges a socket that its program still holds but no dump shows: entry->state is CLOSE.
 */
void ages_dead(const struct track_entry *entry, const struct ages_context *context,
	       struct look *ret_look);
