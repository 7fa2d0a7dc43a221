/*
 * cgroups: ids of real cgroups, in a directory of the test's own below the host's cgroup2
 * hierarchy.
 */
#include "tcphealth/source/cgroups.h"
#include "tcphealth/source/source.h"

#include "../../src/source/cgroups-internal.h"
#include "helpers/cgroupdir.h"
#include "helpers/loopback.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#define NOT_A_CGROUP UINT64_C(0x7fffffff00000001)

static const struct cgroups_limits plenty = { .directories = 1000, .depth = 64, .ids = 2000 };

static int setup(void **state)
{
	struct cgroupdir *fixture = calloc(1, sizeof(*fixture));

	assert_non_null(fixture);
	cgroupdir_init(fixture, CGROUPDIR_UNIFIED);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	cgroupdir_done(*state);
	free(*state);
	return 0;
}

static struct cgroupdir *need_cgroups(void **state)
{
	struct cgroupdir *fixture = *state;

	if (!fixture->dir[0])
		skip();
	return fixture;
}

static uint64_t id_of(const char *path)
{
	uint64_t id = cgroupdir_id(path);

	assert_int_not_equal(id, 0);
	return id;
}

static uint64_t make_cgroup(const struct cgroupdir *fixture, const char *name)
{
	uint64_t id = cgroupdir_make(fixture, name);

	assert_int_not_equal(id, 0);
	return id;
}

static void drop_cgroup(const struct cgroupdir *fixture, const char *name)
{
	assert_true(cgroupdir_drop(fixture, name));
}

static const char *find_path(struct cgroups *cgroups, uint64_t id, uint64_t now_ms)
{
	size_t owned;

	return cgroups_path(cgroups, id, now_ms, &owned);
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
	struct cgroupdir *fixture = *state;
	struct cgroups *cgroups = cgroups_new(NULL, "/proc");

	assert_non_null(cgroups);
	assert_null(find_path(cgroups, 0, 0));
	if (cgroupdir_is(fixture->mount, CGROUPDIR_UNIFIED))
		assert_string_equal(find_path(cgroups, id_of(fixture->mount), 0), "/");
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
	struct cgroupdir *fixture = need_cgroups(state);
	struct cgroups *cgroups = cgroups_new("", "/proc");
	uint64_t ids[sizeof(names) / sizeof(names[0])];
	char expected[256];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		ids[i] = make_cgroup(fixture, names[i]);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(expected, sizeof(expected), "%s/%s", fixture->path, names[i]);
		assert_string_equal(find_path(cgroups, ids[i], 0), expected);
	}
	cgroups_free(cgroups);
}

static void walks_again_for_a_new_id(void **state)
{
	struct cgroupdir *fixture = need_cgroups(state);
	struct cgroups *cgroups = cgroups_new(fixture->dir, "/proc");
	uint64_t first = make_cgroup(fixture, "first");

	assert_string_equal(find_path(cgroups, first, 100), "/first");
	uint64_t second = make_cgroup(fixture, "second");
	assert_null(find_path(cgroups, second, 100));
	assert_null(find_path(cgroups, second, 1099));
	assert_string_equal(find_path(cgroups, second, 1100), "/second");
	assert_string_equal(find_path(cgroups, first, 1100), "/first");
	cgroups_free(cgroups);
}

static void keeps_the_name_of_what_is_gone(void **state)
{
	struct cgroupdir *fixture = need_cgroups(state);
	struct cgroups *cgroups = cgroups_new(fixture->dir, "/proc");
	uint64_t old = make_cgroup(fixture, "job.service");

	assert_string_equal(find_path(cgroups, old, 0), "/job.service");
	drop_cgroup(fixture, "job.service");
	uint64_t new = make_cgroup(fixture, "job.service");
	assert_int_not_equal(old, new);
	assert_string_equal(find_path(cgroups, new, 5000), "/job.service");
	drop_cgroup(fixture, "job.service");
	assert_null(find_path(cgroups, NOT_A_CGROUP, 10000));
	assert_string_equal(find_path(cgroups, old, 10000), "/job.service");
	assert_string_equal(find_path(cgroups, new, 10000), "/job.service");
	cgroups_free(cgroups);
}

