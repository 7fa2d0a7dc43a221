/*
 * escape: the one walk over text that came from outside.
 */
#include "tcphealth/base/escape.h"

#include "tcphealth/base/utf8.h"

#include <stdio.h>
#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd"

static unsigned int code_point(const char *s, size_t len)
{
	unsigned int value = len == 1 ? (unsigned char)s[0] : (unsigned char)s[0] & (0x7fU >> len);

	for (size_t i = 1; i < len; i++)
		value = value << 6 | ((unsigned char)s[i] & 0x3fU);
	return value;
}

static bool may_be_shown(unsigned int code)
{
	if (code < 0x20 || (code >= 0x7f && code < 0xa0)) /* C0, DEL and C1 */
		return false;
	return code != 0x61c && code != 0x200e && code != 0x200f &&
	       !(code >= 0x2028 && code <= 0x202e) && !(code >= 0x2066 && code <= 0x2069);
}

bool escape_next(const struct escape *escape, const char **at, const char *end,
		 struct escape_piece *ret_piece)
{
	if (*at == end)
		return false;
	size_t len = utf8_sequence(*at, (size_t)(end - *at));
	unsigned int code = code_point(*at, len);
	const char *instead = len == 1 && escape->ascii ? escape->ascii[code] : NULL;

	ret_piece->text = *at;
	ret_piece->len = len;
	if (len == 0) {
		instead = REPLACEMENT;
	} else if (!instead && !may_be_shown(code)) {
		snprintf(ret_piece->code, sizeof(ret_piece->code), "\\u%04x", code & 0xffff);
		instead = escape->coded ? ret_piece->code : REPLACEMENT;
	}
	if (instead) {
		ret_piece->text = instead;
		ret_piece->len = strlen(instead);
	}
	*at += len ? len : 1;
	return true;
}

size_t escape_clean(char *dst, size_t size, const char *src, size_t len)
{
	static const struct escape escape = { 0 };
	const char *end = src + len;
	struct escape_piece piece;
	size_t used = 0;

	if (size == 0)
		return 0;
	while (escape_next(&escape, &src, end, &piece) && piece.len < size - used) {
		memcpy(dst + used, piece.text, piece.len);
		used += piece.len;
	}
	dst[used] = '\0';
	return used;
}
