/*
 * cgroupfs: real hierarchies, those that mountinfo tells of, and directories that are handed to
 * others.
 */
#include "tcphealth/source/cgroupfs.h"

#include "helpers/cgroupdir.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* Directories of the test's own in both hierarchies, and one for files. */
struct fixture {
	struct cgroupdir unified, legacy;
	char scratch[64];
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	assert_non_null(fixture);
	cgroupdir_init(&fixture->unified, CGROUPDIR_UNIFIED);
	cgroupdir_init(&fixture->legacy, CGROUPDIR_LEGACY);
	strcpy(fixture->scratch, "/tmp/test_cgroupfs.XXXXXX");
	assert_non_null(mkdtemp(fixture->scratch));
	*state = fixture;
	return 0;
}

static void empty_scratch(const struct fixture *fixture)
{
	static const char *const names[] = { "self/mountinfo", "self",    "a b\\",
					     "other",          "unified", "systemd" };
	char path[128];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", fixture->scratch, names[i]);
		remove(path);
	}
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	cgroupdir_done(&fixture->unified);
	cgroupdir_done(&fixture->legacy);
	empty_scratch(fixture);
	rmdir(fixture->scratch);
	free(fixture);
	return 0;
}

static struct fixture *need_unified(void **state)
{
	struct fixture *fixture = *state;

	if (!fixture->unified.dir[0])
		skip();
	return fixture;
}

static uint64_t id_of_fd(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ino;
}

/* --- where they are --- */

static void finds_the_hosts_own(void **state)
{
	struct fixture *fixture = need_unified(state);
	struct cgroupfs cgroupfs;

	assert_int_equal(cgroupfs_open(NULL, "/proc", CGROUPFS_UNIFIED, &cgroupfs), 0);
	assert_int_equal(id_of_fd(cgroupfs.fd), cgroupdir_id(fixture->unified.mount));
	assert_string_equal(cgroupfs.root, "/");
	assert_int_equal(cgroupfs.hybrid, strcmp(fixture->unified.mount, "/sys/fs/cgroup") != 0);
	cgroupfs_close(&cgroupfs);
}

static void finds_what_is_below_the_root_given(void **state)
{
	struct fixture *fixture = need_unified(state);
	struct cgroupfs cgroupfs;
	char link[128];

	snprintf(link, sizeof(link), "%s/unified", fixture->scratch);
	assert_int_equal(cgroupfs_open(fixture->scratch, "/proc", CGROUPFS_UNIFIED, &cgroupfs),
			 -ENOENT);
	assert_int_equal(symlink(fixture->unified.dir, link), 0);
	assert_int_equal(cgroupfs_open(fixture->scratch, "/proc", CGROUPFS_UNIFIED, &cgroupfs), 0);
	assert_int_equal(id_of_fd(cgroupfs.fd), cgroupdir_id(fixture->unified.dir));
	assert_true(cgroupfs.hybrid);
	cgroupfs_close(&cgroupfs);
	assert_int_equal(cgroupfs_open(link, "/proc", CGROUPFS_UNIFIED, &cgroupfs), 0);
	assert_int_equal(id_of_fd(cgroupfs.fd), cgroupdir_id(fixture->unified.dir));
	cgroupfs_close(&cgroupfs);
}

static void finds_systemds_own(void **state)
{
	struct fixture *fixture = *state;
	struct cgroupfs cgroupfs;
	char link[128];

	if (!fixture->legacy.dir[0])
		skip();
	assert_int_equal(cgroupfs_open("", "/proc", CGROUPFS_SYSTEMD, &cgroupfs), 0);
	assert_int_equal(id_of_fd(cgroupfs.fd), cgroupdir_id(fixture->legacy.mount));
	assert_false(cgroupfs.hybrid);
	cgroupfs_close(&cgroupfs);
	assert_int_equal(
		cgroupfs_open("/sys/fs/cgroup", "/nonexistent", CGROUPFS_SYSTEMD, &cgroupfs), 0);
	assert_int_equal(id_of_fd(cgroupfs.fd), cgroupdir_id(fixture->legacy.mount));
	cgroupfs_close(&cgroupfs);
	snprintf(link, sizeof(link), "%s/systemd", fixture->scratch);
	assert_int_equal(symlink(fixture->legacy.dir, link), 0);
	assert_int_equal(cgroupfs_open(fixture->scratch, "/proc", CGROUPFS_SYSTEMD, &cgroupfs), 0);
	assert_int_equal(id_of_fd(cgroupfs.fd), cgroupdir_id(fixture->legacy.dir));
	cgroupfs_close(&cgroupfs);
}

