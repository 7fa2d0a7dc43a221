/*
 * What netlink.c (the conversation) and netlink-parse.c (the format) share. Tests reach in here for what a current kernel never
 * makes them do.
 */
#ifndef TCPHEALTH_SOURCE_NETLINK_INTERNAL_H
#define TCPHEALTH_SOURCE_NETLINK_INTERNAL_H

#include "tcphealth/source/netlink.h"
#include "tcphealth/source/source.h"

/*
 * The kernel fills a datagram as far as the buffer it was last
 * read with, up to 32 KiB (af_netlink.c: netlink_dump).
 */
#define NETLINK_DATAGRAM 32768

/* Bytes read between two yields of the processor: some 6,000 sockets, 6 ms of work. Few sockets fill none for a long time. */
#define NETLINK_BATCH (2u << 20)

enum netlink_habit {
	NETLINK_NO_LEGACY = 1 << 0, /* TCPDIAG_GETSOCK is refused here */
	NETLINK_NO_EQ = 1 << 1,     /* INET_DIAG_BC_S_EQ and D_EQ are, by older kernels */
};

/* A netlink socket. It belongs to the network namespace in which it was opened, and pins that until closed. */
struct netlink {
	struct mnl_socket *nl;
	uint32_t seq;
	/* Sequence number of a dump that was given up and may still hold the socket, or 0. */
	uint32_t unfinished;
	unsigned int habits; /* enum netlink_habit: what was learnt of the kernel */
	size_t unyielded;    /* bytes read since the processor was last yielded */
	struct source_skipped skipped;
	uint8_t buffer[NETLINK_DATAGRAM] __attribute__((aligned(8)));
};

/* One request's answer on its way through the datagrams. */
struct netlink_walk {
	uint32_t seq;
	uint64_t records; /* handed to take_fn */
	uint64_t read_ms; /* when the datagram had been read */
	struct source_skipped *skipped;
	source_take_fn take_fn;
	void *arg;
};

/*
 * One received datagram of a dump: hands each record of it to the walk's take_fn. Pure but for that; never reads outside `len`.
 * Returns 1 at the end of the dump, 0 if more is to come, or a negative error as a source's dump() gives: -EBADMSG for truncated or
 * malformed framing, whatever NLMSG_ERROR or NLMSG_DONE carried (-ENOENT: the kernel has no handler for TCP).
 */
int netlink_walk_datagram(struct netlink_walk *walk, const void *data, size_t len);

/*
 * True if `err`, the end of a request that gave `records`, means that the kernel does not know that kind
 * of request, so that another kind is worth a try.
 */
bool netlink_is_refusal(int err, uint64_t records);

#endif
