/*
 * fetch: one page of an exporter on this host, for a program that asks once and ends.
 *
 * Speaks HTTP/1.0, in TLS if asked to. Tells the server nothing, and checks no certificate: the
 * caller must take the page as a text that anybody may have written. Any thread.
 */
#pragma once

#include "tcphealth/base/buf.h"

#include <stdbool.h>
#include <stdint.h>

struct fetch {
	const char *address; /* as listenaddr_parse(); all addresses: loopback */
	bool tls;
	const char *path;
	const char *accept; /* media type */
	uint64_t wait_ms;   /* for all of it */
};

/*
 * Appends the body to `ret_body`, which bounds it, and a NUL. 0 or -errno; -EACCES: the server
 * refuses or wants a password. That the body is whole is for the caller to tell.
 */
int fetch_page(const struct fetch *fetch, struct buf *ret_body);
