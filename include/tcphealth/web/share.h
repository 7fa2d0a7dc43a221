/*
 * share: groups clients, so that each group gets its share of a bounded resource.
 *
 * A client is identified by what it cannot choose: all of 127.0.0.0/8 and ::1 are this host, IPv4
 * counts by address, IPv6 by network. Must not know which resource that is. Pure; any thread.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

/*
 * How much of an IPv6 address counts. A client that has many addresses of one width has few of the
 * next.
 */
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

/* Whether two clients have the same share. IPv4 addresses have one share in every width. */
bool share_is_same(const struct share *a, const struct share *b, enum share_width width);
