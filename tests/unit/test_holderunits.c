/* holderunits: what is found of sockets that do not tell their unit, on a host with cgroup1 alone that is made of files. */
#include "tcphealth/source/holderunits.h"

#include "helpers/cgroupdir.h"
#include "helpers/records.h"
#include "tcphealth/model/census.h"
#include "tcphealth/source/units.h"

#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* `dir` has processes, and below "cgroup" what systemd keeps for itself in cgroup1. */
struct fixture {
	char dir[64], cgroupfs[80];
	struct cgroupdir systemd;
	struct holderunits *holderunits;
	uint64_t now_ms;
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	char path[128];

	assert_non_null(fixture);
	cgroupdir_init(&fixture->systemd, CGROUPDIR_LEGACY);
	strcpy(fixture->dir, "/tmp/test_holderunits.XXXXXX");
	assert_non_null(mkdtemp(fixture->dir));
	snprintf(fixture->cgroupfs, sizeof(fixture->cgroupfs), "%s/cgroup", fixture->dir);
	assert_int_equal(mkdir(fixture->cgroupfs, 0755), 0);
	snprintf(path, sizeof(path), "%s/systemd", fixture->cgroupfs);
	assert_int_equal(symlink(fixture->systemd.dir, path), 0);
	fixture->holderunits = holderunits_new(fixture->dir, fixture->cgroupfs);
	assert_non_null(fixture->holderunits);
	fixture->now_ms = 100000000;
	*state = fixture;
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	holderunits_free(fixture->holderunits);
	cgroupdir_done(&fixture->systemd);
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

static void make_cgroup(const struct fixture *fixture, const char *path)
{
	char part[128];

	for (const char *end = strchr(path, '/'); end; end = strchr(end + 1, '/')) {
		snprintf(part, sizeof(part), "%.*s", (int)(end - path), path);
		(void)cgroupdir_make(&fixture->systemd, part);
	}
	(void)cgroupdir_make(&fixture->systemd, path);
}

/* A process of a cgroup that holds a socket. */
static void make_process(const struct fixture *fixture, int pid, const char *cgroup, uint32_t inode)
{
	char name[64], path[256], target[64];
	FILE *file;

	make_cgroup(fixture, cgroup);
	snprintf(name, sizeof(name), "%d", pid);
	make_dir(fixture, name);
	snprintf(name, sizeof(name), "%d/fd", pid);
	make_dir(fixture, name);
	snprintf(path, sizeof(path), "%s/%d/cgroup", fixture->dir, pid);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fprintf(file, "9:memory:/\n1:name=systemd:/%s\n", cgroup) > 0);
	assert_int_equal(fclose(file), 0);
	snprintf(path, sizeof(path), "%s/%d/fd/%u", fixture->dir, pid, inode);
	snprintf(target, sizeof(target), "socket:[%u]", inode);
	assert_int_equal(symlink(target, path), 0);
}

static void need_cgroup1(const struct fixture *fixture)
{
	if (fixture->systemd.dir[0] == '\0')
		skip();
}

static const char *name_of(const struct holderunits *holderunits, uint32_t inode)
{
	const struct unit *unit = holderunits_unit(holderunits, holderunits_id(holderunits, inode));

	return unit ? unit->name : "";
}

/* As with socket activation: process 1 holds it as well. */
static void test_first_holder_with_a_unit(void **state)
{
	struct fixture *fixture = *state;

	need_cgroup1(fixture);
	make_process(fixture, 1, "init.scope", 5000);
	make_process(fixture, 20, "system.slice/leak.service", 5000);
	make_process(fixture, 30, "system.slice/other.service", 5000);
	make_process(fixture, 40, "system.slice/leak.service", 5001);
	make_process(fixture, 50, "init.scope", 5002);
	assert_int_equal(holderunits_id(fixture->holderunits, 5000), 0);
	for (uint32_t inode = 5000; inode < 5004; inode++)
		holderunits_want(fixture->holderunits, inode, true);
	assert_true(holderunits_search(fixture->holderunits, fixture->now_ms));
	assert_string_equal(name_of(fixture->holderunits, 5000), "leak.service");
	assert_int_equal(holderunits_id(fixture->holderunits, 5000),
			 holderunits_id(fixture->holderunits, 5001));
	assert_int_equal(holderunits_id(fixture->holderunits, 5002), 0);
	assert_int_equal(holderunits_id(fixture->holderunits, 5003), 0);
	assert_null(holderunits_unit(fixture->holderunits, 0));
	assert_null(holderunits_unit(fixture->holderunits, 1));
	assert_null(holderunits_unit(fixture->holderunits, UINT64_MAX));
}

