/*
 * buf: a byte buffer that grows, with one sticky error.
 *
 * Owns its bytes and nothing else. Everything that produces text (pages, log
 * lines, JSON) appends here without checking each call; the writer looks at
 * `err` once at the end. Not thread safe: one buffer, one thread.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	/* Not NUL terminated; NULL while cap is 0. */
	char *data;
	size_t len; /* bytes in use */
	size_t cap; /* bytes allocated */
	/* Never grows beyond this many bytes. */
	size_t limit;
	/* 0, or the first error: -ENOMEM, -EFBIG (over limit), -EINVAL (format). */
	int err;
};

/* Starts empty; allocates nothing. `limit` 0 means no limit. */
void buf_init(struct buf *buf, size_t limit);

/* Frees the bytes. The buffer may be used again after buf_init(). */
void buf_done(struct buf *buf);

/* Forgets content and error, keeps the allocation for the next use. */
void buf_reset(struct buf *buf);

/* Each appends, or sets `err` and leaves the content as it was; after an error they do nothing. */
void buf_put(struct buf *buf, const void *data, size_t len);
void buf_puts(struct buf *buf, const char *str);
void buf_putc(struct buf *buf, char c);
void buf_put_u64(struct buf *buf, uint64_t value);
/* Shortest text that reads back as the same double; +Inf, -Inf, NaN as Prometheus writes them. */
void buf_put_double(struct buf *buf, double value);
void buf_printf(struct buf *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Makes room for `len` more bytes: 0 or the (now sticky) error. */
int buf_reserve(struct buf *buf, size_t len);
