/*
 * netlink: TCP sockets by NETLINK_SOCK_DIAG.
 *
 * Owns one netlink socket and its 32 KiB buffer. Knows inet_diag and libmnl;
 * must not know roles, history or metrics. A netlink belongs to the network namespace in which it was
 * opened and pins that namespace until closed. One thread at a time.
 */
#ifndef TCPHEALTH_SOURCE_NETLINK_H
#define TCPHEALTH_SOURCE_NETLINK_H

#include "tcphealth/source/tcpsock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct netlink;

struct netlink_query {
	uint32_t states;      /* TCP_STATE_BIT() mask */
	bool info;            /* tcp_info: takes each socket's lock in the kernel */
	bool skmeminfo;       /* drops */
	uint16_t local_port;  /* 0, or only sockets with this local port (filtered in the kernel) */
	uint16_t remote_port; /* 0, or only this remote port */
	void (*arrived)(
		void *arg); /* NULL, or called with fn's `arg` before the records of each datagram: some hundred */
};

struct netlink_stats {
	uint64_t forged;    /* messages whose sender was not the kernel: skipped */
	uint64_t malformed; /* records too short, of a wrong family or without a cookie: skipped */
};

/* Opens in the calling thread's namespace. 0 and *ret_diag, or -errno (-EPERM, -EACCES, -EAFNOSUPPORT where refused). */
int netlink_open(struct netlink **ret_diag);
void netlink_close(struct netlink *diag);

/*
 * Dumps the sockets that match and hands each to `fn`, IPv4 and IPv6, by the legacy request in one walk of the
 * kernel's table where it answers that, else by two version 2 dumps. Blocks as long as the kernel does.
 * 0 only if the dump came to its end whole; else a negative error, and what `fn` was given is a part:
 * -ENOENT (the kernel has no handler for TCP), -EBADMSG (truncated or malformed framing),
 * -ENOBUFS, whatever NLMSG_ERROR or NLMSG_DONE carried, or what `fn` returned.
 * A socket that moved in the kernel's table meanwhile may come twice or not at all.
 */
int netlink_dump(struct netlink *diag, const struct netlink_query *query, tcpsock_fn fn,
		  void *arg);

/*
 * The one socket with exactly this 4-tuple, as this end sees it. 0, -ENOENT, or another error.
 * (The kernel may answer with the listener of that port: that is -ENOENT here.)
 */
int netlink_find(struct netlink *diag, const struct in6_addr *local, uint16_t local_port,
		  const struct in6_addr *remote, uint16_t remote_port, struct tcpsock *ret_sock);

struct netlink_stats netlink_stats(const struct netlink *diag);

/*
 * One inet_diag_msg with its attributes (the payload of a netlink message, `len` bytes, 4-byte
 * aligned) as a record. Pure. False if it is no TCP socket; attributes that lie outside the message are ignored.
 */
bool netlink_parse(const void *payload, size_t len, struct tcpsock *ret_sock);

/*
 * One received datagram of a dump: calls `fn` for each record of it. Pure but for `fn`; never reads outside `len`.
 * Returns 1 at the end of the dump, 0 if more is to come, or a negative error as netlink_dump() gives.
 */
int netlink_parse_datagram(const void *data, size_t len, uint32_t seq,
			    struct netlink_stats *stats, tcpsock_fn fn, void *arg);

#endif
