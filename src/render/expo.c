/*
 * expo: the grammar of the exposition formats.
 *
 * Owns escaping, what announces a family, and the layout of a line. Must not know which metrics
 * exist. A page has tens of thousands of lines: each piece reserves its room once, and is then
 * copied into it.
 */
#include "tcphealth/render/expo.h"

#include "tcphealth/base/number.h"
#include "tcphealth/base/utf8.h"

#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */
#define TOTAL       "_total"

/* What needs no escape anywhere: ASCII without NUL, newline, quote and backslash. */
static const bool plain[256] = {
	[0x01 ... 0x09] = true,
	[0x0b ... 0x21] = true,
	[0x23 ... 0x5b] = true,
	[0x5d ... 0x7f] = true,
};

/* What expo_labelled_u64() may write after the name, whole pieces included. */
#define LABELLED_ROOM (EXPO_HEAD_SIZE + 2 * EXPO_PIECE_SIZE + NUMBER_DIGITS + 4)

/* Where to write `len` more bytes, or NULL if the buffer has an error. */
static inline char *room(struct buf *buf, size_t len)
{
	if (buf->err)
		return NULL;
	if (buf->cap - buf->len < len && buf_reserve(buf, len))
		return NULL;
	return buf->data + buf->len;
}

static inline char *copy(char *to, const void *from, size_t len)
{
	memcpy(to, from, len);
	return to + len;
}

static inline void written(struct buf *buf, const char *end)
{
	buf->len = (size_t)(end - buf->data);
}

/*
 * Writes a positive number of up to six decimals (milliseconds, rounded ratios) as
 * buf_put_double() would, at a tenth of the cost. NULL if it is not one, or below 0.0001, where
 * the shortest text has an exponent.
 */
static char *put_decimals(char *to, double value)
{
	if (!(value >= 1e-4 && value < 1e9))
		return NULL;
	uint64_t millionths = (uint64_t)(value * 1e6 + 0.5);
	if ((double)millionths / 1e6 != value)
		return NULL;
	/* The one in front keeps the zeros right after the point. */
	char digits[NUMBER_DIGITS], *end = number_put(digits, 1000000 + millionths % 1000000);
	to = number_put(to, millionths / 1000000);
	while (end[-1] == '0' && end > digits + 1)
		end--;
	if (end == digits + 1)
		return to;
	*to++ = '.';
	return copy(to, digits + 1, (size_t)(end - digits - 1));
}

/*
 * Writes the character at `*text`, which is not plain: its escape, itself, or U+FFFD. Takes its
 * bytes off `*budget`; NULL if there are not enough left.
 */
static char *put_special(char *to, const char **text, size_t *budget, bool quotes)
{
	const char *s = *text;
	size_t sequence = utf8_sequence(s, strnlen(s, 4));
	size_t cost = sequence ? sequence : sizeof(REPLACEMENT) - 1;

	if (cost > *budget)
		return NULL;
	*budget -= cost;
	*text += sequence ? sequence : 1;
	if (!sequence)
		return copy(to, REPLACEMENT, sizeof(REPLACEMENT) - 1);
	if (*s == '\n')
		return copy(to, "\\n", 2);
	if (*s == '\\' || (*s == '"' && quotes))
		*to++ = '\\';
	return copy(to, s, sequence);
}

/*
 * Cleans and escapes `text` up to `budget` bytes, counted before they are escaped. Writes at most
 * three bytes for one that it reads: U+FFFD for an invalid one.
 */
static char *put_escaped(char *to, const char *text, size_t budget, bool quotes)
{
	while (*text && budget) {
		if (plain[(unsigned char)*text]) {
			*to++ = *text++;
			budget--;
			continue;
		}
		char *next = put_special(to, &text, &budget, quotes);
		if (!next)
			break;
		to = next;
	}
	return to;
}

static bool ends_with(const char *name, size_t len, const char *tail)
{
	size_t tail_len = strlen(tail);

	return len >= tail_len && memcmp(name + len - tail_len, tail, tail_len) == 0;
}

bool expo_is_counter(const struct expo_family *family)
{
	return ends_with(family->name, strlen(family->name), TOTAL);
}

/* In comments, OpenMetrics has the name without _total. */
static size_t family_name_len(const struct expo *expo)
{
	bool shorter = expo->format == EXPO_OPENMETRICS && expo_is_counter(expo->family);

	return expo->name_len - (shorter ? strlen(TOTAL) : 0);
}

static void put_comment(struct buf *buf, const char *keyword, const char *name, size_t name_len)
{
	buf_puts(buf, "# ");
	buf_puts(buf, keyword);
	buf_putc(buf, ' ');
	buf_put(buf, name, name_len);
	buf_putc(buf, ' ');
}

static void put_help(struct expo *expo, size_t name_len)
{
	const struct expo_family *family = expo->family;
	size_t help_len = strlen(family->help);

	put_comment(expo->buf, "HELP", family->name, name_len);
	char *to = room(expo->buf, 3 * help_len + 1);
	if (!to)
		return;
	to = put_escaped(to, family->help, 3 * help_len, expo->format == EXPO_OPENMETRICS);
	*to++ = '\n';
	written(expo->buf, to);
}

