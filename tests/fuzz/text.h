/* text: what the targets that read or write text have in common: a check that aborts, copies of exact size, UTF-8. */
#pragma once

#include "tcphealth/base/utf8.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static inline void require(bool truth)
{
	if (!truth)
		abort();
}

/* A string on the heap, so that a sanitizer sees what is read past it. */
static inline char *text_copy(const uint8_t *data, size_t size)
{
	char *text = calloc(size + 1, 1);

	require(text != NULL);
	if (size > 0)
		memcpy(text, data, size);
	return text;
}

/* No more of the input than a parser looks at: the rest would cost time alone. */
static inline size_t at_most(size_t size, size_t max)
{
	return size < max ? size : max;
}

static inline void require_utf8(const char *text, size_t len)
{
	for (size_t at = 0, step; at < len; at += step) {
		step = (uint8_t)text[at] < 0x80 ? 1 : utf8_sequence(text + at, len - at);
		require(step > 0);
	}
}

static inline void require_printable(const char *text, size_t len)
{
	require_utf8(text, len);
	for (size_t i = 0; i < len; i++)
		require((uint8_t)text[i] >= 0x20 && text[i] != 0x7f);
}
