/* procfs: paths. */
#include "tcphealth/source/procfs.h"

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define FIXTURES "tests/fixtures/proc"

static void net_dir_is_the_threads(void **state)
{
	char dir[PATH_MAX];

	(void)state;
	assert_int_equal(procfs_net_dir("/proc", 0, dir, sizeof(dir)), 0);
	assert_string_equal(dir, "/proc/thread-self/net");
}

static void net_dir_of_a_process(void **state)
{
	char dir[PATH_MAX];

	(void)state;
	assert_int_equal(procfs_net_dir("/proc", 4711, dir, sizeof(dir)), 0);
	assert_string_equal(dir, "/proc/4711/net");
	assert_int_equal(procfs_net_dir("/proc", INT_MAX, dir, 20), -ENAMETOOLONG);
}

static void net_dir_without_thread_self(void **state)
{
	char dir[PATH_MAX];

	(void)state;
	assert_int_equal(procfs_net_dir(FIXTURES, 0, dir, sizeof(dir)), 0);
	assert_string_equal(dir, FIXTURES "/net");
}

static void net_dir_too_long(void **state)
{
	char dir[sizeof("/nonexistent/net")];
	char longer[PATH_MAX];

	(void)state;
	assert_int_equal(procfs_net_dir("/nonexistent", 0, dir, sizeof(dir)), 0);
	assert_string_equal(dir, "/nonexistent/net");
	assert_int_equal(procfs_net_dir("/nonexistent1", 0, dir, sizeof(dir)), -ENAMETOOLONG);
	assert_int_equal(procfs_net_dir("/nonexistent", 0, dir, 0), -ENAMETOOLONG);
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(procfs_net_dir(longer, 0, dir, sizeof(dir)), -ENAMETOOLONG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(net_dir_is_the_threads),
		cmocka_unit_test(net_dir_of_a_process),
		cmocka_unit_test(net_dir_without_thread_self),
		cmocka_unit_test(net_dir_too_long),
	};

	return cmocka_run_group_tests_name("procfs", tests, NULL, NULL);
}
