/*
 * account: counters that lose nothing, from dumps and destroy events together.
 *
 * Moves what a socket did since it was last seen from its entry to its pair. Knows counters and the life of an
 * entry (opened, closed, final); must not know ages or sources. The rules:
 *
 *   - Counters move in account_add() only, and only upwards.
 *   - What one life adds up to is its last numbers less its base (0, or what the first sample found).
 *   - Nothing is added after the socket's event; no entry that may still send one is forgotten.
 *   - opened - closed + (sockets of the first sample) = entries open.
 */
#ifndef TCPHEALTH_MODEL_ACCOUNT_H
#define TCPHEALTH_MODEL_ACCOUNT_H

#include "tcphealth/base/hash.h"
#include "tcphealth/model/ledger.h"
#include "tcphealth/model/track.h"
#include "tcphealth/source/events.h"
#include "tcphealth/source/tcpsock.h"

#include <stdbool.h>
#include <stdint.h>

/* What is counted of one socket at one moment. */
struct account_numbers {
	uint64_t acked;
	uint64_t received;
	uint32_t retrans;
	uint32_t segs_out;
	uint16_t tuple; /* account_tuple() */
};

/* Both ports in 12 bits, which is what an entry has room for. */
static inline uint16_t account_tuple(uint16_t local_port, uint16_t remote_port)
{
	return hash_mix(0, (uint64_t)local_port << 16 | remote_port) & 0xfff;
}

struct account_numbers account_numbers_of(const struct tcpsock *sock);
struct account_numbers account_numbers_of_death(const struct tcpdeath *death);

/* Takes numbers as the base from which counting starts: nothing is added. */
void account_base(struct track_entry *entry, const struct account_numbers *numbers);

/* Adds what moved since the last time. A counter that fell, or other ports, are a new life of the same socket. */
void account_add(struct ledger_pair *pair, struct track_entry *entry,
		 const struct account_numbers *numbers);

/* Most sockets of most dumps are quiet: account_add() would add nothing, and write back what is there. */
static inline bool account_is_unchanged(const struct track_entry *entry, const struct tcpsock *sock)
{
	return sock->segs_out == entry->segs_out && sock->total_retrans == entry->retrans &&
	       sock->bytes_acked == track_acked(entry) &&
	       sock->bytes_received == track_received(entry) &&
	       account_tuple(sock->local_port, sock->remote_port) == entry->tuple;
}

/* Counts the connection as opened, and as closed, where that is still due. */
void account_open(struct ledger_pair *pair, struct track_entry *entry);
void account_close(struct ledger_pair *pair, struct track_entry *entry);

enum account_failure {
	ACCOUNT_NOT_FAILED, /* it was established */
	ACCOUNT_REFUSED,    /* answered by RST, or failed at once */
	ACCOUNT_TIMEOUT,    /* the SYN was retransmitted in vain */
	ACCOUNT_ABANDONED,  /* given up before that */
	ACCOUNT_NOISE, /* never connected: a listener, an unused socket, an acceptor's child that never was */
};

/* Whether a destroyed socket was an attempt that failed, and how. `syn_sent`: the last dump saw it in SYN_SENT. */
enum account_failure account_failure(const struct tcpdeath *death, bool syn_sent);

#endif
