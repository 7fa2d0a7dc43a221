/*
 * expo: whatever a label's value is, the page keeps its lines, is UTF-8, and the value reads back as the
 * cleaned original, cut at EXPO_LABEL_MAX.
 */
#include "tcphealth/base/utf8.h"
#include "tcphealth/render/expo.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void check_utf8(const struct buf *buf)
{
	for (size_t at = 0, step; at < buf->len; at += step) {
		step = utf8_sequence(buf->data + at, buf->len - at);
		require(step > 0);
	}
}

static void check_lines(const struct buf *buf, size_t expected)
{
	size_t lines = 0;

	for (size_t i = 0; i < buf->len; i++) {
		require(buf->data[i] != '\n' || (i > 0 && buf->data[i - 1] != '\n'));
		lines += buf->data[i] == '\n';
	}
	require(lines == expected && buf->data[buf->len - 1] == '\n');
}

/* Reads a quoted value as a scraper does; the position after its closing quote. */
static const char *unescape(const char *p, const char *end, char *ret_value)
{
	for (; p < end && *p != '"'; p++) {
		if (*p == '\\') {
			require(++p < end && strchr("\\\"n", *p));
			*ret_value++ = *p == 'n' ? '\n' : *p;
		} else {
			*ret_value++ = *p;
		}
	}
	require(p < end);
	*ret_value = '\0';
	return p + 1;
}

static void check_value(const struct buf *buf, const char *original)
{
	static const char begin[] = "\nf{l=\"";
	char expected[EXPO_LABEL_MAX + 1], value[EXPO_LABEL_MAX * 2 + 1];
	const char *line = memmem(buf->data, buf->len, begin, strlen(begin));

	require(line != NULL);
	const char *rest = unescape(line + strlen(begin), buf->data + buf->len, value);
	utf8_clean(expected, sizeof(expected), original, strlen(original));
	require(strcmp(value, expected) == 0);
	require(memcmp(rest, ",p=\"7\"} 1\n", 10) == 0);
}

static void check_format(enum expo_format format, const char *value)
{
	const struct expo_family family = { .name = "f", .help = value, .type = EXPO_GAUGE };
	struct buf buf;
	struct expo expo;

	buf_init(&buf, 0);
	expo_init(&expo, &buf, format);
	expo_family(&expo, &family);
	expo_label(&expo, "l", value);
	expo_label_u64(&expo, "p", 7);
	expo_u64(&expo, 1);
	expo_end(&expo);
	if (!buf.err) {
		check_utf8(&buf);
		check_lines(&buf, format == EXPO_OPENMETRICS ? 4 : 3);
		check_value(&buf, value);
	}
	buf_done(&buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *value = malloc(
		size + 1); /* of the exact size, so that a sanitizer sees what is read past it */

	if (!value)
		return 0;
	memcpy(value, data, size);
	value[size] = '\0';
	check_format(EXPO_TEXT, value);
	check_format(EXPO_OPENMETRICS, value);
	free(value);
	return 0;
}
