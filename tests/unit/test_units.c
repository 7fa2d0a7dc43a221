/* units: cgroups and processes in real hierarchies, some of them handed to others. */
#include "tcphealth/source/units.h"

#include "helpers/cgroupdir.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define ID   "4c01db0b339c4b1a8d1e2f3a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e"
#define ID12 "4c01db0b339c"

#define LENGTH(list) (sizeof(list) / sizeof((list)[0]))

/*
 * Of a hybrid host: `root` has both hierarchies, of the test's own, and a file for what a process's
 * "cgroup" tells.
 */
struct fixture {
	struct cgroupdir unified, legacy;
	char root[64];
	char file[80];
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	char path[128];

	assert_non_null(fixture);
	cgroupdir_init(&fixture->unified, CGROUPDIR_UNIFIED);
	cgroupdir_init(&fixture->legacy, CGROUPDIR_LEGACY);
	strcpy(fixture->root, "/tmp/test_units.XXXXXX");
	assert_non_null(mkdtemp(fixture->root));
	snprintf(fixture->file, sizeof(fixture->file), "%s/cgroup", fixture->root);
	snprintf(path, sizeof(path), "%s/unified", fixture->root);
	assert_int_equal(symlink(fixture->unified.dir, path), 0);
	snprintf(path, sizeof(path), "%s/systemd", fixture->root);
	assert_int_equal(symlink(fixture->legacy.dir, path), 0);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	static const char *const names[] = { "unified", "systemd", "cgroup" };
	struct fixture *fixture = *state;
	char path[128];

	cgroupdir_done(&fixture->unified);
	cgroupdir_done(&fixture->legacy);
	for (size_t i = 0; i < LENGTH(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", fixture->root, names[i]);
		remove(path);
	}
	rmdir(fixture->root);
	free(fixture);
	return 0;
}

static struct fixture *need_unified(void **state)
{
	struct fixture *fixture = *state;

	if (!fixture->unified.dir[0] || geteuid() != 0)
		skip();
	return fixture;
}

static struct fixture *need_both(void **state)
{
	struct fixture *fixture = need_unified(state);

	if (!fixture->legacy.dir[0])
		skip();
	return fixture;
}

/* Makes the cgroup with all above it. Its id. */
static uint64_t make(const struct cgroupdir *dir, const char *path)
{
	char part[512];
	uint64_t id;

	for (size_t len = 0; path[len];) {
		len += path[len] == '/';
		len += strcspn(path + len, "/");
		snprintf(part, sizeof(part), "%.*s", (int)len, path);
		(void)cgroupdir_make(dir, part);
	}
	snprintf(part, sizeof(part), "%s/%s", dir->dir, path);
	id = cgroupdir_id(part);
	assert_int_not_equal(id, 0);
	return id;
}

static void delegate(const struct cgroupdir *dir, const char *path)
{
	make(dir, path);
	assert_true(cgroupdir_delegate(dir, path, 1000, 1000, 0755));
}

/* --- cgroups --- */

static void expect_name(struct units *units, uint64_t id, uint64_t now_ms, const char *name)
{
	assert_string_equal(units_name(units, id, now_ms), name);
}

static void names_the_owner_of_a_cgroup(void **state)
{
	struct fixture *fixture = need_unified(state);
	struct units *units = units_new(fixture->unified.dir, "/proc");
	uint64_t cron = make(&fixture->unified, "system.slice/cron.service");
	struct unit unit;

	delegate(&fixture->unified, "user.slice/user@1000.service");
	uint64_t liar = make(&fixture->unified, "user.slice/user@1000.service/postgresql.service");
	uint64_t check = make(&fixture->unified, "check@4-10.0.0.1:7-10.0.0.2:9.service");
	expect_name(units, cron, 0, "cron.service");
	expect_name(units, 0, 0, "");
	expect_name(units, UINT64_MAX, 0, "");
	units_find(units, liar, 0, &unit);
	assert_string_equal(unit.name, "user@1000.service");
	assert_string_equal(unit.claimed, "postgresql.service");
	units_find(units, check, 0, &unit);
	assert_string_equal(unit.name, "check@.service");
	assert_string_equal(unit.instance, "check@4-10.0.0.1:7-10.0.0.2:9.service");
	units_free(units);
}

/*
 * With the cgroupfs driver the sockets of containers are in the engine's cgroup there; on other
 * hosts those in it are its own.
 */
static void names_no_engine_on_hybrid_hosts(void **state)
{
	struct fixture *fixture = need_unified(state);
	struct units *hybrid = units_new(fixture->root, "/proc");
	struct units *other = units_new(fixture->unified.dir, "/proc");
	uint64_t docker = make(&fixture->unified, "system.slice/docker.service");
	uint64_t cron = make(&fixture->unified, "system.slice/cron.service");
	uint64_t scope = make(&fixture->unified, "system.slice/docker-" ID ".scope");

	expect_name(hybrid, docker, 0, "");
	expect_name(hybrid, cron, 0, "cron.service");
	expect_name(hybrid, scope, 0, "docker:" ID12);
	expect_name(other, docker, 0, "docker.service");
	units_free(hybrid);
	units_free(other);
}

/* Root in a container, or a user there, makes as many units as he likes. */
static void tells_a_bounded_number_of_what_is_inside(void **state)
{
	struct fixture *fixture = need_unified(state);
	struct units *units = units_new(fixture->unified.dir, "/proc");
	uint64_t ids[UNITS_INNER_MAX + 8];
	char path[128], name[64];
	struct unit unit;

	make(&fixture->unified, "lxc.payload.a");
	delegate(&fixture->unified, "lxc.payload.a/system.slice");
	for (size_t i = 0; i < LENGTH(ids); i++) {
		snprintf(path, sizeof(path), "lxc.payload.a/system.slice/%zu.service", i);
		ids[i] = make(&fixture->unified, path);
	}
	uint64_t other = make(&fixture->unified, "lxc.payload.b/system.slice/x.service");
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < LENGTH(ids); i++) {
			units_find(units, ids[i], 0, &unit);
			snprintf(name, sizeof(name), "machine:a/%zu.service", i);
			assert_string_equal(unit.name, i < UNITS_INNER_MAX ? name : "machine:a");
			snprintf(name, sizeof(name), "system.slice/%zu.service", i);
			assert_string_equal(unit.claimed, name);
		}
		expect_name(units, other, 0, "machine:b/x.service");
	}
	units_free(units);
}

