/* selftest: see the header. */
#include "tcphealth/base/selftest.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define LIMIT_S 1 /* of each step */

struct selftest {
	struct sockaddr_un address;
	socklen_t address_len;
	int listener;
	_Atomic(const char *) failed; /* the first of both threads */
};

/* Whether it went well; else its name is kept. */
static bool step(struct selftest *test, bool good, const char *name)
{
	const char *none = NULL;

	if (!good)
		(void)atomic_compare_exchange_strong(&test->failed, &none, name);
	return good;
}

static bool bound_waits(struct selftest *test, int fd)
{
	const struct timeval limit = { .tv_sec = LIMIT_S };

	return step(test,
		    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0 &&
			    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) == 0,
		    "setsockopt");
}

static int make_socket(struct selftest *test)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (step(test, fd >= 0, "socket") && !bound_waits(test, fd)) {
		close(fd);
		return -1;
	}
	return fd;
}

static bool send_byte(struct selftest *test, int fd)
{
	return step(test, send(fd, "", 1, MSG_NOSIGNAL) == 1, "send");
}

static bool receive_byte(struct selftest *test, int fd)
{
	char byte;

	return step(test, recv(fd, &byte, 1, 0) == 1, "recv");
}

static void *ask(void *arg)
{
	struct selftest *test = arg;
	int fd = make_socket(test);

	if (fd < 0)
		return NULL;
	if (step(test, connect(fd, (const struct sockaddr *)&test->address, test->address_len) == 0,
		 "connect") &&
	    send_byte(test, fd))
		(void)receive_byte(test, fd);
	close(fd);
	return NULL;
}

static bool start_listening(struct selftest *test)
{
	struct sockaddr *address = (struct sockaddr *)&test->address;

	test->address_len = sizeof(test->address);
	/* Without a name, the kernel chooses one that is in no directory. */
	return step(test, bind(test->listener, address, sizeof(address->sa_family)) == 0, "bind") &&
	       step(test, listen(test->listener, 1) == 0, "listen") &&
	       step(test, getsockname(test->listener, address, &test->address_len) == 0,
		    "getsockname");
}

static void answer(struct selftest *test)
{
	struct pollfd polled = { .fd = test->listener, .events = POLLIN };
	int fd;

	if (!step(test, poll(&polled, 1, LIMIT_S * 1000) == 1, "poll"))
		return;
	fd = accept4(test->listener, NULL, NULL, SOCK_CLOEXEC);
	if (!step(test, fd >= 0, "accept4"))
		return;
	if (bound_waits(test, fd) && receive_byte(test, fd))
		(void)send_byte(test, fd);
	close(fd);
}

static void serve(struct selftest *test)
{
	pthread_t asker;

	if (!start_listening(test) ||
	    !step(test, pthread_create(&asker, NULL, ask, test) == 0, "pthread_create"))
		return;
	answer(test);
	pthread_join(asker, NULL);
}

const char *selftest_run(void)
{
	struct selftest test = { .address = { .sun_family = AF_UNIX } };

	test.listener = make_socket(&test);
	if (test.listener >= 0) {
		serve(&test);
		close(test.listener);
	}
	return test.failed;
}