/*
 * Whether asking for an id that does not exist at these moments walks at the last of them: a cgroup
 * of that time is known.
 */
static bool walks_at(const struct cgroupdir *fixture, const uint64_t *moments, size_t count)
{
	struct cgroups *cgroups = cgroups_new(fixture->dir, "/proc");

	for (size_t i = 0; i + 1 < count; i++)
		assert_null(find_path(cgroups, NOT_A_CGROUP, moments[i]));
	uint64_t probe = make_cgroup(fixture, "probe");
	assert_null(find_path(cgroups, NOT_A_CGROUP, moments[count - 1]));
	drop_cgroup(fixture, "probe");
	bool walked = find_path(cgroups, probe, moments[count - 1]) != NULL;
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
	struct cgroupdir *fixture = need_cgroups(state);
	uint64_t moments[sizeof(cases) / sizeof(cases[0])];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		moments[i] = cases[i].ms;
		assert_int_equal(walks_at(fixture, moments, i + 1), cases[i].walks);
	}
}

/* One walk speaks for all that were asked for before it. */
static void walks_once_for_many_unknown_ids(void **state)
{
	struct cgroupdir *fixture = need_cgroups(state);
	struct cgroups *cgroups = cgroups_new(fixture->dir, "/proc");

	for (uint64_t now = 0; now < 20000; now += 1000)
		for (uint64_t i = 0; i < 100; i++)
			assert_null(find_path(cgroups, NOT_A_CGROUP + i, now));
	/*
	 * Walks were at 0, 1, 2, 4, 8 and 16 s; one by one, each second would be the turn of some
	 * id.
	 */
	uint64_t probe = make_cgroup(fixture, "probe");
	for (uint64_t i = 0; i < 100; i++)
		assert_null(find_path(cgroups, NOT_A_CGROUP + i, 20000));
	drop_cgroup(fixture, "probe");
	assert_null(find_path(cgroups, probe, 20000));
	cgroups_free(cgroups);
}

/* --- who named it --- */

static void expect_owned(struct cgroups *cgroups, const struct cgroupdir *fixture, const char *name,
			 uint64_t now_ms, const char *owned)
{
	char path[300], expected[300];
	size_t len;

	snprintf(path, sizeof(path), "%s/%s", fixture->dir, name);
	snprintf(expected, sizeof(expected), "/%s", name);
	const char *found = cgroups_path(cgroups, id_of(path), now_ms, &len);
	assert_string_equal(found, expected);
	assert_int_equal(len, 1 + strlen(owned));
	assert_memory_equal(found + 1, owned, strlen(owned));
}

/* Whoever may make directories in one names what is in it, and no root below him counts. */
static void knows_what_root_named(void **state)
{
	static const struct {
		const char *name;
		uid_t uid;
		gid_t gid;
		mode_t mode;
		const char *owned;
	} cases[] = {
		{ "u.slice", 0, 0, 0755, "u.slice" },
		{ "u.slice/user@1000.service", 1000, 1000, 0755, "u.slice/user@1000.service" },
		{ "u.slice/user@1000.service/a.slice", 1000, 1000, 0755,
		  "u.slice/user@1000.service" },
		{ "u.slice/user@1000.service/a.slice/sshd.service", 0, 0, 0755,
		  "u.slice/user@1000.service" },
		{ "u.slice/user@1000.service/a.slice/sshd.service/x", 0, 0, 0755,
		  "u.slice/user@1000.service" },
		{ "u.slice/session-3.scope", 0, 0, 0755, "u.slice/session-3.scope" },
		{ "u.slice/session-3.scope/x", 0, 0, 0755, "u.slice/session-3.scope/x" },
		/* what LXC gives a container without privilege, and other ways to share */
		{ "lxc.payload.a", 0, 100000, 0775, "lxc.payload.a" },
		{ "lxc.payload.a/sshd.service", 100000, 100000, 0755, "lxc.payload.a" },
		{ "staff", 0, 50, 0755, "staff" },
		{ "staff/x", 0, 0, 0775, "staff/x" },
		{ "staff/x/y", 0, 0, 0777, "staff/x/y" },
		{ "staff/x/y/sshd.service", 0, 0, 0755, "staff/x/y" },
	};
	struct cgroupdir *fixture = need_cgroups(state);
	struct cgroups *cgroups = cgroups_new(fixture->dir, "/proc");

	if (geteuid() != 0)
		skip();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		make_cgroup(fixture, cases[i].name);
		assert_true(cgroupdir_delegate(fixture, cases[i].name, cases[i].uid, cases[i].gid,
					       cases[i].mode));
	}
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		expect_owned(cgroups, fixture, cases[i].name, 0, cases[i].owned);
	cgroups_free(cgroups);
}

