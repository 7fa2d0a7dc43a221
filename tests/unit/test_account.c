/*
 * Tests of account: what a life adds up to, and how an attempt failed.
 */
#include "tcphealth/model/account.h"

#include "helpers/records.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct fixture {
	struct ledger_pair pair;
	struct track_entry entry;
	struct account_numbers numbers;
};

static struct fixture start(void)
{
	return (struct fixture){
		.pair = { .published = true, .port = 80 },
		.entry = { .id = 1 },
		.numbers = { .tuple = account_tuple(40000, 80) },
	};
}

static void expect(const struct fixture *f, enum ledger_counter counter, uint64_t value)
{
	assert_int_equal(f->pair.counter[counter], value);
}

static void move(struct fixture *f, uint64_t acked, uint64_t received, uint32_t retrans,
		 uint32_t segs)
{
	f->numbers.acked = acked;
	f->numbers.received = received;
	f->numbers.retrans = retrans;
	f->numbers.segs_out = segs;
	account_add(&f->pair, &f->entry, &f->numbers);
}

static void test_telescopes(void **state)
{
	(void)state;
	struct fixture f = start();

	move(&f, 100, 10, 1, 5);
	expect(&f, LEDGER_SENT_BYTES, 100);
	move(&f, 100, 10, 1, 5);
	move(&f, 150, UINT64_C(5000000000), 3, 9);
	expect(&f, LEDGER_SENT_BYTES, 150);
	expect(&f, LEDGER_RECEIVED_BYTES, UINT64_C(5000000000));
	expect(&f, LEDGER_RETRANSMITTED_SEGMENTS, 3);
	expect(&f, LEDGER_SENT_SEGMENTS, 9);
	expect(&f, LEDGER_OPENED, 0);
	expect(&f, LEDGER_CLOSED, 0);
}

static void test_base_adds_nothing(void **state)
{
	(void)state;
	struct fixture f = start();

	f.numbers = (struct account_numbers){ 1000, 2000, 3, 40, account_tuple(40000, 80) };
	account_base(&f.entry, &f.numbers);
	assert_int_equal(track_acked(&f.entry), 1000);
	assert_int_equal(track_received(&f.entry), 2000);
	move(&f, 1001, 2002, 4, 41);
	expect(&f, LEDGER_SENT_BYTES, 1);
	expect(&f, LEDGER_RECEIVED_BYTES, 2);
	expect(&f, LEDGER_RETRANSMITTED_SEGMENTS, 1);
	expect(&f, LEDGER_SENT_SEGMENTS, 1);
}

static void test_open_and_close_once(void **state)
{
	(void)state;
	struct fixture f = start();

	account_close(&f.pair, &f.entry); /* never opened: nothing to close */
	expect(&f, LEDGER_CLOSED, 0);
	f = start();
	account_open(&f.pair, &f.entry);
	account_open(&f.pair, &f.entry);
	account_close(&f.pair, &f.entry);
	account_close(&f.pair, &f.entry);
	expect(&f, LEDGER_OPENED, 1);
	expect(&f, LEDGER_CLOSED, 1);
}

/* A socket that connects anew: counters fall, or a port is another. */
static void test_new_life(void **state)
{
	(void)state;
	static const struct account_numbers lives[] = {
		{ 40, 500, 5, 60, 0 },           /* acked fell */
		{ 100, 49, 5, 60, 0 },           /* received fell */
		{ 100, 50, 1, 60, 0 },           /* retransmitted fell */
		{ 100, 50, 2, 3, 0 },            /* segments fell, all else is as it was */
		{ 200, 500, 5, 60, UINT16_MAX }, /* another port */
	};

	for (size_t i = 0; i < COUNT(lives); i++) {
		struct fixture f = start();
		struct account_numbers life = lives[i];

		move(&f, 100, 50, 2, 10);
		account_open(&f.pair, &f.entry);
		life.tuple = life.tuple == 0 ? f.numbers.tuple : account_tuple(40001, 80);
		account_add(&f.pair, &f.entry, &life);
		account_open(&f.pair, &f.entry);
		expect(&f, LEDGER_SENT_BYTES, 100 + life.acked);
		expect(&f, LEDGER_RECEIVED_BYTES, 50 + life.received);
		expect(&f, LEDGER_RETRANSMITTED_SEGMENTS, 2 + life.retrans);
		expect(&f, LEDGER_SENT_SEGMENTS, 10 + life.segs_out);
		expect(&f, LEDGER_OPENED, 2);
		expect(&f, LEDGER_CLOSED, 1);
	}
}

