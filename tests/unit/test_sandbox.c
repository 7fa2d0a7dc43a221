/*
 * test_sandbox: what a sandboxed process may do, and what it may not. Each case runs in a child of its own.
 */
#include "tcphealth/base/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void *nothing(void *arg)
{
	return arg;
}

static bool can_start_thread(void)
{
	pthread_t thread;

	return pthread_create(&thread, NULL, nothing, NULL) == 0 && pthread_join(thread, NULL) == 0;
}

static bool can_open(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static bool can_make_socket(int family, int type, int protocol)
{
	int fd = socket(family, type | SOCK_CLOEXEC, protocol);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static bool can_make_executable(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p != MAP_FAILED && mprotect(p, 4096, PROT_READ | PROT_EXEC) == 0;
}

static bool can_enter_namespace(void)
{
	int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	int r = setns(fd, CLONE_NEWNET);

	return r == 0;
}

static bool can_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return pid > 0;
}

static bool can_run(void)
{
	(void)execl("/bin/true", "true", (char *)NULL);
	return false;
}

static bool can_delete(void)
{
	return unlink("/tmp/tcphealth-test-sandbox") == 0;
}

/* The exit status of a child that enters the sandbox and tries: 0 it could, 1 it could not, 2 no sandbox, 3 serving is impossible; -1: killed. */
static int try_inside(bool namespaces, bool (*attempt)(void))
{
	struct sandbox_config config = { .namespaces = namespaces };
	const char *forbidden;
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		if (sandbox_enter(&config, &forbidden) < 0)
			_exit(2);
		if (forbidden != NULL)
			_exit(3);
		_exit(attempt() ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool read_file(void)
{
	return can_open("/proc/self/stat", O_RDONLY);
}

static bool write_file(void)
{
	return can_open("/tmp/tcphealth-test-sandbox", O_WRONLY | O_CREAT);
}

static bool append_file(void)
{
	return can_open("/dev/null", O_RDWR);
}

static bool stream(void)
{
	return can_make_socket(AF_INET, SOCK_STREAM, 0) &&
	       can_make_socket(AF_INET6, SOCK_STREAM, 0);
}

static bool diag(void)
{
	return can_make_socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG);
}

static bool audit(void)
{
	return can_make_socket(AF_NETLINK, SOCK_RAW, NETLINK_AUDIT);
}

static bool raw(void)
{
	return can_make_socket(AF_INET, SOCK_RAW, 1);
}

static bool packet(void)
{
	return can_make_socket(AF_PACKET, SOCK_DGRAM, 0);
}

static bool set_limit(void)
{
	const uint64_t limit[2] = { 10, 10 };

	return syscall(SYS_prlimit64, 0, 7, limit, NULL) == 0;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

static void need_sandbox(void)
{
	if (SANITIZED)
		skip();
}

/* A sanitizer's runtime would not live in it. */
static void test_is_entered_but_in_sanitized_builds(void **state)
{
	(void)state;
	assert_int_equal(try_inside(false, read_file), SANITIZED ? 2 : 0);
}

static void test_what_serving_needs(void **state)
{
	(void)state;
	bool (*const attempts[])(void) = { read_file, stream, diag, can_start_thread };

	need_sandbox();
	for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++)
		assert_int_equal(try_inside(false, attempts[i]), 0);
}

static void test_what_it_does_not_need(void **state)
{
	(void)state;
	bool (*const attempts[])(void) = {
		write_file, append_file,         can_delete, set_limit, can_make_executable,
		can_fork,   can_enter_namespace, audit,      raw,       packet
	};
	size_t count = sizeof(attempts) / sizeof(attempts[0]);

	need_sandbox();
#ifdef __i386__
	count -= 3; /* sockets: see the header */
#endif
	for (size_t i = 0; i < count; i++)
		assert_int_equal(try_inside(false, attempts[i]), 1);
}

static void test_another_program_is_the_end(void **state)
{
	(void)state;
	need_sandbox();
	assert_int_equal(try_inside(false, can_run), -1);
}

static void test_namespaces_only_if_asked_for(void **state)
{
	(void)state;
	need_sandbox();
	if (geteuid() != 0)
		skip();
	assert_int_equal(try_inside(true, can_enter_namespace), 0);
	assert_int_equal(try_inside(false, can_enter_namespace), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_is_entered_but_in_sanitized_builds),
		cmocka_unit_test(test_what_serving_needs),
		cmocka_unit_test(test_what_it_does_not_need),
		cmocka_unit_test(test_another_program_is_the_end),
		cmocka_unit_test(test_namespaces_only_if_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
