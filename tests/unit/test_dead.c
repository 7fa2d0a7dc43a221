/*
 * Tests of dead: what is understood of another exporter's page, and what is not believed.
 */
#include "tcphealth/app/dead.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT "tcphealth_stale_unit_connections"
#define AGE   "tcphealth_stale_unit_oldest_seconds"

static void test_rows(void **state)
{
	static const char page[] =
		"# TYPE " COUNT " gauge\n" COUNT
		"{role=\"server\",port=\"80\",reason=\"dead\",unit=\"a.service\"} 3\n" COUNT
		"{role=\"server\",port=\"80\",reason=\"close_wait\",unit=\"a.service\"} 4\n" COUNT
		"{netns=\"blue\",role=\"client\",port=\"other\",reason=\"dead\",unit="
		"\"q\\\"\\\\\\nx\"} 1\n"
		"# TYPE " AGE " gauge\n" AGE
		"{role=\"server\",port=\"80\",reason=\"dead\",unit=\"a.service\"} 61\n# EOF\n";
	struct dead dead;

	(void)state;
	assert_int_equal(dead_parse(page, &dead), 0);
	assert_int_equal(dead.count, 2);
	assert_string_equal(dead.rows[0].unit, "a.service");
	assert_string_equal(dead.rows[0].role, "server");
	assert_string_equal(dead.rows[0].port, "80");
	assert_string_equal(dead.rows[0].netns, "");
	assert_int_equal(dead.rows[0].connections, 3);
	assert_int_equal(dead.rows[0].oldest_seconds, 61);
	assert_string_equal(dead.rows[1].netns, "blue");
	assert_string_equal(dead.rows[1].port, "other");
	assert_null(strchr(dead.rows[1].unit, '\n'));
	dead_done(&dead);
}

static void test_what_is_not_understood_is_left_out(void **state)
{
	static const char *const lines[] = {
		COUNT "{",
		COUNT "{reason=\"dead",
		COUNT "{reason=\"dead\"",
		COUNT "{reason=\"dead\"}",
		COUNT "{reason=\"dead\"} ",
		COUNT "{reason=\"dead\"} many",
		COUNT "{reason=\"dead\\",
		COUNT "{reason",
		COUNT "{reason=\"deadly\"} 1",
		COUNT "{reason=dead} 1\"",
	};
	char page[256];
	struct dead dead;

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		(void)snprintf(page, sizeof(page), "%s\n# EOF\n", lines[i]);
		assert_int_equal(dead_parse(page, &dead), 0);
		assert_int_equal(dead.count, 0);
		dead_done(&dead);
	}
}

/* It broke off, or is of something else. */
static void test_whole_page_only(void **state)
{
	struct dead dead;

	(void)state;
	assert_int_equal(dead_parse("", &dead), -EPROTO);
	dead_done(&dead);
	assert_int_equal(dead_parse(COUNT "{reason=\"dead\",unit=\"a\"} 1\n", &dead), -EPROTO);
	dead_done(&dead);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_what_is_not_understood_is_left_out),
		cmocka_unit_test(test_whole_page_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
