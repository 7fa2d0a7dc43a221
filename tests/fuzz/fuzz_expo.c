/*
 * expo: whatever a label's value is, the page keeps its lines, is UTF-8, and the value reads back as the
 * cleaned original, cut at EXPO_LABEL_MAX.
 */
#include "helpers/utf8_clean.h"
#include "tcphealth/render/expo.h"
#include "text.h"

#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
	const struct expo_family family = { .name = "f", .help = value };
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
		require_utf8(buf.data, buf.len);
		check_lines(&buf, format == EXPO_OPENMETRICS ? 4 : 3);
		check_value(&buf, value);
	}
	buf_done(&buf);
}

/* The text of a line's value, behind what it begins with. */
static const char *find_line(const struct buf *buf, const char *begin)
{
	const char *line = memmem(buf->data, buf->len, begin, strlen(begin));

	require(line != NULL);
	return line + strlen(begin);
}

/* Numbers read back as they were, to the last bit; comments name the family as the format wants it. */
static void check_numbers(enum expo_format format, double number, uint64_t count)
{
	static const struct expo_family seconds = { .name = "a_seconds_total",
						    .help = "Help \\ with\na line." };
	static const struct expo_family info = { .name = "an_info", .help = "" };
	static const struct expo_piece labels = { "a=\"b\"", 5 }, more = { ",c=\"d\"", 6 };
	struct buf buf;
	struct expo expo;
	char *end;

	buf_init(&buf, 0);
	expo_init(&expo, &buf, format);
	expo_family(&expo, &seconds);
	expo_double(&expo, number);
	expo_labelled_u64(&expo, &labels, &more, count);
	expo_family(&expo, &info);
	expo_label_raw(&expo, "a=\"b\"", 5);
	expo_label_raw(&expo, "", 0);
	expo_label_u64(&expo, "c", count);
	expo_u64(&expo, count);
	expo_labelled_u64(&expo, &labels, &more, count);
	expo_end(&expo);
	require(buf.err == 0 && expo.samples == 4);
	double again = strtod(find_line(&buf, "\na_seconds_total "), &end);
	require(*end == '\n' && (again == number || (isnan(again) && isnan(number))));
	require(strtoull(find_line(&buf, "\na_seconds_total{a=\"b\",c=\"d\"} "), &end, 10) ==
			count &&
		*end == '\n');
	require(strtoull(find_line(&buf, "\nan_info{a=\"b\",c=\"d\"} "), &end, 10) == count &&
		*end == '\n');
	require(strtoull(find_line(&buf, "\nan_info{a=\"b\",c=\""), &end, 10) == count &&
		*end == '"');
	(void)find_line(&buf, format == EXPO_OPENMETRICS ? "# TYPE a_seconds counter\n"
							 : "# TYPE a_seconds_total counter\n");
	(void)find_line(&buf, "Help \\\\ with\\na line.\n");
	buf_done(&buf);
}

/* A page that has no room for all that is written: whatever fails, nothing is written past its end. */
static void check_limit(enum expo_format format, const char *value, size_t limit)
{
	static const struct expo_family family = { .name = "a_family", .help = "Help." };
	static const struct expo_piece piece = { "a=\"b\"", 5 };
	struct buf buf;
	struct expo expo;

	buf_init(&buf, limit);
	expo_init(&expo, &buf, format);
	for (int i = 0; i < 4; i++) {
		expo_family(&expo, &family);
		expo_double(&expo, 0.5);
		expo_label(&expo, "l", value);
		expo_label_u64(&expo, "m", 7);
		expo_label_raw(&expo, ",n=\"1\"", 7);
		expo_u64(&expo, 1);
		expo_labelled_u64(&expo, &piece, &piece, 1);
	}
	expo_end(&expo);
	require(buf.len <= limit);
	buf_done(&buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t count = 0;
	double number = 0;
	char *value = text_copy(data, at_most(size, EXPO_LABEL_MAX + 44));

	check_format(EXPO_TEXT, value);
	check_format(EXPO_OPENMETRICS, value);
	memcpy(&number, data, size < sizeof(number) ? size : sizeof(number));
	memcpy(&count, data, size < sizeof(count) ? size : sizeof(count));
	for (int format = 0; format < EXPO_FORMATS; format++) {
		check_limit((enum expo_format)format, value, 1 + (count + size) % 512);
		check_numbers((enum expo_format)format, number, count);
		/* Milliseconds and such. */
		check_numbers((enum expo_format)format, (double)(count % 1000000000000) / 1e6,
			      count >> (size % 64));
		require(strstr(expo_content_type((enum expo_format)format), "charset=utf-8") !=
			NULL);
	}
	free(value);
	return 0;
}