/* Machines and containers come and go: those that were not asked for longest make room. */
static void forgets_machines(void **state)
{
	struct fixture *fixture = need_unified(state);
	struct units *units = units_new(fixture->unified.dir, "/proc");
	uint64_t ids[1000];
	char path[128], name[64];

	for (size_t i = 0; i < LENGTH(ids); i++) {
		snprintf(path, sizeof(path), "lxc/%zu/x.service", i);
		ids[i] = make(&fixture->unified, path);
	}
	for (size_t i = 0; i < LENGTH(ids); i++) {
		snprintf(name, sizeof(name), "machine:%zu/x.service", i);
		expect_name(units, ids[i], i, name);
	}
	expect_name(units, ids[0], LENGTH(ids), "machine:0/x.service");
	units_free(units);
}

/* --- processes --- */

static void write_cgroup(const struct fixture *fixture, const char *text)
{
	FILE *file = fopen(fixture->file, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static struct unit read_unit(const struct fixture *fixture, const char *cgroupfs, const char *text)
{
	struct unit unit;

	write_cgroup(fixture, text);
	memset(&unit, '#', sizeof(unit));
	units_of_process(cgroupfs, "/nonexistent", AT_FDCWD, fixture->file, &unit);
	return unit;
}

/* What is nowhere mounted is claimed only. */
static void reads_the_paths_of_a_process(void **state)
{
	static const struct {
		const char *text, *path;
	} cases[] = {
		{ "0::/system.slice/cron.service\n", "system.slice/cron.service" },
		{ "9:cpu:/a\n1:name=systemd:/legacy\n", "" },
		{ "0::/system.slice/x.service (deleted)\n", "system.slice/x.service" },
		{ "0:: (deleted)\n", "" },
		{ "5:cpu:/a/0::/b\n0::/c\n", "c" },
		{ "0::/with:colons 0::/and \"quotes\"\n", "with:colons 0::/and \"quotes\"" },
		{ "0::/\n", "" },
		{ "4:pids:/a:name=systemd:/x\n", "" },
		{ "", "" },
		{ "0::", "" },
		{ "0::/no/newline", "no/newline" },
		{ "\n\n\n", "" },
		{ ":\n::\n:::\n", "" },
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct unit unit = read_unit(fixture, "/nonexistent", cases[i].text);

		assert_string_equal(unit.name, "");
		assert_string_equal(unit.claimed, cases[i].path);
	}
	struct unit unit;
	units_of_process("/nonexistent", "/nonexistent", AT_FDCWD, "/nonexistent", &unit);
	assert_string_equal(unit.name, "");
	assert_string_equal(unit.claimed, "");
}

/* Cut, a path would be the name of something else. */
static void reads_no_file_that_does_not_fit(void **state)
{
	struct fixture *fixture = *state;
	char *text = malloc(40000);

	assert_non_null(text);
	memset(text, 'x', 39999);
	memcpy(text, "0::/", 4);
	strcpy(text + 39990, "\n");
	assert_string_equal(read_unit(fixture, "/nonexistent", text).claimed, "");
	memcpy(text, "0::/system.slice/cron.service\n", 30);
	assert_string_equal(read_unit(fixture, "/nonexistent", text).claimed, "");
	free(text);
}

static void names_the_owner_of_a_process(void **state)
{
	static const struct {
		const char *text, *name, *claimed;
	} cases[] = {
		{ "0::/system.slice/cron.service\n", "cron.service", "" },
		{ "0::/user.slice/user@1000.service/postgresql.service\n", "user@1000.service",
		  "postgresql.service" },
		/* of a container that is gone by now */
		{ "0::/lxc.payload.b/nginx.service\n", "", "lxc.payload.b/nginx.service" },
		{ "0::/../system.slice/cron.service\n", "", "../system.slice/cron.service" },
	};
	struct fixture *fixture = need_unified(state);

	make(&fixture->unified, "system.slice/cron.service");
	delegate(&fixture->unified, "user.slice/user@1000.service");
	make(&fixture->unified, "user.slice/user@1000.service/postgresql.service");
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct unit unit = read_unit(fixture, fixture->unified.dir, cases[i].text);

		assert_string_equal(unit.name, cases[i].name);
		assert_string_equal(unit.claimed, cases[i].claimed);
	}
}

/* Both hierarchies have owners. */
static void asks_systemds_hierarchy_where_cgroup2_knows_nothing(void **state)
{
	static const struct {
		const char *text, *name, *claimed;
	} cases[] = {
		{ "0::/\n1:name=systemd:/system.slice/cron.service\n", "cron.service", "" },
		{ "1:name=systemd:/system.slice/cron.service\n0::/\n", "cron.service", "" },
		{ "1:name=systemd:/system.slice/cron.service\n", "cron.service", "" },
		{ "1:name=systemd:/user.slice/user@1000.service/docker/" ID "\n",
		  "user@1000.service", "docker/" ID },
		{ "0::/system.slice/docker.service\n1:name=systemd:/docker/" ID "\n",
		  "docker:" ID12, "" },
		{ "0::/system.slice/docker.service\n1:name=systemd:/system.slice/docker.service\n",
		  "docker.service", "" },
		{ "0::/system.slice/docker.service\n", "docker.service", "" },
		{ "0::/system.slice/docker.service\n1:name=systemd:/\n", "docker.service", "" },
		{ "0::/system.slice/nginx.service\n1:name=systemd:/system.slice/cron.service\n",
		  "nginx.service", "" },
		/* a name that only looks like a line */
		{ "0::/1:name=systemd:/system.slice/cron.service\n", "",
		  "1:name=systemd:/system.slice/cron.service" },
	};
	struct fixture *fixture = need_both(state);

	make(&fixture->unified, "system.slice/docker.service");
	make(&fixture->unified, "system.slice/nginx.service");
	make(&fixture->legacy, "system.slice/docker.service");
	make(&fixture->legacy, "system.slice/cron.service");
	make(&fixture->legacy, "docker/" ID);
	delegate(&fixture->legacy, "user.slice/user@1000.service");
	make(&fixture->legacy, "user.slice/user@1000.service/docker/" ID);
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct unit unit = read_unit(fixture, fixture->root, cases[i].text);

		assert_string_equal(unit.name, cases[i].name);
		assert_string_equal(unit.claimed, cases[i].claimed);
	}
}