static void finds_nothing_else(void **state)
{
	static const char *const roots[] = { "/nonexistent", "/tmp", "/proc/self/stat" };
	struct fixture *fixture = *state;
	struct cgroupfs cgroupfs;

	for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++) {
		assert_true(cgroupfs_open(roots[i], "/proc", CGROUPFS_UNIFIED, &cgroupfs) < 0);
		assert_true(cgroupfs_open(roots[i], "/proc", CGROUPFS_SYSTEMD, &cgroupfs) < 0);
		assert_int_equal(cgroupfs.fd, -1);
		cgroupfs_close(&cgroupfs);
	}
	/* the one is not the other */
	if (fixture->legacy.dir[0])
		assert_true(cgroupfs_open(fixture->legacy.dir, "/proc", CGROUPFS_UNIFIED,
					  &cgroupfs) < 0);
	if (fixture->unified.dir[0])
		assert_true(cgroupfs_open(fixture->unified.dir, "/proc", CGROUPFS_SYSTEMD,
					  &cgroupfs) < 0);
}

/* Writes `text`, with the scratch directory for "@", as the mountinfo of a process table there. */
static void write_mountinfo(const struct fixture *fixture, const char *text)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/self", fixture->scratch);
	assert_true(mkdir(path, 0755) == 0 || errno == EEXIST);
	snprintf(path, sizeof(path), "%s/self/mountinfo", fixture->scratch);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	for (const char *at = text; *at; at++) {
		if (*at == '@')
			fputs(fixture->scratch, file);
		else
			fputc(*at, file);
	}
	assert_int_equal(fclose(file), 0);
}

static void link_mount(const struct fixture *fixture, const char *name, const char *target)
{
	char from[128], to[256];

	snprintf(from, sizeof(from), "%s/%s", fixture->scratch, name);
	snprintf(to, sizeof(to), "%s%s", fixture->unified.dir, target);
	assert_int_equal(symlink(to, from), 0);
}

/*
 * "@" is a directory with links: "a b\" leads to the cgroup "one", "other" to "two", "plain" is
 * missing.
 */
static void reads_mountinfo(void **state)
{
	static const struct {
		const char *text;
		const char *found; /* the cgroup whose path is "/", NULL: that of the host's root */
	} cases[] = {
		{ "31 1 0:27 / @/a\\040b\\134 rw - cgroup2 cgroup2 rw\n", "one" },
		{ "31 1 0:27 / @/other rw shared:7 master:3 - cgroup2 none rw,nsdelegate\n",
		  "two" },
		{ "30 1 0:1 / / rw - ext4 /dev/vda rw\n"
		  "31 1 0:2 / @/other rw - cgroup cgroup2 rw\n"
		  "32 1 0:27 / @/a\\040b\\134 rw - cgroup2 cgroup2 rw\n",
		  "one" },
		/* of the whole before of a part, and the first of each */
		{ "31 1 0:27 /part @/other rw - cgroup2 cgroup2 rw\n"
		  "32 1 0:27 / @/a\\040b\\134 rw - cgroup2 cgroup2 rw\n"
		  "33 1 0:27 / @/other rw - cgroup2 cgroup2 rw\n",
		  "one" },
		{ "31 1 0:27 /part @/other rw - cgroup2 cgroup2 rw\n"
		  "32 1 0:27 /part @/a\\040b\\134 rw - cgroup2 cgroup2 rw\n",
		  "two" },
		/* one that cannot be opened */
		{ "31 1 0:27 /part @/other rw - cgroup2 cgroup2 rw\n"
		  "31 1 0:27 / @/plain rw - cgroup2 cgroup2 rw\n",
		  "two" },
		/* nothing of use: the usual places */
		{ "", NULL },
		{ "31 1 0:27 / @/plain rw - cgroup2 cgroup2 rw\n", NULL },
		{ "31 1 0:27 - cgroup2 cgroup2 rw\n", NULL },
		{ " - cgroup2 \n - - -\n\\\n", NULL },
		{ "31 1 0:27 / @/other rw - cgroup2\n", NULL },
	};
	struct fixture *fixture = need_unified(state);
	struct cgroupfs cgroupfs;
	char path[256];

	assert_true(cgroupdir_make(&fixture->unified, "one"));
	assert_true(cgroupdir_make(&fixture->unified, "two"));
	link_mount(fixture, "a b\\", "/one");
	link_mount(fixture, "other", "/two");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		write_mountinfo(fixture, cases[i].text);
		snprintf(path, sizeof(path), "%s/%s", fixture->unified.dir, cases[i].found);
		uint64_t id = cgroupdir_id(cases[i].found ? path : fixture->unified.mount);
		assert_int_equal(cgroupfs_open("", fixture->scratch, CGROUPFS_UNIFIED, &cgroupfs),
				 0);
		assert_int_equal(id_of_fd(cgroupfs.fd), id);
		cgroupfs_close(&cgroupfs);
	}
}

