/* systemd: the environment of a service manager, real sockets at the other end. */
#include "tcphealth/base/systemd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Receives at an abstract or a named address, which it writes to `ret_name`. */
static int open_manager(bool abstract, char *ret_name, size_t size)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)snprintf(ret_name, size, abstract ? "@test-systemd-%d" : "/tmp/test-systemd-%d",
		       getpid());
	strcpy(address.sun_path, ret_name);
	if (abstract)
		address.sun_path[0] = '\0';
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(ret_name));
	assert_int_equal(bind(fd, (struct sockaddr *)&address, abstract ? len : len + 1), 0);
	return fd;
}

static void assert_message(int fd, const char *expected)
{
	char text[512];
	ssize_t len = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

	assert_true(len >= 0);
	text[len] = '\0';
	assert_string_equal(text, expected);
}

static void test_notifications(void **state)
{
	(void)state;
	for (int abstract = 0; abstract < 2; abstract++) {
		struct systemd systemd;
		char name[64], text[512];
		uint64_t us = 0;
		int fd = open_manager(abstract, name, sizeof(name));
		setenv("NOTIFY_SOCKET", name, 1);
		systemd_init(&systemd);
		assert_null(getenv("NOTIFY_SOCKET"));
		assert_int_equal(systemd_ready(&systemd, "Serving"), 0);
		assert_message(fd, "READY=1\nSTATUS=Serving");
		assert_int_equal(systemd_alive(&systemd), 0);
		assert_message(fd, "WATCHDOG=1");
		assert_int_equal(systemd_reloading(&systemd), 0);
		ssize_t len = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);
		assert_true(len > 0);
		text[len] = '\0';
		assert_int_equal(sscanf(text, "RELOADING=1\nMONOTONIC_USEC=%" SCNu64, &us), 1);
		assert_true(us > 0);
		assert_int_equal(systemd_stopping(&systemd), 0);
		assert_message(fd, "STOPPING=1\nSTATUS=Ending");
		close(fd);
		assert_int_equal(systemd_alive(&systemd), -ECONNREFUSED);
		if (!abstract)
			unlink(name);
		systemd_done(&systemd);
		systemd_done(&systemd);
	}
}

static void test_nobody_to_tell(void **state)
{
	static const char *const names[] = { NULL, "", "@", "relative", "vsock:2:1" };
	struct systemd systemd;
	char long_name[200];

	(void)state;
	for (size_t i = 0; i < COUNT(names); i++) {
		if (names[i])
			setenv("NOTIFY_SOCKET", names[i], 1);
		systemd_init(&systemd);
		assert_int_equal(systemd.notify_fd, -1);
		assert_int_equal(systemd_ready(&systemd, "x"), 0);
		systemd_done(&systemd);
	}
	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[0] = '/';
	long_name[sizeof(long_name) - 1] = '\0';
	setenv("NOTIFY_SOCKET", long_name, 1);
	systemd_init(&systemd);
	assert_int_equal(systemd.notify_fd, -1);
}

static void test_watchdog(void **state)
{
	char own[16];
	const struct {
		const char *usec, *pid;
		uint64_t ms;
	} cases[] = {
		{ "30000000", NULL, 30000 },
		{ "30000000", own, 30000 },
		{ "30000000", "1", 0 },
		{ "30000000", "x", 0 },
		{ "soon", NULL, 0 },
		{ "-1", NULL, 0 },
		{ "1 ", NULL, 0 },
		{ "99999999999999999999999", NULL, 0 },
		{ "0", NULL, 0 },
		{ NULL, NULL, 0 },
	};

	(void)state;
	(void)snprintf(own, sizeof(own), "%d", getpid());
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct systemd systemd;
		if (cases[i].usec)
			setenv("WATCHDOG_USEC", cases[i].usec, 1);
		if (cases[i].pid)
			setenv("WATCHDOG_PID", cases[i].pid, 1);
		systemd_init(&systemd);
		assert_int_equal(systemd.watchdog_ms, cases[i].ms);
		assert_null(getenv("WATCHDOG_USEC"));
		assert_null(getenv("WATCHDOG_PID"));
	}
}

static int open_listener(bool listening)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    (listening && listen(fd, 1) < 0))
		_exit(100);
	return fd;
}

/* In a child, whose descriptors 3 and 4 are ours to set: the status is 0 if it found `want`. */
static int take_in_child(const char *count, bool own_pid, bool second_listens, int want_error,
			 size_t want_count)
{
	struct systemd systemd;
	char pid[16];
	int first = open_listener(true), second = open_listener(second_listens);

	(void)snprintf(pid, sizeof(pid), "%d", own_pid ? getpid() : 1);
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", count, 1);
	setenv("LISTEN_FDNAMES", "a:b", 1);
	first = fcntl(first, F_DUPFD, 20);
	second = fcntl(second, F_DUPFD, 20);
	if (dup2(first, 3) != 3 || dup2(second, 4) != 4)
		return 101;
	systemd_init(&systemd);
	if (systemd.sockets_error != want_error || systemd.socket_count != want_count)
		return 1;
	for (size_t i = 0; i < want_count; i++) {
		int fd = systemd.sockets[i];
		if (fd != 3 + (int)i || fcntl(fd, F_GETFD) != FD_CLOEXEC ||
		    !(fcntl(fd, F_GETFL) & O_NONBLOCK))
			return 2;
	}
	return getenv("LISTEN_FDS") || getenv("LISTEN_PID") || getenv("LISTEN_FDNAMES") ? 3 : 0;
}

static void test_sockets(void **state)
{
	static const struct {
		const char *count;
		bool own_pid, second_listens;
		int error;
		size_t found;
	} cases[] = {
		{ "1", true, false, 0, 1 },
		{ "2", true, true, 0, 2 },
		{ "2", true, false, -ENOTSOCK, 0 },
		{ "3", true, true, -ENOTSOCK, 0 },
		{ "17", true, true, -E2BIG, 0 },
		{ "2", false, true, 0, 0 },
		{ "0", true, true, 0, 0 },
		{ "x", true, true, 0, 0 },
		{ "99999999999", true, true, -E2BIG, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		int status = -1;
		pid_t child = fork();
		if (child == 0) {
			close_range(3, ~0U, 0);
			_exit(take_in_child(cases[i].count, cases[i].own_pid,
					    cases[i].second_listens, cases[i].error,
					    cases[i].found));
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFEXITED(status));
		if (WEXITSTATUS(status))
			fail_msg("case %zu: %d", i, WEXITSTATUS(status));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_notifications),
		cmocka_unit_test(test_nobody_to_tell),
		cmocka_unit_test(test_watchdog),
		cmocka_unit_test(test_sockets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