static void test_once_a_minute_and_for_what_is_stale(void **state)
{
	struct fixture *fixture = *state;
	struct holderunits *holderunits = fixture->holderunits;
	uint64_t now_ms = fixture->now_ms;

	assert_false(holderunits_search(holderunits, now_ms));
	holderunits_want(holderunits, 0, true);
	assert_false(holderunits_search(holderunits, now_ms));
	holderunits_want(holderunits, 5000, false);
	assert_false(holderunits_search(holderunits, now_ms));
	holderunits_want(holderunits, 5000, true);
	assert_true(holderunits_search(holderunits, now_ms));
	holderunits_want(holderunits, 5000, true);
	assert_false(holderunits_search(holderunits, now_ms + HOLDERUNITS_INTERVAL_MS - 1));
	assert_false(holderunits_search(holderunits, now_ms + HOLDERUNITS_INTERVAL_MS));
	holderunits_want(holderunits, 5000, true);
	assert_true(holderunits_search(holderunits, now_ms + HOLDERUNITS_INTERVAL_MS));
}

static void test_more_than_is_searched_for(void **state)
{
	struct fixture *fixture = *state;

	need_cgroup1(fixture);
	make_process(fixture, 20, "system.slice/leak.service", HOLDERUNITS_WANTED_MAX + 1);
	make_process(fixture, 30, "system.slice/leak.service", 7);
	for (uint32_t inode = 1; inode <= HOLDERUNITS_WANTED_MAX + 1; inode++)
		holderunits_want(fixture->holderunits, inode, true);
	assert_true(holderunits_search(fixture->holderunits, fixture->now_ms));
	assert_string_equal(name_of(fixture->holderunits, 7), "leak.service");
	assert_int_equal(holderunits_id(fixture->holderunits, HOLDERUNITS_WANTED_MAX + 1), 0);
}

/* They are wanted before anything that is stale. */
static void test_listeners_leave_room(void **state)
{
	struct fixture *fixture = *state;

	need_cgroup1(fixture);
	make_process(fixture, 20, "system.slice/leak.service", 7);
	for (uint32_t inode = 100; inode < 100 + HOLDERUNITS_WANTED_MAX; inode++)
		holderunits_want(fixture->holderunits, inode, false);
	holderunits_want(fixture->holderunits, 7, true);
	assert_true(holderunits_search(fixture->holderunits, fixture->now_ms));
	assert_string_equal(name_of(fixture->holderunits, 7), "leak.service");
}

/* A node sees more and more of them: the last ones have their names. */
static void test_more_units_than_there_are_places(void **state)
{
	struct fixture *fixture = *state;
	unsigned int named = 0;
	char cgroup[64];

	need_cgroup1(fixture);
	for (uint32_t i = 0; i < HOLDERUNITS_UNITS_MAX + 10; i++) {
		snprintf(cgroup, sizeof(cgroup), "system.slice/u%u.service", i);
		make_process(fixture, (int)(100 + i), cgroup, 5000 + i);
		holderunits_want(fixture->holderunits, 5000 + i, true);
	}
	assert_true(holderunits_search(fixture->holderunits, fixture->now_ms));
	for (uint32_t i = 0; i < HOLDERUNITS_UNITS_MAX + 10; i++) {
		const char *name = name_of(fixture->holderunits, 5000 + i);

		snprintf(cgroup, sizeof(cgroup), "u%u.service", i);
		named += *name != '\0';
		assert_true(*name == '\0' || strcmp(name, cgroup) == 0);
	}
	assert_int_equal(named, HOLDERUNITS_UNITS_MAX);
}

