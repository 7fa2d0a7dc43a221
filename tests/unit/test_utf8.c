/* Unit tests of utf8. */
#include "tcphealth/base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sequence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
