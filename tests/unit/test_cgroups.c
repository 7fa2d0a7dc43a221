/* cgroups: ids of real cgroups, in a directory of the test's own below the host's cgroup2 hierarchy. */
#include "tcphealth/source/cgroups.h"
#include "tcphealth/source/source.h"

#include "../../src/source/cgroups-internal.h"
#include "helpers/loopback.h"

#include <dirent.h>
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
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define CGROUP2_MAGIC 0x63677270
#define NOT_A_CGROUP  UINT64_C(0x7fffffff00000001)

static const struct cgroups_limits plenty = { .directories = 1000, .depth = 64, .ids = 2000 };

/* `mount` is the hierarchy's, `dir` the directory below it in which a test makes its cgroups, `path` its path there. */
struct fixture {
	char mount[64];
	char dir[128];
	const char *path;
	char scratch[64];
};

static bool is_cgroup2(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && fs.f_type == CGROUP2_MAGIC;
}

static void remove_tree(const char *dir)
{
	char path[4096];
	DIR *entries = opendir(dir);

	for (struct dirent *entry; entries && (entry = readdir(entries));) {
		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		remove_tree(path);
	}
	if (entries)
		closedir(entries);
	rmdir(dir);
}

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	assert_non_null(fixture);
	strcpy(fixture->mount,
	       is_cgroup2("/sys/fs/cgroup") ? "/sys/fs/cgroup" : "/sys/fs/cgroup/unified");
	snprintf(fixture->dir, sizeof(fixture->dir), "%s/tcphealth-test-%d", fixture->mount,
		 (int)getpid());
	fixture->path = fixture->dir + strlen(fixture->mount);
	/* Without the right to make cgroups, dir is "" and the tests that need one are skipped. */
	if (!is_cgroup2(fixture->mount) || mkdir(fixture->dir, 0755))
		fixture->dir[0] = '\0';
	strcpy(fixture->scratch, "/tmp/test_cgroups.XXXXXX");
	assert_non_null(mkdtemp(fixture->scratch));
	*state = fixture;
	return 0;
}

static void empty_scratch(const struct fixture *fixture)
{
	static const char *const names[] = { "self/mountinfo", "self", "a b\\", "other",
					     "unified" };
	char path[128];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", fixture->scratch, names[i]);
		remove(path);
	}
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	if (fixture->dir[0])
		remove_tree(fixture->dir);
	empty_scratch(fixture);
	rmdir(fixture->scratch);
	free(fixture);
	return 0;
}

static struct fixture *need_cgroups(void **state)
{
	struct fixture *fixture = *state;

	if (!fixture->dir[0])
		skip();
	return fixture;
}

static uint64_t id_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_ino;
}

static uint64_t make_cgroup(const struct fixture *fixture, const char *name)
{
	char path[1024];

	snprintf(path, sizeof(path), "%s/%s", fixture->dir, name);
	assert_int_equal(mkdir(path, 0755), 0);
	return id_of(path);
}

static void drop_cgroup(const struct fixture *fixture, const char *name)
{
	char path[1024];

	snprintf(path, sizeof(path), "%s/%s", fixture->dir, name);
	assert_int_equal(rmdir(path), 0);
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

/* --- resolving --- */

static void knows_the_root(void **state)
{
	struct fixture *fixture = *state;
	struct cgroups *cgroups = cgroups_new(NULL, "/proc");

	assert_non_null(cgroups);
	assert_null(cgroups_path(cgroups, 0, 0));
	if (is_cgroup2(fixture->mount))
		assert_string_equal(cgroups_path(cgroups, id_of(fixture->mount), 0), "/");
	cgroups_free(cgroups);
}

static void resolves_what_is_there(void **state)
{
	static const char *const names[] = { "a.slice",
					     "a.slice/b.service",
					     "a.slice/b.service/c",
					     "load@35111.service",
					     "q\"b\\s\xff{}",
					     " " };
	struct fixture *fixture = need_cgroups(state);
	struct cgroups *cgroups = cgroups_new("", "/proc");
	uint64_t ids[sizeof(names) / sizeof(names[0])];
	char expected[256];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		ids[i] = make_cgroup(fixture, names[i]);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(expected, sizeof(expected), "%s/%s", fixture->path, names[i]);
		assert_string_equal(cgroups_path(cgroups, ids[i], 0), expected);
	}
	cgroups_free(cgroups);
}

