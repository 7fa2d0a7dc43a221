/*
 * listenaddr: from "ADDR:PORT" to a listening TCP socket.
 *
 * Knows address syntax, name resolution and socket options; nothing of HTTP. Any thread; resolving
 * a name may block.
 */
#ifndef TCPHEALTH_WEB_LISTENADDR_H
#define TCPHEALTH_WEB_LISTENADDR_H

#include <stddef.h>

#define LISTENADDR_HOST_MAX 253 /* RFC 1035, 2.3.4, as text */

/* An address taken apart. */
struct listenaddr {
	char host[LISTENADDR_HOST_MAX + 1]; /* without brackets; empty: all addresses */
	const char *port;                   /* digits, in the text that was parsed */
};

/* ":PORT", "HOST:PORT" or "[V6]:PORT": NULL and *ret_parts, or what is wrong (static). Pure. */
const char *listenaddr_parse(const char *address, struct listenaddr *ret_parts);

/*
 * Binds and listens on ":PORT", "HOST:PORT" or "[V6]:PORT": a descriptor (non-blocking,
 * close-on-exec, SO_REUSEADDR but never SO_REUSEPORT), which the caller closes, or -errno and the
 * reason in `ret_why` (`size` bytes). ":PORT" and "[::]:PORT" take IPv6 and IPv4 with one socket
 * where the host has IPv6, else IPv4. Of a name with several addresses the first IPv4 one is taken,
 * as Go's programs do.
 */
int listenaddr_open(const char *address, char *ret_why, size_t size);

/* The port that a socket is bound to, or 0. */
unsigned int listenaddr_port(int fd);

#endif
