/*
 * stale: the reasons why a connection is stale.
 *
 * A reason is one line of STALE_LIST and one rule in stale.c: flags, label values, JSON keys and
 * texts are made from these two. Knows what one connection shows; must not know how its ages were
 * found. Pure.
 */
#pragma once

#include "tcphealth/model/role.h"
#include "tcphealth/model/track.h"
#include "tcphealth/source/tcpsock.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * R(x, ID, label, flag, kind, default, help): the reason STALE_ID, with the rule rule_ID, and its
 * label value; the flag of its threshold, the kind of the flag's value (duration, or probes for a
 * number of them), its default and its line of --help. A connection has the first reason, in this
 * order, that fits its facts; only then is the reason's own threshold applied.
 */
#define STALE_LIST(R, x)                                                                           \
	R(x, DEAD, "dead", "stale.dead", duration, "60s",                                          \
	  "reset or timed out, still held by its program")                                         \
	R(x, UNACCEPTED, "unaccepted", "stale.unaccepted", duration, "30s", "in the accept queue") \
	R(x, RETRANSMIT, "retransmit", "stale.retransmit", duration, "10s",                        \
	  "data sent again and again, none of it acknowledged")                                    \
	R(x, UNREAD, "unread", "stale.unread", duration, "5m",                                     \
	  "data that the program here does not read")                                              \
	R(x, ZERO_WINDOW, "zero_window", "stale.zero-window", duration, "60s",                     \
	  "the peer's program does not read")                                                      \
	R(x, EOF_UNREAD, "eof_unread", "stale.eof-unread", duration, "5m",                         \
	  "closed by the peer, unnoticed by the program here")                                     \
	R(x, CLOSE_WAIT, "close_wait", "stale.close-wait", duration, "60s",                        \
	  "closed by the peer but not here")                                                       \
	R(x, FIN_WAIT2, "fin_wait2", "stale.fin-wait2", duration, "60s",                           \
	  "closed here but not by the peer")                                                       \
	R(x, CLOSING, "closing", "stale.closing", duration, "3m",                                  \
	  "closed here, and the peer does not acknowledge it")                                     \
	R(x, SYN_SENT, "syn_sent", "stale.syn-sent", duration, "10s",                              \
	  "connecting, and nobody answers")                                                        \
	R(x, SYN_RECV, "syn_recv", "stale.syn-recv", duration, "10s",                              \
	  "a handshake that the peer never finishes")                                              \
	R(x, KEEPALIVE, "keepalive", "stale.keepalive-probes", probes, "2",                        \
	  "unanswered keepalive probes")                                                           \
	R(x, IDLE, "idle", "stale.idle", duration, "2h",                                           \
	  "silent, and nothing would ever notice a dead peer")

/* Of the kind `probes`: the kernel counts them in a byte. */
#define STALE_PROBES_MAX 255

#define STALE_ENUMERATOR(x, ID, ...) STALE_##ID,

enum stale_reason { STALE_NONE, STALE_LIST(STALE_ENUMERATOR, ) STALE_REASONS };

/* How much of a reason's clock makes a connection stale, by reason. */
struct stale_thresholds {
	uint64_t least[STALE_REASONS];
};

/*
 * What a threshold is compared with: the ms, at least, for which this has been so; 0 where it is
 * not so.
 */
enum stale_clock {
	STALE_AGE,     /* in its state */
	STALE_WAITING, /* to be accepted */
	/* Not ESTABLISHED, and no byte moves. */
	STALE_STILL,
	/* ESTABLISHED, and the peer is silent; as STALE_BLOCKED where no source tells. */
	STALE_SILENCE,
	/* The kernel waits for the peer and no byte is acknowledged. */
	STALE_BLOCKED,
	/* As STALE_BLOCKED; if the kernel sends window probes, since the peer last answered one. */
	STALE_UNACKED,
	STALE_BEHIND, /* the program has read nothing */
	/* Not ms but a number: probes in a row without an answer. */
	STALE_PROBES,
};
#define STALE_CLOCKS (STALE_PROBES + 1)

/* Where a reason may apply: TCP_STATE_BIT() of each state, or one of these. */

/* In an accept queue, whatever its state. */
#define STALE_QUEUED TCP_STATE_BIT(TCP_STATE_COUNT)
/* In no dump, though its program holds it. */
#define STALE_GONE TCP_STATE_BIT(TCP_STATE_COUNT + 1)

