/* netns: real namespaces, their names in a directory of the test's own, their mounts in a mount namespace of its own. */
#include "tcphealth/source/netns.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define NOBODY 65534
#define MAX    1000

/* `run` is a /run/netns, `proc` a process table of links into the real one. */
struct fixture {
	char dir[48], run[64], proc[64];
	struct netns_list list;
	struct netns_home home;
};

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW);
	return remove(path);
}

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	assert_non_null(fixture);
	strcpy(fixture->dir, "/tmp/test_netns.XXXXXX");
	assert_non_null(mkdtemp(fixture->dir));
	snprintf(fixture->run, sizeof(fixture->run), "%s/run", fixture->dir);
	snprintf(fixture->proc, sizeof(fixture->proc), "%s/proc", fixture->dir);
	assert_int_equal(mkdir(fixture->run, 0755), 0);
	assert_int_equal(mkdir(fixture->proc, 0755), 0);
	assert_int_equal(netns_home_open(&fixture->home), 0);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	netns_home_close(&fixture->home);
	netns_list_done(&fixture->list);
	nftw(fixture->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(fixture);
	return 0;
}

static bool may_mount;

/* What the tests mount is seen by nobody else, and goes with them. */
static int leave_mounts_alone(void **state)
{
	(void)state;
	may_mount = unshare(CLONE_NEWNS) == 0 &&
		    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
	return 0;
}

static struct fixture *need_namespaces(void **state)
{
	if (!may_mount)
		skip();
	return *state;
}

static void make_file(const char *dir, const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
}

static void make_link(const char *dir, const char *name, const char *target)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(symlink(target, path), 0);
}

/* What `ip netns add` does. */
static void name_namespace(const struct fixture *fixture, const char *name)
{
	char path[512];
	int status;

	make_file(fixture->run, name);
	snprintf(path, sizeof(path), "%s/%s", fixture->run, name);
	pid_t child = fork();
	if (child == 0)
		_exit(unshare(CLONE_NEWNET) ||
		      mount("/proc/thread-self/ns/net", path, NULL, MS_BIND, NULL));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void bind_namespace(const struct fixture *fixture, const char *name, const char *from)
{
	char path[512];

	make_file(fixture->run, name);
	snprintf(path, sizeof(path), "%s/%s", fixture->run, name);
	assert_int_equal(mount(from, path, NULL, MS_BIND, NULL), 0);
}

static void drop_namespace(const struct fixture *fixture, const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", fixture->run, name);
	umount2(path, MNT_DETACH);
	assert_int_equal(unlink(path), 0);
}

/* A process that waits in a new namespace. */
static pid_t start_inside(void)
{
	int ends[2];
	char there;

	assert_int_equal(pipe(ends), 0);
	pid_t child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (unshare(CLONE_NEWNET))
			_exit(1);
		_exit(write(ends[1], "", 1) != 1 || pause());
	}
	close(ends[1]);
	assert_int_equal(read(ends[0], &there, 1), 1);
	close(ends[0]);
	return child;
}

