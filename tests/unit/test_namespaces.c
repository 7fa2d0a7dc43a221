/*
 * Tests of namespaces on real namespaces, which are named under /run/netns as `ip netns` does it. As root.
 */
#include "tcphealth/app/namespaces.h"

#include "tcphealth/model/snapshot.h"

#include <dirent.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SCAN_MS 5000u
#define NAMES   70 /* more than NAMESPACES_MAX */

struct scene {
	struct namespaces *namespaces;
	struct survey_ns ns[NAMESPACES_MAX];
	size_t count;
	uint64_t now_ms;
	char pattern[64];
};

static bool can_make_namespaces(void)
{
	pid_t child = fork();
	int status = 1;

	if (child == 0)
		_exit(unshare(CLONE_NEWNET) < 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	return status == 0 && system("ip -V >/dev/null 2>&1") == 0;
}

/* "ip netns add" or "del" for the names from `first` to `last`. */
static void ip_netns(const char *command, unsigned int first, unsigned int last)
{
	FILE *ip = popen("ip -force -batch - 2>/dev/null", "w");

	assert_non_null(ip);
	for (unsigned int i = first; i <= last; i++)
		(void)fprintf(ip, "netns %s tcphu-%d-%02u\n", command, (int)getpid(), i);
	(void)pclose(ip);
}

static const char *name_of(unsigned int number)
{
	static char name[64];

	(void)snprintf(name, sizeof(name), "tcphu-%d-%02u", (int)getpid(), number);
	return name;
}

static void begin(struct scene *s, const char *filter)
{
	struct namespaces_config config = { .procfs = "/proc", .census.keep_ms = 3600000 };

	*s = (struct scene){ .now_ms = 1000000 };
	(void)snprintf(s->pattern, sizeof(s->pattern), "tcphu-%d-*", (int)getpid());
	config.filter = filter != NULL ? filter : s->pattern;
	s->namespaces = namespaces_new(&config);
	assert_non_null(s->namespaces);
}

static void end(struct scene *s)
{
	namespaces_free(s->namespaces);
	ip_netns("del", 1, NAMES);
}

static void steps(struct scene *s, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		assert_int_equal(namespaces_sample(s->namespaces, NAMESPACES_NEXT, s->now_ms++), 0);
	s->count = namespaces_fill(s->namespaces, s->ns, NAMESPACES_MAX);
}

static void rescan(struct scene *s, unsigned int count)
{
	s->now_ms += SCAN_MS;
	steps(s, count);
}

static bool has_name(const struct scene *s, const char *name)
{
	for (size_t i = 0; i < s->count; i++) {
		if (strcmp(s->ns[i].name, name) == 0)
			return true;
	}
	return false;
}

static unsigned int open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;

	assert_non_null(dir);
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

static void need_namespaces(void)
{
	if (!can_make_namespaces())
		skip();
}

static void test_one_a_step_in_turn(void **state)
{
	struct scene s;

	(void)state;
	need_namespaces();
	ip_netns("add", 1, 3);
	begin(&s, NULL);
	for (unsigned int i = 1; i <= 5; i++) {
		steps(&s, 1);
		assert_int_equal(s.count, i < 3 ? i : 3);
		assert_int_equal(namespaces_health(s.namespaces).partial, i < 3);
	}
	assert_true(has_name(&s, name_of(1)) && has_name(&s, name_of(2)) &&
		    has_name(&s, name_of(3)));
	for (size_t i = 0; i < s.count; i++) {
		assert_true(s.ns[i].timestamp > 1e9);
		assert_int_equal(s.ns[i].can, source_netlink.can & ~(uint32_t)SOURCE_EVENTS);
	}
	end(&s);
}

static void test_all_at_once(void **state)
{
	const struct connections_query query = { .states = TCP_STATES_ALL, .limit = 1 };
	struct connections_result result;
	struct scene s;

	(void)state;
	need_namespaces();
	ip_netns("add", 1, 3);
	begin(&s, NULL);
	assert_int_equal(namespaces_sample(s.namespaces, NAMESPACES_ALL, s.now_ms), 0);
	assert_int_equal(namespaces_fill(s.namespaces, s.ns, NAMESPACES_MAX), 3);
	assert_int_equal(connections_begin(&query, NULL, &result), 0);
	namespaces_add_connections(s.namespaces, &query, s.now_ms, &result);
	assert_false(result.partial);
	ip_netns("del", 1, 1); /* gone: nothing is missing */
	namespaces_add_connections(s.namespaces, &query, s.now_ms, &result);
	assert_false(result.partial);
	connections_done(&result);
	end(&s);
}

static void test_pattern(void **state)
{
	struct scene s;

	(void)state;
	need_namespaces();
	ip_netns("add", 1, 12);
	begin(&s, "tcphu-*-1[02]");
	steps(&s, 4);
	assert_int_equal(s.count, 2);
	assert_true(has_name(&s, name_of(10)) && has_name(&s, name_of(12)));
	assert_int_equal(namespaces_health(s.namespaces).sampled, 2);
	end(&s);
}

/* A container that is started again gets a namespace of the same name before anybody has noticed the end of the old one. */
static void test_another_of_the_same_name(void **state)
{
	struct scene s;
	const struct census *before;

	(void)state;
	need_namespaces();
	ip_netns("add", 1, 1);
	begin(&s, NULL);
	steps(&s, 2);
	before = s.ns[0].census;
	ip_netns("add", 2, 2); /* keeps the next from getting the inode that the old one had */
	ip_netns("del", 1, 1);
	ip_netns("add", 1, 1);
	rescan(&s, 3);
	assert_int_equal(s.count, 2);
	assert_true(has_name(&s, name_of(1)) && has_name(&s, name_of(2)));
	assert_non_null(before);
	end(&s);
}

static void test_gone_is_forgotten(void **state)
{
	unsigned int descriptors;
	struct scene s;

	(void)state;
	need_namespaces();
	ip_netns("add", 1, 4);
	begin(&s, NULL);
	descriptors = open_descriptors();
	steps(&s, 4);
	assert_int_equal(s.count, 4);
	ip_netns("del", 1, 3);
	/* Before the next scan: each is found gone when its turn comes. */
	for (unsigned int i = 0; i < 4; i++) {
		int err = namespaces_sample(s.namespaces, NAMESPACES_NEXT, s.now_ms++);

		assert_true(err == 0 || err == -ESTALE || err == -ENOENT);
	}
	rescan(&s, 1);
	assert_int_equal(s.count, 1);
	assert_true(has_name(&s, name_of(4)));
	assert_int_equal(open_descriptors(), descriptors);
	end(&s);
}

static void test_more_than_are_sampled(void **state)
{
	struct health_netns health;
	struct scene s;

	(void)state;
	need_namespaces();
	ip_netns("add", 1, NAMES);
	begin(&s, NULL);
	steps(&s, NAMESPACES_MAX + 5);
	health = namespaces_health(s.namespaces);
	assert_int_equal(s.count, NAMESPACES_MAX);
	assert_int_equal(health.sampled, NAMESPACES_MAX);
	assert_int_equal(health.over_limit, NAMES - NAMESPACES_MAX);
	ip_netns("del", 1, NAMES);
	ip_netns("add", 1, 5); /* find a place though the others are only now known to be gone */
	rescan(&s, 5);
	assert_int_equal(s.count, 5);
	assert_int_equal(namespaces_health(s.namespaces).over_limit, 0);
	end(&s);
}

/* Its file goes, a process stays: it is no longer called by the name, which the next may have. */
static void test_name_goes_to_another(void **state)
{
	struct scene s;
	char path[128];
	pid_t child;
	int ready[2];
	char byte;

	(void)state;
	need_namespaces();
	ip_netns("add", 1, 1);
	(void)snprintf(path, sizeof(path), "--net=/run/netns/%s", name_of(1));
	assert_int_equal(pipe(ready), 0);
	child = fork();
	if (child == 0) {
		dup2(ready[1], STDOUT_FILENO);
		execlp("nsenter", "nsenter", path, "sh", "-c", "echo; exec sleep 60", (char *)NULL);
		_exit(127);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	begin(&s, NULL);
	steps(&s, 1);
	assert_int_equal(s.count, 1);
	ip_netns("del", 1, 1);
	ip_netns("add", 1, 1);
	rescan(&s, 2);
	assert_int_equal(s.count, 1); /* the old one has no name that is asked for any more */
	assert_true(has_name(&s, name_of(1)));
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	close(ready[0]);
	close(ready[1]);
	end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_a_step_in_turn),
		cmocka_unit_test(test_all_at_once),
		cmocka_unit_test(test_pattern),
		cmocka_unit_test(test_another_of_the_same_name),
		cmocka_unit_test(test_gone_is_forgotten),
		cmocka_unit_test(test_more_than_are_sampled),
		cmocka_unit_test(test_name_goes_to_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