/* A listener, one connection that it has not accepted, and one that its program does not close. */
static void sample(struct fixture *fixture, struct census *census)
{
	struct tcpsock listener = record_full(1, TCP_STATE_LISTEN, 8080, 0);
	struct tcpsock unaccepted = record_full(2, TCP_STATE_CLOSE_WAIT, 8080, 40001);
	struct tcpsock stuck = record_full(3, TCP_STATE_CLOSE_WAIT, 8080, 40002);
	struct census_sample with = { .tier = TIER_FULL,
				      .can = SOURCE_COOKIES,
				      .now_ms = fixture->now_ms += 5000 };

	listener.remote = listener.local = record_addr("::");
	unaccepted.inode = 0;
	unaccepted.last_data_recv_ms = stuck.last_data_recv_ms = 90000;
	unaccepted.last_ack_recv_ms = stuck.last_ack_recv_ms = 90000;
	listener.cgroup_id = unaccepted.cgroup_id = stuck.cgroup_id = 1;
	netsysctl_defaults(&with.sysctl);
	assert_int_equal(census_begin(census, &with), 0);
	assert_int_equal(census_take(census, &listener, 1, with.now_ms), 0);
	assert_int_equal(census_take(census, &unaccepted, 1, with.now_ms), 0);
	assert_int_equal(census_take(census, &stuck, 1, with.now_ms), 0);
	assert_int_equal(census_end(census), 0);
}

/* Stale sockets of a unit; "" is none. */
static uint32_t count_stale(struct census *census, struct units *units, const char *name)
{
	size_t n;
	const struct tally_cgroup *rows = census_cgroups(census, TIER_STATES, &n);
	uint32_t sockets = 0;

	for (size_t i = 0; i < n; i++)
		if (strcmp(units_name(units, rows[i].cgroup_id, 0), name) == 0)
			sockets += stale_group_all(rows[i].form).sockets;
	return sockets;
}

static struct census *open_census(const struct fixture *fixture, uint64_t kernel_cgroup_id)
{
	struct census_config config = { .keep_ms = 3600000,
					.kernel_cgroup_id = kernel_cgroup_id,
					.holderunits = fixture->holderunits };
	struct census *census;

	for (int i = 0; i < STALE_REASONS; i++)
		config.thresholds.least[i] = 60000;
	census = census_new(&config);
	assert_non_null(census);
	return census;
}

static void test_stale_sockets_get_units(void **state)
{
	struct fixture *fixture = *state;
	struct units *units = units_new(fixture->cgroupfs, fixture->dir);
	struct census *census = open_census(fixture, 0);
	size_t n;

	need_cgroup1(fixture);
	units_use_holders(units, fixture->holderunits);
	make_process(fixture, 20, "system.slice/accepts.service", 1001);
	make_process(fixture, 30, "system.slice/leak.service", 1003);
	sample(fixture, census);
	assert_int_equal(count_stale(census, units, ""), 2);
	assert_true(holderunits_search(fixture->holderunits, fixture->now_ms));
	sample(fixture, census);
	assert_int_equal(count_stale(census, units, ""), 0);
	assert_int_equal(count_stale(census, units, "accepts.service"), 1);
	assert_int_equal(count_stale(census, units, "leak.service"), 1);
	assert_string_equal(
		units_name(units, listeners_all(census_listeners(census), &n)[0].cgroup_id, 0),
		"accepts.service");
	/* Nothing is left to search for. */
	assert_false(holderunits_search(fixture->holderunits,
					fixture->now_ms + HOLDERUNITS_INTERVAL_MS));
	census_free(census);
	units_free(units);
}

/* With cgroup2, the root is where the kernel's own are. */
static void test_not_where_sockets_tell(void **state)
{
	struct fixture *fixture = *state;
	struct census *census = open_census(fixture, 1);

	sample(fixture, census);
	assert_false(holderunits_search(fixture->holderunits, fixture->now_ms));
	census_free(census);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_first_holder_with_a_unit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_once_a_minute_and_for_what_is_stale, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_more_than_is_searched_for, setup, teardown),
		cmocka_unit_test_setup_teardown(test_listeners_leave_room, setup, teardown),
		cmocka_unit_test_setup_teardown(test_more_units_than_there_are_places, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_stale_sockets_get_units, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_where_sockets_tell, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
