/*
 * json: commas, nesting and escaping. Knows nothing of what is written.
 */
#include "tcphealth/render/json.h"

#include "tcphealth/base/utf8.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

static void indent(struct json *json)
{
	buf_putc(json->buf, '\n');
	for (unsigned int i = 0; i < json->depth; i++)
		buf_puts(json->buf, "  ");
}

static void escape(struct buf *buf, const char *text, size_t len)
{
	static const char hex[] = "0123456789abcdef";

	buf_putc(buf, '"');
	for (size_t i = 0; i < len;) {
		unsigned char c = (unsigned char)text[i];
		size_t n = utf8_sequence(text + i, len - i);

		if (n == 0) {
			buf_puts(buf, "\xef\xbf\xbd");
			n = 1;
		} else if (c == '"' || c == '\\') {
			buf_putc(buf, '\\');
			buf_putc(buf, (char)c);
		} else if (c < 0x20 || c == 0x7f) {
			buf_puts(buf, "\\u00");
			buf_putc(buf, hex[c >> 4]);
			buf_putc(buf, hex[c & 15]);
		} else {
			buf_put(buf, text + i, n);
		}
		i += n;
	}
	buf_putc(buf, '"');
}

static void begin_item(struct json *json, const char *key)
{
	if (json->has_item)
		buf_putc(json->buf, ',');
	if (json->depth != 0)
		indent(json);
	if (key != NULL) {
		escape(json->buf, key, strlen(key));
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
	escape(json->buf, value, strlen(value));
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