static void walks_again_for_a_new_id(void **state)
{
	struct fixture *fixture = need_cgroups(state);
	struct cgroups *cgroups = cgroups_new(fixture->dir, "/proc");
	uint64_t first = make_cgroup(fixture, "first");

	assert_string_equal(cgroups_path(cgroups, first, 100), "/first");
	uint64_t second = make_cgroup(fixture, "second");
	assert_null(cgroups_path(cgroups, second, 100));
	assert_null(cgroups_path(cgroups, second, 1099));
	assert_string_equal(cgroups_path(cgroups, second, 1100), "/second");
	assert_string_equal(cgroups_path(cgroups, first, 1100), "/first");
	cgroups_free(cgroups);
}

static void keeps_the_name_of_what_is_gone(void **state)
{
	struct fixture *fixture = need_cgroups(state);
	struct cgroups *cgroups = cgroups_new(fixture->dir, "/proc");
	uint64_t old = make_cgroup(fixture, "job.service");

	assert_string_equal(cgroups_path(cgroups, old, 0), "/job.service");
	drop_cgroup(fixture, "job.service");
	uint64_t new = make_cgroup(fixture, "job.service");
	assert_int_not_equal(old, new);
	assert_string_equal(cgroups_path(cgroups, new, 5000), "/job.service");
	drop_cgroup(fixture, "job.service");
	assert_null(cgroups_path(cgroups, NOT_A_CGROUP, 10000));
	assert_string_equal(cgroups_path(cgroups, old, 10000), "/job.service");
	assert_string_equal(cgroups_path(cgroups, new, 10000), "/job.service");
	cgroups_free(cgroups);
}

/* Whether asking for an id that does not exist at these moments walks at the last of them: a cgroup of that time is known. */
static bool walks_at(const struct fixture *fixture, const uint64_t *moments, size_t count)
{
	struct cgroups *cgroups = cgroups_new(fixture->dir, "/proc");

	for (size_t i = 0; i + 1 < count; i++)
		assert_null(cgroups_path(cgroups, NOT_A_CGROUP, moments[i]));
	uint64_t probe = make_cgroup(fixture, "probe");
	assert_null(cgroups_path(cgroups, NOT_A_CGROUP, moments[count - 1]));
	drop_cgroup(fixture, "probe");
	bool walked = cgroups_path(cgroups, probe, moments[count - 1]) != NULL;
	cgroups_free(cgroups);
	return walked;
}

static void gives_up_slowly_on_an_unknown_id(void **state)
{
	static const struct {
		uint64_t ms;
		bool walks;
	} cases[] = {
		{ 0, true },      { 500, false },    { 999, false },   { 1000, true },
		{ 2999, false },  { 3000, true },    { 6999, false },  { 7000, true },
		{ 15000, true },  { 30999, false },  { 31000, true },  { 62999, false },
		{ 63000, true },  { 122999, false }, { 123000, true }, { 182999, false },
		{ 183000, true },
	};
	struct fixture *fixture = need_cgroups(state);
	uint64_t moments[sizeof(cases) / sizeof(cases[0])];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		moments[i] = cases[i].ms;
		assert_int_equal(walks_at(fixture, moments, i + 1), cases[i].walks);
	}
}

