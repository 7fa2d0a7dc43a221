/* file: whole files and single lines. */
#include "tcphealth/base/file.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct scratch {
	char dir[64];
	char file[96];
};

static int make_scratch(void **state)
{
	struct scratch *scratch = calloc(1, sizeof(*scratch));

	assert_non_null(scratch);
	snprintf(scratch->dir, sizeof(scratch->dir), "/tmp/test_file.XXXXXX");
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

static void read_sizes(void **state)
{
	struct scratch *scratch = *state;
	char text[17];

	for (size_t len = 0; len < 20; len++) {
		ssize_t want = len < sizeof(text) ? (ssize_t)len : -EFBIG;

		write_bytes(scratch->file, len);
		memset(text, '#', sizeof(text));
		assert_int_equal(file_read(AT_FDCWD, scratch->file, text, sizeof(text)), want);
		/* What is too long is there as far as it fits. */
		assert_int_equal(strlen(text), want < 0 ? sizeof(text) - 1 : len);
		assert_memory_equal(text, "abcdefghijklmnopqrst", strlen(text));
	}
}

static void read_errors(void **state)
{
	struct scratch *scratch = *state;
	char text[8];

	assert_int_equal(file_read(AT_FDCWD, scratch->file, text, sizeof(text)), -ENOENT);
	assert_string_equal(text, "");
	assert_int_equal(file_read(AT_FDCWD, scratch->dir, text, sizeof(text)), -EISDIR);
	write_bytes(scratch->file, 0);
	assert_int_equal(file_read(AT_FDCWD, scratch->file, text, 1), 0);
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
		file_read(AT_FDCWD, scratch->file, text, sizeof(text));
		file_read(AT_FDCWD, scratch->dir, text, sizeof(text));
	}
	assert_int_equal(count_descriptors(), before);
}

/* More than a page of a real procfs file comes in several reads. */
static void read_real_file_of_several_pages(void **state)
{
	static char text[1 << 20];
	ssize_t len;

	(void)state;
	len = file_read(AT_FDCWD, "/proc/kallsyms", text, sizeof(text));
	if (len == -ENOENT)
		skip();
	assert_true(len == -EFBIG || len > 4096);
	len = file_read(AT_FDCWD, "/proc/self/stat", text, sizeof(text));
	assert_true(len > 0);
	assert_int_equal(strlen(text), len);
	assert_int_equal(strtol(text, NULL, 10), getpid());
}

static void read_below_a_directory(void **state)
{
	struct scratch *scratch = *state;
	int dir = open(scratch->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	char text[8];

	assert_true(dir >= 0);
	write_bytes(scratch->file, 5);
	assert_int_equal(file_read(dir, "file", text, sizeof(text)), 5);
	assert_string_equal(text, "abcde");
	assert_int_equal(file_read(dir, "other", text, sizeof(text)), -ENOENT);
	close(dir);
}

/* Nobody writes into it. */
static void read_does_not_wait(void **state)
{
	struct scratch *scratch = *state;
	char text[FILE_LINE_SIZE];

	assert_int_equal(mkfifo(scratch->file, 0600), 0);
	assert_int_equal(file_read(AT_FDCWD, scratch->file, text, sizeof(text)), 0);
	assert_false(file_find_line(AT_FDCWD, scratch->file, "a", text));
}

static void finds_a_line(void **state)
{
	static const struct {
		const char *prefix, *rest; /* NULL: not found */
	} cases[] = {
		{ "intr", "1\n" },
		{ "btime ", "1700000000\n" },
		{ "Max open files", "1024 4096 files\n" },
		{ "last", "" },
		{ "empty", "\n" },
		{ "nothing", NULL },
		{ "time", NULL },
		{ "1", NULL },
		{ "inner", NULL },
	};
	struct scratch *scratch = *state;
	FILE *file = fopen(scratch->file, "w");
	char text[FILE_LINE_SIZE];

	assert_non_null(file);
	fputs("intr 1\nctxt", file);
	/* Of one long line only the begin is a begin, wherever it is cut. */
	for (int i = 0; i < 3 * FILE_LINE_SIZE; i++)
		fputs(" inner", file);
	fputs("\nbtime 1700000000\nMax open files \t 1024 4096 files\nempty\nbtime 5\nlast", file);
	assert_int_equal(fclose(file), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool found = file_find_line(AT_FDCWD, scratch->file, cases[i].prefix, text);

		assert_int_equal(found, cases[i].rest != NULL);
		if (found)
			assert_string_equal(text, cases[i].rest);
	}
	assert_true(file_find_line(AT_FDCWD, scratch->file, "ctxt", text));
	assert_int_equal(strlen(text), FILE_LINE_SIZE - 1 - strlen("ctxt "));
	assert_false(file_find_line(AT_FDCWD, "/nonexistent/stat", "btime", text));
	assert_false(file_find_line(AT_FDCWD, scratch->dir, "btime", text));
}

int main(void)
{
#define SCRATCH_TEST(test) cmocka_unit_test_setup_teardown(test, make_scratch, drop_scratch)
	const struct CMUnitTest tests[] = {
		SCRATCH_TEST(read_sizes),
		SCRATCH_TEST(read_errors),
		SCRATCH_TEST(read_keeps_no_descriptor),
		cmocka_unit_test(read_real_file_of_several_pages),
		SCRATCH_TEST(read_below_a_directory),
		SCRATCH_TEST(read_does_not_wait),
		SCRATCH_TEST(finds_a_line),
	};

	return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
