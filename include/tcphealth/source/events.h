/*
 * events: the kernel's notice of each destroyed TCP socket.
 *
 * Owns a netlink socket subscribed to SKNLGRP_INET_TCP_DESTROY and INET6_TCP_DESTROY, the thread that drains
 * it at all times, and a single-producer single-consumer ring. Knows inet_diag; must not know what
 * an event means for a counter. The socket belongs to (and pins) the namespace of the thread that called
 * events_start().
 *
 * An event fires when the socket's structure is freed: at entry to TIME_WAIT or the FIN_WAIT2 mini, at the last
 * ACK of a passive close, at close(2) of a socket that was reset or timed out; never for TIME_WAIT's end or a request.
 * (net/core/sock_diag.c: sock_diag_broadcast_destroy)
 */
#ifndef TCPHEALTH_SOURCE_EVENTS_H
#define TCPHEALTH_SOURCE_EVENTS_H

#include "tcphealth/source/tcpsock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tcpdeath_flags {
	TCPDEATH_INFO = 1 << 0,      /* counters below are there (tcp_info of at least 144 bytes) */
	TCPDEATH_DELIVERED = 1 << 1, /* delivered known */
	TCPDEATH_SENT = 1 << 2,      /* bytes_sent, bytes_retrans, data_segs_out known */
	TCPDEATH_REMOTE = 1 << 3,    /* the remote address is not all zero */
	TCPDEATH_MIN_RTT = 1 << 4,   /* min_rtt_us known */
	TCPDEATH_NOTSENT = 1 << 5,   /* notsent_bytes known */
};

/* One destroyed socket: the last its tcp_info said. Ports in host byte order; remote_port 0: wiped by tcp_disconnect(). */
struct tcpdeath {
	uint64_t id; /* the cookie dumps showed */
	uint64_t bytes_acked;
	uint64_t bytes_received;
	uint64_t bytes_sent;
	uint64_t bytes_retrans;
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
	uint32_t
		tuple_hash; /* tcptuple_hash() of the connection: its TIME_WAIT mini may bear another cookie */
};

struct events_stats {
	uint64_t received; /* events put into the ring */
	uint64_t lost;     /* events the kernel dropped for want of buffer (SO_MEMINFO) */
	uint64_t overruns; /* times that happened (ENOBUFS) */
	uint64_t forged;   /* messages whose sender was not the kernel: skipped */
	uint64_t malformed;
	uint32_t rcvbuf_bytes; /* what the kernel granted */
	bool active;           /* subscribed, and the reader runs */
};

struct events;

/*
 * Subscribes in the calling thread's namespace and starts the reader. rcvbuf_bytes is tried with SO_RCVBUFFORCE
 * (CAP_NET_ADMIN), else SO_RCVBUF; 0 leaves the kernel's default. 0 and *ret_events, or -errno (no permission, kernel before 4.2).
 */
int events_start(uint32_t rcvbuf_bytes, struct events **ret_events);
void events_stop(struct events *events);

/* Takes up to `max` events, oldest first; returns how many. One consumer thread. */
size_t events_take(struct events *events, struct tcpdeath *ret_deaths, size_t max);

/* An eventfd, readable when the ring is filling or events were lost: take, so that the reader need not wait. */
int events_fd(const struct events *events);

/* Any thread. */
struct events_stats events_stats(const struct events *events);

/* One destroy message (a whole netlink message). Pure. False if it is none. */
bool events_parse(const void *msg, size_t len, struct tcpdeath *ret_death);

#endif