/* One walk speaks for all that were asked for before it. */
static void walks_once_for_many_unknown_ids(void **state)
{
	struct fixture *fixture = need_cgroups(state);
	struct cgroups *cgroups = cgroups_new(fixture->dir, "/proc");

	for (uint64_t now = 0; now < 20000; now += 1000)
		for (uint64_t i = 0; i < 100; i++)
			assert_null(cgroups_path(cgroups, NOT_A_CGROUP + i, now));
	/* Walks were at 0, 1, 2, 4, 8 and 16 s; one by one, each second would be the turn of some id. */
	uint64_t probe = make_cgroup(fixture, "probe");
	for (uint64_t i = 0; i < 100; i++)
		assert_null(cgroups_path(cgroups, NOT_A_CGROUP + i, 20000));
	drop_cgroup(fixture, "probe");
	assert_null(cgroups_path(cgroups, probe, 20000));
	cgroups_free(cgroups);
}

/* --- bounds --- */

static void walks_a_bounded_number_of_directories(void **state)
{
	static const struct cgroups_limits limits = { .directories = 4, .depth = 64, .ids = 100 };
	struct fixture *fixture = need_cgroups(state);
	struct cgroups *cgroups = cgroups_new_limited(fixture->dir, "/proc", &limits);
	uint64_t ids[20];
	size_t known = 0;
	char name[16];

	for (size_t i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "d%zu", i);
		ids[i] = make_cgroup(fixture, name);
	}
	for (size_t i = 0; i < 20; i++)
		known += cgroups_path(cgroups, ids[i], 0) != NULL;
	assert_int_equal(known, 3); /* and the root */
	cgroups_free(cgroups);
}

/* A subtree that is too large costs the others nothing. */
static void shallow_directories_come_first(void **state)
{
	static const struct cgroups_limits limits = { .directories = 10, .depth = 64, .ids = 100 };
	static const char *const hogs[] = { "hog1", "hog2", "hog3" };
	struct fixture *fixture = need_cgroups(state);
	struct cgroups *cgroups = cgroups_new_limited(fixture->dir, "/proc", &limits);
	char name[32];

	for (size_t i = 0; i < 3; i++) {
		make_cgroup(fixture, hogs[i]);
		for (int j = 0; j < 10; j++) {
			snprintf(name, sizeof(name), "%s/%d", hogs[i], j);
			make_cgroup(fixture, name);
		}
		snprintf(name, sizeof(name), "good%zu", i);
		make_cgroup(fixture, name);
	}
	for (size_t i = 0; i < 3; i++) {
		char path[160], expected[32];

		snprintf(path, sizeof(path), "%s/good%zu", fixture->dir, i);
		snprintf(expected, sizeof(expected), "/good%zu", i);
		assert_string_equal(cgroups_path(cgroups, id_of(path), 0), expected);
	}
	cgroups_free(cgroups);
}

static void walks_to_a_bounded_depth(void **state)
{
	static const struct cgroups_limits limits = { .directories = 100, .depth = 3, .ids = 100 };
	struct fixture *fixture = need_cgroups(state);
	struct cgroups *cgroups = cgroups_new_limited(fixture->dir, "/proc", &limits);
	uint64_t ids[5];
	char path[16] = "";

	for (size_t i = 0; i < 5; i++) {
		strcat(path, i ? "/d" : "d");
		ids[i] = make_cgroup(fixture, path);
	}
	assert_string_equal(cgroups_path(cgroups, ids[2], 0), "/d/d/d");
	assert_null(cgroups_path(cgroups, ids[3], 0));
	assert_null(cgroups_path(cgroups, ids[4], 2000));
	cgroups_free(cgroups);
}

