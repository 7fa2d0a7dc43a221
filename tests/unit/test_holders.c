/* holders: a process table made of files, with hostile content, and the real one. */
#include "tcphealth/source/holders.h"

#include "tcphealth/base/clock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define BAD          "\xef\xbf\xbd"
#define NOBODY       65534
#define MANY         64
#define BUDGET_MS    60000
#define LENGTH(list) (sizeof(list) / sizeof((list)[0]))

struct fixture {
	char dir[64];
	struct holder found[MANY];
	struct holders_result result;
};

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	assert_non_null(fixture);
	strcpy(fixture->dir, "/tmp/test_holders.XXXXXX");
	assert_non_null(mkdtemp(fixture->dir));
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	nftw(fixture->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(fixture);
	return 0;
}

static void make_dir(const struct fixture *fixture, const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", fixture->dir, name);
	assert_true(mkdir(path, 0755) == 0 || errno == EEXIST);
}

static void make_file(const struct fixture *fixture, const char *name, const char *text)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", fixture->dir, name);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void make_fd(const struct fixture *fixture, const char *pid, const char *fd,
		    const char *target)
{
	char path[256];

	make_dir(fixture, pid);
	snprintf(path, sizeof(path), "%s/fd", pid);
	make_dir(fixture, path);
	snprintf(path, sizeof(path), "%s/%s/fd/%s", fixture->dir, pid, fd);
	assert_int_equal(symlink(target, path), 0);
}

static int find_in(struct fixture *fixture, const char *procfs, const uint32_t *inodes,
		   size_t count)
{
	return holders_find(procfs, "/nonexistent", inodes, count, BUDGET_MS, fixture->found, MANY,
			    &fixture->result);
}

static size_t count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

/* --- made tables --- */

static void finds_by_inode(void **state)
{
	static const uint32_t inodes[] = { 5, 70, 71, 900, 4294967295 };
	static const struct {
		uint32_t inode;
		pid_t pid;
		int fd;
	} expected[] = {
		{ 5, 9, 3 },  { 5, 10, 3 }, { 5, 10, 12 },          { 70, 9, 4 },
		{ 71, 2, 0 }, { 71, 9, 5 }, { 4294967295u, 10, 4 },
	};
	struct fixture *fixture = *state;

	make_fd(fixture, "10", "3", "socket:[5]");
	make_fd(fixture, "10", "12", "socket:[5]");
	make_fd(fixture, "10", "4", "socket:[4294967295]");
	make_fd(fixture, "9", "3", "socket:[5]");
	make_fd(fixture, "9", "4", "socket:[70]");
	make_fd(fixture, "9", "5", "socket:[71]");
	make_fd(fixture, "9", "6", "socket:[72]");
	make_fd(fixture, "2", "0", "socket:[71]");
	assert_int_equal(find_in(fixture, fixture->dir, inodes, LENGTH(inodes)), 0);
	assert_int_equal(fixture->result.count, LENGTH(expected));
	assert_int_equal(fixture->result.processes, 3);
	for (size_t i = 0; i < LENGTH(expected); i++) {
		assert_int_equal(fixture->found[i].inode, expected[i].inode);
		assert_int_equal(fixture->found[i].pid, expected[i].pid);
		assert_int_equal(fixture->found[i].fd, expected[i].fd);
	}
}

static void skips_what_is_no_socket_or_process(void **state)
{
	static const uint32_t inodes[] = { 1, 7 };
	static const char *const targets[] = {
		"pipe:[7]",
		"/dev/null",
		"socket:[]",
		"socket:[x7]",
		"socket:7",
		"socket:[7",
		"socket:[4294967303]",
		"socket:[-7]",
		"socket:[ 7]",
		"anon_inode:[7]",
		"xsocket:[7]",
		"socket:[18446744073709551623]",
	};
	struct fixture *fixture = *state;
	char number[16];

	for (size_t i = 0; i < LENGTH(targets); i++) {
		snprintf(number, sizeof(number), "%zu", i);
		make_fd(fixture, "7", number, targets[i]);
	}
	make_fd(fixture, "7", "name", "socket:[7]");
	make_fd(fixture, "7", "99999999999", "socket:[7]");
	make_fd(fixture, "self", "3", "socket:[7]");
	make_fd(fixture, "7a", "3", "socket:[7]");
	make_fd(fixture, "4294967303", "3", "socket:[7]");
	make_dir(fixture, "8"); /* gone while it is looked at: no fd */
	make_file(fixture, "9", "no directory");
	assert_int_equal(find_in(fixture, fixture->dir, inodes, LENGTH(inodes)), 0);
	assert_int_equal(fixture->result.count, 0);
	assert_int_equal(fixture->result.processes, 3);
	assert_int_equal(fixture->result.denied, 0);
	assert_false(fixture->result.truncated || fixture->result.timed_out);
}

