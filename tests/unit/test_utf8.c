/* Unit tests of utf8. */
#include "tcphealth/base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define BAD "\xef\xbf\xbd"

static void test_sequence(void **state)
{
	static const struct {
		const char *bytes;
		size_t len, expected;
	} cases[] = {
		{ "a", 1, 1 },
		{ "\0", 1, 1 },
		{ "\x7f", 1, 1 },
		{ "ab", 2, 1 },
		{ "\xc2\x80", 2, 2 },
		{ "\xdf\xbf", 2, 2 },
		{ "\xe0\xa0\x80", 3, 3 },
		{ "\xed\x9f\xbf", 3, 3 }, /* U+D7FF, the last before the surrogates */
		{ "\xee\x80\x80", 3, 3 }, /* U+E000, the first behind them */
		{ "\xef\xbf\xbf", 3, 3 },
		{ "\xf0\x90\x80\x80", 4, 4 },
		{ "\xf4\x8f\xbf\xbf", 4, 4 }, /* U+10FFFF */
		/* not the beginning of a sequence */
		{ "\x80", 1, 0 },
		{ "\xbf", 1, 0 },
		{ "\xf5\x80\x80\x80", 4, 0 },
		{ "\xfe", 1, 0 },
		{ "\xff", 1, 0 },
		/* overlong */
		{ "\xc0\x80", 2, 0 },
		{ "\xc1\xbf", 2, 0 },
		{ "\xe0\x9f\xbf", 3, 0 },
		{ "\xf0\x8f\xbf\xbf", 4, 0 },
		/* surrogates, and above U+10FFFF */
		{ "\xed\xa0\x80", 3, 0 },
		{ "\xed\xbf\xbf", 3, 0 },
		{ "\xf4\x90\x80\x80", 4, 0 },
		/* truncated */
		{ "\xc2", 1, 0 },
		{ "\xe2\x82", 2, 0 },
		{ "\xf0\x9f\x98", 3, 0 },
		/* a wrong byte inside */
		{ "\xc2x", 2, 0 },
		{ "\xe2\x82x", 3, 0 },
		{ "\xe2x\x82", 3, 0 },
		{ "\xf0\x9f\x98x", 4, 0 },
		{ "\xf0\x9fx\x98", 4, 0 },
		{ "\xc2\xc2", 2, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(utf8_sequence(cases[i].bytes, cases[i].len), cases[i].expected);
}

static void test_clean(void **state)
{
	static const struct {
		const char *src, *expected;
	} cases[] = {
		{ "", "" },
		{ "plain", "plain" },
		{ "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f" },
		{ "a\xff"
		  "b",
		  "a" BAD "b" },
		{ "\xc0\x80", BAD BAD },
		{ "\xed\xa0\x80", BAD BAD BAD },
		{ "end\xe2\x82", "end" BAD BAD },
		{ "\xc3\xc3\xbc", BAD "\xc3\xbc" },
	};
	char dst[64];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = utf8_clean(dst, sizeof(dst), cases[i].src, strlen(cases[i].src));
		assert_string_equal(dst, cases[i].expected);
		assert_int_equal(len, strlen(cases[i].expected));
	}
}

static void test_clean_keeps_nul(void **state)
{
	char dst[8];

	(void)state;
	assert_int_equal(utf8_clean(dst, sizeof(dst), "a\0b", 3), 3);
	assert_memory_equal(dst, "a\0b", 4);
}

static void test_clean_cuts_between_sequences(void **state)
{
	static const struct {
		const char *src;
		size_t size;
		const char *expected;
	} cases[] = {
		{ "abc", 1, "" },
		{ "abc", 3, "ab" },
		{ "abc", 4, "abc" },
		{ "a\xe2\x82\xac", 4, "a" },
		{ "a\xe2\x82\xac", 5, "a\xe2\x82\xac" },
		{ "\xf0\x9f\x98\x80", 4, "" },
		{ "\xff", 3, "" },
		{ "\xff", 4, BAD },
		/* what follows a character that did not fit is not pulled forward */
		{ "\xe2\x82\xacx", 3, "" },
	};
	char dst[8];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memset(dst, '#', sizeof(dst));
		size_t len = utf8_clean(dst, cases[i].size, cases[i].src, strlen(cases[i].src));
		assert_string_equal(dst, cases[i].expected);
		assert_int_equal(len, strlen(cases[i].expected));
		assert_int_equal(dst[cases[i].size], '#');
	}
}

static void test_clean_without_room(void **state)
{
	char dst = '#';

	(void)state;
	assert_int_equal(utf8_clean(&dst, 0, "abc", 3), 0);
	assert_int_equal(dst, '#');
}

/* Whatever the bytes are, the result is valid. */
static void test_clean_is_valid(void **state)
{
	char src[3], dst[16];

	(void)state;
	for (unsigned int bits = 0; bits < 0x10000; bits++) {
		src[0] = (char)(bits >> 8);
		src[1] = (char)(bits & 0xff);
		src[2] = (char)0x80;
		size_t len = utf8_clean(dst, sizeof(dst), src, sizeof(src));
		assert_true(len >= sizeof(src));
		for (size_t at = 0; at < len;) {
			size_t step = utf8_sequence(dst + at, len - at);
			assert_in_range(step, 1, 4);
			at += step;
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sequence),
		cmocka_unit_test(test_clean),
		cmocka_unit_test(test_clean_keeps_nul),
		cmocka_unit_test(test_clean_cuts_between_sequences),
		cmocka_unit_test(test_clean_without_room),
		cmocka_unit_test(test_clean_is_valid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