static void leaves_out_what_has_too_long_a_path(void **state)
{
	struct fixture *fixture = need_cgroups(state);
	struct cgroups *cgroups = cgroups_new_limited(fixture->dir, "/proc", &plenty);
	char path[1000] = "";
	uint64_t ids[4];

	for (size_t i = 0; i < 4; i++) {
		size_t len = strlen(path);

		if (i > 0)
			path[len++] = '/';
		memset(path + len, 'x', 200);
		path[len + 200] = '\0';
		ids[i] = make_cgroup(fixture, path);
	}
	uint64_t sibling = make_cgroup(fixture, "y");
	assert_int_equal(strlen(cgroups_path(cgroups, ids[1], 0)), 402);
	assert_null(cgroups_path(cgroups, ids[2], 0));
	assert_null(cgroups_path(cgroups, ids[3], 0));
	assert_string_equal(cgroups_path(cgroups, sibling, 0), "/y");
	cgroups_free(cgroups);
}

static void forgets_what_was_not_asked_for_longest(void **state)
{
	static const struct cgroups_limits limits = { .directories = 4, .depth = 64, .ids = 16 };
	struct fixture *fixture = need_cgroups(state);
	struct cgroups *cgroups = cgroups_new_limited(fixture->dir, "/proc", &limits);
	uint64_t kept = make_cgroup(fixture, "kept"), lost = make_cgroup(fixture, "lost");
	uint64_t now = 0;

	assert_non_null(cgroups_path(cgroups, kept, now));
	assert_non_null(cgroups_path(cgroups, lost, now));
	drop_cgroup(fixture, "kept");
	drop_cgroup(fixture, "lost");
	for (uint64_t i = 0; i < 1000; i++) {
		assert_null(cgroups_path(cgroups, NOT_A_CGROUP + i, ++now));
		assert_string_equal(cgroups_path(cgroups, kept, now), "/kept");
	}
	assert_null(cgroups_path(cgroups, lost, now + 100000));
	cgroups_free(cgroups);
}

static void outlives_a_thousand_cgroups(void **state)
{
	static const struct cgroups_limits limits = { .directories = 100, .depth = 64, .ids = 200 };
	struct fixture *fixture = need_cgroups(state);
	struct cgroups *cgroups = cgroups_new_limited(fixture->dir, "/proc", &limits);
	size_t fds = count_fds();
	char name[32], expected[33];

	for (unsigned int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "session-%u.scope", i);
		snprintf(expected, sizeof(expected), "/%s", name);
		uint64_t id = make_cgroup(fixture, name);
		assert_string_equal(cgroups_path(cgroups, id, i * UINT64_C(1000)), expected);
		drop_cgroup(fixture, name);
	}
	assert_int_equal(count_fds(), fds);
	cgroups_free(cgroups);
}

/* --- where the hierarchy is --- */

static void finds_the_hierarchy_below_unified(void **state)
{
	struct fixture *fixture = need_cgroups(state);
	struct cgroups *cgroups = cgroups_new(fixture->scratch, "/proc");
	char link[128];

	snprintf(link, sizeof(link), "%s/unified", fixture->scratch);
	/* Not there yet: a later walk looks again. */
	assert_null(cgroups_path(cgroups, id_of(fixture->dir), 0));
	assert_int_equal(symlink(fixture->dir, link), 0);
	assert_string_equal(cgroups_path(cgroups, id_of(fixture->dir), 1000), "/");
	cgroups_free(cgroups);
}

static void resolves_nothing_without_cgroup2(void **state)
{
	static const char *const roots[] = { "/nonexistent", "/tmp", "/sys/fs/cgroup/systemd",
					     "/proc/self/stat" };

	(void)state;
	for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++) {
		struct cgroups *cgroups = cgroups_new(roots[i], "/proc");
		struct stat st;

		assert_null(cgroups_path(cgroups, 1, 0));
		if (stat(roots[i], &st) == 0)
			assert_null(cgroups_path(cgroups, st.st_ino, 5000));
		cgroups_free(cgroups);
	}
}

/* Writes `text`, with %1$s for the scratch directory, as the mountinfo of a process table there. */
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
	snprintf(to, sizeof(to), "%s%s", fixture->dir, target);
	assert_int_equal(symlink(to, from), 0);
}