static void put_unit(struct expo *expo, size_t name_len)
{
	static const char *const tails[] = { "_seconds", "_bytes", "_ratio" };
	const char *name = expo->family->name;

	for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
		if (!ends_with(name, name_len, tails[i]))
			continue;
		put_comment(expo->buf, "UNIT", name, name_len);
		buf_puts(expo->buf, tails[i] + 1);
		buf_putc(expo->buf, '\n');
	}
}

static void announce(struct expo *expo)
{
	size_t name_len = family_name_len(expo);

	expo->announced = true;
	put_help(expo, name_len);
	put_comment(expo->buf, "TYPE", expo->family->name, name_len);
	buf_puts(expo->buf, expo_is_counter(expo->family) ? "counter\n" : "gauge\n");
	if (expo->format == EXPO_OPENMETRICS)
		put_unit(expo, name_len);
}

/* Begins the line or writes the comma between labels; returns where `len` bytes more fit. */
static char *begin_label(struct expo *expo, size_t len)
{
	if (!expo->announced)
		announce(expo);
	char *to = room(expo->buf, expo->name_len + 1 + len);
	if (!to)
		return NULL;
	if (expo->in_labels) {
		*to++ = ',';
		return to;
	}
	expo->in_labels = true;
	to = copy(to, expo->family->name, expo->name_len);
	*to++ = '{';
	return to;
}

/* Writes what is left of a line before its value; returns where `len` bytes more fit, or NULL. */
static char *begin_value(struct expo *expo, size_t len)
{
	if (!expo->announced)
		announce(expo);
	char *to = room(expo->buf, expo->name_len + 2 + len);
	expo->samples++;
	if (!to)
		return NULL;
	if (expo->in_labels)
		*to++ = '}';
	else
		to = copy(to, expo->family->name, expo->name_len);
	expo->in_labels = false;
	*to++ = ' ';
	return to;
}

void expo_init(struct expo *expo, struct buf *buf, enum expo_format format)
{
	*expo = (struct expo){ .buf = buf, .format = format };
}

void expo_family(struct expo *expo, const struct expo_family *family)
{
	expo->family = family;
	expo->name_len = strlen(family->name);
	if (expo->name_len < sizeof(expo->head)) {
		memcpy(expo->head, family->name, expo->name_len);
		expo->head[expo->name_len] = '{';
	}
	expo->announced = false;
	expo->in_labels = false;
}

void expo_label(struct expo *expo, const char *name, const char *value)
{
	size_t name_len = strlen(name);
	size_t value_len = strnlen(value, EXPO_LABEL_MAX);
	char *to = begin_label(expo, name_len + 3 + 3 * value_len);

	if (!to)
		return;
	to = copy(to, name, name_len);
	to = copy(to, "=\"", 2);
	to = put_escaped(to, value, EXPO_LABEL_MAX, true);
	*to++ = '"';
	written(expo->buf, to);
}

void expo_label_u64(struct expo *expo, const char *name, uint64_t value)
{
	size_t name_len = strlen(name);
	char *to = begin_label(expo, name_len + 3 + NUMBER_DIGITS);

	if (!to)
		return;
	to = copy(to, name, name_len);
	to = copy(to, "=\"", 2);
	to = number_put(to, value);
	*to++ = '"';
	written(expo->buf, to);
}

void expo_label_raw(struct expo *expo, const char *text, size_t len)
{
	if (len == 0)
		return;
	char *to = begin_label(expo, len);
	if (to)
		written(expo->buf, copy(to, text, len));
}

void expo_labelled_u64(struct expo *expo, const struct expo_piece *labels,
		       const struct expo_piece *more, uint64_t value)
{
	if (!expo->announced)
		announce(expo);
	char *to = room(expo->buf, expo->name_len + LABELLED_ROOM);
	expo->samples++;
	if (!to)
		return;
	if (expo->name_len < EXPO_HEAD_SIZE)
		memcpy(to, expo->head, EXPO_HEAD_SIZE);
	else
		*copy(to, expo->family->name, expo->name_len) = '{';
	to += expo->name_len + 1;
	memcpy(to, labels->text, EXPO_PIECE_SIZE);
	to += labels->len;
	memcpy(to, more->text, EXPO_PIECE_SIZE);
	to = copy(to + more->len, "} ", 2);
	to = number_put(to, value);
	*to++ = '\n';
	written(expo->buf, to);
}

void expo_u64(struct expo *expo, uint64_t value)
{
	char *to = begin_value(expo, NUMBER_DIGITS + 1);

	if (!to)
		return;
	to = number_put(to, value);
	*to++ = '\n';
	written(expo->buf, to);
}

void expo_double(struct expo *expo, double value)
{
	char *to = begin_value(expo, 2 * NUMBER_DIGITS), *end;

	if (!to)
		return;
	end = put_decimals(to, value);
	written(expo->buf, end ? end : to);
	if (!end)
		buf_put_double(expo->buf, value);
	buf_putc(expo->buf, '\n');
}

void expo_end(struct expo *expo)
{
	if (expo->format == EXPO_OPENMETRICS)
		buf_puts(expo->buf, "# EOF\n");
}

const char *expo_content_type(enum expo_format format)
{
	return format == EXPO_OPENMETRICS ? "application/openmetrics-text; version=1.0.0; "
					    "charset=utf-8; escaping=underscores"
					  : "text/plain; version=0.0.4; charset=utf-8";
}
