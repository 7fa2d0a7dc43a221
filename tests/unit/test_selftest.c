/*
 * test_selftest: it passes where all is well, names the call that a filter forbids, and is seen by no exporter.
 */
#include "tcphealth/base/selftest.h"

#include <errno.h>
#include <seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define CALLS 3

/* What the C library may take for one call. */
struct forbidden {
	const char *name;
	int calls[CALLS];
};

static const struct forbidden each[] = {
	{ "pthread_create", { SCMP_SYS(clone), SCMP_SYS(clone3) } },
	{ "socket", { SCMP_SYS(socket) } },
	{ "setsockopt", { SCMP_SYS(setsockopt) } },
	{ "bind", { SCMP_SYS(bind) } },
	{ "listen", { SCMP_SYS(listen) } },
	{ "getsockname", { SCMP_SYS(getsockname) } },
	{ "connect", { SCMP_SYS(connect) } },
	{ "accept4", { SCMP_SYS(accept4) } },
	{ "poll", { SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(ppoll_time64) } },
	{ "recv", { SCMP_SYS(recv), SCMP_SYS(recvfrom) } },
	{ "send", { SCMP_SYS(send), SCMP_SYS(sendto) } },
};

/* Calls that this architecture does not have are left out. 0 is an unused place: read(2), which no case forbids. */
static void forbid(const struct forbidden *forbidden)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

	if (filter == NULL)
		_exit(2);
	for (size_t i = 0; i < CALLS; i++) {
		if (forbidden->calls[i] != 0)
			(void)seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), forbidden->calls[i],
					       0);
	}
	if (seccomp_load(filter) != 0)
		_exit(2);
	seccomp_release(filter);
}

static _Noreturn void expect(const struct forbidden *forbidden)
{
	const char *said;

	forbid(forbidden);
	said = selftest_run();
	if (said != NULL && strcmp(said, forbidden->name) == 0)
		_exit(0);
	fprintf(stderr, "%s: %s\n", forbidden->name, said != NULL ? said : "passed");
	_exit(1);
}

static void test_passes(void **state)
{
	(void)state;
	for (int i = 0; i < 20; i++)
		assert_null(selftest_run());
}

static void test_names_the_first_call_that_fails(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
		int status;
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0)
			expect(&each[i]);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
}

static _Noreturn void do_without_tcp(void)
{
	const struct scmp_arg_cmp inet = { .arg = 0, .op = SCMP_CMP_EQ, .datum_a = AF_INET };
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

	if (filter == NULL ||
	    seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socket), 1, &inet) !=
		    0 ||
	    seccomp_load(filter) != 0 || socket(AF_INET, SOCK_STREAM, 0) >= 0)
		_exit(2);
	_exit(selftest_run() == NULL ? 0 : 1);
}

/* Every exporter of the namespace would count it. */
static void test_makes_no_tcp_connection(void **state)
{
	pid_t pid;
	int status;

	(void)state;
#ifdef __i386__ /* socketcall(2): no filter sees its arguments */
	skip();
#endif
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		do_without_tcp();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_passes),
		cmocka_unit_test(test_names_the_first_call_that_fails),
		cmocka_unit_test(test_makes_no_tcp_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
