/*
 * json: writes JSON (RFC 8259) into a buffer.
 *
 * Knows commas, nesting, indentation and escaping; must not know what is written. Errors are
 * those of the buffer. One writer, one thread.
 *
 *   json_open(&j, NULL, '{');
 *   json_u64(&j, "port", 22);
 *   json_open(&j, "units", '[');
 *   json_text(&j, NULL, "a");
 *   json_close(&j, ']');
 *   json_close(&j, '}');
 *   json_end(&j);
 */
#pragma once

#include "tcphealth/base/buf.h"

#include <stdbool.h>
#include <stdint.h>

struct json {
	struct buf *buf;
	unsigned int depth;
	/* The object or array has an item, so a comma precedes the next. */
	bool has_item;
};

void json_init(struct json *json, struct buf *buf);

/*
 * `key` is NULL in an array and at the top. `bracket` is '{' or '[' to open, '}' or ']' to close.
 */
void json_open(struct json *json, const char *key, char bracket);
void json_close(struct json *json, char bracket);

/* Any bytes: they are escaped, and invalid UTF-8 becomes U+FFFD. NULL writes null. */
void json_text(struct json *json, const char *key, const char *value);
void json_u64(struct json *json, const char *key, uint64_t value);
/* Writes null for infinity and NaN, which JSON does not have. */
void json_double(struct json *json, const char *key, double value);
void json_bool(struct json *json, const char *key, bool value);
void json_null(struct json *json, const char *key);

/* Ends the document with a newline. */
void json_end(struct json *json);