/* The kernel's sockets are in the root, where no program is if this one is not. */
static void tells_the_cgroup_of_the_kernel(void **state)
{
	FILE *file = fopen("/proc/self/cgroup", "r");
	char line[4096];
	bool elsewhere = false;

	(void)state;
	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		elsewhere |= strncmp(line, "0::/", 4) == 0 && line[4] != '\n';
	fclose(file);
	assert_int_equal(units_kernel_cgroup(), elsewhere);
}

static void takes_nothing(void **state)
{
	struct unit unit = { .name = "x", .instance = "x", .claimed = "x" };

	(void)state;
	units_find(NULL, 4711, 0, &unit);
	assert_string_equal(unit.name, "");
	assert_string_equal(unit.instance, "");
	assert_string_equal(unit.claimed, "");
	assert_string_equal(units_name(NULL, 4711, 0), "");
	units_free(NULL);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(names_the_owner_of_a_cgroup),
		test(names_no_engine_on_hybrid_hosts),
		test(tells_a_bounded_number_of_what_is_inside),
		test(forgets_machines),
		test(reads_the_paths_of_a_process),
		test(reads_no_file_that_does_not_fit),
		test(names_the_owner_of_a_process),
		test(asks_systemds_hierarchy_where_cgroup2_knows_nothing),
		cmocka_unit_test(tells_the_cgroup_of_the_kernel),
		cmocka_unit_test(takes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
