/*
 * listeners: who listens in a namespace, and who did.
 *
 * Owns a table of listening sockets with a memory of those that are gone, and one row a port with the accept queues and
 * the drop counter, which never falls. Knows nothing of connections. One thread.
 *
 * A sample: listeners_begin(), listeners_add() for each LISTEN record, listeners_end().
 */
#ifndef TCPHEALTH_MODEL_LISTENERS_H
#define TCPHEALTH_MODEL_LISTENERS_H

#include "tcphealth/source/tcpsock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum listeners_match {
	LISTENERS_NONE,
	LISTENERS_FORMER, /* gone, but seen within the time to keep */
	LISTENERS_ALIVE,
};

/* One listening port, all its sockets together. */
struct listener_port {
	uint16_t port;
	bool backlog_known; /* queue_limit and saturation mean something */
	bool drops_known;
	bool kept;              /* alive within the time to keep: has series */
	uint32_t sockets;       /* alive; 0 once the last has closed */
	uint64_t queue_length;  /* connections nobody accepted yet, summed */
	uint64_t queue_limit;   /* backlogs, summed */
	double saturation;      /* of the fullest listener: length / (limit + 1) */
	uint64_t drops_total;   /* since first sight; any cause; never falls */
	uint64_t last_alive_ms; /* monotonic */
};

/* One listening socket. */
struct listener {
	uint64_t id;
	struct in6_addr addr;
	uint64_t cgroup_id;
	uint64_t last_seen_ms;
	uint32_t drops; /* as last read; wraps */
	uint32_t next;  /* listeners' own: the next of the same port */
	uint16_t port;
	bool v6only;
	bool alive;
};

struct listeners;

/* Gone listeners are forgotten keep_ms after they were last alive; a port's row stays for its counter. NULL when out of memory. */
struct listeners *listeners_new(uint64_t keep_ms);
void listeners_free(struct listeners *listeners);

/* After a change of source ids differ: `forget_ids` takes the next sample's drop counters as a new base. */
void listeners_begin(struct listeners *listeners, bool forget_ids);

/* 0 or -ENOMEM. */
int listeners_add(struct listeners *listeners, const struct tcpsock *sock, uint64_t now_ms);

void listeners_end(struct listeners *listeners, uint64_t now_ms);

/* Is, or was, there a listener that takes connections to this local address and port? */
enum listeners_match listeners_match(const struct listeners *listeners, const struct in6_addr *addr,
				     uint16_t port);

/* The same without an address. */
enum listeners_match listeners_match_port(const struct listeners *listeners, uint16_t port);

/* Rows in order of port, also those that are no longer kept; valid until the next listeners_begin(). */
const struct listener_port *listeners_ports(const struct listeners *listeners, size_t *ret_count);

/* The sockets, alive and gone, in no order; valid until the next listeners_begin(). */
const struct listener *listeners_all(const struct listeners *listeners, size_t *ret_count);

#endif
