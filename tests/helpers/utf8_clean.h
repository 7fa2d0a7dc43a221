/*
 * utf8_clean: text as every format keeps it at least: U+FFFD for each byte that is no UTF-8.
 */
#pragma once

#include "tcphealth/base/utf8.h"

#include <string.h>

/* Writes at most `size` bytes with the NUL (at least 1), and whole characters. Returns those without it. */
static inline size_t utf8_clean(char *dst, size_t size, const char *src, size_t len)
{
	static const char replacement[] = "\xef\xbf\xbd";
	size_t used = 0;

	for (size_t i = 0; i < len;) {
		size_t taken = utf8_sequence(src + i, len - i);
		const char *text = taken ? src + i : replacement;
		size_t text_len = taken ? taken : strlen(replacement);
		if (text_len >= size - used)
			break;
		memcpy(dst + used, text, text_len);
		used += text_len;
		i += taken ? taken : 1;
	}
	dst[used] = '\0';
	return used;
}