static void cleans_names(void **state)
{
	static const uint32_t inodes[] = { 7 };
	static const struct {
		const char *comm, *expected;
	} cases[] = {
		{ "nginx\n", "nginx" },
		{ "a b) (c\n", "a b) (c" },
		{ "two\nlines\n", "two" BAD "lines" },
		{ "\x1b[2J\x7f\t\n", BAD "[2J" BAD BAD },
		{ "gr\xc3\xbc\xff\n", "gr\xc3\xbc" BAD },
		{ "\xc2\x9bx\xc2\n", BAD "x" BAD },
		{ "\"\\}\n", "\"\\}" },
		{ "", "" },
		{ "\n", "" },
		{ "0123456789012345678901234567890123456789012345678901234567890123456789\n",
		  "012345678901234567890123456789012345678901234567890123456789012" },
	};
	struct fixture *fixture = *state;

	make_fd(fixture, "7", "3", "socket:[7]");
	for (size_t i = 0; i < LENGTH(cases); i++) {
		make_file(fixture, "7/comm", cases[i].comm);
		assert_int_equal(find_in(fixture, fixture->dir, inodes, 1), 0);
		assert_int_equal(fixture->result.count, 1);
		assert_string_equal(fixture->found[0].comm, cases[i].expected);
	}
}

#define FIELDS "S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 "

static void reads_start_times(void **state)
{
	static const uint32_t inodes[] = { 7 };
	static const struct {
		const char *stat, *boot;
		double expected; /* ticks after the boot at 1000, 0: unknown */
	} cases[] = {
		{ "7 (sh) " FIELDS "250 99 1\n", "cpu 1 2\nintr 5\nbtime 1000\n", 250 },
		{ "7 (a) b) 1 2 (c) " FIELDS "250 99 1\n", "btime 1000\n", 250 },
		{ "7 ()\n) " FIELDS "250 99 1\n", "btime 1000\n", 250 },
		{ "7 (sh) " FIELDS "250", "btime 1000", 250 },
		{ "7 (sh) " FIELDS "\n", "btime 1000\n", 0 },
		{ "7 (sh) " FIELDS "x\n", "btime 1000\n", 0 },
		{ "7 (sh) S 1 2 3\n", "btime 1000\n", 0 },
		{ "7 (sh", "btime 1000\n", 0 },
		{ "", "btime 1000\n", 0 },
		{ "7 (sh) " FIELDS "99999999999999999999999 1\n", "btime 1000\n", 0 },
		{ "7 (sh) " FIELDS "250 99 1\n", "", 0 },
		{ "7 (sh) " FIELDS "250 99 1\n", "xbtime 1000\nbtime x\n", 0 },
	};
	double ticks_per_second = (double)sysconf(_SC_CLK_TCK);
	struct fixture *fixture = *state;

	make_fd(fixture, "7", "3", "socket:[7]");
	for (size_t i = 0; i < LENGTH(cases); i++) {
		double expected = cases[i].expected;

		if (expected > 0)
			expected = 1000 + expected / ticks_per_second;
		make_file(fixture, "7/stat", cases[i].stat);
		make_file(fixture, "stat", cases[i].boot);
		assert_int_equal(find_in(fixture, fixture->dir, inodes, 1), 0);
		assert_float_equal(fixture->found[0].start_time_seconds, expected, 1e-6);
	}
}

/* A line of all interrupts that is longer than any buffer, and holds the word where a buffer may begin. */
static void reads_the_boot_time_behind_a_long_line(void **state)
{
	static const uint32_t inodes[] = { 7 };
	struct fixture *fixture = *state;
	char *text = malloc(100000);

	assert_non_null(text);
	size_t len = (size_t)sprintf(text, "intr");
	while (len < 90000)
		len += (size_t)sprintf(text + len, " btime 5");
	sprintf(text + len, "\nbtime 1000\n");
	make_fd(fixture, "7", "3", "socket:[7]");
	make_file(fixture, "7/stat", "7 (sh) " FIELDS "0 1\n");
	make_file(fixture, "stat", text);
	free(text);
	assert_int_equal(find_in(fixture, fixture->dir, inodes, 1), 0);
	assert_float_equal(fixture->found[0].start_time_seconds, 1000, 1e-6);
}

