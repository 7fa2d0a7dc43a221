/*
 * events: the kernel's event for each destroyed TCP socket.
 *
 * Owns a netlink socket subscribed to SKNLGRP_INET_TCP_DESTROY and INET6_TCP_DESTROY, the thread
 * that keeps it empty, and a ring with one producer and one consumer. Knows inet_diag; must not
 * know what an event means for a counter.
 *
 * The kernel sends an event when it frees the socket's structure: at the entry to TIME_WAIT or to
 * a FIN_WAIT2 mini, at the last ACK of a passive close, at close(2) of a socket that was reset or
 * timed out. There is none for the end of TIME_WAIT nor for a request (net/core/sock_diag.c:
 * sock_diag_broadcast_destroy).
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tcpdeath_flags {
	/* tcp_info of at least 144 bytes was there: counters are known, but for those below. */
	TCPDEATH_INFO = 1 << 0,
	TCPDEATH_DELIVERED = 1 << 1, /* delivered */
	TCPDEATH_SENT = 1 << 2,      /* bytes_sent, bytes_retrans, data_segs_out */
	/* The remote address is not all zero. */
	TCPDEATH_REMOTE = 1 << 3,
	TCPDEATH_MIN_RTT = 1 << 4, /* min_rtt_us */
	TCPDEATH_NOTSENT = 1 << 5, /* notsent_bytes */
	/* Of an AF_INET6 socket, whatever its addresses. */
	TCPDEATH_IPV6 = 1 << 6,
};

/*
 * A destroyed socket, with its last tcp_info. Ports in host byte order; remote_port is 0 if
 * tcp_disconnect() has wiped it.
 */
struct tcpdeath {
	uint64_t id; /* the cookie that dumps showed */
	uint64_t bytes_acked;
	uint64_t bytes_received;
	uint64_t bytes_sent;
	uint64_t bytes_retrans;
	struct in6_addr remote;
	uint32_t total_retrans;
	uint32_t segs_out;
	uint32_t segs_in;
	uint32_t delivered;
	uint32_t data_segs_out;
	uint32_t unacked;
	uint32_t wqueue;
	uint32_t notsent_bytes;
	uint32_t min_rtt_us;
	uint16_t local_port;
	uint16_t remote_port;
	uint8_t retransmits;
	uint8_t flags; /* enum tcpdeath_flags */
	/* tcptuple_hash() of the connection: its TIME_WAIT mini may have another cookie. */
	uint32_t tuple_hash;
};

struct events_stats {
	/* Events put into the ring. */
	uint64_t received;
	/*
	 * Events that the kernel dropped for lack of buffer (SO_MEMINFO), and how often it did.
	 */
	uint64_t lost, overruns;
	/* Messages that were skipped: not from the kernel, or not understood. */
	uint64_t forged, malformed;
	uint32_t rcvbuf_bytes; /* that the kernel granted */
	bool active;           /* subscribed, and the reader runs */
};

struct events;

/*
 * Subscribes in the calling thread's namespace, which the socket pins, and starts the reader. The
 * buffer is asked for with SO_RCVBUFFORCE (CAP_NET_ADMIN), else SO_RCVBUF; 0 leaves the kernel's
 * default. 0 and *ret_events, or -errno (no permission, Linux before 4.2).
 */
int events_start(uint32_t rcvbuf_bytes, struct events **ret_events);
void events_stop(struct events *events);

/* Takes at most `max` events, the oldest first, and returns how many. One consumer. */
size_t events_take(struct events *events, struct tcpdeath *ret_deaths, size_t max);

/* An eventfd, readable when the ring is filling or events were lost. */
int events_fd(const struct events *events);

/* Any thread. */
struct events_stats events_stats(const struct events *events);

/* Parses one destroy message, a whole netlink message; false if it is none. Pure. */
bool events_parse(const void *msg, size_t len, struct tcpdeath *ret_death);
