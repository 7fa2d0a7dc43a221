/*
 * Tests of listeners: matching, memory, queues, and drop counters that never fall.
 */
#include "tcphealth/model/listeners.h"

#include "helpers/records.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define KEEP_MS      1000u

static struct listeners *sample(struct listeners *ls, const struct tcpsock *socks, size_t n,
				uint64_t now_ms, bool forget)
{
	listeners_begin(ls, forget);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(listeners_add(ls, &socks[i], now_ms), 0);
	listeners_end(ls, now_ms);
	return ls;
}

static const struct listener_port *row_of(const struct listeners *ls, uint16_t port)
{
	size_t n;
	const struct listener_port *rows = listeners_ports(ls, &n);

	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			assert_true(rows[i - 1].port < rows[i].port);
		if (rows[i].port == port)
			return &rows[i];
	}
	return NULL;
}

static size_t sockets_in(const struct listeners *ls)
{
	size_t n;

	(void)listeners_all(ls, &n);
	return n;
}

static enum listeners_match match(const struct listeners *ls, const char *addr, uint16_t port)
{
	struct in6_addr in6 = record_addr(addr);

	return listeners_match(ls, &in6, port);
}

static void test_matching(void **state)
{
	(void)state;
	static const struct {
		const char *listens;
		bool v6only;
		const char *addr;
		bool takes;
	} cases[] = {
		{ "0.0.0.0", false, "10.0.0.1", true },
		{ "0.0.0.0", false, "2001:db8::1", false },
		{ "10.0.0.1", false, "10.0.0.1", true },
		{ "10.0.0.1", false, "10.0.0.2", false },
		{ "10.0.0.1", false, "2001:db8::1", false },
		{ "::", false, "10.0.0.1", true }, /* dual stack */
		{ "::", false, "2001:db8::1", true },
		{ "::", true, "10.0.0.1", false },
		{ "::", true, "2001:db8::1", true },
		{ "2001:db8::1", false, "2001:db8::1", true },
		{ "2001:db8::1", false, "2001:db8::2", false },
		{ "2001:db8::1", false, "10.0.0.1", false },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct listeners *ls = listeners_new(KEEP_MS);
		struct tcpsock sock = record_listener(1, cases[i].listens, 80);

		sock.v6only = cases[i].v6only;
		sample(ls, &sock, 1, 100, false);
		assert_int_equal(match(ls, cases[i].addr, 80),
				 cases[i].takes ? LISTENERS_ALIVE : LISTENERS_NONE);
		assert_int_equal(match(ls, cases[i].addr, 81), LISTENERS_NONE);
		assert_int_equal(listeners_match(ls, NULL, 80), LISTENERS_ALIVE);
		assert_int_equal(listeners_match(ls, NULL, 81), LISTENERS_NONE);
		sample(ls, NULL, 0, 200, false);
		assert_int_equal(match(ls, cases[i].addr, 80),
				 cases[i].takes ? LISTENERS_FORMER : LISTENERS_NONE);
		assert_int_equal(listeners_match(ls, NULL, 80), LISTENERS_FORMER);
		sample(ls, NULL, 0, 100 + KEEP_MS, false);
		assert_int_equal(match(ls, cases[i].addr, 80), LISTENERS_NONE);
		assert_int_equal(listeners_match(ls, NULL, 80), LISTENERS_NONE);
		listeners_free(ls);
	}
}

