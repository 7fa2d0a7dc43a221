/*
 * json: writes JSON (RFC 8259) into a buffer.
 *
 * Knows commas, nesting, indentation and escaping; nothing of what is written. Errors are the buffer's. One writer, one thread.
 *
 *   json_open(&j, NULL, '{'); json_u64(&j, "port", 22); json_open(&j, "units", '['); json_text(&j, NULL, "a"); json_close(&j, ']'); json_close(&j, '}');
 */
#ifndef TCPHEALTH_RENDER_JSON_H
#define TCPHEALTH_RENDER_JSON_H

#include "tcphealth/base/buf.h"

#include <stdbool.h>
#include <stdint.h>

struct json {
	struct buf *buf;
	unsigned int depth;
	bool has_item; /* in the present object or array: the next needs a comma */
};

void json_init(struct json *json, struct buf *buf);

/* `key` is NULL inside an array and at the top. `bracket` is '{' or '[', and its partner closes. */
void json_open(struct json *json, const char *key, char bracket);
void json_close(struct json *json, char bracket);

/* Any bytes: escaped, invalid UTF-8 becomes U+FFFD. NULL writes null. */
void json_text(struct json *json, const char *key, const char *value);
void json_u64(struct json *json, const char *key, uint64_t value);
void json_double(struct json *json, const char *key, double value); /* not finite: null */
void json_bool(struct json *json, const char *key, bool value);
void json_null(struct json *json, const char *key);

/* Ends the document with a newline. */
void json_end(struct json *json);

#endif
