/*
 * listenaddr: turns "ADDR:PORT" into a listener.
 *
 * Knows the syntax of addresses, name resolution and socket options; must not know HTTP.
 * Any thread; resolving a name may block.
 */
#pragma once

#include <stddef.h>

#define LISTENADDR_HOST_MAX 253 /* RFC 1035, 2.3.4, as text */

struct listenaddr {
	/* Without brackets; empty: all addresses. */
	char host[LISTENADDR_HOST_MAX + 1];
	/* The digits, within the text that was parsed. */
	const char *port;
};

/*
 * Parses ":PORT", "HOST:PORT" or "[V6]:PORT": NULL and *ret_parts, or what is wrong
 * (static text). Pure.
 */
const char *listenaddr_parse(const char *address, struct listenaddr *ret_parts);

/*
 * Opens a listener on an address of that form: a descriptor (non-blocking, close-on-exec)
 * for the caller to close, or -errno and the reason in the `size` bytes of `ret_why`.
 * ":PORT" and "[::]:PORT" accept IPv6 and IPv4 with one socket, or IPv4 on a host without
 * IPv6. Of a name with several addresses the first IPv4 one is used, as Go's programs do.
 * SO_REUSEADDR is set, SO_REUSEPORT never.
 */
int listenaddr_open(const char *address, char *ret_why, size_t size);

/* The port a socket is bound to, or 0. */
unsigned int listenaddr_port(int fd);
