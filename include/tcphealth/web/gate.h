/*
 * gate: accepts connections, and ends those that take too long.
 *
 * Owns the listeners, the thread that accepts, and the deadlines of open connections. Must
 * not know HTTP. It does what libmicrohttpd 0.9.75 cannot:
 *
 * - bound the time of a request (its timeout is for inactivity: a byte every few seconds
 *   would hold a connection for ever);
 * - wait when accept(2) finds no free descriptor (it spins);
 * - let every newcomer in: whoever crowds the house leaves for it (see places).
 */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>

struct gate;

struct gate_config {
	/* Taken over by gate_new() unless it fails. */
	const int *listeners;
	size_t listener_count;
	/* At least 2. */
	unsigned int max_connections;
	/* At least 1; of one IPv4 address, one IPv6 /64 or this host. */
	unsigned int max_per_share;
	/* For a whole request, from accept() or the end of the request before. */
	unsigned int timeout_s;
	/*
	 * Takes over an accepted connection, even when it fails (-errno). From then on
	 * the server reports with gate_connected(), gate_asked(), gate_answered() and
	 * gate_closed(). A connection that it never reports is forgotten at its deadline. On
	 * the gate's thread.
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

/*
 * Whether the thread has answered the last call of this, as it does at once if it lives; asks it
 * again. True at first. Any thread.
 */
bool gate_is_alive(struct gate *gate);

/* Quiesces and joins the thread. gate_closed() may still be called. */
void gate_stop(struct gate *gate);

/*
 * Reports about a connection, by its descriptor, which is open during the call: it is
 * being served (and may be shut down from now on), a request is being answered, it is
 * answered (a new deadline starts), or the descriptor is about to be closed. Any thread.
 */
void gate_connected(struct gate *gate, int fd);
void gate_asked(struct gate *gate, int fd);
void gate_answered(struct gate *gate, int fd);
void gate_closed(struct gate *gate, int fd);