static void test_whose_queue(void **state)
{
	(void)state;
	struct listeners *ls = listeners_new(KEEP_MS);
	struct tcpsock socks[4] = { record_listener(1, "0.0.0.0", 80),
				    record_listener(2, "10.0.0.1", 80),
				    record_listener(3, "10.0.0.1", 80),
				    record_listener(4, "10.0.0.1", 80) };
	struct in6_addr one = record_addr("10.0.0.1"), two = record_addr("10.0.0.2");
	uint32_t inodes[4];

	for (uint32_t i = 0; i < COUNT(socks); i++) {
		socks[i].inode = 11 + i;
		socks[i].rqueue = 0;
	}
	sample(ls, socks, COUNT(socks), 100, false);
	assert_int_equal(listeners_queueing(ls, &one, 80, inodes, COUNT(inodes)), 3);
	assert_int_equal(listeners_queueing(ls, &one, 80, inodes, 2), 2);
	assert_int_equal(listeners_queueing(ls, &two, 80, inodes, COUNT(inodes)), 1);
	assert_int_equal(inodes[0], 11);
	assert_int_equal(listeners_queueing(ls, &one, 81, inodes, COUNT(inodes)), 0);
	/* The others' programs have accepted all. */
	socks[0].rqueue = socks[2].rqueue = 1;
	sample(ls, socks, COUNT(socks), 200, false);
	assert_int_equal(listeners_queueing(ls, &one, 80, inodes, COUNT(inodes)), 1);
	assert_int_equal(inodes[0], 13);
	/* Its queue has gone with it. */
	sample(ls, socks, 2, 300, false);
	assert_int_equal(listeners_queueing(ls, &one, 80, inodes, COUNT(inodes)), 1);
	assert_int_equal(inodes[0], 12);
	listeners_free(ls);
}

static void test_alive_beats_former(void **state)
{
	(void)state;
	struct listeners *ls = listeners_new(KEEP_MS);
	struct tcpsock socks[2] = { record_listener(1, "0.0.0.0", 80),
				    record_listener(2, "10.0.0.1", 80) };

	sample(ls, socks, 2, 100, false);
	sample(ls, &socks[0], 1, 200, false);
	assert_int_equal(match(ls, "10.0.0.1", 80), LISTENERS_ALIVE);
	sample(ls, &socks[1], 1, 300, false);
	assert_int_equal(match(ls, "10.0.0.1", 80), LISTENERS_ALIVE);
	assert_int_equal(match(ls, "10.0.0.2", 80), LISTENERS_FORMER);
	listeners_free(ls);
}

/* In the dump of connections, listeners that the sample has just shown count as alive, others as former. */
static void test_matching_within_a_sample(void **state)
{
	(void)state;
	struct listeners *ls = listeners_new(KEEP_MS);
	struct tcpsock sock = record_listener(1, "0.0.0.0", 80),
		       later = record_listener(2, "0.0.0.0", 81);

	sample(ls, &sock, 1, 100, false);
	listeners_begin(ls, false);
	assert_int_equal(match(ls, "10.0.0.1", 80), LISTENERS_FORMER);
	listeners_add(ls, &sock, 200);
	listeners_add(ls, &later, 200);
	assert_int_equal(match(ls, "10.0.0.1", 80), LISTENERS_ALIVE);
	assert_int_equal(match(ls, "10.0.0.1", 81), LISTENERS_ALIVE);
	listeners_end(ls, 200);
	listeners_free(ls);
}

static void test_reuseport_queues(void **state)
{
	(void)state;
	struct listeners *ls = listeners_new(KEEP_MS);
	struct tcpsock socks[3] = { record_listener(1, "0.0.0.0", 80),
				    record_listener(2, "0.0.0.0", 80),
				    record_listener(3, "0.0.0.0", 443) };
	const struct listener_port *row;

	socks[0].rqueue = 3, socks[0].wqueue = 2;   /* over-full: 3 of 3 */
	socks[1].rqueue = 10, socks[1].wqueue = 99; /* 10 of 100 */
	sample(ls, socks, 3, 100, false);
	row = row_of(ls, 80);
	assert_int_equal(row->sockets, 2);
	assert_int_equal(row->queue_length, 13);
	assert_int_equal(row->queue_limit, 101);
	assert_true(row->saturation > 0.999 && row->saturation < 1.001);
	assert_true(row->backlog_known && row->kept);
	row = row_of(ls, 443);
	assert_int_equal(row->sockets, 1);
	assert_int_equal(row->queue_length, 0);
	assert_int_equal(row->queue_limit, 128);

	/* The kernel shows one twice: counted once. */
	listeners_begin(ls, false);
	for (int i = 0; i < 2; i++)
		listeners_add(ls, &socks[1], 200);
	listeners_end(ls, 200);
	row = row_of(ls, 80);
	assert_int_equal(row->sockets, 1);
	assert_int_equal(row->queue_length, 10);
	row = row_of(ls, 443);
	assert_int_equal(row->sockets, 0);
	assert_int_equal(row->queue_limit, 0);
	assert_true(row->kept);
	sample(ls, NULL, 0, 100 + KEEP_MS, false);
	assert_false(row_of(ls, 443)->kept);
	assert_true(row_of(ls, 80)->kept);
	listeners_free(ls);
}