static void test_segment_counter_wraps(void **state)
{
	(void)state;
	struct fixture f = start();

	move(&f, 100, 50, 0, UINT32_MAX / 2);
	move(&f, 200, 50, 0, UINT32_MAX - 5);
	move(&f, 300, 50, 0, 4);
	expect(&f, LEDGER_SENT_SEGMENTS, UINT64_C(4294967300));
	expect(&f, LEDGER_SENT_BYTES, 300);
}

static void test_bytes_beyond_48_bits(void **state)
{
	(void)state;
	const uint64_t near = (UINT64_C(1) << 48) - 1000;
	struct fixture f = start();

	move(&f, near / 2, near / 2, 0, 0);
	move(&f, near, near, 0, 0);
	move(&f, near + 5000, near, 0, 0);
	move(&f, near + 5000, near + 5000, 0, 0);
	account_open(&f.pair, &f.entry);
	expect(&f, LEDGER_SENT_BYTES, near + 5000);
	expect(&f, LEDGER_RECEIVED_BYTES, near + 5000);
	expect(&f, LEDGER_CLOSED, 0);
	/* First seen beyond them, as in the first sample. */
	f = start();
	f.numbers.acked = (UINT64_C(1) << 50) + 7;
	account_base(&f.entry, &f.numbers);
	move(&f, (UINT64_C(1) << 50) + 8, 0, 0, 0);
	expect(&f, LEDGER_SENT_BYTES, 1);
}

static void test_numbers_of(void **state)
{
	(void)state;
	struct tcpsock sock = record_full(1, TCP_STATE_ESTABLISHED, 40000, 80);
	struct tcpdeath death;
	struct account_numbers a, b;

	sock.bytes_acked = 1, sock.bytes_received = 2, sock.total_retrans = 3, sock.segs_out = 4;
	death = record_death(&sock, false);
	a = account_numbers_of(&sock);
	b = account_numbers_of_death(&death);
	assert_int_equal(a.acked, 1);
	assert_int_equal(a.received, 2);
	assert_int_equal(a.retrans, 3);
	assert_int_equal(a.segs_out, 4);
	assert_int_equal(b.acked, 1);
	assert_int_equal(b.received, 2);
	assert_int_equal(b.retrans, 3);
	assert_int_equal(b.segs_out, 4);
	assert_int_equal(a.tuple, b.tuple);
	assert_int_not_equal(account_tuple(40000, 80), account_tuple(80, 40000));
	assert_int_not_equal(account_tuple(40000, 80), account_tuple(40002, 80));
}