static void stop(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* An entry of the made process table that leads to the namespace of a real process. */
static void make_process(const struct fixture *fixture, const char *name, pid_t real)
{
	char path[128], target[64];

	snprintf(path, sizeof(path), "%s/%s", fixture->proc, name);
	assert_int_equal(mkdir(path, 0755), 0);
	strcat(path, "/ns");
	assert_int_equal(mkdir(path, 0755), 0);
	snprintf(target, sizeof(target), "/proc/%d/ns/net", (int)real);
	make_link(path, "net", target);
}

static int scan(struct fixture *fixture)
{
	return netns_scan(fixture->proc, fixture->run, MAX, &fixture->list);
}

static const struct netns_found *find_name(const struct netns_list *list, const char *name)
{
	size_t i = 0;

	while (i < list->count && strcmp(list->found[i].name, name) != 0)
		i++;
	assert_true(i < list->count);
	return &list->found[i];
}

/* The one with either process. */
static const struct netns_found *find_pid(const struct netns_list *list, pid_t pid, pid_t other)
{
	size_t i = 0;

	while (i < list->count && list->found[i].pid != pid && list->found[i].pid != other)
		i++;
	assert_true(i < list->count);
	return &list->found[i];
}

static uint64_t netns_inode(void)
{
	struct stat st;

	assert_int_equal(stat("/proc/thread-self/ns/net", &st), 0);
	return st.st_ino;
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

/* --- finding --- */

static void finds_nothing_in_nothing(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(scan(fixture), 0);
	assert_int_equal(fixture->list.count, 0);
	assert_int_equal(netns_scan(fixture->proc, "/nonexistent", MAX, &fixture->list), 0);
	assert_int_equal(netns_scan("/nonexistent", fixture->run, MAX, &fixture->list), -ENOENT);
}

static void finds_its_own(void **state)
{
	struct fixture *fixture = *state;
	size_t own = 0;

	assert_int_equal(netns_scan("/proc", fixture->run, MAX, &fixture->list), 0);
	for (size_t i = 0; i < fixture->list.count; i++) {
		const struct netns_found *found = &fixture->list.found[i];

		own += found->own;
		assert_int_equal(found->own, found->inode == netns_inode());
		assert_true(found->pid > 0);
		assert_memory_equal(found->path, "/proc/", 6);
	}
	assert_int_equal(own, 1);
}

static void finds_names_and_processes(void **state)
{
	struct fixture *fixture = need_namespaces(state);
	pid_t inside = start_inside();
	char path[128];

	name_namespace(fixture, "blue");
	name_namespace(fixture, "a\n\"b\xff");
	make_process(fixture, "7", inside);
	make_process(fixture, "8", getpid());
	make_process(fixture, "9", inside);
	assert_int_equal(scan(fixture), 0);
	assert_int_equal(fixture->list.count, 4);
	assert_int_equal(fixture->list.unreadable, 0);
	assert_false(fixture->list.truncated);
	/* named ones first */
	assert_true(fixture->list.found[0].name[0] && fixture->list.found[1].name[0]);
	find_name(&fixture->list, "a\n\"b\xff");
	const struct netns_found *blue = find_name(&fixture->list, "blue");
	snprintf(path, sizeof(path), "%s/blue", fixture->run);
	assert_string_equal(blue->path, path);
	assert_int_equal(blue->pid, 0);
	assert_false(blue->own);
	const struct netns_found *own = find_pid(&fixture->list, 8, 8);
	assert_true(own->own && !own->name[0]);
	/* whichever of its two comes first */
	const struct netns_found *other = find_pid(&fixture->list, 7, 9);
	assert_true(!other->own && !other->name[0]);
	snprintf(path, sizeof(path), "%s/%d/ns/net", fixture->proc, (int)other->pid);
	assert_string_equal(other->path, path);
	stop(inside);
}

static void lists_each_once(void **state)
{
	struct fixture *fixture = need_namespaces(state);
	pid_t inside = start_inside();
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)inside);
	bind_namespace(fixture, "m", path);
	bind_namespace(fixture, "b", path);
	bind_namespace(fixture, "z", path);
	make_process(fixture, "7", inside);
	assert_int_equal(scan(fixture), 0);
	assert_int_equal(fixture->list.count, 1);
	assert_string_equal(fixture->list.found[0].name, "b");
	assert_string_equal(strrchr(fixture->list.found[0].path, '/'), "/b");
	assert_int_equal(fixture->list.found[0].pid, 7);
	stop(inside);
}

static void skips_what_is_no_namespace(void **state)
{
	struct fixture *fixture = *state;
	char path[128];

	make_file(fixture->run, "plain");
	make_link(fixture->run, "dangling", "/nonexistent");
	make_link(fixture->run, "loop", "loop");
	make_link(fixture->run, "elsewhere", "/proc/self/stat");
	snprintf(path, sizeof(path), "%s/fifo", fixture->run);
	assert_int_equal(mkfifo(path, 0600), 0);
	snprintf(path, sizeof(path), "%s/dir", fixture->run);
	assert_int_equal(mkdir(path, 0755), 0);
	/* no processes */
	make_process(fixture, "0", getpid());
	make_process(fixture, "self", getpid());
	make_process(fixture, "7a", getpid());
	make_process(fixture, "99999999999", getpid());
	/* gone */
	make_process(fixture, "5", 0);
	make_file(fixture->proc, "6");
	assert_int_equal(scan(fixture), 0);
	assert_int_equal(fixture->list.count, 0);
	assert_int_equal(fixture->list.unreadable, 0);
}

/* As Docker's, a name may be a link to the mount. */
static void follows_links(void **state)
{
	struct fixture *fixture = *state;

	make_link(fixture->run, "linked", "/proc/self/ns/net");
	assert_int_equal(scan(fixture), 0);
	assert_int_equal(fixture->list.count, 1);
	assert_string_equal(fixture->list.found[0].name, "linked");
	assert_true(fixture->list.found[0].own);
}