static void test_backlog_unknown(void **state)
{
	(void)state;
	struct listeners *ls = listeners_new(KEEP_MS);
	struct tcpsock sock = record_listener(1, "0.0.0.0", 80);

	sock.known = 0;
	sock.wqueue = 0;
	sock.rqueue = 5;
	sample(ls, &sock, 1, 100, false);
	assert_false(row_of(ls, 80)->backlog_known);
	assert_int_equal(row_of(ls, 80)->queue_length, 5);
	listeners_free(ls);
}

static int sum_drops(void *arg, uint16_t port, uint64_t drops)
{
	uint64_t *sums = arg;

	sums[port] += drops;
	return 0;
}

/* Drops of listeners since the last call, where all of them were connections. */
static uint64_t drops_of(struct listeners *ls, uint16_t port)
{
	static uint64_t sums[65536];

	memset(sums, 0, sizeof(sums));
	assert_int_equal(listeners_settle_drops(ls, UINT32_MAX, sum_drops, sums), 0);
	return sums[port];
}

static void expect_drops(struct listeners *ls, struct tcpsock *sock, uint32_t drops,
			 uint64_t now_ms, uint64_t expected)
{
	sock->drops = drops;
	sample(ls, sock, 1, now_ms, false);
	assert_int_equal(drops_of(ls, sock->local_port), expected);
}

static void test_drops(void **state)
{
	(void)state;
	struct listeners *ls = listeners_new(KEEP_MS);
	struct tcpsock old = record_listener(1, "0.0.0.0", 80),
		       new = record_listener(2, "0.0.0.0", 80);

	expect_drops(ls, &old, 1000, 100, 0); /* before the first sample: not ours */
	expect_drops(ls, &old, 1003, 200, 3);
	expect_drops(ls, &old, 1003, 300, 0);
	expect_drops(ls, &old, UINT32_MAX - 1, 400, UINT32_MAX - 1 - 1003);
	expect_drops(ls, &old, 4, 500, 6); /* wraps */
	/* A listener that came after the first sample counts from its beginning. */
	expect_drops(ls, &new, 7, 600, 7);
	listeners_free(ls);
}

struct drops_case {
	const char *what;
	/* What four listeners on ports 1 to 4 dropped, and whether they are full. */
	uint32_t drops[4];
	bool full[4];
	/* Growth of ListenDrops in this sample, and in the next, in which no listener drops anything: its own waits for one more. */
	uint64_t listen_drops, next;
	/* By port, 0: of nobody, after both. */
	uint64_t expected[5];
};

