/* units: the unit of a process by its cgroup file, and of a cgroup by its id. The names in paths are test_unit's. */
#include "tcphealth/source/units.h"

#include "tcphealth/base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static char path[] = "/tmp/test_units.XXXXXX";

static int make_file(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	return fd < 0 || close(fd) < 0 ? -1 : 0;
}

static int remove_file(void **state)
{
	(void)state;
	return remove(path);
}

static void write_text(const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void test_of_a_process(void **state)
{
	static const struct {
		const char *text, *unit;
	} cases[] = {
		{ "0::/system.slice/cron.service\n", "cron.service" },
		{ "9:cpu:/a\n1:name=systemd:/old.service\n0::/unified.service\n",
		  "unified.service" },
		{ "0::/system.slice/x.service (deleted)\n", "x.service" },
		{ "5:cpu:/a/0::/b\n0::/c.service\n", "c.service" },
		{ "0::/with:colons 0::/and \"quotes\"\n", "/with:colons 0::/and \"quotes\"" },
		/* hosts by cgroup1 */
		{ "4:pids:/a\n1:name=systemd:/system.slice/cron.service\n0::/\n", "cron.service" },
		{ "4:pids:/a\n1:name=systemd:/system.slice/cron.service\n", "cron.service" },
		{ "0::/\n", "" },
		{ "1:name=systemd:/\n0::/\n", "" },
		{ "4:pids:/a:name=systemd:/x\n", "" },
		{ "0:: (deleted)\n", "" },
		{ "", "" },
		{ "0::", "" },
		{ "0:\n:\n::\n", "" },
		{ "\n\n\n", "" },
	};
	char unit[UNIT_NAME_MAX];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		write_text(cases[i].text);
		assert_ptr_equal(units_of_process(AT_FDCWD, path, unit), unit);
		assert_string_equal(unit, cases[i].unit);
	}
	assert_string_equal(units_of_process(AT_FDCWD, "/nonexistent", unit), "");
}

/* Cut, a path would be the name of something else. */
static void test_of_a_process_in_too_many(void **state)
{
	static char text[65536];
	char unit[UNIT_NAME_MAX];
	size_t len = 0;

	(void)state;
	len += (size_t)sprintf(text, "0::/x.service\n");
	while (len < sizeof(text) - 64)
		len += (size_t)sprintf(text + len, "4:pids:/system.slice/cron.service\n");
	write_text(text);
	assert_string_equal(units_of_process(AT_FDCWD, path, unit), "");
}

static void test_kernel_cgroup(void **state)
{
	char text[4096];

	(void)state;
	if (file_read(AT_FDCWD, "/proc/self/cgroup", text, sizeof(text)) < 0)
		skip();
	assert_int_equal(units_kernel_cgroup(),
			 strstr(text, "0::/") != NULL && strstr(text, "0::/\n") == NULL);
}

static void test_unknown(void **state)
{
	struct units *units = units_new("/nonexistent", "/nonexistent");

	(void)state;
	assert_non_null(units);
	assert_string_equal(units_name(units, 4711, 1000), "");
	assert_string_equal(units_name(units, 0, 2000), "");
	assert_string_equal(units_name(NULL, 4711, 1000), "");
	units_free(units);
	units_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_of_a_process),
		cmocka_unit_test(test_of_a_process_in_too_many),
		cmocka_unit_test(test_kernel_cgroup),
		cmocka_unit_test(test_unknown),
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