static void takes_long_names_whole(void **state)
{
	struct fixture *fixture = *state;
	char name[256];

	memset(name, 'x', sizeof(name) - 1);
	name[255] = '\0';
	make_link(fixture->run, name, "/proc/self/ns/net");
	assert_int_equal(scan(fixture), 0);
	assert_int_equal(fixture->list.count, 1);
	assert_string_equal(fixture->list.found[0].name, name);
	assert_string_equal(strrchr(fixture->list.found[0].path, '/') + 1, name);
	memset(name, '/', sizeof(name) - 1);
	assert_int_equal(netns_scan("/proc", name, MAX, &fixture->list), 0);
	strcpy(name + 200, "/proc/../proc/../proc/../proc/../proc/../proc/../proc/.");
	assert_int_equal(netns_scan(name, fixture->run, MAX, &fixture->list), 0);
	for (size_t i = 0; i < fixture->list.count; i++)
		assert_int_equal(access(fixture->list.found[i].path, F_OK), 0);
}

static void stops_at_the_most(void **state)
{
	struct fixture *fixture = need_namespaces(state);

	name_namespace(fixture, "1");
	name_namespace(fixture, "2");
	name_namespace(fixture, "3");
	make_process(fixture, "7", getpid());
	for (size_t max = 0; max <= 5; max++) {
		assert_int_equal(netns_scan(fixture->proc, fixture->run, max, &fixture->list), 0);
		assert_int_equal(fixture->list.count, max < 4 ? max : 4);
		assert_int_equal(fixture->list.truncated, max < 4);
	}
}

static int look_as_nobody(struct fixture *fixture)
{
	if (setgroups(0, NULL) || setgid(NOBODY) || setuid(NOBODY))
		return 1;
	if (netns_scan("/proc", "/nonexistent", MAX, &fixture->list))
		return 2;
	return fixture->list.unreadable > 0 ? 0 : 3;
}