/* systemd makes a unit's cgroup first and hands it over when it starts the program. */
static void sees_a_cgroup_handed_over(void **state)
{
	struct cgroupdir *fixture = need_cgroups(state);
	struct cgroups *cgroups = cgroups_new(fixture->dir, "/proc");

	if (geteuid() != 0)
		skip();
	make_cgroup(fixture, "user@1000.service");
	expect_owned(cgroups, fixture, "user@1000.service", 0, "user@1000.service");
	assert_true(cgroupdir_delegate(fixture, "user@1000.service", 1000, 1000, 0755));
	make_cgroup(fixture, "user@1000.service/sshd.service");
	expect_owned(cgroups, fixture, "user@1000.service/sshd.service", 1000, "user@1000.service");
	cgroups_free(cgroups);
}

/* As a container may see it whose engine runs as a user that is unknown inside. */
static void takes_the_top_for_roots(void **state)
{
	struct cgroupdir *fixture = need_cgroups(state);
	struct cgroups *cgroups = cgroups_new(fixture->dir, "/proc");

	if (geteuid() != 0)
		skip();
	assert_true(cgroupdir_delegate(fixture, ".", 65534, 0, 0775));
	make_cgroup(fixture, "cron.service");
	make_cgroup(fixture, "cron.service/x");
	expect_owned(cgroups, fixture, "cron.service/x", 0, "cron.service/x");
	cgroups_free(cgroups);
}

/* --- bounds --- */

static void walks_a_bounded_number_of_directories(void **state)
{
	static const struct cgroups_limits limits = { .directories = 4, .depth = 64, .ids = 100 };
	struct cgroupdir *fixture = need_cgroups(state);
	struct cgroups *cgroups = cgroups_new_limited(fixture->dir, "/proc", &limits);
	uint64_t ids[20];
	size_t known = 0;
	char name[16];

	for (size_t i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "d%zu", i);
		ids[i] = make_cgroup(fixture, name);
	}
	for (size_t i = 0; i < 20; i++)
		known += find_path(cgroups, ids[i], 0) != NULL;
	assert_int_equal(known, 3); /* and the root */
	cgroups_free(cgroups);
}

/* A subtree that is too large costs the others nothing. */
static void shallow_directories_come_first(void **state)
{
	static const struct cgroups_limits limits = { .directories = 10, .depth = 64, .ids = 100 };
	static const char *const hogs[] = { "hog1", "hog2", "hog3" };
	struct cgroupdir *fixture = need_cgroups(state);
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
		assert_string_equal(find_path(cgroups, id_of(path), 0), expected);
	}
	cgroups_free(cgroups);
}

