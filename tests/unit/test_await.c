/* test_await: what poll(2) says is passed on, and its failure takes time. */
#include "tcphealth/base/await.h"
#include "tcphealth/base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

static void test_what_is_there_and_what_is_not(void **state)
{
	struct pollfd fds[2] = { { .events = POLLIN }, { .fd = -1, .revents = POLLIN } };

	(void)state;
	fds[0].fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_true(fds[0].fd >= 0);
	assert_int_equal(await_fds(fds, 2, 0), 0);
	assert_int_equal(eventfd_write(fds[0].fd, 1), 0);
	assert_int_equal(await_fds(fds, 2, -1), 1);
	assert_int_equal(fds[0].revents, POLLIN);
	assert_int_equal(fds[1].revents, 0);
	close(fds[0].fd);
}

/* EINVAL: more descriptors than the process may have. */
static int await_in_vain(struct pollfd *fd, int timeout_ms)
{
	struct rlimit limit, none;
	int found;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = (struct rlimit){ 0, limit.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(poll(fd, 1, 0), -1);
	found = await_fds(fd, 1, timeout_ms);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	return found;
}

static void test_failure_is_a_pause(void **state)
{
	struct pollfd fd = { .fd = -1, .revents = POLLIN };
	const int timeouts[] = { -1, 1000000, AWAIT_PAUSE_MS };

	(void)state;
	for (size_t i = 0; i < sizeof(timeouts) / sizeof(timeouts[0]); i++) {
		uint64_t begin_ns = clock_mono_ns();

		fd.revents = POLLIN;
		assert_int_equal(await_in_vain(&fd, timeouts[i]), 0);
		assert_int_equal(fd.revents, 0);
		assert_true(clock_mono_ns() - begin_ns >= AWAIT_PAUSE_MS * UINT64_C(1000000));
	}
	assert_int_equal(await_in_vain(&fd, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_there_and_what_is_not),
		cmocka_unit_test(test_failure_is_a_pause),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
