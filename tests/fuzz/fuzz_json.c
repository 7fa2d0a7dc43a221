/* json: whatever a key and a value are, the document is well-formed, and the value reads back as it was, in valid UTF-8. */
#include "helpers/utf8_clean.h"
#include "tcphealth/render/json.h"
#include "text.h"

#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct reader {
	const char *at;
	const char *end;
};

static char peek(const struct reader *r)
{
	require(r->at < r->end);
	return *r->at;
}

static void skip_blanks(struct reader *r)
{
	while (r->at < r->end && (*r->at == ' ' || *r->at == '\n'))
		r->at++;
}

static void expect(struct reader *r, const char *word)
{
	skip_blanks(r);
	require((size_t)(r->end - r->at) >= strlen(word) && memcmp(r->at, word, strlen(word)) == 0);
	r->at += strlen(word);
}

static bool is_unseen(unsigned int code)
{
	return (code > 0 && code < 0x20) || (code >= 0x7f && code < 0xa0) || code == 0x61c ||
	       code == 0x200e || code == 0x200f || (code >= 0x2028 && code <= 0x202e) ||
	       (code >= 0x2066 && code <= 0x2069);
}

/* What a backslash stands before; moves `*wanted` behind what it says. */
static void expect_escape(struct reader *r, const char **wanted)
{
	char c = peek(r);
	unsigned int code = 0;

	r->at++;
	require(c == '"' || c == '\\' || c == 'u');
	if (c != 'u') {
		require(*(*wanted)++ == c);
		return;
	}
	for (int i = 0; i < 4; i++, r->at++) {
		const char *digit = strchr("0123456789abcdef", peek(r));

		require(digit != NULL);
		code = code * 16 + (unsigned int)(digit - "0123456789abcdef");
	}
	require(is_unseen(code));
	if (code >= 0x800)
		require(*(*wanted)++ == (char)(0xe0 | code >> 12));
	if (code >= 0x80)
		require(*(*wanted)++ ==
			(char)(code >= 0x800 ? 0x80 | (code >> 6 & 0x3f) : 0xc0 | code >> 6));
	require(*(*wanted)++ == (char)(code >= 0x80 ? 0x80 | (code & 0x3f) : code));
}

static void expect_text(struct reader *r, const char *wanted)
{
	expect(r, "\"");
	while (peek(r) != '"') {
		char c = *r->at++;

		require((uint8_t)c >= 0x20);
		if (c == '\\')
			expect_escape(r, &wanted);
		else
			require(*wanted++ == c);
	}
	r->at++;
	require(*wanted == '\0');
}

/* As json_text() does it, in another way: each bad byte is U+FFFD. */
static char *clean(const char *text)
{
	size_t len = strlen(text), size = 3 * len + 1;
	char *copy = malloc(size);

	require(copy != NULL);
	utf8_clean(copy, size, text, len);
	return copy;
}

static void check(const struct buf *buf, const char *value)
{
	struct reader r = { buf->data, buf->data + buf->len };

	require_utf8(buf->data, buf->len);
	expect(&r, "{");
	expect_text(&r, value);
	expect(&r, ":");
	expect_text(&r, value);
	expect(&r, ",");
	expect_text(&r, "list");
	expect(&r, ":");
	expect(&r, "[");
	expect_text(&r, value);
	expect(&r, ",");
	expect(&r, "null");
	expect(&r, ",");
	expect(&r, "null");
	expect(&r, ",");
	expect(&r, "7");
	expect(&r, "]");
	expect(&r, "}");
	require(r.at + 1 == r.end && *r.at == '\n');
}

static void write_document(struct json *json, const char *value)
{
	json_open(json, NULL, '{');
	json_text(json, value, value);
	json_open(json, "list", '[');
	json_text(json, NULL, value);
	json_text(json, NULL, NULL);
	json_double(json, NULL, (double)INFINITY);
	json_u64(json, NULL, 7);
	json_close(json, ']');
	json_close(json, '}');
	json_end(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *value = text_copy(data, size), *wanted = clean(value);
	struct json json;
	struct buf buf;

	buf_init(&buf, 0);
	json_init(&json, &buf);
	write_document(&json, value);
	require(buf.err == 0);
	check(&buf, wanted);
	buf_done(&buf);
	free(wanted);
	free(value);
	return 0;
}
