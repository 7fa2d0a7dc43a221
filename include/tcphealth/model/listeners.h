/*
 * listeners: the listeners of a namespace, present and past.
 *
 * Owns the listeners, those that are gone included, and a row of accept queues for each of their
 * ports. Must not know connections. One thread.
 *
 * A sample: listeners_begin(), listeners_add() for each LISTEN record, listeners_end(); and
 * listeners_settle_drops() where drops are known.
 */
#pragma once

#include "tcphealth/source/tcpsock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum listeners_match {
	LISTENERS_NONE,
	/* Gone, but not for keep_ms yet. */
	LISTENERS_FORMER,
	LISTENERS_ALIVE,
};

/* One port, all its listeners together. */
struct listener_port {
	uint16_t port;
	/* Whether queue_limit and saturation are known. */
	bool backlog_known;
	/* Has series: alive, or not gone for keep_ms yet. */
	bool kept;
	/* alive; those that take its connections by TPROXY if it has none of its own */
	uint32_t sockets;
	/* All listen on other ports. */
	bool diverted;
	/* Connections that nobody has accepted yet, and the backlogs: sums. */
	uint64_t queue_length, queue_limit;
	/* Of the fullest listener: length / (limit + 1). */
	double saturation;
	uint64_t last_alive_ms; /* monotonic */
	/* When a connection was last seen that TPROXY had diverted to a listener; 0: never. */
	uint64_t diverted_ms;
};

struct listener {
	uint64_t id;
	struct in6_addr addr;
	uint64_t cgroup_id;
	uint64_t last_seen_ms; /* monotonic */
	uint32_t drops;        /* as last read; wraps */
	uint32_t inode;
	uint32_t queue_length;
	/* That listeners_settle_drops() has not judged. */
	uint32_t new_drops;
	/* Listeners' own: of the same port. */
	uint32_t next;
	uint16_t port;
	bool v6only;
	bool alive;
	/* The accept queue, as last seen. */
	bool full;
	/* Then, or in the sample before. */
	bool was_full;
};

struct listeners;

/*
 * A listener is forgotten keep_ms after it was last alive; its port's row stays, for the counter.
 * NULL when out of memory.
 */
struct listeners *listeners_new(uint64_t keep_ms);
void listeners_free(struct listeners *listeners);

/*
 * `forget_ids`: the source has changed, and so have the ids: the drop counters of this sample are a
 * new base.
 */
void listeners_begin(struct listeners *listeners, bool forget_ids);

/* 0 or -ENOMEM. */
int listeners_add(struct listeners *listeners, const struct tcpsock *sock, uint64_t now_ms);

/*
 * Judges the packets that listeners dropped since the last call, by the growth of the kernel's
 * ListenDrops, read after the listeners were: a socket's own counter has deferred accepts, repeated
 * SYNs and health checks as well, ListenDrops has not. `fn` takes a port and how many connections
 * were turned away there; port 0 is for those that no listener can be told to have turned away. 0,
 * or what `fn` gave.
 */
typedef int (*listeners_drops_fn)(void *arg, uint16_t port, uint64_t drops);
int listeners_settle_drops(struct listeners *listeners, uint64_t listen_drops,
			   listeners_drops_fn fn, void *arg);

/* A connection to this port, seen now, was accepted by a listener on any port (TCPSOCK_TRANSPARENT). 0 or -ENOMEM. */
int listeners_divert(struct listeners *listeners, uint16_t port, uint64_t now_ms);

/* Forgets what is gone for too long. */
void listeners_end(struct listeners *listeners, uint64_t now_ms);

/* Whether a listener takes, or took, connections to this local address (NULL: any) and port. */
enum listeners_match listeners_match(const struct listeners *listeners, const struct in6_addr *addr,
				     uint16_t port);

/*
 * The inodes of the listeners one of which has a connection to this address and port in its accept
 * queue: more than one only where they share the port. Returns how many, at most `max`.
 */
size_t listeners_queueing(const struct listeners *listeners, const struct in6_addr *addr,
			  uint16_t port, uint32_t *ret_inodes, size_t max);

/*
 * The rows in order of port, those that are not kept included; valid until the next
 * listeners_begin().
 */
const struct listener_port *listeners_ports(const struct listeners *listeners, size_t *ret_count);

/* The listeners, alive and gone, in no order; valid until the next listeners_begin(). */
const struct listener *listeners_all(const struct listeners *listeners, size_t *ret_count);
