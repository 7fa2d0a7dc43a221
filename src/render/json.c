/*
 * json: commas, nesting and escaping. Must not know what is written.
 */
#include "tcphealth/render/json.h"

#include "tcphealth/base/escape.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

static void indent(struct json *json)
{
	buf_putc(json->buf, '\n');
	for (unsigned int i = 0; i < json->depth; i++)
		buf_puts(json->buf, "  ");
}

static void put_text(struct buf *buf, const char *text)
{
	static const char *const ascii[128] = { ['"'] = "\\\"", ['\\'] = "\\\\" };
	static const struct escape escape = { .ascii = ascii, .coded = true };
	const char *end = text + strlen(text);
	struct escape_piece piece;

	buf_putc(buf, '"');
	while (escape_next(&escape, &text, end, &piece))
		buf_put(buf, piece.text, piece.len);
	buf_putc(buf, '"');
}

static void begin_item(struct json *json, const char *key)
{
	if (json->has_item)
		buf_putc(json->buf, ',');
	if (json->depth != 0)
		indent(json);
	if (key != NULL) {
		put_text(json->buf, key);
		buf_puts(json->buf, ": ");
	}
	json->has_item = true;
}

void json_init(struct json *json, struct buf *buf)
{
	*json = (struct json){ .buf = buf };
}

void json_open(struct json *json, const char *key, char bracket)
{
	begin_item(json, key);
	buf_putc(json->buf, bracket);
	json->depth++;
	json->has_item = false;
}

void json_close(struct json *json, char bracket)
{
	json->depth--;
	if (json->has_item)
		indent(json);
	buf_putc(json->buf, bracket);
	json->has_item = true;
}

void json_text(struct json *json, const char *key, const char *value)
{
	if (value == NULL) {
		json_null(json, key);
		return;
	}
	begin_item(json, key);
	put_text(json->buf, value);
}

void json_u64(struct json *json, const char *key, uint64_t value)
{
	begin_item(json, key);
	buf_put_u64(json->buf, value);
}

void json_double(struct json *json, const char *key, double value)
{
	if (!isfinite(value)) {
		json_null(json, key);
		return;
	}
	begin_item(json, key);
	buf_put_double(json->buf, value);
}

void json_bool(struct json *json, const char *key, bool value)
{
	begin_item(json, key);
	buf_puts(json->buf, value ? "true" : "false");
}

void json_null(struct json *json, const char *key)
{
	begin_item(json, key);
	buf_puts(json->buf, "null");
}

void json_end(struct json *json)
{
	buf_putc(json->buf, '\n');
}
