/* loglimit: so many a minute, and the rest is counted once. */
#include "tcphealth/base/loglimit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static unsigned int passed(struct loglimit *limit, uint64_t now_ms, unsigned int tries)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < tries; i++)
		count += loglimit_pass(limit, now_ms);
	return count;
}

static void test_minutes(void **state)
{
	struct loglimit limit;

	(void)state;
	loglimit_init(&limit, 10);
	assert_int_equal(passed(&limit, 1000, 10), 10);
	assert_int_equal(passed(&limit, 60999, 5), 0);
	assert_int_equal(loglimit_report(&limit, 60999, false), 0);
	assert_int_equal(loglimit_report(&limit, 61000, false), 5);
	assert_int_equal(loglimit_report(&limit, 61000, false), 0);
	assert_int_equal(passed(&limit, 61000, 12), 10);
	assert_int_equal(loglimit_report(&limit, 61001, true), 2);
	assert_int_equal(loglimit_report(&limit, 500000, true), 0);
	assert_int_equal(passed(&limit, 500000, 3), 3);
}

/* The first minute begins with the first line, also when the clock reads 0 or little. */
static void test_begins_with_the_first_line(void **state)
{
	struct loglimit limit;

	(void)state;
	loglimit_init(&limit, 1);
	assert_int_equal(loglimit_report(&limit, 0, false), 0);
	assert_int_equal(passed(&limit, 0, 3), 1);
	assert_int_equal(passed(&limit, 59999, 3), 0);
	assert_int_equal(passed(&limit, 60000, 3), 1);
}

static void test_none_allowed(void **state)
{
	struct loglimit limit;

	(void)state;
	loglimit_init(&limit, 0);
	assert_int_equal(passed(&limit, 5, 7), 0);
	assert_int_equal(loglimit_report(&limit, 5, true), 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_minutes),
		cmocka_unit_test(test_begins_with_the_first_line),
		cmocka_unit_test(test_none_allowed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