/* "@" is a directory with links: "a b\" leads to the cgroup "one", "other" to "two", "plain" is missing. */
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
	struct fixture *fixture = need_cgroups(state);
	char path[256];

	make_cgroup(fixture, "one");
	make_cgroup(fixture, "two");
	link_mount(fixture, "a b\\", "/one");
	link_mount(fixture, "other", "/two");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cgroups *cgroups = cgroups_new("", fixture->scratch);

		write_mountinfo(fixture, cases[i].text);
		snprintf(path, sizeof(path), "%s/%s", fixture->dir, cases[i].found);
		uint64_t id = id_of(cases[i].found ? path : fixture->mount);
		assert_string_equal(cgroups_path(cgroups, id, 0), "/");
		cgroups_free(cgroups);
	}
}

/* --- what the ids are for --- */

static int take_id(void *arg, const struct tcpsock *socks, size_t count, uint64_t read_ms)
{
	(void)read_ms;
	for (size_t i = 0; i < count; i++)
		if (tcpsock_knows(&socks[i], TCPSOCK_CGROUP))
			*(uint64_t *)arg = socks[i].cgroup_id;
	return 0;
}

/* In a child: moves to the cgroup and tells the id that the kernel gives to a listener made there. */
static int tell_socket_id(const char *dir, int out)
{
	const struct source_query query = { .states = TCP_STATE_BIT(TCP_STATE_LISTEN) };
	const struct source_place place = { .procfs = "/proc" };
	void *source;
	uint64_t id = 0;
	char path[512];

	snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
	FILE *procs = fopen(path, "w");
	if (!procs)
		return 1;
	bool written = fputs("0", procs) >= 0;
	if (fclose(procs) || !written)
		return 1;
	if (loopback_enter() || loopback_listen("127.0.0.1", 0, 1) < 0 ||
	    source_netlink.open(&place, &source))
		return 2;
	if (source_netlink.dump(source, &query, take_id, &id))
		return 3;
	source_netlink.close(source);
	return write(out, &id, sizeof(id)) == sizeof(id) ? 0 : 4;
}

static void resolves_the_id_of_a_socket(void **state)
{
	struct fixture *fixture = need_cgroups(state);
	struct cgroups *cgroups = cgroups_new(NULL, "/proc");
	char path[256], expected[256];
	uint64_t id = 0;
	int ends[2], status;

	if (geteuid() != 0)
		skip();
	uint64_t made = make_cgroup(fixture, "web.service");
	snprintf(path, sizeof(path), "%s/web.service", fixture->dir);
	snprintf(expected, sizeof(expected), "%s/web.service", fixture->path);
	assert_int_equal(pipe(ends), 0);
	pid_t child = fork();
	if (child == 0)
		_exit(tell_socket_id(path, ends[1]));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(read(ends[0], &id, sizeof(id)), sizeof(id));
	assert_int_equal(id, made);
	assert_string_equal(cgroups_path(cgroups, id, 0), expected);
	close(ends[0]);
	close(ends[1]);
	cgroups_free(cgroups);
}

static void frees_nothing(void **state)
{
	(void)state;
	cgroups_free(NULL);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(knows_the_root),
		test(resolves_what_is_there),
		test(walks_again_for_a_new_id),
		test(keeps_the_name_of_what_is_gone),
		test(gives_up_slowly_on_an_unknown_id),
		test(walks_once_for_many_unknown_ids),
		test(walks_a_bounded_number_of_directories),
		test(shallow_directories_come_first),
		test(walks_to_a_bounded_depth),
		test(leaves_out_what_has_too_long_a_path),
		test(forgets_what_was_not_asked_for_longest),
		test(outlives_a_thousand_cgroups),
		test(finds_the_hierarchy_below_unified),
		test(resolves_nothing_without_cgroup2),
		test(reads_mountinfo),
		test(resolves_the_id_of_a_socket),
		cmocka_unit_test(frees_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
