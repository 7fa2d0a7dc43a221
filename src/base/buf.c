/*
 * buf: see the header. Owns how a buffer grows and how numbers become text;
 * must not know what the text is for.
 */
#include "tcphealth/base/buf.h"

#include "tcphealth/base/number.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAP 256
#define NO_LIMIT  (SIZE_MAX / 2)

/* Up to here every integer is a double of its own. */
#define EXACT_INTEGERS 9007199254740992.0

void buf_init(struct buf *buf, size_t limit)
{
	*buf = (struct buf){ .limit = limit && limit < NO_LIMIT ? limit : NO_LIMIT };
}

void buf_done(struct buf *buf)
{
	if (!buf)
		return;
	free(buf->data);
	*buf = (struct buf){ .limit = buf->limit };
}

void buf_reset(struct buf *buf)
{
	buf->len = 0;
	buf->err = 0;
}

static size_t grown_cap(const struct buf *buf, size_t need)
{
	size_t cap = buf->cap ? buf->cap : FIRST_CAP;

	while (cap < need)
		cap *= 2;
	return cap < buf->limit ? cap : buf->limit;
}

int buf_reserve(struct buf *buf, size_t len)
{
	if (buf->err)
		return buf->err;
	if (len <= buf->cap - buf->len)
		return 0;
	if (len > buf->limit - buf->len)
		return buf->err = -EFBIG;

	size_t cap = grown_cap(buf, buf->len + len);
	/* One byte more than `cap` tells: vsnprintf() always writes a NUL. */
	char *data = realloc(buf->data, cap + 1);
	if (!data)
		return buf->err = -ENOMEM;
	buf->data = data;
	buf->cap = cap;
	return 0;
}

void buf_put(struct buf *buf, const void *data, size_t len)
{
	if (len == 0 || buf_reserve(buf, len))
		return;
	memcpy(buf->data + buf->len, data, len);
	buf->len += len;
}

void buf_puts(struct buf *buf, const char *str)
{
	buf_put(buf, str, strlen(str));
}

void buf_putc(struct buf *buf, char c)
{
	buf_put(buf, &c, 1);
}

void buf_put_u64(struct buf *buf, uint64_t value)
{
	char text[NUMBER_DIGITS], *end = number_put(text, value);

	buf_put(buf, text, (size_t)(end - text));
}

static void put_fraction(struct buf *buf, double value)
{
	char text[64];
	/* 15 digits always survive the way there and back, except among subnormals, which hold fewer. */
	int precision = fabs(value) < DBL_MIN ? 1 : DBL_DIG;

	for (; precision <= DBL_DECIMAL_DIG; precision++) {
		snprintf(text, sizeof(text), "%.*g", precision, value);
		if (precision == DBL_DECIMAL_DIG || strtod(text, NULL) == value)
			break;
	}
	buf_puts(buf, text);
}

void buf_put_double(struct buf *buf, double value)
{
	if (isnan(value)) {
		buf_puts(buf, "NaN");
		return;
	}
	if (isinf(value)) {
		buf_puts(buf, value > 0 ? "+Inf" : "-Inf");
		return;
	}
	bool negative_zero = value == 0 && signbit(value);
	if (fabs(value) < EXACT_INTEGERS && !negative_zero && value == (double)(int64_t)value) {
		buf_puts(buf, value < 0 ? "-" : "");
		buf_put_u64(buf, (uint64_t)fabs(value));
		return;
	}
	put_fraction(buf, value);
}

void buf_printf(struct buf *buf, const char *fmt, ...)
{
	va_list args;

	if (buf->err)
		return;
	va_start(args, fmt);
	int len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	if (len < 0) {
		buf->err = -EINVAL;
		return;
	}
	if (buf_reserve(buf, (size_t)len) || len == 0)
		return;
	va_start(args, fmt);
	vsnprintf(buf->data + buf->len, (size_t)len + 1, fmt, args);
	va_end(args);
	buf->len += (size_t)len;
}
