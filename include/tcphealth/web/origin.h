/*
 * origin: whether a request comes from this host.
 *
 * Knows addresses, and the headers by which a proxy or a rebound name shows; must not
 * know what is requested. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>

/* Whether an address is in 127.0.0.0/8, also v4-mapped, or ::1. */
bool origin_is_loopback(const struct sockaddr *peer);

/*
 * Whether a Host header ("localhost:10793", "[::1]", "10.0.0.1") names this host:
 * localhost, a loopback address or an address of an interface. A script of a foreign page
 * can reach the exporter from the user's browser (DNS rebinding), but only under the
 * page's own name. False for NULL.
 */
bool origin_host_is_own(const char *host);

/* Whether a proxy adds this header: Forwarded, X-Forwarded-*, X-Real-IP or Via. */
bool origin_is_proxy_header(const char *name);
