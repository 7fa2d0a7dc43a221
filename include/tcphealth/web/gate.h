/*
 * gate: accepts connections, and ends those that take too long.
 *
 * Owns the listeners, the thread that accepts, and the list of open connections with
 * their clients and deadlines. Must not know HTTP. It does what libmicrohttpd 0.9.75
 * cannot:
 *
 * - bound the time of a request (its timeout is for inactivity: a byte every few seconds
 *   would hold a connection for ever);
 * - wait when accept(2) finds no free descriptor (it spins);
 * - count an IPv6 client by its network, not by each of its 2^64 addresses.
 */
#ifndef TCPHEALTH_WEB_GATE_H
#define TCPHEALTH_WEB_GATE_H

#include <sys/socket.h>

struct gate;

struct gate_config {
	/* Taken over by gate_new() unless it fails. */
	const int *listeners;
	size_t listener_count;
	unsigned int max_connections;
	/* From one IPv4 address or IPv6 /64. More are closed at once. */
	unsigned int max_per_client;
	/* For a whole request, from accept() or the end of the request before. */
	unsigned int timeout_s;
	/*
	 * Takes over an accepted connection, even when it fails (-errno). From then on
	 * the server reports with gate_connected(), gate_answered() and gate_closed(). A
	 * connection that it never reports is forgotten at its deadline. On the gate's
	 * thread.
	 */
	int (*admit)(void *arg, int fd, const struct sockaddr *peer, socklen_t peer_len);
	/*
	 * Receives what an administrator should know, with one detail. On the gate's
	 * thread, and possibly very often.
	 */
	void (*complain)(void *arg, const char *what, const char *key, const char *value);
	void *arg;
};

/* NULL without memory or descriptors. Accepts nothing before gate_start(). */
struct gate *gate_new(const struct gate_config *config);
void gate_free(struct gate *gate);

/* 0 or -errno. */
int gate_start(struct gate *gate);

/* Closes the listeners, and returns once they are closed. Connections stay. Any thread. */
void gate_quiesce(struct gate *gate);

/* Quiesces and joins the thread. gate_closed() may still be called. */
void gate_stop(struct gate *gate);

/*
 * Reports about a connection, by its descriptor, which is open during the call: it is
 * being served (and may be shut down once overdue), a request is complete (a new deadline
 * starts), or the descriptor is about to be closed. Any thread.
 */
void gate_connected(struct gate *gate, int fd);
void gate_answered(struct gate *gate, int fd);
void gate_closed(struct gate *gate, int fd);

#endif
