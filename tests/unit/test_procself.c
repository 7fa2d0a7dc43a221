/* Unit tests of procself: on made-up directories, and on this process itself. */
#include "tcphealth/source/procself.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define ALL_KNOWN                                                                                  \
	(PROCSELF_CPU | PROCSELF_FDS | PROCSELF_MAX_FDS | PROCSELF_VM | PROCSELF_VM_MAX |          \
	 PROCSELF_RSS | PROCSELF_START)

/* A name that tries to look like the fields behind it. */
#define STAT_LINE                                                                                  \
	"42 (a) R 1 (2)\n) S 1 42 42 0 -1 4194560 100 0 0 0 250 150 0 0 20 0 3 0 12345 "           \
	"1048576 7 18446744073709551615 1 1 0 0 0 0 0 4096 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 "      \
	"0 0 0\n"

#define LIMITS_HEADER                                                                              \
	"Limit                     Soft Limit           Hard Limit           Units     \n"         \
	"Max cpu time              unlimited            unlimited            seconds   \n"

/* A directory that stands for /proc, with self/ in it. */
struct tree {
	char root[64];
	char self[80];
};

static void put_file(const struct tree *tree, const char *name, const char *text)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", tree->root, name);
	FILE *file = fopen(path, "we");
	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

static int tree_setup(void **state)
{
	static struct tree tree;
	char path[128];

	strcpy(tree.root, "/tmp/test_procself.XXXXXX");
	if (!mkdtemp(tree.root))
		return -1;
	snprintf(tree.self, sizeof(tree.self), "%s/self", tree.root);
	snprintf(path, sizeof(path), "%s/fd", tree.self);
	*state = &tree;
	return mkdir(tree.self, 0700) || mkdir(path, 0700) ? -1 : 0;
}

static int tree_teardown(void **state)
{
	static const char *const names[] = { "stat",        "self/stat",   "self/limits",
					     "self/fd/900", "self/fd/901", "self/fd/x9",
					     "self/fd",     "self",        "" };
	const struct tree *tree = *state;
	char path[128];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", tree->root, names[i]);
		if (remove(path) && errno != ENOENT)
			return -1;
	}
	return 0;
}

static void test_all_from_tree(void **state)
{
	const struct tree *tree = *state;
	struct procself self;

	put_file(tree, "stat", "cpu  1 2 3\nctxt 5\nbtime 1700000000\nprocesses 3\n");
	put_file(tree, "self/stat", STAT_LINE);
	put_file(
		tree, "self/limits",
		LIMITS_HEADER
		"Max open files            1024                 524288               files     \n"
		"Max address space         unlimited            unlimited            bytes     \n");
	put_file(tree, "self/fd/900", "");
	put_file(tree, "self/fd/901", "");
	put_file(tree, "self/fd/x9", "");

	procself_read(tree->self, &self);
	double ticks = (double)sysconf(_SC_CLK_TCK);
	assert_int_equal(self.known, ALL_KNOWN);
	assert_true(self.cpu_seconds == 400 / ticks);
	/* x87 computes with more digits than it stores. */
	double off = self.start_time_seconds - (1700000000 + 12345 / ticks);
	assert_true(off > -1e-6 && off < 1e-6);
	assert_int_equal(self.virtual_bytes, 1048576);
	assert_int_equal(self.resident_bytes, 7 * sysconf(_SC_PAGESIZE));
	assert_int_equal(self.open_fds, 2);
	assert_int_equal(self.max_fds, 1024);
	assert_int_equal(self.virtual_max_bytes, UINT64_MAX);
}

static void test_nothing_there(void **state)
{
	static char too_long[PATH_MAX + 10];
	struct procself self;

	(void)state;
	memset(&self, 0xff, sizeof(self));
	procself_read("/nonexistent/self", &self);
	assert_int_equal(self.known, 0);
	memset(too_long, '/', sizeof(too_long) - 1);
	procself_read(too_long, &self);
	assert_int_equal(self.known, 0);
}