/* Whose connections were turned away: docs/kernel.md. */
static void test_whose_drops(void **state)
{
	(void)state;
	static const struct drops_case cases[] = {
		{ "all of them", { 3, 4 }, { true }, 7, 0, { 0, 3, 4 } },
		{ "no connection: deferred accepts, health checks, repeated SYNs",
		  { 9, 9, 9 },
		  { false },
		  0,
		  0,
		  { 0 } },
		{ "no connection, though a queue is full", { 9 }, { true }, 0, 0, { 0 } },
		{ "full at the final ACK: told twice", { 10 }, { true }, 5, 0, { 0, 5 } },
		{ "the full one, not its neighbours", { 5, 6 }, { true, false }, 5, 0, { 0, 5 } },
		{ "what the others cannot have dropped", { 10, 2, 1 }, { false }, 9, 0, { 3, 6 } },
		{ "of anybody", { 5, 5, 5 }, { false }, 4, 0, { 4 } },
		{ "a full one, and the rest",
		  { 5, 6, 1 },
		  { true, false, false },
		  10,
		  0,
		  { 1, 5, 4 } },
		{ "two full ones", { 5, 6, 7 }, { true, true, false }, 11, 0, { 0, 5, 6 } },
		{ "of one that has closed", { 2 }, { false }, 5, 0, { 3, 2 } },
		{ "of nobody, and the next ones as well", { 2 }, { false }, 5, 4, { 3, 2 } },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		const struct drops_case *c = &cases[i];
		struct listeners *ls = listeners_new(KEEP_MS);
		static uint64_t sums[65536];
		struct tcpsock socks[4];

		memset(sums, 0, sizeof(sums));
		for (uint16_t k = 0; k < 4; k++)
			socks[k] = record_listener(k + 1u, "0.0.0.0", k + 1u);
		sample(ls, socks, 4, 100, false);
		assert_int_equal(listeners_settle_drops(ls, 0, sum_drops, sums), 0);
		for (size_t k = 0; k < 4; k++) {
			socks[k].drops += c->drops[k];
			socks[k].rqueue = socks[k].wqueue + c->full[k];
		}
		sample(ls, socks, 4, 200, false);
		assert_int_equal(listeners_settle_drops(ls, c->listen_drops, sum_drops, sums), 0);
		sample(ls, socks, 4, 300, false);
		assert_int_equal(listeners_settle_drops(ls, c->next, sum_drops, sums), 0);
		for (size_t port = 0; port < 5; port++) {
			if (sums[port] != c->expected[port])
				fail_msg("%s: port %zu has %llu", c->what, port,
					 (unsigned long long)sums[port]);
		}
		listeners_free(ls);
	}
}

/* A connection is turned away after the listeners were read, and before the counter was. */
static void test_drops_between_the_readings(void **state)
{
	(void)state;
	struct listeners *ls = listeners_new(KEEP_MS);
	struct tcpsock sock = record_listener(1, "0.0.0.0", 80);
	static uint64_t sums[65536];

	sample(ls, &sock, 1, 100, false);
	assert_int_equal(listeners_settle_drops(ls, 3, sum_drops, sums), 0);
	sock.drops += 3;
	sample(ls, &sock, 1, 200, false);
	assert_int_equal(listeners_settle_drops(ls, 0, sum_drops, sums), 0);
	assert_int_equal(sums[80], 3);
	assert_int_equal(sums[0], 0);
	listeners_free(ls);
}

/* Its queue was full in the sample before, and has been emptied since. */
static void test_drops_of_one_that_was_full(void **state)
{
	(void)state;
	struct listeners *ls = listeners_new(KEEP_MS);
	struct tcpsock socks[2] = { record_listener(1, "0.0.0.0", 80),
				    record_listener(2, "0.0.0.0", 81) };
	static uint64_t sums[65536];

	socks[0].rqueue = socks[0].wqueue + 1;
	sample(ls, socks, 2, 100, false);
	assert_int_equal(listeners_settle_drops(ls, 0, sum_drops, sums), 0);
	socks[0].rqueue = 0;
	socks[0].drops += 4;
	socks[1].drops += 4;
	sample(ls, socks, 2, 200, false);
	assert_int_equal(listeners_settle_drops(ls, 4, sum_drops, sums), 0);
	assert_int_equal(sums[80], 4);
	assert_int_equal(sums[81], 0);
	listeners_free(ls);
}

/* Missing from one dump only: it goes on where it was. */
static void test_drops_of_one_that_was_missed(void **state)
{
	(void)state;
	struct listeners *ls = listeners_new(KEEP_MS);
	struct tcpsock sock = record_listener(1, "0.0.0.0", 80);

	expect_drops(ls, &sock, 10, 100, 0);
	sample(ls, NULL, 0, 200, false);
	expect_drops(ls, &sock, 12, 300, 2);
	listeners_free(ls);
}

