/* Unit tests of escape. */
#include "tcphealth/base/escape.h"

#include "tcphealth/base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define BAD "\xef\xbf\xbd"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const ascii[128] = { ['"'] = "\\\"", ['<'] = "&lt;", ['\n'] = "\\n" };

static void expect(const struct escape *escape, const char *text, const char *wanted)
{
	const char *end = text + strlen(text);
	char made[256] = "";
	struct escape_piece piece;
	size_t len = 0;

	while (escape_next(escape, &text, end, &piece)) {
		assert_in_range(piece.len, 1, sizeof(made) - 1 - len);
		memcpy(made + len, piece.text, piece.len);
		len += piece.len;
	}
	assert_ptr_equal(text, end);
	assert_string_equal(made, wanted);
}

static void test_ascii(void **state)
{
	static const struct escape none = { 0 }, some = { .ascii = ascii };
	char text[128] = "";

	(void)state;
	for (char c = ' '; c < 0x7f; c++)
		text[c - ' '] = c;
	expect(&none, text, text);
	expect(&none, "", "");
	expect(&some, "", "");
	expect(&some, "a\"b<\nc>\t", "a\\\"b&lt;\\nc>" BAD);
}

static void test_invalid(void **state)
{
	static const struct escape some = { .ascii = ascii, .coded = true };

	(void)state;
	expect(&some, "\xff<\xc3(", BAD "&lt;" BAD "(");
	expect(&some, "cut\xe2\x82", "cut" BAD BAD);
	expect(&some, "\xed\xa0\x80", BAD BAD BAD);
}

/* The first and the last of each range, and their neighbours. */
static const struct {
	const char *text;
	/* NULL: shown as it is. */
	const char *code;
} characters[] = {
	{ "\x01", "\\u0001" },
	{ "\x1f", "\\u001f" },
	{ " ", NULL },
	{ "~", NULL },
	{ "\x7f", "\\u007f" },
	{ "\xc2\x80", "\\u0080" },
	{ "\xc2\x9f", "\\u009f" },
	{ "\xc2\xa0", NULL },
	{ "\xd8\x9b", NULL },
	{ "\xd8\x9c", "\\u061c" },
	{ "\xd8\x9d", NULL },
	{ "\xe2\x80\x8d", NULL },
	{ "\xe2\x80\x8e", "\\u200e" },
	{ "\xe2\x80\x8f", "\\u200f" },
	{ "\xe2\x80\x90", NULL },
	{ "\xe2\x80\xa7", NULL },
	{ "\xe2\x80\xa8", "\\u2028" },
	{ "\xe2\x80\xa9", "\\u2029" },
	{ "\xe2\x80\xaa", "\\u202a" },
	{ "\xe2\x80\xae", "\\u202e" },
	{ "\xe2\x80\xaf", NULL },
	{ "\xe2\x81\xa5", NULL },
	{ "\xe2\x81\xa6", "\\u2066" },
	{ "\xe2\x81\xa9", "\\u2069" },
	{ "\xe2\x81\xaa", NULL },
	{ "\xf0\x9f\x90\x8c", NULL },
};

static void test_what_may_be_shown(void **state)
{
	static const struct escape replacing = { 0 }, coding = { .coded = true };

	(void)state;
	for (size_t i = 0; i < COUNT(characters); i++) {
		const char *text = characters[i].text, *code = characters[i].code;
		char dst[8];

		expect(&replacing, text, code ? BAD : text);
		expect(&coding, text, code ? code : text);
		escape_clean(dst, sizeof(dst), text, strlen(text));
		assert_string_equal(dst, code ? BAD : text);
	}
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
	for (size_t i = 0; i < COUNT(cases); i++) {
		size_t len = escape_clean(dst, sizeof(dst), cases[i].src, strlen(cases[i].src));
		assert_string_equal(dst, cases[i].expected);
		assert_int_equal(len, strlen(cases[i].expected));
	}
}

static void test_clean_cuts_between_characters(void **state)
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
	for (size_t i = 0; i < COUNT(cases); i++) {
		memset(dst, '#', sizeof(dst));
		size_t len = escape_clean(dst, cases[i].size, cases[i].src, strlen(cases[i].src));
		assert_string_equal(dst, cases[i].expected);
		assert_int_equal(len, strlen(cases[i].expected));
		assert_int_equal(dst[cases[i].size], '#');
	}
}

static void test_clean_without_room(void **state)
{
	char dst = '#';

	(void)state;
	assert_int_equal(escape_clean(&dst, 0, "abc", 3), 0);
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
		size_t len = escape_clean(dst, sizeof(dst), src, sizeof(src));
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
		cmocka_unit_test(test_ascii),
		cmocka_unit_test(test_invalid),
		cmocka_unit_test(test_what_may_be_shown),
		cmocka_unit_test(test_clean),
		cmocka_unit_test(test_clean_cuts_between_characters),
		cmocka_unit_test(test_clean_without_room),
		cmocka_unit_test(test_clean_is_valid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
