/*
 * utf8: see the header. Owns what a valid sequence is (RFC 3629, section 4);
 * must not know which characters a format escapes.
 */
#include "tcphealth/base/utf8.h"

/* What a first byte asks for. The narrower range of the second byte excludes overlong forms,
 * surrogates and values above U+10FFFF; further bytes are always 80..BF. */
struct lead {
	uint8_t first, last;
	uint8_t len;
	uint8_t second_min, second_max;
};

static const struct lead leads[] = {
	{ 0x00, 0x7f, 1, 0, 0 },       { 0xc2, 0xdf, 2, 0x80, 0xbf }, { 0xe0, 0xe0, 3, 0xa0, 0xbf },
	{ 0xe1, 0xec, 3, 0x80, 0xbf }, { 0xed, 0xed, 3, 0x80, 0x9f }, { 0xee, 0xef, 3, 0x80, 0xbf },
	{ 0xf0, 0xf0, 4, 0x90, 0xbf }, { 0xf1, 0xf3, 4, 0x80, 0xbf }, { 0xf4, 0xf4, 4, 0x80, 0x8f },
};

static const struct lead *find_lead(uint8_t byte)
{
	for (size_t i = 0; i < sizeof(leads) / sizeof(leads[0]); i++)
		if (byte >= leads[i].first && byte <= leads[i].last)
			return &leads[i];
	return NULL;
}

size_t utf8_sequence(const char *s, size_t len)
{
	const uint8_t *bytes = (const uint8_t *)s;
	const struct lead *lead = find_lead(bytes[0]);

	if (!lead || lead->len > len)
		return 0;
	if (lead->len > 1 && (bytes[1] < lead->second_min || bytes[1] > lead->second_max))
		return 0;
	for (size_t i = 2; i < lead->len; i++)
		if (bytes[i] < 0x80 || bytes[i] > 0xbf)
			return 0;
	return lead->len;
}