static void test_source_change_does_not_bend(void **state)
{
	(void)state;
	struct listeners *ls = listeners_new(KEEP_MS);
	struct tcpsock netlink = record_listener(1, "0.0.0.0", 80),
		       procfs = record_listener(77, "0.0.0.0", 80);

	procfs.known = 0;
	procfs.wqueue = 0;
	expect_drops(ls, &netlink, 1000, 100, 0);
	expect_drops(ls, &netlink, 1005, 200, 5);
	sample(ls, &procfs, 1, 300, true);
	assert_int_equal(drops_of(ls, 80), 0);
	netlink.drops = 1105;
	sample(ls, &netlink, 1, 400, true); /* what came meanwhile has no base */
	assert_int_equal(drops_of(ls, 80), 0);
	expect_drops(ls, &netlink, 1106, 500, 1);
	assert_int_equal(sockets_in(ls), 1); /* and none of them stands there twice */
	listeners_free(ls);
}

/* A sample of the other source began and broke off: ids are strange, or missing, in the next. */
static void test_source_change_that_fails(void **state)
{
	(void)state;
	struct listeners *ls = listeners_new(KEEP_MS);
	struct tcpsock netlink = record_listener(1, "0.0.0.0", 80),
		       procfs = record_listener(77, "0.0.0.0", 80);

	procfs.known = 0;
	expect_drops(ls, &netlink, 1000, 100, 0);
	listeners_begin(ls, true); /* /proc, which fails */
	listeners_add(ls, &procfs, 200);
	netlink.drops = 1003;
	sample(ls, &netlink, 1, 300, false);
	assert_int_equal(drops_of(ls, 80), 0);
	expect_drops(ls, &netlink, 1004, 400, 1);
	assert_int_equal(sockets_in(ls), 1);
	for (int i = 0; i < 5; i++) {
		listeners_begin(ls, true);
		listeners_begin(ls, false);
		listeners_begin(ls, true);
		listeners_add(ls, &procfs, 500);
		listeners_end(ls, 500);
	}
	assert_int_equal(sockets_in(ls), 1);
	listeners_free(ls);
}

static void test_source_change_with_reuseport(void **state)
{
	(void)state;
	struct listeners *ls = listeners_new(KEEP_MS);
	struct tcpsock a[2] = { record_listener(1, "0.0.0.0", 80),
				record_listener(2, "0.0.0.0", 80) };
	struct tcpsock b[3] = { record_listener(11, "0.0.0.0", 80),
				record_listener(12, "0.0.0.0", 80), record_listener(13, "::", 80) };

	sample(ls, a, 2, 100, false);
	sample(ls, b, 3, 200, true);
	assert_int_equal(row_of(ls, 80)->sockets, 3);
	assert_int_equal(sockets_in(ls), 3);
	listeners_free(ls);
}

/* A sample that broke off loses no drops and counts none twice. */
static void test_aborted_sample(void **state)
{
	(void)state;
	struct listeners *ls = listeners_new(KEEP_MS);
	struct tcpsock socks[2] = { record_listener(1, "0.0.0.0", 80),
				    record_listener(2, "0.0.0.0", 81) };
	static uint64_t sums[65536];

	expect_drops(ls, &socks[0], 10, 100, 0);
	listeners_begin(ls, false);
	socks[0].drops = 15;
	socks[1].drops = 4;
	listeners_add(ls, &socks[0], 200);
	listeners_add(ls, &socks[1], 200);
	socks[0].drops = 17;
	socks[1].drops = 6;
	sample(ls, socks, 2, 300, false);
	assert_int_equal(listeners_settle_drops(ls, 13, sum_drops, sums), 0);
	assert_int_equal(sums[80], 7);
	assert_int_equal(sums[81], 6);
	listeners_free(ls);
}