static void walks_to_a_bounded_depth(void **state)
{
	static const struct cgroups_limits limits = { .directories = 100, .depth = 3, .ids = 100 };
	struct cgroupdir *fixture = need_cgroups(state);
	struct cgroups *cgroups = cgroups_new_limited(fixture->dir, "/proc", &limits);
	uint64_t ids[5];
	char path[16] = "";

	for (size_t i = 0; i < 5; i++) {
		strcat(path, i ? "/d" : "d");
		ids[i] = make_cgroup(fixture, path);
	}
	assert_string_equal(find_path(cgroups, ids[2], 0), "/d/d/d");
	assert_null(find_path(cgroups, ids[3], 0));
	assert_null(find_path(cgroups, ids[4], 2000));
	cgroups_free(cgroups);
}

static void leaves_out_what_has_too_long_a_path(void **state)
{
	struct cgroupdir *fixture = need_cgroups(state);
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
	assert_int_equal(strlen(find_path(cgroups, ids[1], 0)), 402);
	assert_null(find_path(cgroups, ids[2], 0));
	assert_null(find_path(cgroups, ids[3], 0));
	assert_string_equal(find_path(cgroups, sibling, 0), "/y");
	cgroups_free(cgroups);
}

static void forgets_what_was_not_asked_for_longest(void **state)
{
	static const struct cgroups_limits limits = { .directories = 4, .depth = 64, .ids = 16 };
	struct cgroupdir *fixture = need_cgroups(state);
	struct cgroups *cgroups = cgroups_new_limited(fixture->dir, "/proc", &limits);
	uint64_t kept = make_cgroup(fixture, "kept"), lost = make_cgroup(fixture, "lost");
	uint64_t now = 0;

	assert_non_null(find_path(cgroups, kept, now));
	assert_non_null(find_path(cgroups, lost, now));
	drop_cgroup(fixture, "kept");
	drop_cgroup(fixture, "lost");
	for (uint64_t i = 0; i < 1000; i++) {
		assert_null(find_path(cgroups, NOT_A_CGROUP + i, ++now));
		assert_string_equal(find_path(cgroups, kept, now), "/kept");
	}
	assert_null(find_path(cgroups, lost, now + 100000));
	cgroups_free(cgroups);
}

static void outlives_a_thousand_cgroups(void **state)
{
	static const struct cgroups_limits limits = { .directories = 100, .depth = 64, .ids = 200 };
	struct cgroupdir *fixture = need_cgroups(state);
	struct cgroups *cgroups = cgroups_new_limited(fixture->dir, "/proc", &limits);
	size_t fds = count_fds();
	char name[32], expected[33];

	for (unsigned int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "session-%u.scope", i);
		snprintf(expected, sizeof(expected), "/%s", name);
		uint64_t id = make_cgroup(fixture, name);
		assert_string_equal(find_path(cgroups, id, i * UINT64_C(1000)), expected);
		drop_cgroup(fixture, name);
	}
	assert_int_equal(count_fds(), fds);
	cgroups_free(cgroups);
}

static void resolves_nothing_without_cgroup2(void **state)
{
	struct cgroups *cgroups = cgroups_new("/nonexistent", "/proc");

	(void)state;
	assert_null(find_path(cgroups, 1, 0));
	assert_null(find_path(cgroups, id_of("/tmp"), 5000));
	cgroups_free(cgroups);
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

/*
 * In a child: moves to the cgroup and tells the id that the kernel gives to a listener made there.
 */
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
	struct cgroupdir *fixture = need_cgroups(state);
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
	assert_string_equal(find_path(cgroups, id, 0), expected);
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
		test(knows_what_root_named),
		test(sees_a_cgroup_handed_over),
		test(takes_the_top_for_roots),
		test(walks_a_bounded_number_of_directories),
		test(shallow_directories_come_first),
		test(walks_to_a_bounded_depth),
		test(leaves_out_what_has_too_long_a_path),
		test(forgets_what_was_not_asked_for_longest),
		test(outlives_a_thousand_cgroups),
		test(resolves_nothing_without_cgroup2),
		test(resolves_the_id_of_a_socket),
		cmocka_unit_test(frees_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
