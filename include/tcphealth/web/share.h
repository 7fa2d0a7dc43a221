/*
 * share: which part of a bounded good a client draws on.
 *
 * A client is known by what it cannot choose: all of 127.0.0.0/8 and ::1 are this host, IPv4
 * counts by address, IPv6 by network. Must not know what is shared. Pure; any thread.
 */
#ifndef TCPHEALTH_WEB_SHARE_H
#define TCPHEALTH_WEB_SHARE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

/* How much of an IPv6 address counts: whoever has many of one has few of the next. */
enum share_width {
	SHARE_64,
	SHARE_56,
	SHARE_48,
	SHARE_WIDTHS,
};

struct share {
	struct in6_addr addr;
};

struct share share_of(const struct sockaddr *peer);

/* Whether two clients have one share. IPv4 has the same one in every width. */
bool share_is_same(const struct share *a, const struct share *b, enum share_width width);

#endif
