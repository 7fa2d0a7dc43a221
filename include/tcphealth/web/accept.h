/*
 * accept: what a client's Accept and Accept-Encoding headers ask for (RFC 9110, 12.5).
 *
 * Pure: headers in, choice out. Knows media types and q-values, nothing of what is served. Any thread.
 */
#ifndef TCPHEALTH_WEB_ACCEPT_H
#define TCPHEALTH_WEB_ACCEPT_H

#include "tcphealth/render/expo.h"

#include <stdbool.h>

/*
 * The exposition format for an Accept header (NULL: none sent): the one with the highest q-value; text 0.0.4 where nothing
 * fits, at a tie the one that the header names more specifically, then the earlier. Of OpenMetrics only
 * version 1.0.0 (or no version) fits, of text/plain only version 0.0.4 (or none). Malformed parts are skipped.
 */
enum expo_format accept_format(const char *accept);

/* True if an Accept-Encoding header takes gzip with q > 0 and does not prefer identity. */
bool accept_gzip(const char *accept_encoding);

#endif