static void reads_units(void **state)
{
	static const uint32_t inodes[] = { 7 };
	struct fixture *fixture = *state;

	make_fd(fixture, "7", "3", "socket:[7]");
	make_file(fixture, "7/cgroup", "0::/system.slice/cron.service\n");
	assert_int_equal(find_in(fixture, fixture->dir, inodes, 1), 0);
	assert_string_equal(fixture->found[0].unit.claimed, "system.slice/cron.service");
}

static void stops_when_full(void **state)
{
	static const uint32_t inodes[] = { 7 };
	struct fixture *fixture = *state;

	make_fd(fixture, "7", "3", "socket:[7]");
	make_fd(fixture, "7", "4", "socket:[7]");
	for (size_t max = 0; max <= 2; max++) {
		memset(fixture->found, 0, sizeof(fixture->found));
		assert_int_equal(holders_find(fixture->dir, "/nonexistent", inodes, 1, BUDGET_MS,
					      fixture->found, max, &fixture->result),
				 0);
		assert_int_equal(fixture->result.count, max);
		assert_int_equal(fixture->result.truncated, max < 2);
		assert_int_equal(fixture->found[max].pid, 0);
	}
}

static void stops_in_time(void **state)
{
	static const uint32_t inodes[] = { 7 };
	struct fixture *fixture = *state;

	make_fd(fixture, "7", "3", "socket:[7]");
	assert_int_equal(holders_find(fixture->dir, "/nonexistent", inodes, 1, 0, fixture->found,
				      MANY, &fixture->result),
			 0);
	assert_true(fixture->result.timed_out);
	assert_int_equal(fixture->result.processes, 0);
	assert_int_equal(holders_find(fixture->dir, "/nonexistent", inodes, 1, UINT64_MAX,
				      fixture->found, MANY, &fixture->result),
			 0);
	assert_false(fixture->result.timed_out);
	assert_int_equal(fixture->result.count, 1);
}

static void needs_a_process_table(void **state)
{
	static const uint32_t inodes[] = { 7 };
	struct fixture *fixture = *state;

	assert_int_equal(find_in(fixture, "/nonexistent", inodes, 1), -ENOENT);
	assert_int_equal(find_in(fixture, fixture->dir, inodes, 1), 0);
	assert_int_equal(fixture->result.processes, 0);
	/* nothing asked for */
	make_fd(fixture, "7", "3", "socket:[7]");
	assert_int_equal(find_in(fixture, fixture->dir, NULL, 0), 0);
	assert_int_equal(fixture->result.count, 0);
}

/* --- the real one --- */

static uint32_t inode_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return (uint32_t)st.st_ino;
}

static void finds_itself_and_a_child(void **state)
{
	struct fixture *fixture = *state;
	int fd = socket(AF_INET, SOCK_STREAM, 0), ends[2];
	uint32_t inode = inode_of(fd);
	char byte = 0;

	assert_int_equal(pipe(ends), 0);
	pid_t child = fork();
	if (child == 0) {
		prctl(PR_SET_NAME, "a) b\n\xff\"");
		dup2(fd, 100);
		close(fd);
		_exit(write(ends[1], &byte, 1) != 1 || pause());
	}
	assert_int_equal(read(ends[0], &byte, 1), 1);
	assert_int_equal(find_in(fixture, "/proc", &inode, 1), 0);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	assert_int_equal(fixture->result.count, 2);
	const struct holder *own = &fixture->found[fixture->found[0].pid == getpid() ? 0 : 1];
	const struct holder *other = &fixture->found[fixture->found[0].pid == getpid() ? 1 : 0];
	assert_int_equal(own->fd, fd);
	char comm[16]; /* TASK_COMM_LEN */
	assert_int_equal(prctl(PR_GET_NAME, comm), 0);
	assert_string_equal(own->comm, comm);
	assert_int_equal(other->pid, child);
	assert_int_equal(other->fd, 100);
	assert_string_equal(other->comm, "a) b" BAD BAD "\"");
	assert_true(other->start_time_seconds > 0);
	assert_true(other->start_time_seconds <= clock_wall() + 2);
	assert_true(other->start_time_seconds >= clock_wall() - 300);
	close(fd);
	close(ends[0]);
	close(ends[1]);
}

