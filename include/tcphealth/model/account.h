/*
 * account: exact counters, from dumps and destroy events together.
 *
 * Adds to a pair what one of its sockets did since it was last seen. Knows counters and the life of
 * an entry (opened, closed, final); must not know ages or sources. One thread. The rules:
 *
 *   - Only account_add() moves counters, and only upwards.
 *   - A life adds up to its last numbers minus its base, which is 0 or what the first sample found.
 *   - Nothing is added after the socket's destroy event, and no entry that may still get one is
 *     forgotten.
 *   - opened - closed + (sockets of the first sample) = entries open.
 */
#pragma once

#include "tcphealth/base/hash.h"
#include "tcphealth/model/ledger.h"
#include "tcphealth/model/track.h"
#include "tcphealth/source/events.h"
#include "tcphealth/source/tcpsock.h"

#include <stdbool.h>
#include <stdint.h>

/* The counted figures of one socket at one moment. */
struct account_numbers {
	uint64_t acked;
	uint64_t received;
	uint32_t retrans;
	uint32_t segs_out;
	uint16_t tuple; /* account_tuple() */
};

/* A hash of both ports, in the 11 bits that an entry has room for. */
static inline uint16_t account_tuple(uint16_t local_port, uint16_t remote_port)
{
	return hash_mix(0, (uint64_t)local_port << 16 | remote_port) & 0x7ff;
}

struct account_numbers account_numbers_of(const struct tcpsock *sock);
struct account_numbers account_numbers_of_death(const struct tcpdeath *death);

/* Takes the numbers as the base: nothing is added. */
void account_base(struct track_entry *entry, const struct account_numbers *numbers);

/*
 * Adds what has changed since the last time. If a counter fell or the ports changed, the socket has
 * begun a new life.
 */
void account_add(struct ledger_pair *pair, struct track_entry *entry,
		 const struct account_numbers *numbers);

/*
 * Whether account_add() would change nothing, as for most sockets of most dumps.
 */
static inline bool account_is_unchanged(const struct track_entry *entry, const struct tcpsock *sock)
{
	return sock->segs_out == entry->segs_out && sock->total_retrans == entry->retrans &&
	       sock->bytes_acked == track_acked(entry) &&
	       sock->bytes_received == track_received(entry) &&
	       account_tuple(sock->local_port, sock->remote_port) == entry->tuple;
}

/* Count the connection as opened, and as closed, unless that was done. */
void account_open(struct ledger_pair *pair, struct track_entry *entry);
void account_close(struct ledger_pair *pair, struct track_entry *entry);

enum account_end {
	/* Never a connect: a listener, an unused socket, a child that never left SYN_RECV. */
	ACCOUNT_NOISE,
	ACCOUNT_FAILED,      /* a connect */
	ACCOUNT_ESTABLISHED, /* once */
};

/* What a destroyed socket had come to. `syn_sent`: the last dump saw it in SYN_SENT. */
enum account_end account_end(const struct tcpdeath *death, bool syn_sent);
