/*
 * What netlink.c (the conversation) and netlink-parse.c (the format) share,
 * and the switches with which tests reach what a current kernel never makes them do.
 */
#ifndef TCPHEALTH_SOURCE_NETLINK_INTERNAL_H
#define TCPHEALTH_SOURCE_NETLINK_INTERNAL_H

#include "tcphealth/source/netlink.h"

/* One request's answer on its way through the datagrams. */
struct netlink_walk {
	uint32_t seq;
	uint64_t records; /* handed to fn */
	struct netlink_stats *stats;
	tcpsock_fn fn;
	void (*arrived)(void *arg); /* or NULL */
	void *arg;
};

/* Bytes read between two yields of the processor: some 6,000 sockets, 6 ms of work. Few sockets fill none for a long time. */
#define NETLINK_BATCH (2u << 20)

/* As netlink_parse_datagram(). */
int netlink_walk_datagram(struct netlink_walk *walk, const void *data, size_t len);

/*
 * True if `err`, the end of a request that gave `records`, means that the kernel does not know that kind
 * of request, so that another kind is worth a try.
 */
bool netlink_is_refusal(int err, uint64_t records);

enum netlink_habit {
	NETLINK_NO_LEGACY = 1 << 0, /* TCPDIAG_GETSOCK is refused here */
	NETLINK_NO_EQ = 1 << 1,     /* INET_DIAG_BC_S_EQ and D_EQ are, by older kernels */
};

/* Behave as if these had been learnt from the kernel. */
void netlink_assume(struct netlink *diag, unsigned int habits);

/* What has been learnt. */
unsigned int netlink_habits(const struct netlink *diag);

/* The netlink socket, whose address a forger would want. */
int netlink_fd(const struct netlink *diag);

#endif
