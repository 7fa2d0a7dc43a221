/* gate: what it does on its own, with servers that never say what became of a connection. */
#include "tcphealth/base/clock.h"
#include "tcphealth/web/gate.h"
#include "tcphealth/web/listenaddr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#define PATIENCE_MS 20000
#define DEADLINE_MS 900 /* a second, but for the granularity of clocks */

enum behaviour {
	KEEPS,   /* holds the descriptor and says nothing */
	SERVES,  /* holds it and says so */
	LOSES,   /* closes it and says nothing, as a library that is out of memory */
	REFUSES, /* closes it and returns an error */
};

struct house {
	struct gate *gate;
	enum behaviour behaviour;
	unsigned int port;
	atomic_uint admitted, complaints;
	int held[64]; /* only the gate's thread writes */
};

static int admit(void *arg, int fd, const struct sockaddr *peer, socklen_t peer_len)
{
	struct house *house = arg;

	(void)peer;
	(void)peer_len;
	unsigned int count = atomic_load(&house->admitted);
	if (count >= 64)
		abort();
	house->held[count] = -1;
	if (house->behaviour == KEEPS || house->behaviour == SERVES)
		house->held[count] = fd;
	else
		close(fd);
	if (house->behaviour == SERVES)
		gate_connected(house->gate, fd);
	atomic_store(&house->admitted, count + 1);
	return house->behaviour == REFUSES ? -ENOMEM : 0;
}

static void complain(void *arg, const char *what, const char *key, const char *value)
{
	struct house *house = arg;

	if (!*what || !*key || !*value)
		abort(); /* cmocka asserts on its own thread only */
	atomic_fetch_add(&house->complaints, 1);
}

static void open_house(struct house *house, enum behaviour behaviour, const char *address)
{
	char why[64];
	int fd = listenaddr_open(address, why, sizeof(why));
	struct gate_config config = {
		.listeners = &fd,
		.listener_count = 1,
		.max_connections = 4,
		.max_per_share = 2,
		.timeout_s = 1,
		.admit = admit,
		.complain = complain,
		.arg = house,
	};

	assert_true(fd >= 0);
	*house = (struct house){ .behaviour = behaviour, .port = listenaddr_port(fd) };
	house->gate = gate_new(&config);
	assert_non_null(house->gate);
	assert_int_equal(gate_start(house->gate), 0);
}

static void close_house(struct house *house)
{
	gate_stop(house->gate);
	gate_free(house->gate);
	for (unsigned int i = 0; i < atomic_load(&house->admitted); i++) {
		if (house->held[i] >= 0)
			close(house->held[i]);
	}
}

