/*
 * accept: what a client's Accept and Accept-Encoding headers ask for (RFC 9110, 12.5).
 *
 * Pure: headers in, choice out. Knows media types and q-values, nothing of what is served. Any thread.
 */
#ifndef TCPHEALTH_WEB_ACCEPT_H
#define TCPHEALTH_WEB_ACCEPT_H

#include <stdbool.h>
#include <stddef.h>

/* "type/subtype; version=...; charset=utf-8" */
struct accept_offer {
	const char *type, *subtype, *version;
};

/*
 * Which of `count` offers an Accept header (NULL: none sent) wants: the index of the one with the highest q-value; the first
 * where nothing fits; at a tie the one that the header names more specifically, then the earlier named. A range with another
 * version or charset does not fit; malformed parts are skipped.
 */
size_t accept_best(const char *accept, const struct accept_offer *offers, size_t count);

/* True if an Accept-Encoding header takes gzip with q > 0 and does not prefer identity. */
bool accept_gzip(const char *accept_encoding);

#endif