enum stale_blame {
	/* It may be no fault at all. */
	STALE_BLAMES_NOBODY,
	/* On this host: who holds the connection, or listens. */
	STALE_BLAMES_PROGRAM,
	STALE_BLAMES_PEER_PROGRAM,
	STALE_BLAMES_PATH, /* or the peer's host */
	/* This one: data does not leave it. */
	STALE_BLAMES_HOST,
};

/* What holds up the data or the FIN that this end has sent. */
enum stale_send {
	/* Nothing, as far as the record tells. */
	STALE_SEND_FREE,
	/* Sent or asked again, without an answer. */
	STALE_SEND_UNANSWERED,
	/* It does not get out of this host. */
	STALE_SEND_KEPT_HERE,
	/* The peer answers that it has no room. */
	STALE_SEND_SHUT,
};

/* One connection as rules see it; `sock` is NULL where it is STALE_GONE. */
struct stale_look {
	const struct tcpsock *sock;
	const struct track_entry *entry;
	const struct stale_thresholds *thresholds;
	enum stale_send send;
	/* CLOSE_WAIT: the peer has ended its own half only, and holds the connection. */
	bool peer_waits;
	uint64_t clock[STALE_CLOCKS];
};

#define STALE_FORMS 3 /* of one reason at most */

/* Which connections a form is about. */
enum stale_of { STALE_OF_ALL, STALE_OF_SERVERS, STALE_OF_CLIENTS };

/*
 * Who is at fault, and what is said of it. A reason has several forms where these differ among its
 * connections.
 */
struct stale_form {
	enum stale_of of;
	/* What must be so besides; NULL: nothing. */
	bool (*holds)(const struct stale_look *look);
	enum stale_blame blame;
	/* A restart of the program on this host helps for now. */
	bool restart;
	/* Nothing is wrong unless something else at its port is. */
	bool harmless;
	/*
	 * About the connections of a port, with the gaps of render/words: what is wrong, and what
	 * to do.
	 */
	const char *verdict, *next;
};

/* Stale connections that have something in common. */
struct stale_group {
	/* For how long the first of them has been so, at least. */
	uint64_t oldest_ms;
	uint32_t sockets;
};

static inline void stale_group_add(struct stale_group *into, const struct stale_group *from)
{
	into->sockets += from->sockets;
	if (from->oldest_ms > into->oldest_ms)
		into->oldest_ms = from->oldest_ms;
}

/* Those of all forms together. */
static inline struct stale_group stale_group_all(const struct stale_group form[STALE_FORMS])
{
	struct stale_group all = { 0 };

	for (int i = 0; i < STALE_FORMS; i++)
		stale_group_add(&all, &form[i]);
	return all;
}

struct stale_rule {
	/* TCP_STATE_BIT() of states, STALE_QUEUED or STALE_GONE. */
	uint32_t where;
	/* enum tcpsock_known: what a record must know. */
	uint32_t known;
	/* enum source_can: what a source must know to find the reason at all. */
	uint32_t needs;
	/* Which clock is compared with the threshold, and which says for how long. */
	enum stale_clock clock, since;
	/* The unit of `clock` in the singular; NULL: milliseconds. */
	const char *counts;
	/* What must be so besides; NULL: nothing. */
	bool (*holds)(const struct stale_look *look);
	/* Of one connection, for a legend: "connecting, and nobody answers". */
	const char *meaning;
	/* A command that looks closer at those of a port, with such gaps; NULL: there is none. */
	const char *look;
	/* A connection has the first form that fits; the last form given fits every connection. */
	struct stale_form form[STALE_FORMS];
};

/* Never NULL; that of STALE_NONE is empty. */
const struct stale_rule *stale_rule(enum stale_reason reason);

/* "close_wait"; "none" for STALE_NONE. */
const char *stale_reason_name(enum stale_reason reason);

/*
 * Which form of its rule a connection has that is stale for `reason`; `look` is NULL where nothing
 * but its role is known.
 */
unsigned int stale_form(enum stale_reason reason, enum role role, const struct stale_look *look);

/* "peer_program" */
const char *stale_blame_name(enum stale_blame blame);

/*
 * The reason at a place, if it has passed its threshold, else STALE_NONE: the TCP_STATE_BIT() of
 * one state, STALE_QUEUED or STALE_GONE. *ret_ms is for how long, at least; it is set unless the
 * result is STALE_NONE.
 */
enum stale_reason stale_judge(const struct stale_look *look, uint32_t where, uint64_t *ret_ms);