static void says_what_it_may_not_see(void **state)
{
	struct fixture *fixture = *state;
	int status;

	if (geteuid() != 0)
		skip();
	pid_t child = fork();
	if (child == 0)
		_exit(look_as_nobody(fixture));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

/* --- entering --- */

static void enters_and_leaves(void **state)
{
	struct fixture *fixture = need_namespaces(state);
	uint64_t home = netns_inode();
	pid_t inside = start_inside();

	name_namespace(fixture, "blue");
	make_process(fixture, "7", inside);
	assert_int_equal(scan(fixture), 0);
	assert_int_equal(fixture->list.count, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(netns_enter(&fixture->list.found[i]), 0);
		assert_int_equal(netns_inode(), fixture->list.found[i].inode);
		netns_leave(&fixture->home);
		assert_int_equal(netns_inode(), home);
	}
	stop(inside);
}

static void does_not_enter_another(void **state)
{
	struct fixture *fixture = need_namespaces(state);
	uint64_t home = netns_inode();
	char path[128];

	name_namespace(fixture, "blue");
	name_namespace(fixture, "green");
	assert_int_equal(scan(fixture), 0);
	const struct netns_found *blue = find_name(&fixture->list, "blue");
	const struct netns_found *green = find_name(&fixture->list, "green");
	/* Both names lead elsewhere by now; the first namespace is still alive by another name. */
	snprintf(path, sizeof(path), "%s/blue", fixture->run);
	bind_namespace(fixture, "blue2", path);
	drop_namespace(fixture, "blue");
	name_namespace(fixture, "blue");
	assert_int_equal(netns_enter(blue), -ESTALE);
	drop_namespace(fixture, "green");
	assert_int_equal(netns_enter(green), -ENOENT);
	make_file(fixture->run, "green");
	assert_int_equal(netns_enter(green), -ESTALE);
	snprintf(path, sizeof(path), "%s/green", fixture->run);
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(netns_enter(green), -ESTALE);
	assert_int_equal(netns_inode(), home);
}

static int enter_as_nobody(struct fixture *fixture)
{
	uint64_t home = netns_inode();

	if (setgroups(0, NULL) || setgid(NOBODY) || setuid(NOBODY))
		return 1;
	if (netns_enter(&fixture->list.found[0]) != -EPERM)
		return 2;
	return netns_inode() == home ? 0 : 3;
}

static void needs_a_privilege(void **state)
{
	struct fixture *fixture = need_namespaces(state);
	int status;

	name_namespace(fixture, "blue");
	assert_int_equal(chmod(fixture->dir, 0755), 0);
	assert_int_equal(scan(fixture), 0);
	pid_t child = fork();
	if (child == 0)
		_exit(enter_as_nobody(fixture));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

/* With too few descriptors it fails, at home; no number of them lets it stop halfway. */
static int enter_with_few_fds(struct fixture *fixture)
{
	uint64_t home = netns_inode();
	int failures = 0;

	for (rlim_t spare = 0; spare < 8; spare++) {
		int top = dup(0);
		struct rlimit limit = { (rlim_t)top + spare, (rlim_t)top + spare + 64 };

		close(top);
		setrlimit(RLIMIT_NOFILE, &limit);
		int err = netns_enter(&fixture->list.found[0]);
		limit.rlim_cur += 32;
		setrlimit(RLIMIT_NOFILE, &limit);
		if (err && (err != -EMFILE || netns_inode() != home))
			return 1;
		if (!err && netns_inode() != fixture->list.found[0].inode)
			return 2;
		failures += err != 0;
		netns_leave(&fixture->home);
	}
	return failures > 0 && failures < 8 ? 0 : 3;
}

static void fails_whole(void **state)
{
	struct fixture *fixture = need_namespaces(state);
	int status;

	name_namespace(fixture, "blue");
	assert_int_equal(scan(fixture), 0);
	pid_t child = fork();
	if (child == 0)
		_exit(enter_with_few_fds(fixture));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void *enter_in_thread(void *arg)
{
	struct fixture *fixture = arg;

	assert_int_equal(netns_enter(&fixture->list.found[0]), 0);
	assert_int_equal(netns_inode(), fixture->list.found[0].inode);
	return NULL;
}

/* A thread that never leaves: only it is there. */
static void moves_only_its_thread(void **state)
{
	struct fixture *fixture = need_namespaces(state);
	uint64_t home = netns_inode();
	pthread_t thread;

	name_namespace(fixture, "blue");
	assert_int_equal(scan(fixture), 0);
	assert_int_equal(pthread_create(&thread, NULL, enter_in_thread, fixture), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(netns_inode(), home);
}

static void leaves_home_or_dies(void **state)
{
	int status;

	(void)state;
	pid_t child = fork();
	if (child == 0) {
		const struct rlimit no_core = { 0, 0 };

		setrlimit(RLIMIT_CORE, &no_core);
		signal(SIGABRT, SIG_DFL);
		netns_leave(&(struct netns_home){ .fd = -1 });
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

/* Namespaces come and go, by name and by process, some between scan and entering. */
static void leaks_nothing(void **state)
{
	struct fixture *fixture = need_namespaces(state);
	size_t fds = count_fds(), cap = 0, entered = 0;
	char name[16];

	make_link(fixture->proc, "7", "/proc/self");
	for (unsigned int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "ns%u", i);
		name_namespace(fixture, name);
		assert_int_equal(scan(fixture), 0);
		assert_in_range(fixture->list.count, 2, 5);
		for (size_t j = 0; j < fixture->list.count; j++) {
			if (netns_enter(&fixture->list.found[j]))
				continue;
			entered++;
			netns_leave(&fixture->home);
		}
		if (i >= 3) {
			snprintf(name, sizeof(name), "ns%u", i - 3);
			drop_namespace(fixture, name);
		}
		for (size_t j = 0; j < fixture->list.count; j++)
			if (netns_enter(&fixture->list.found[j]) == 0)
				netns_leave(&fixture->home);
		if (i == 3)
			cap = fixture->list.cap;
	}
	assert_true(entered > 800);
	assert_int_equal(fixture->list.cap, cap);
	assert_int_equal(count_fds(), fds);
}

static void closes_twice(void **state)
{
	struct netns_list list = { 0 };
	struct netns_home home;

	(void)state;
	assert_int_equal(netns_home_open(&home), 0);
	assert_true(home.fd >= 0);
	netns_home_close(&home);
	assert_int_equal(home.fd, -1);
	netns_home_close(&home);
	netns_home_close(NULL);
	netns_list_done(&list);
	netns_list_done(&list);
	netns_list_done(NULL);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(finds_nothing_in_nothing),
		test(finds_its_own),
		test(finds_names_and_processes),
		test(lists_each_once),
		test(skips_what_is_no_namespace),
		test(follows_links),
		test(takes_long_names_whole),
		test(stops_at_the_most),
		test(says_what_it_may_not_see),
		test(enters_and_leaves),
		test(does_not_enter_another),
		test(needs_a_privilege),
		test(fails_whole),
		test(moves_only_its_thread),
		test(leaves_home_or_dies),
		test(leaks_nothing),
		cmocka_unit_test(closes_twice),
	};

	return cmocka_run_group_tests(tests, leave_mounts_alone, NULL);
}
