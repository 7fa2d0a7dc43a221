/*
 * accept: chooses by the Accept and Accept-Encoding headers (RFC 9110, 12.5).
 *
 * Knows media types and q-values; must not know what is served. Pure; any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* A media type in UTF-8: "type/subtype; version=VERSION". */
struct accept_offer {
	const char *type, *subtype, *version;
};

/*
 * The index of the offer that an Accept header (NULL: none was sent) prefers: the one
 * with the highest q-value; of equal ones the one named more specifically, then the one
 * named first. The first offer if the header accepts none. A range with another version
 * or charset does not match; malformed parts are skipped.
 */
size_t accept_best(const char *accept, const struct accept_offer *offers, size_t count);

/*
 * Whether an Accept-Encoding header (NULL: none) accepts gzip and does not prefer
 * identity.
 */
bool accept_gzip(const char *accept_encoding);