/* What is seen of each way to die (Linux 6.18), and what that was. */
static void test_deaths(void **state)
{
	(void)state;
	static const struct {
		const char *what;
		struct tcpdeath death;
		bool syn_sent; /* the last dump saw it so */
		enum account_end end;
	} cases[] = {
		{ "closed by a client",
		  { .bytes_acked = 2,
		    .delivered = 2,
		    .min_rtt_us = 50,
		    .remote_port = 80,
		    .flags = RECORD_DEATH },
		  false,
		  ACCOUNT_ESTABLISHED },
		{ "closed by a server that sent nothing",
		  { .delivered = 1, .min_rtt_us = 50, .remote_port = 40000, .flags = RECORD_DEATH },
		  false,
		  ACCOUNT_ESTABLISHED },
		{ "no timestamps and a SYN lost: no RTT either",
		  { .bytes_acked = 1,
		    .delivered = 1,
		    .min_rtt_us = UINT32_MAX,
		    .total_retrans = 1,
		    .remote_port = 80,
		    .flags = RECORD_DEATH },
		  true,
		  ACCOUNT_ESTABLISHED },
		{ "reset while established",
		  { .bytes_acked = 1,
		    .delivered = 1,
		    .segs_in = 3,
		    .min_rtt_us = 50,
		    .remote_port = 80,
		    .flags = RECORD_DEATH },
		  true,
		  ACCOUNT_ESTABLISHED },
		{ "SO_LINGER 0",
		  { .wqueue = 65162,
		    .notsent_bytes = 65162,
		    .min_rtt_us = 50,
		    .flags = RECORD_DEATH },
		  false,
		  ACCOUNT_ESTABLISHED },
		{ "SO_LINGER 0, no RTT known",
		  { .wqueue = 65162,
		    .notsent_bytes = 65162,
		    .min_rtt_us = UINT32_MAX,
		    .flags = RECORD_DEATH },
		  false,
		  ACCOUNT_ESTABLISHED },
		{ "listener closed",
		  { .local_port = 80,
		    .min_rtt_us = UINT32_MAX,
		    .flags = RECORD_DEATH & ~TCPDEATH_REMOTE },
		  false,
		  ACCOUNT_NOISE },
		{ "un-accepted child of a closed listener",
		  { .local_port = 80,
		    .wqueue = 65162,
		    .notsent_bytes = 65162,
		    .min_rtt_us = 50,
		    .flags = RECORD_DEATH },
		  false,
		  ACCOUNT_ESTABLISHED },
		{ "refused, blocking",
		  { .wqueue = 2,
		    .notsent_bytes = 2,
		    .min_rtt_us = UINT32_MAX,
		    .flags = RECORD_DEATH },
		  false,
		  ACCOUNT_FAILED },
		{ "timeout, blocking",
		  { .wqueue = 2,
		    .notsent_bytes = 2,
		    .min_rtt_us = UINT32_MAX,
		    .retransmits = 6,
		    .flags = RECORD_DEATH },
		  false,
		  ACCOUNT_FAILED },
		{ "refused, non-blocking",
		  { .wqueue = 1,
		    .segs_in = 1,
		    .segs_out = 1,
		    .min_rtt_us = UINT32_MAX,
		    .remote_port = 80,
		    .flags = RECORD_DEATH },
		  false,
		  ACCOUNT_FAILED },
		{ "refused after a SYN was lost",
		  { .segs_out = 2,
		    .wqueue = 1,
		    .segs_in = 1,
		    .total_retrans = 1,
		    .min_rtt_us = UINT32_MAX,
		    .remote_port = 80,
		    .flags = RECORD_DEATH },
		  false,
		  ACCOUNT_FAILED },
		{ "timeout, non-blocking",
		  { .segs_out = 2,
		    .wqueue = 1,
		    .total_retrans = 6,
		    .min_rtt_us = UINT32_MAX,
		    .remote_port = 80,
		    .flags = RECORD_DEATH },
		  false,
		  ACCOUNT_FAILED },
		{ "abandoned before the first retransmission",
		  { .wqueue = 1,
		    .segs_out = 1,
		    .min_rtt_us = UINT32_MAX,
		    .remote_port = 80,
		    .flags = RECORD_DEATH },
		  false,
		  ACCOUNT_FAILED },
		{ "abandoned, its numbers do not say, but a dump saw it",
		  { .segs_out = 1,
		    .min_rtt_us = UINT32_MAX,
		    .remote_port = 80,
		    .flags = RECORD_DEATH },
		  true,
		  ACCOUNT_FAILED },
		{ "TCP_FASTOPEN_CONNECT, and no data ever came",
		  { .wqueue = 1,
		    .min_rtt_us = UINT32_MAX,
		    .remote_port = 80,
		    .flags = RECORD_DEATH },
		  false,
		  ACCOUNT_NOISE },
		{ "a Fast Open child whose handshake never ended",
		  { .segs_out = 1,
		    .min_rtt_us = UINT32_MAX,
		    .remote_port = 40000,
		    .flags = RECORD_DEATH },
		  false,
		  ACCOUNT_NOISE },
		{ "never connected",
		  { .min_rtt_us = UINT32_MAX, .flags = RECORD_DEATH & ~TCPDEATH_REMOTE },
		  false,
		  ACCOUNT_NOISE },
		{ "a kernel that tells nothing",
		  { .remote_port = 80, .flags = TCPDEATH_REMOTE },
		  true,
		  ACCOUNT_NOISE },
		/* Before Linux 4.18 there is no `delivered`. */
		{ "old: client closed",
		  { .bytes_acked = 1,
		    .min_rtt_us = UINT32_MAX,
		    .remote_port = 80,
		    .flags = RECORD_DEATH & ~TCPDEATH_DELIVERED },
		  false,
		  ACCOUNT_ESTABLISHED },
		{ "old: server closed",
		  { .min_rtt_us = 50,
		    .remote_port = 40000,
		    .flags = RECORD_DEATH & ~TCPDEATH_DELIVERED },
		  false,
		  ACCOUNT_ESTABLISHED },
		{ "old: refused",
		  { .segs_out = 2,
		    .wqueue = 1,
		    .segs_in = 1,
		    .min_rtt_us = UINT32_MAX,
		    .remote_port = 80,
		    .flags = RECORD_DEATH & ~TCPDEATH_DELIVERED },
		  false,
		  ACCOUNT_FAILED },
		{ "older: min_rtt is not known either",
		  { .segs_out = 1,
		    .segs_in = 1,
		    .remote_port = 80,
		    .flags = TCPDEATH_INFO | TCPDEATH_REMOTE },
		  true,
		  ACCOUNT_FAILED },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		if (account_end(&cases[i].death, cases[i].syn_sent) != cases[i].end)
			fail_msg("%s", cases[i].what);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_telescopes),
		cmocka_unit_test(test_base_adds_nothing),
		cmocka_unit_test(test_open_and_close_once),
		cmocka_unit_test(test_new_life),
		cmocka_unit_test(test_segment_counter_wraps),
		cmocka_unit_test(test_bytes_beyond_48_bits),
		cmocka_unit_test(test_numbers_of),
		cmocka_unit_test(test_deaths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