static int knock(const struct house *house, const char *source)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(inet_pton(AF_INET, source, &addr.sin_addr), 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	addr.sin_port = htons((uint16_t)house->port);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

static bool reaches(atomic_uint *counter, unsigned int count, int patience_ms)
{
	for (int i = 0; i < patience_ms && atomic_load(counter) < count; i++)
		poll(NULL, 0, 1);
	return atomic_load(counter) >= count;
}

static bool is_ended(int fd, int patience_ms)
{
	struct pollfd polled = { .fd = fd, .events = POLLIN };
	char byte;

	return poll(&polled, 1, patience_ms) == 1 && read(fd, &byte, 1) <= 0;
}

/* All of this host is one share: the longest idle of it leaves, and the newcomer gets in. */
static void test_a_newcomer_gets_in(void **state)
{
	struct house house;
	int fds[6];

	(void)state;
	open_house(&house, SERVES, ":0");
	for (unsigned int i = 0; i < 6; i++) {
		fds[i] = knock(&house, i % 2 ? "127.0.0.1" : "127.0.0.2");
		assert_true(reaches(&house.admitted, i + 1, PATIENCE_MS));
		if (i < 2)
			continue;
		assert_true(reaches(&house.complaints, i - 1, PATIENCE_MS));
		assert_true(is_ended(fds[i - 2], PATIENCE_MS));
		assert_false(is_ended(fds[i - 1], 0));
		gate_closed(house.gate, house.held[i - 2]);
	}
	for (int i = 0; i < 6; i++)
		close(fds[i]);
	close_house(&house);
}

/* Whoever asks stays, whoever was answered last stays longest. */
static void test_reports_count(void **state)
{
	struct house house;
	int fds[4];

	(void)state;
	open_house(&house, SERVES, "127.0.0.1:0");
	for (unsigned int i = 0; i < 2; i++) {
		fds[i] = knock(&house, "127.0.0.1");
		assert_true(reaches(&house.admitted, i + 1, PATIENCE_MS));
	}
	gate_asked(house.gate, house.held[0]);
	fds[2] = knock(&house, "127.0.0.1");
	assert_true(is_ended(fds[1], PATIENCE_MS));
	gate_closed(house.gate, house.held[1]);
	gate_answered(house.gate, house.held[0]);
	fds[3] = knock(&house, "127.0.0.1");
	assert_true(is_ended(fds[2], PATIENCE_MS));
	assert_false(is_ended(fds[0], 0));
	for (int i = 0; i < 4; i++)
		close(fds[i]);
	close_house(&house);
}

/* What the server has not begun with is ended when it does. */
static void test_leaves_once_it_is_served(void **state)
{
	struct house house;
	int fds[3];

	(void)state;
	open_house(&house, KEEPS, "127.0.0.1:0");
	for (int i = 0; i < 3; i++)
		fds[i] = knock(&house, "127.0.0.1");
	assert_true(reaches(&house.admitted, 3, PATIENCE_MS));
	assert_true(reaches(&house.complaints, 1, PATIENCE_MS));
	assert_false(is_ended(fds[0], 0));
	gate_connected(house.gate, house.held[0]);
	assert_true(is_ended(fds[0], PATIENCE_MS));
	gate_connected(house.gate, house.held[1]);
	assert_false(is_ended(fds[1], 0));
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	close_house(&house);
}

/*
 * A connection that was never said to be served is forgotten in time, but not touched: its number
 * may be another's.
 */
static void test_forgets_what_was_never_served(void **state)
{
	struct house house;
	int fds[3];

	(void)state;
	open_house(&house, KEEPS, "127.0.0.1:0");
	for (int i = 0; i < 2; i++)
		fds[i] = knock(&house, "127.0.0.1");
	assert_true(reaches(&house.admitted, 2, PATIENCE_MS));
	poll(NULL, 0, DEADLINE_MS + 200);
	fds[2] = knock(&house, "127.0.0.1");
	assert_true(reaches(&house.admitted, 3, PATIENCE_MS));
	assert_false(is_ended(fds[0], 0));
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	close_house(&house);
}

static void test_ends_what_is_overdue(void **state)
{
	struct house house;
	uint64_t start = clock_mono_ms();

	(void)state;
	open_house(&house, SERVES, "127.0.0.1:0");
	int fd = knock(&house, "127.0.0.1");
	assert_true(is_ended(fd, PATIENCE_MS));
	assert_true(clock_mono_ms() - start >= DEADLINE_MS);
	close(fd);
	close_house(&house);
}

/*
 * A place whose descriptor is given out anew was lost without a word: many come and go through
 * few places at once.
 */
static void test_lost_connections_leave_their_places(void **state)
{
	static const enum behaviour losers[] = { LOSES, REFUSES };

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct house house;
		uint64_t start = clock_mono_ms();
		open_house(&house, losers[i], "127.0.0.1:0");
		for (unsigned int j = 1; j <= 40; j++) {
			int fd = knock(&house, "127.0.0.1");
			assert_true(reaches(&house.admitted, j, PATIENCE_MS));
			assert_true(is_ended(fd, PATIENCE_MS));
			close(fd);
		}
		assert_true(clock_mono_ms() - start < 900);
		if (losers[i] == REFUSES)
			assert_true(reaches(&house.complaints, 40, PATIENCE_MS));
		close_house(&house);
	}
}

static void test_without_a_start(void **state)
{
	char why[64];
	int fd = listenaddr_open("127.0.0.1:0", why, sizeof(why));
	struct gate_config config = {
		.listeners = &fd, .listener_count = 1, .max_connections = 2, .complain = complain
	};
	struct gate *gate = gate_new(&config);

	(void)state;
	assert_non_null(gate);
	gate_quiesce(gate);
	assert_int_equal(close(fd), -1); /* it is closed already */
	gate_closed(gate, 1000);
	gate_free(gate);
	gate_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_newcomer_gets_in),
		cmocka_unit_test(test_reports_count),
		cmocka_unit_test(test_leaves_once_it_is_served),
		cmocka_unit_test(test_forgets_what_was_never_served),
		cmocka_unit_test(test_ends_what_is_overdue),
		cmocka_unit_test(test_lost_connections_leave_their_places),
		cmocka_unit_test(test_without_a_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