/* What is mounted where the root given says: paths of processes begin with it. */
static void knows_what_part_is_mounted(void **state)
{
	static const struct {
		const char *text, *place, *root;
	} cases[] = {
		{ "31 1 0:27 /../../.. @/other rw - cgroup2 cgroup2 rw\n", "/other", "/../../.." },
		{ "31 1 0:27 / @/a\\040b\\134 rw - cgroup2 cgroup2 rw\n"
		  "32 1 0:27 /docker/a\\040b @/other rw - cgroup2 cgroup2 rw\n",
		  "/other", "/docker/a b" },
		{ "31 1 0:27 /part @/other/unified rw - cgroup2 cgroup2 rw\n", "/other", "/" },
		{ "31 1 0:27 /part @/otherwise rw - cgroup2 cgroup2 rw\n", "/other", "/" },
		{ "31 1 0:27 /part @/other rw - cgroup cgroup rw,name=systemd\n", "/other", "/" },
	};
	struct fixture *fixture = need_unified(state);
	struct cgroupfs cgroupfs;
	char root[128];

	assert_true(cgroupdir_make(&fixture->unified, "one"));
	assert_true(cgroupdir_make(&fixture->unified, "two"));
	link_mount(fixture, "a b\\", "/one");
	link_mount(fixture, "other", "/two");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		write_mountinfo(fixture, cases[i].text);
		snprintf(root, sizeof(root), "%s%s", fixture->scratch, cases[i].place);
		assert_int_equal(cgroupfs_open(root, fixture->scratch, CGROUPFS_UNIFIED, &cgroupfs),
				 0);
		assert_string_equal(cgroupfs.root, cases[i].root);
		cgroupfs_close(&cgroupfs);
	}
}

/* --- who names what --- */

static void tells_roots_directories(void **state)
{
	static const struct {
		uid_t uid;
		gid_t gid;
		mode_t mode;
		bool is_roots;
	} cases[] = {
		{ 0, 0, 0755, true },      { 0, 0, 0775, true },     { 0, 1000, 0755, true },
		{ 0, 1000, 0555, true },   { 0, 1000, 0775, false }, { 0, 0, 0757, false },
		{ 1000, 0, 0755, false },  { 1000, 0, 0555, false }, { 65534, 0, 0755, false },
		{ 0, 65534, 0775, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct stat st = { .st_uid = cases[i].uid,
				   .st_gid = cases[i].gid,
				   .st_mode = S_IFDIR | cases[i].mode };

		assert_int_equal(cgroupfs_is_roots(&st), cases[i].is_roots);
	}
}

/*
 * The path that a process has as seen from a mount of `root`; NULL: root named nothing that can be
 * seen.
 */
static void expect_owned(int fd, const char *root, const char *path, const char *below,
			 const char *owned)
{
	struct cgroupfs cgroupfs = { .fd = fd };
	const char *at = path;

	strcpy(cgroupfs.root, root);
	size_t len = cgroupfs_owned(&cgroupfs, &at);
	assert_string_equal(at, below ? below : path);
	assert_int_equal(len, strlen(owned));
	assert_memory_equal(at, owned, len);
}

static void check_owned(struct cgroupdir *dir)
{
	static const struct {
		const char *path, *owned;
	} cases[] = {
		{ "/", "/" },
		{ "/u.slice", "/u.slice" },
		{ "/u.slice/user@1000.service", "/u.slice/user@1000.service" },
		{ "/u.slice/user@1000.service/sshd.service", "/u.slice/user@1000.service" },
		{ "/u.slice/user@1000.service/sshd.service/x", "/u.slice/user@1000.service" },
		/* nobody can see what is not there */
		{ "/u.slice/gone.service", "" },
		{ "/gone.slice", "" },
		{ "/../u.slice", "" },
	};
	int fd;

	if (!dir->dir[0] || geteuid() != 0)
		skip();
	assert_true(cgroupdir_make(dir, "u.slice"));
	assert_true(cgroupdir_make(dir, "u.slice/user@1000.service"));
	assert_true(cgroupdir_delegate(dir, "u.slice/user@1000.service", 1000, 1000, 0755));
	assert_true(cgroupdir_make(dir, "u.slice/user@1000.service/sshd.service"));
	fd = open(dir->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		expect_owned(fd, "/", cases[i].path, NULL, cases[i].owned);
	expect_owned(fd, "/../..", "/../../u.slice", "/u.slice", "/u.slice");
	expect_owned(fd, "/docker/x", "/docker/x/u.slice", "/u.slice", "/u.slice");
	expect_owned(fd, "/docker/x", "/docker/x", "", "");
	expect_owned(fd, "/docker/x", "/docker/xy/u.slice", NULL, "");
	expect_owned(fd, "/../..", "/../u.slice", NULL, "");
	expect_owned(fd, "/../..", "/../../../u.slice", NULL, "");
	expect_owned(fd, "/", "/..u.slice", NULL, "");
	close(fd);
}

static void sees_owners_in_cgroup2(void **state)
{
	struct fixture *fixture = *state;

	check_owned(&fixture->unified);
}

static void sees_owners_in_cgroup1(void **state)
{
	struct fixture *fixture = *state;

	check_owned(&fixture->legacy);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(finds_the_hosts_own),
		test(finds_what_is_below_the_root_given),
		test(finds_systemds_own),
		test(finds_nothing_else),
		test(reads_mountinfo),
		test(knows_what_part_is_mounted),
		test(sees_owners_in_cgroup2),
		test(sees_owners_in_cgroup1),
		cmocka_unit_test(tells_roots_directories),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
