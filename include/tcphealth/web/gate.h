/*
 * gate: lets connections in, and ends those that take too long.
 *
 * Owns the listening sockets, one thread that accepts, and the list of open connections with their
 * clients and deadlines. Knows sockets and limits; must not know HTTP or who serves. It is here
 * because libmicrohttpd 0.9.75 cannot do three things itself: bound the wall-clock time of a
 * request (its timeout sees inactivity only, so a byte every few seconds holds a connection for
 * ever), wait when accept(2) has no descriptors left (it spins), and count an IPv6 client by its
 * network instead of by each of its 2^64 addresses.
 */
#ifndef TCPHEALTH_WEB_GATE_H
#define TCPHEALTH_WEB_GATE_H

#include <stddef.h>
#include <sys/socket.h>

struct gate;

struct gate_config {
	const int *listeners; /* taken over by gate_new() unless it fails */
	size_t listener_count;
	unsigned int max_connections;
	/* From one IPv4 address or one IPv6 /64; more are closed at once. */
	unsigned int max_per_client;
	/* For a request in all: from the connection, or the end of the request before it. */
	unsigned int timeout_s;
	/*
	 * Takes over a connection that was let in, also when it fails (-errno). Whoever serves then
	 * tells gate_connected(), gate_answered() and gate_closed(); a connection that was never
	 * told is forgotten in time.
	 */
	int (*admit)(void *arg, int fd, const struct sockaddr *peer, socklen_t peer_len);
	/*
	 * What an administrator should hear of, with one detail; called on the gate's thread,
	 * possibly very often.
	 */
	void (*complain)(void *arg, const char *what, const char *key, const char *value);
	void *arg;
};

/* NULL when out of memory or descriptors. Accepts nothing before gate_start(). */
struct gate *gate_new(const struct gate_config *config);
void gate_free(struct gate *gate);

/* 0 or -errno. */
int gate_start(struct gate *gate);

/* Closes the listening sockets and returns when they are closed. Connections stay. Any thread. */
void gate_quiesce(struct gate *gate);

/* Quiesces and joins the thread; the list stays, so that gate_closed() may still be called. */
void gate_stop(struct gate *gate);

/* Of a connection by its descriptor, which is open during the call. Any thread. */
void gate_connected(struct gate *gate, int fd); /* it is served: may be shut down when overdue */
void gate_answered(struct gate *gate, int fd);  /* a request is complete: a deadline begins anew */
void gate_closed(struct gate *gate, int fd);    /* the descriptor is about to be closed */

#endif
