/* Unit tests of buf. */
#include "tcphealth/base/buf.h"

#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void assert_content(const struct buf *buf, const char *expected)
{
	assert_int_equal(buf->err, 0);
	assert_int_equal(buf->len, strlen(expected));
	assert_memory_equal(buf->data, expected, buf->len);
}

static void test_starts_empty(void **state)
{
	struct buf buf;

	(void)state;
	buf_init(&buf, 0);
	assert_null(buf.data);
	assert_int_equal(buf.len, 0);
	assert_int_equal(buf.cap, 0);
	buf_put(&buf, "", 0);
	buf_puts(&buf, "");
	assert_null(buf.data);
	assert_int_equal(buf.err, 0);
	buf_done(&buf);
	buf_done(NULL);
}

static void test_appends(void **state)
{
	struct buf buf;

	(void)state;
	buf_init(&buf, 0);
	buf_puts(&buf, "ab");
	buf_putc(&buf, 'c');
	buf_put(&buf, "defg", 2);
	buf_printf(&buf, "-%d-%s", 42, "x");
	buf_printf(&buf, "%s", "");
	assert_content(&buf, "abcde-42-x");
	buf_done(&buf);
}

static void test_grows_and_keeps(void **state)
{
	struct buf buf;

	(void)state;
	buf_init(&buf, 0);
	for (unsigned int i = 0; i < 10000; i++)
		buf_printf(&buf, "%04u", i);
	assert_int_equal(buf.err, 0);
	assert_int_equal(buf.len, 40000);
	assert_memory_equal(buf.data, "00000001", 8);
	assert_memory_equal(buf.data + 4 * 9999, "9999", 4);

	char *data = buf.data;
	size_t cap = buf.cap;
	buf_reset(&buf);
	assert_int_equal(buf.len, 0);
	buf_puts(&buf, "again");
	assert_ptr_equal(buf.data, data);
	assert_int_equal(buf.cap, cap);
	assert_content(&buf, "again");
	buf_done(&buf);
	assert_null(buf.data);
	buf_done(&buf);
}

static void test_limit_is_exact(void **state)
{
	struct buf buf;

	(void)state;
	buf_init(&buf, 4);
	buf_puts(&buf, "abc");
	buf_printf(&buf, "%c", 'd');
	assert_content(&buf, "abcd");
	assert_true(buf.cap <= 4);
	buf_putc(&buf, 'e');
	assert_int_equal(buf.err, -EFBIG);
	assert_int_equal(buf.len, 4);
	buf_done(&buf);

	buf_init(&buf, 4);
	buf_puts(&buf, "abcd");
	assert_content(&buf, "abcd");
	buf_done(&buf);
	buf_puts(&buf, "abcde");
	assert_int_equal(buf.err, -EFBIG);
	assert_null(buf.data);
}

static void test_error_is_sticky(void **state)
{
	struct buf buf;

	(void)state;
	buf_init(&buf, 10);
	buf_puts(&buf, "12345678");
	buf_puts(&buf, "too long");
	assert_int_equal(buf.err, -EFBIG);
	buf_putc(&buf, 'x');
	buf_puts(&buf, "");
	buf_put_u64(&buf, 1);
	buf_put_double(&buf, 0.5);
	buf_printf(&buf, "%d", 1);
	assert_int_equal(buf_reserve(&buf, 1), -EFBIG);
	assert_int_equal(buf_reserve(&buf, 0), -EFBIG);
	assert_int_equal(buf.len, 8);
	assert_memory_equal(buf.data, "12345678", 8);
	buf_reset(&buf);
	buf_puts(&buf, "1234567890");
	assert_content(&buf, "1234567890");
	buf_done(&buf);
}

static void test_printf_over_limit(void **state)
{
	struct buf buf;

	(void)state;
	buf_init(&buf, 5);
	buf_puts(&buf, "ab");
	buf_printf(&buf, "%s", "cdef");
	assert_int_equal(buf.err, -EFBIG);
	assert_int_equal(buf.len, 2);
	buf_done(&buf);
}

