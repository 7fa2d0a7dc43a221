/* Unit tests of number. */
#include "tcphealth/base/number.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define OLD          4711 /* what a failure leaves */

static void test_take(void **state)
{
	static const struct {
		const char *text;
		size_t len; /* SIZE_MAX: up to the NUL */
		uint64_t max;
		int err;
		uint64_t value;
		size_t taken;
	} cases[] = {
		{ "0", SIZE_MAX, 0, 0, 0, 1 },
		{ "00000000000000000000000000000007", SIZE_MAX, 7, 0, 7, 32 },
		{ "12 34", SIZE_MAX, 99, 0, 12, 2 },
		{ "12ms", SIZE_MAX, 99, 0, 12, 2 },
		{ "1234", 2, 99, 0, 12, 2 },
		{ "65535", SIZE_MAX, 65535, 0, 65535, 5 },
		{ "65536,1", SIZE_MAX, 65535, -ERANGE, OLD, 5 },
		{ "655360", SIZE_MAX, 65535, -ERANGE, OLD, 6 },
		{ "18446744073709551615", SIZE_MAX, UINT64_MAX, 0, UINT64_MAX, 20 },
		{ "18446744073709551616", SIZE_MAX, UINT64_MAX, -ERANGE, OLD, 20 },
		/* Beyond an overflow it may look small again. */
		{ "184467440737095516160", SIZE_MAX, UINT64_MAX, -ERANGE, OLD, 21 },
		{ "99999999999999999999999999999999", SIZE_MAX, UINT64_MAX, -ERANGE, OLD, 32 },
		{ "", SIZE_MAX, 9, -EINVAL, OLD, 0 },
		{ "1", 0, 9, -EINVAL, OLD, 0 },
		{ " 1", SIZE_MAX, 9, -EINVAL, OLD, 0 },
		{ "+1", SIZE_MAX, 9, -EINVAL, OLD, 0 },
		{ "-1", SIZE_MAX, 9, -EINVAL, OLD, 0 },
		{ "/", SIZE_MAX, 9, -EINVAL, OLD, 0 },
		{ ":", SIZE_MAX, 9, -EINVAL, OLD, 0 },
		{ "\xb2", SIZE_MAX, 9, -EINVAL, OLD, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		const char *at = cases[i].text;
		const char *end = cases[i].len == SIZE_MAX ? NULL : at + cases[i].len;
		uint64_t value = OLD;

		assert_int_equal(number_take(&at, end, cases[i].max, &value), cases[i].err);
		assert_int_equal(value, cases[i].value);
		assert_int_equal(at - cases[i].text, cases[i].taken);
	}
}

static void test_parse(void **state)
{
	static const struct {
		const char *text;
		uint64_t max;
		int err;
		uint64_t value;
	} cases[] = {
		{ "0", 0, 0, 0 },           { "00080", 65535, 0, 80 },    { "10", 9, -ERANGE, OLD },
		{ "", 9, -EINVAL, OLD },    { "1 ", 9, -EINVAL, OLD },    { " 1", 9, -EINVAL, OLD },
		{ "1.0", 9, -EINVAL, OLD }, { "0x1", 999, -EINVAL, OLD }, { "-0", 9, -EINVAL, OLD },
		{ "10x", 9, -EINVAL, OLD },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		uint64_t value = OLD;

		assert_int_equal(number_parse(cases[i].text, cases[i].max, &value), cases[i].err);
		assert_int_equal(value, cases[i].value);
	}
}

/* All lengths, and both sides of each. */
static void test_writes_what_it_reads(void **state)
{
	(void)state;
	for (uint64_t power = 1, digits = 1; digits <= NUMBER_DIGITS; digits++, power *= 10) {
		const uint64_t values[] = { power - 1, power, power + power / 2 + 7,
					    UINT64_MAX - power };

		for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
			char text[NUMBER_DIGITS + 1];
			uint64_t value;

			*number_put(text, values[i]) = '\0';
			assert_int_equal(number_parse(text, UINT64_MAX, &value), 0);
			assert_int_equal(value, values[i]);
			assert_true(text[0] != '0' || text[1] == '\0');
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_take),
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_writes_what_it_reads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