static void test_broken_stat(void **state)
{
	static const struct {
		const char *text;
		uint32_t known; /* of what comes from this file */
	} cases[] = {
		{ "", 0 },
		{ "garbage", 0 },
		{ "42 (never closed S 1 2 3", 0 },
		{ "42 (x)", 0 },
		{ "42 (x) S 1 2 3\n", 0 },
		/* the last field is missing */
		{ "42 (x) S 1 1 1 0 -1 0 0 0 0 0 5 6 0 0 20 0 1 0 7 8\n", 0 },
		/* one field is none */
		{ "42 (x) S 1 1 1 0 -1 0 0 0 0 0 -5 6 0 0 20 0 1 0 7 8 9\n",
		  PROCSELF_VM | PROCSELF_RSS | PROCSELF_START },
		{ "42 (x) S 1 1 1 0 -1 0 0 0 0 0 5 6 0 0 20 0 1 0 7x 8 9\n",
		  PROCSELF_CPU | PROCSELF_VM | PROCSELF_RSS },
		{ "42 (x) S 1 1 1 0 -1 0 0 0 0 0 5 6 0 0 20 0 1 0 7 99999999999999999999 9\n",
		  PROCSELF_CPU | PROCSELF_RSS | PROCSELF_START },
		/* pages that do not fit into bytes */
		{ "42 (x) S 1 1 1 0 -1 0 0 0 0 0 5 6 0 0 20 0 1 0 7 8 18446744073709551615\n",
		  PROCSELF_CPU | PROCSELF_VM | PROCSELF_START },
	};
	const struct tree *tree = *state;
	struct procself self;

	put_file(tree, "stat", "btime 1700000000\n");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		put_file(tree, "self/stat", cases[i].text);
		procself_read(tree->self, &self);
		assert_int_equal(self.known, cases[i].known | PROCSELF_FDS);
	}
}

/* The line of interrupts is longer than any buffer, and comes first. */
static void test_boot_time_behind_long_line(void **state)
{
	const struct tree *tree = *state;
	static char text[20000];
	struct procself self;
	size_t used = (size_t)sprintf(text, "cpu  1\nintr 1");

	while (used < 15000)
		used += (size_t)sprintf(text + used, " btime 1");
	strcpy(text + used, "\nbtime 1600000000\n");
	put_file(tree, "stat", text);
	put_file(tree, "self/stat", STAT_LINE);
	procself_read(tree->self, &self);
	assert_true(self.known & PROCSELF_START);
	assert_true(self.start_time_seconds >= 1600000000);

	put_file(tree, "stat", "cpu 1\nbtime soon\n");
	procself_read(tree->self, &self);
	assert_false(self.known & PROCSELF_START);
	assert_true(self.known & PROCSELF_CPU);
}

static void test_limits(void **state)
{
	static const struct {
		const char *line;
		uint32_t known;
		uint64_t max_fds;
	} cases[] = {
		{ "Max open files            20000                20001   files\n",
		  PROCSELF_MAX_FDS, 20000 },
		{ "Max open files            unlimited            unlimited files\n",
		  PROCSELF_MAX_FDS, UINT64_MAX },
		{ "Max open files            \n", 0, 0 },
		{ "Max open files            -1 -1 files\n", 0, 0 },
		{ "Max open files            12k 12k files\n", 0, 0 },
		{ "Max open files            99999999999999999999 1 files\n", 0, 0 },
		{ "  Max open files          5 5 files\n", 0, 0 },
		{ "Max open files            5", PROCSELF_MAX_FDS, 5 },
	};
	const struct tree *tree = *state;
	struct procself self;
	char text[512];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(text, sizeof(text), LIMITS_HEADER "%s", cases[i].line);
		put_file(tree, "self/limits", text);
		procself_read(tree->self, &self);
		assert_int_equal(self.known & PROCSELF_MAX_FDS, cases[i].known);
		if (cases[i].known)
			assert_int_equal(self.max_fds, cases[i].max_fds);
		assert_false(self.known & PROCSELF_VM_MAX);
	}
}

static uint64_t count_open_fds(int max)
{
	uint64_t count = 0;

	for (int fd = 0; fd < max; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void test_own_process(void **state)
{
	struct procself before, after;
	struct rlimit limit;

	(void)state;
	procself_read("/proc/self", &before);
	assert_int_equal(before.known, ALL_KNOWN);
	assert_int_equal(before.open_fds, count_open_fds(4096));
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(before.max_fds, limit.rlim_cur);
	assert_true(before.resident_bytes > 0 && before.resident_bytes < before.virtual_bytes);
	assert_true(before.cpu_seconds >= 0);

	/* Two more descriptors are two more, and the reading itself leaves none behind. */
	int first = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int second = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_true(first >= 0 && second >= 0);
	procself_read("/proc/self", &after);
	assert_int_equal(after.open_fds, before.open_fds + 2);
	close(first);
	close(second);
	procself_read("/proc/self", &after);
	assert_int_equal(after.open_fds, before.open_fds);
	assert_true(after.start_time_seconds == before.start_time_seconds);
	assert_true(after.cpu_seconds >= before.cpu_seconds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_all_from_tree, tree_setup, tree_teardown),
		cmocka_unit_test(test_nothing_there),
		cmocka_unit_test_setup_teardown(test_broken_stat, tree_setup, tree_teardown),
		cmocka_unit_test_setup_teardown(test_boot_time_behind_long_line, tree_setup,
						tree_teardown),
		cmocka_unit_test_setup_teardown(test_limits, tree_setup, tree_teardown),
		cmocka_unit_test(test_own_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
