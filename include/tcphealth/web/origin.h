/*
 * origin: whether a request comes from this host itself.
 *
 * Knows addresses and the headers that betray a proxy or a rebound name; nothing of what is asked. Any thread.
 */
#ifndef TCPHEALTH_WEB_ORIGIN_H
#define TCPHEALTH_WEB_ORIGIN_H

#include <stdbool.h>
#include <sys/socket.h>

/* 127.0.0.0/8, ::1, or the former as v4-mapped. */
bool origin_is_loopback(const struct sockaddr *peer);

/*
 * Whether a Host header ("localhost:10793", "[::1]", "10.0.0.1") names this host: localhost, a loopback address or an address of one of its
 * interfaces. A page that a browser got from elsewhere may reach us under a name of its own (DNS rebinding); that name gives it away.
 */
bool origin_host_is_own(const char *host);

/* Whether a header's name says that the request came through a proxy: Forwarded, X-Forwarded-*, X-Real-IP, Via. */
bool origin_is_proxy_header(const char *name);

#endif
