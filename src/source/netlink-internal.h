/*
 * netlink-internal: what netlink.c (the conversation) and netlink-parse.c (the format) share.
 * Tests reach in here for what a current kernel never makes them do.
 */
#pragma once

#include "tcphealth/base/hash.h"
#include "tcphealth/source/netlink.h"
#include "tcphealth/source/source.h"

/* The kernel fills a datagram as far as the last read's buffer, up to this (netlink_dump()). */
#define NETLINK_DATAGRAM 32768

/*
 * Bytes read between two yields of the processor: about 6,000 sockets, 6 ms of work. Few sockets
 * take many dumps to fill them.
 */
#define NETLINK_BATCH (2u << 20)

/* What was learnt of the kernel. */
enum netlink_habit {
	NETLINK_NO_LEGACY = 1 << 0, /* refuses TCPDIAG_GETSOCK */
	NETLINK_NO_EQ = 1 << 1,     /* refuses INET_DIAG_BC_S_EQ and D_EQ */
	NETLINK_NO_MPTCP = 1 << 2,  /* has no mptcp_diag */
};

/* Connections that MPTCP knows to be half-closed, as records of their TCP. Empty when zeroed. */
struct mptcp {
	struct tcpsock *socks;
	size_t count, cap;
	struct hash hash; /* of their ids */
	source_take_fn take_fn;
	void *arg;
};

/*
 * A netlink socket. It belongs to the namespace in which it was opened, and pins that until
 * closed.
 */
struct netlink {
	struct mnl_socket *nl;
	const char *procfs; /* NULL: no MPTCP; borrowed */
	uint32_t seq;
	/* Sequence number of a dump that was given up and may still hold the socket, or 0. */
	uint32_t unfinished;
	unsigned int habits; /* enum netlink_habit */
	/* Bytes read since the processor was last yielded. */
	size_t unyielded;
	struct source_skipped skipped;
	struct mptcp mptcp; /* of the dump under way */
	uint8_t buffer[NETLINK_DATAGRAM] __attribute__((aligned(8)));
};

/* The answer to one request on its way through the datagrams. */
struct netlink_walk {
	uint32_t seq;
	uint64_t records; /* handed to take_fn */
	uint64_t read_ms; /* of the datagram */
	struct source_skipped *skipped;
	source_take_fn take_fn;
	void *arg;
};

/*
 * Hands each record of a datagram to the walk's take_fn. Pure but for that; never reads outside
 * `len`. 1 at the end of the dump, 0 if more is to come, or a negative error: -EBADMSG for broken
 * framing, what take_fn returned, or what NLMSG_ERROR or NLMSG_DONE carried (-ENOENT: the kernel
 * has no handler for TCP).
 */
int netlink_walk_datagram(struct netlink_walk *walk, const void *data, size_t len);

/* The MPTCP connections that match, of one family. 0 or a negative error. */
int netlink_dump_mptcp(struct netlink *diag, const struct source_query *query, int family,
		       struct netlink_walk *walk);

/* As the function of a source. */
int netlink_find(void *source, const struct tcpsock *sock, struct tcpsock *ret_other);

/*
 * Hands the half-closed connections that only MPTCP knows to be so to the walk's take_fn, which leaves them out from then on. 0, or
 * what take_fn returned.
 */
int mptcp_take(struct netlink *diag, const struct source_query *query, struct netlink_walk *walk);

void mptcp_done(struct mptcp *mptcp);

/*
 * Whether `err`, at the end of a request that gave `records`, means that the kernel does not know
 * such requests, so that another kind is worth a try.
 */
bool netlink_is_refusal(int err, uint64_t records);