/* As an unprivileged user it cannot look into other users' processes, and says of how many. */
static int look_as_nobody(struct fixture *fixture, const uint32_t *inode)
{
	size_t denied_to_root = fixture->result.denied;

	if (setgroups(0, NULL) || setgid(NOBODY) || setuid(NOBODY))
		return 1;
	if (find_in(fixture, "/proc", inode, 1))
		return 2;
	if (fixture->result.denied <= denied_to_root ||
	    fixture->result.processes < fixture->result.denied)
		return 3;
	return fixture->result.count == 0 ? 0 : 4;
}

static void says_what_it_may_not_see(void **state)
{
	struct fixture *fixture = *state;
	int fd, status;

	if (geteuid() != 0)
		skip();
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint32_t inode = inode_of(fd);
	assert_int_equal(find_in(fixture, "/proc", &inode, 1), 0);
	assert_int_equal(fixture->result.count, 1);
	pid_t child = fork();
	if (child == 0) {
		close(fd);
		_exit(look_as_nobody(fixture, &inode));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	close(fd);
}

static void survives_processes_that_vanish(void **state)
{
	struct fixture *fixture = *state;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint32_t inode = inode_of(fd);
	size_t fds = count_fds(), denied;
	pid_t child;

	assert_int_equal(find_in(fixture, "/proc", &inode, 1), 0);
	denied = fixture->result.denied;
	child = fork();
	if (child == 0) {
		/* Ends with its parent, should the test fail. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;) {
			pid_t brief = fork();

			if (brief == 0)
				_exit(0);
			waitpid(brief, NULL, 0);
		}
	}
	/* Where others hold a million descriptors a look takes seconds. */
	uint64_t enough_ms = clock_mono_ms() + 5000;
	for (int i = 0; i < 200 && (i < 3 || clock_mono_ms() < enough_ms); i++) {
		assert_int_equal(find_in(fixture, "/proc", &inode, 1), 0);
		assert_in_range(fixture->result.count, 1, 3);
		/* To have ended is not to be forbidden. */
		if (geteuid() == 0)
			assert_in_range(fixture->result.denied, 0, denied);
	}
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	assert_int_equal(count_fds(), fds);
	close(fd);
}

/* Many descriptors: the budget ends the scan within a process. */
static int look_with_many_fds(struct fixture *fixture)
{
	const uint32_t inode = 1;
	struct rlimit limit;
	int last = 0;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	for (int fd; last < 20000 && (fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0;)
		last = fd;
	if (last < 10000)
		return 77;
	/* Room for what the scan itself opens. */
	for (int i = 0; i < 8; i++)
		close(last - i);
	uint64_t start = clock_mono_ms();
	int err = holders_find("/proc", "", &inode, 1, 4, fixture->found, MANY, &fixture->result);
	uint64_t took = clock_mono_ms() - start;
	if (err || !fixture->result.timed_out)
		return 1;
	return took < 500 ? 0 : 2;
}

static void keeps_to_its_budget(void **state)
{
	struct fixture *fixture = *state;
	int status;
	pid_t child = fork();

	if (child == 0)
		_exit(look_with_many_fds(fixture));
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(status, 0);
}

static int look_without_fds(struct fixture *fixture, const uint32_t *inode)
{
	const struct rlimit limit = { 64, 64 };
	int fd, last = -1;

	if (setrlimit(RLIMIT_NOFILE, &limit))
		return 1;
	while ((fd = open("/dev/null", O_RDONLY)) >= 0)
		last = fd;
	if (find_in(fixture, "/proc", inode, 1) != -EMFILE)
		return 2;
	/* One is enough for the table, not for a process. */
	close(last);
	return find_in(fixture, "/proc", inode, 1) == -EMFILE ? 0 : 3;
}

static void says_that_descriptors_are_short(void **state)
{
	const uint32_t inode = 7;
	int status;
	pid_t child = fork();

	if (child == 0)
		_exit(look_without_fds(*state, &inode));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(finds_by_inode),
		test(skips_what_is_no_socket_or_process),
		test(cleans_names),
		test(reads_start_times),
		test(reads_the_boot_time_behind_a_long_line),
		test(reads_units),
		test(stops_when_full),
		test(stops_in_time),
		test(needs_a_process_table),
		test(finds_itself_and_a_child),
		test(says_what_it_may_not_see),
		test(survives_processes_that_vanish),
		test(keeps_to_its_budget),
		test(says_that_descriptors_are_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
