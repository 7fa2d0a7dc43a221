/* procfs: paths and whole files. */
#include "tcphealth/source/procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define FIXTURES "tests/fixtures/proc"

struct scratch {
	char dir[64];
	char file[96];
};

static int make_scratch(void **state)
{
	struct scratch *scratch = calloc(1, sizeof(*scratch));

	assert_non_null(scratch);
	snprintf(scratch->dir, sizeof(scratch->dir), "/tmp/test_procfs.XXXXXX");
	assert_non_null(mkdtemp(scratch->dir));
	snprintf(scratch->file, sizeof(scratch->file), "%s/file", scratch->dir);
	*state = scratch;
	return 0;
}

static int drop_scratch(void **state)
{
	struct scratch *scratch = *state;

	unlink(scratch->file);
	rmdir(scratch->dir);
	free(scratch);
	return 0;
}

static void write_bytes(const char *path, size_t len)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	for (size_t i = 0; i < len; i++)
		fputc('a' + (int)(i % 26), file);
	assert_int_equal(fclose(file), 0);
}

static void net_dir_is_the_threads(void **state)
{
	char dir[PATH_MAX];

	(void)state;
	assert_int_equal(procfs_net_dir("/proc", dir, sizeof(dir)), 0);
	assert_string_equal(dir, "/proc/thread-self/net");
}

static void net_dir_without_thread_self(void **state)
{
	char dir[PATH_MAX];

	(void)state;
	assert_int_equal(procfs_net_dir(FIXTURES, dir, sizeof(dir)), 0);
	assert_string_equal(dir, FIXTURES "/net");
}

static void net_dir_too_long(void **state)
{
	char dir[sizeof("/nonexistent/net")];
	char longer[PATH_MAX];

	(void)state;
	assert_int_equal(procfs_net_dir("/nonexistent", dir, sizeof(dir)), 0);
	assert_string_equal(dir, "/nonexistent/net");
	assert_int_equal(procfs_net_dir("/nonexistent1", dir, sizeof(dir)), -ENAMETOOLONG);
	assert_int_equal(procfs_net_dir("/nonexistent", dir, 0), -ENAMETOOLONG);
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(procfs_net_dir(longer, dir, sizeof(dir)), -ENAMETOOLONG);
}

static void read_sizes(void **state)
{
	struct scratch *scratch = *state;
	char text[17];

	for (size_t len = 0; len < 20; len++) {
		ssize_t want = len < sizeof(text) ? (ssize_t)len : -EFBIG;

		write_bytes(scratch->file, len);
		memset(text, '#', sizeof(text));
		assert_int_equal(procfs_read(scratch->file, text, sizeof(text)), want);
		assert_int_equal(strlen(text), want < 0 ? 0 : want);
		assert_memory_equal(text, "abcdefghijklmnopqrst", strlen(text));
	}
}

static void read_errors(void **state)
{
	struct scratch *scratch = *state;
	char text[8];

	assert_int_equal(procfs_read(scratch->file, text, sizeof(text)), -ENOENT);
	assert_string_equal(text, "");
	assert_int_equal(procfs_read(scratch->dir, text, sizeof(text)), -EISDIR);
	write_bytes(scratch->file, 0);
	assert_int_equal(procfs_read(scratch->file, text, 0), -EFBIG);
	assert_int_equal(procfs_read(scratch->file, text, 1), 0);
	assert_string_equal(text, "");
}

static int count_descriptors(void)
{
	int count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void read_keeps_no_descriptor(void **state)
{
	struct scratch *scratch = *state;
	char text[8];
	int before = count_descriptors();

	write_bytes(scratch->file, 100);
	for (int i = 0; i < 10; i++) {
		procfs_read(scratch->file, text, sizeof(text));
		procfs_read(scratch->dir, text, sizeof(text));
	}
	assert_int_equal(count_descriptors(), before);
}

/* More than a page of a real procfs file comes in several reads. */
static void read_real_file_of_several_pages(void **state)
{
	static char text[1 << 20];
	ssize_t len;

	(void)state;
	len = procfs_read("/proc/kallsyms", text, sizeof(text));
	if (len == -ENOENT)
		skip();
	assert_true(len == -EFBIG || len > 4096);
	len = procfs_read("/proc/self/stat", text, sizeof(text));
	assert_true(len > 0);
	assert_int_equal(strlen(text), len);
	assert_int_equal(strtol(text, NULL, 10), getpid());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(net_dir_is_the_threads),
		cmocka_unit_test(net_dir_without_thread_self),
		cmocka_unit_test(net_dir_too_long),
		cmocka_unit_test_setup_teardown(read_sizes, make_scratch, drop_scratch),
		cmocka_unit_test_setup_teardown(read_errors, make_scratch, drop_scratch),
		cmocka_unit_test_setup_teardown(read_keeps_no_descriptor, make_scratch,
						drop_scratch),
		cmocka_unit_test(read_real_file_of_several_pages),
	};

	return cmocka_run_group_tests_name("procfs", tests, NULL, NULL);
}