static void test_reserve(void **state)
{
	struct buf buf;

	(void)state;
	buf_init(&buf, 0);
	assert_int_equal(buf_reserve(&buf, 0), 0);
	assert_int_equal(buf_reserve(&buf, 1000), 0);
	assert_true(buf.cap >= 1000);
	assert_int_equal(buf.len, 0);
	buf_putc(&buf, 'x');
	assert_int_equal(buf_reserve(&buf, SIZE_MAX), -EFBIG);
	assert_int_equal(buf.err, -EFBIG);
	buf_done(&buf);
}

static void test_integers(void **state)
{
	static const uint64_t values[] = { 0, 1, 9, 10, 123456789, INT64_MAX, UINT64_MAX };
	struct buf buf;
	char expected[32];

	(void)state;
	buf_init(&buf, 0);
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		buf_reset(&buf);
		buf_put_u64(&buf, values[i]);
		snprintf(expected, sizeof(expected), "%" PRIu64, values[i]);
		assert_content(&buf, expected);
	}
	buf_done(&buf);
}

static void test_double_text(void **state)
{
	static const struct {
		double value;
		const char *text;
	} cases[] = {
		{ 0.0, "0" },
		{ -0.0, "-0" },
		{ 1.0, "1" },
		{ -1.0, "-1" },
		{ 0.1, "0.1" },
		{ 0.5, "0.5" },
		{ 0.05, "0.05" },
		{ 1.0 / 3, "0.3333333333333333" },
		{ 0.1 + 0.2, "0.30000000000000004" },
		{ 1700000000.123, "1700000000.123" },
		{ 9007199254740991.0, "9007199254740991" },
		{ -9007199254740991.0, "-9007199254740991" },
		{ 9007199254740992.0, "9007199254740992" },
		{ 1e15, "1000000000000000" },
		{ 1e22, "1e+22" },
		{ 18446744073709551616.0, "1.8446744073709552e+19" },
		{ 1e-7, "1e-07" },
		{ 5e-324, "5e-324" },
		{ DBL_MIN, "2.2250738585072014e-308" },
		{ DBL_MAX, "1.7976931348623157e+308" },
		{ (double)INFINITY, "+Inf" },
		{ -(double)INFINITY, "-Inf" },
		{ (double)NAN, "NaN" },
		{ -(double)NAN, "NaN" },
	};
	struct buf buf;

	(void)state;
	buf_init(&buf, 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		buf_reset(&buf);
		buf_put_double(&buf, cases[i].value);
		assert_content(&buf, cases[i].text);
	}
	buf_done(&buf);
}

/* A small generator of its own, so that a failure can be repeated. */
static uint64_t next_bits(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static void test_double_round_trip(void **state)
{
	uint64_t seed = UINT64_C(0x9e3779b97f4a7c15);
	struct buf buf;

	(void)state;
	buf_init(&buf, 0);
	for (unsigned int i = 0; i < 20000; i++) {
		uint64_t bits = next_bits(&seed);
		double value;
		memcpy(&value, &bits, sizeof(value));
		if (isnan(value) || isinf(value))
			continue;
		buf_reset(&buf);
		buf_put_double(&buf, value);
		buf_putc(&buf, '\0');
		double back = strtod(buf.data, NULL);
		assert_memory_equal(&back, &value, sizeof(value));
	}
	buf_done(&buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_starts_empty),    cmocka_unit_test(test_appends),
		cmocka_unit_test(test_grows_and_keeps), cmocka_unit_test(test_limit_is_exact),
		cmocka_unit_test(test_error_is_sticky), cmocka_unit_test(test_printf_over_limit),
		cmocka_unit_test(test_reserve),         cmocka_unit_test(test_integers),
		cmocka_unit_test(test_double_text),     cmocka_unit_test(test_double_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