static void test_gone_listeners_are_bounded(void **state)
{
	(void)state;
	struct listeners *ls = listeners_new(1000000);
	uint64_t now_ms = 1000;

	/* Ever new listeners on ever new ports, some at a time. */
	for (uint32_t i = 0; i < 20000; i += 100) {
		listeners_begin(ls, false);
		for (uint32_t j = i; j < i + 100; j++) {
			struct tcpsock sock =
				record_listener(j + 1, "0.0.0.0", (uint16_t)(10000 + j));

			assert_int_equal(listeners_add(ls, &sock, now_ms), 0);
		}
		now_ms += 1000;
		listeners_end(ls, now_ms);
	}
	assert_in_range(sockets_in(ls), 100, 16384 + 100);
	assert_int_equal(match(ls, "10.0.0.1", 29999), LISTENERS_ALIVE);
	assert_int_equal(match(ls, "10.0.0.1", 29800), LISTENERS_FORMER); /* the youngest stay */
	assert_int_equal(match(ls, "10.0.0.1", 10000), LISTENERS_NONE);
	/* All at once: none is older than the others, so all go. */
	listeners_begin(ls, false);
	for (uint32_t j = 0; j < 20000; j++) {
		struct tcpsock sock = record_listener(100000 + j, "0.0.0.0", (uint16_t)(10000 + j));

		listeners_add(ls, &sock, now_ms);
	}
	listeners_end(ls, now_ms);
	assert_in_range(sockets_in(ls), 20000, 20000 + 16384);
	sample(ls, NULL, 0, now_ms + 10, false);
	assert_in_range(sockets_in(ls), 0, 16384);
	listeners_free(ls);
}

/* What TPROXY diverts has its listener on another port. */
static void test_diverted_ports(void **state)
{
	(void)state;
	struct tcpsock socks[2] = { record_listener(1, "0.0.0.0", 50080),
				    record_listener(2, "0.0.0.0", 22) };
	struct listeners *ls = listeners_new(1000);
	uint64_t now_ms = 5000;

	assert_non_null(ls);
	for (int round = 0; round < 3; round++, now_ms += 100) {
		/* A listener that TPROXY does not divert to helps nobody. */
		socks[0].known = round == 1 ? socks[0].known | TCPSOCK_TRANSPARENT
					    : socks[0].known & ~(uint32_t)TCPSOCK_TRANSPARENT;
		listeners_begin(ls, false);
		for (size_t i = 0; i < 2; i++)
			assert_int_equal(listeners_add(ls, &socks[i], now_ms), 0);
		assert_int_equal(listeners_divert(ls, 8080, now_ms), 0);
		assert_int_equal(listeners_divert(ls, 22, now_ms), 0);
		listeners_end(ls, now_ms);
		assert_int_equal(row_of(ls, 8080)->sockets, round == 1);
		assert_int_equal(row_of(ls, 8080)->diverted, round == 1);
		assert_int_equal(row_of(ls, 8080)->kept, round >= 1);
		assert_int_equal(row_of(ls, 22)->sockets, 1);
		assert_false(row_of(ls, 22)->diverted);
	}
	/* Nor is it waited for when no connection has been seen for so long. */
	socks[0].known |= TCPSOCK_TRANSPARENT;
	now_ms += 2000;
	listeners_begin(ls, false);
	assert_int_equal(listeners_add(ls, &socks[0], now_ms), 0);
	listeners_end(ls, now_ms);
	assert_int_equal(row_of(ls, 8080)->sockets, 0);
	assert_false(row_of(ls, 8080)->kept);
	listeners_free(ls);
}

static void test_free_null(void **state)
{
	(void)state;
	listeners_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_matching),
		cmocka_unit_test(test_whose_queue),
		cmocka_unit_test(test_alive_beats_former),
		cmocka_unit_test(test_matching_within_a_sample),
		cmocka_unit_test(test_reuseport_queues),
		cmocka_unit_test(test_backlog_unknown),
		cmocka_unit_test(test_drops),
		cmocka_unit_test(test_whose_drops),
		cmocka_unit_test(test_drops_between_the_readings),
		cmocka_unit_test(test_drops_of_one_that_was_full),
		cmocka_unit_test(test_drops_of_one_that_was_missed),
		cmocka_unit_test(test_source_change_does_not_bend),
		cmocka_unit_test(test_source_change_that_fails),
		cmocka_unit_test(test_source_change_with_reuseport),
		cmocka_unit_test(test_aborted_sample),
		cmocka_unit_test(test_gone_listeners_are_bounded),
		cmocka_unit_test(test_diverted_ports),
		cmocka_unit_test(test_free_null),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
