/*
 * Tests of ages: ages, reasons, keepalive and the memory behind them, on records as Linux 6.18 shows them.
 */
#include "tcphealth/model/ages.h"

#include "tcphealth/model/account.h"

#include "helpers/records.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SECOND       UINT64_C(1000)
#define MINUTE       UINT64_C(60000)
#define HOUR         UINT64_C(3600000)
#define DAY          (24 * HOUR)
#define START        (100 * DAY)

static const struct stale_thresholds defaults = {
	.least = {
		[STALE_DEAD] = 60000,
		[STALE_UNACCEPTED] = 30000,
		[STALE_EOF_UNREAD] = 300000,
		[STALE_CLOSE_WAIT] = 60000,
		[STALE_FIN_WAIT2] = 60000,
		[STALE_CLOSING] = 180000,
		[STALE_SYN_SENT] = 10000,
		[STALE_SYN_RECV] = 10000,
		[STALE_KEEPALIVE] = 2,
		[STALE_RETRANSMIT] = 10000,
		[STALE_ZERO_WINDOW] = 60000,
		[STALE_UNREAD] = 300000,
		[STALE_IDLE] = 7200000,
	},
};

static const struct netsysctl sysctls = {
	.value = {
		[NETSYSCTL_KEEPALIVE_TIME] = 7200,
		[NETSYSCTL_KEEPALIVE_INTVL] = 75,
		[NETSYSCTL_KEEPALIVE_PROBES] = 9,
		[NETSYSCTL_RETRIES2] = 15,
		[NETSYSCTL_FIN_TIMEOUT] = 60,
		[NETSYSCTL_RTO_MIN_US] = 200000,
	},
};

/* One socket watched: look() is one sample of it, as the census does it. */
struct watch {
	struct track_entry entry;
	struct netsysctl sysctl;
	uint64_t last_ms;
	struct look v;
};

static struct watch watch_new(void)
{
	return (struct watch){ .sysctl = sysctls };
}

static enum stale_reason look(struct watch *w, const struct tcpsock *sock, uint64_t now_ms)
{
	struct ages_context context = { now_ms, w->last_ms != 0 ? now_ms - w->last_ms : 0,
					&defaults, &w->sysctl };
	struct account_numbers numbers = account_numbers_of(sock);

	ages_look(&w->entry, sock, w->last_ms == 0, &context, &w->v);
	if (tcpsock_knows(sock, TCPSOCK_BYTES))
		account_base(&w->entry, &numbers);
	w->last_ms = now_ms;
	return w->v.reason;
}

static enum stale_reason look_once(const struct tcpsock *sock, struct look *ret_look)
{
	struct watch w = watch_new();

	look(&w, sock, START);
	*ret_look = w.v;
	return w.v.reason;
}

/* A lower bound, and not far off. */
static void expect_age(uint64_t age_ms, uint64_t truth_ms, uint64_t slack_ms)
{
	assert_true(age_ms <= truth_ms);
	assert_true(age_ms + slack_ms >= truth_ms);
}

static struct tcpsock with_clocks(struct tcpsock sock, uint64_t sent_ms, uint64_t recv_ms,
				  uint64_t ack_ms)
{
	sock.last_data_sent_ms = (uint32_t)sent_ms;
	sock.last_data_recv_ms = (uint32_t)recv_ms;
	sock.last_ack_recv_ms = (uint32_t)ack_ms;
	return sock;
}

static struct tcpsock established(void)
{
	struct tcpsock sock = record_full(1, TCP_STATE_ESTABLISHED, 40000, 80);

	sock.data_segs_in = sock.data_segs_out = 1; /* its clocks are no connection ages */
	return sock;
}

/* `n` timeouts in a row went unanswered, the n-th `elapsed_ms` ago; the kernel's own clock of it runs since the first. */
static struct tcpsock with_retransmits(struct tcpsock sock, uint8_t n, uint64_t rto_ms,
				       uint64_t elapsed_ms, uint64_t recovery_ms)
{
	sock.timer = TCP_TIMER_RETRANSMIT;
	sock.retransmits = sock.backoff = n;
	sock.rto_us = (uint32_t)rto_ms * 1000;
	sock.expires_ms = (uint32_t)(rto_ms - elapsed_ms);
	sock.unacked = 1;
	sock.total_rto_recoveries = n != 0;
	sock.total_rto_time_ms = (uint32_t)recovery_ms;
	return sock;
}

/* Linux before 6.7 has no such clock. */
static struct tcpsock without_rto_time(struct tcpsock sock)
{
	sock.known &= ~(uint32_t)TCPSOCK_RTO_TIME;
	return sock;
}

static struct tcpsock without_info(struct tcpsock sock)
{
	sock.known = TCPSOCK_PROBES;
	return sock;
}

static void test_ticks(void **state)
{
	(void)state;
	static const uint64_t moments[] = { 0,
					    15,
					    16,
					    1000,
					    (UINT64_C(1) << 36) - 1,
					    UINT64_C(1) << 36,
					    (UINT64_C(1) << 36) + 777,
					    UINT64_C(1) << 35 };
	static const uint64_t ages[] = { 0, 16, 1600, DAY, 49 * DAY, 300 * DAY, 700 * DAY };

	/* 2^32 ticks are 2^36 ms: differences are right across the wrap, for two years. */
	for (size_t i = 0; i < COUNT(moments); i++) {
		for (size_t j = 0; j < COUNT(ages); j++) {
			uint32_t tick = ages_tick(moments[i]);

			expect_age(ages_since(moments[i] + ages[j], tick), ages[j] + 16, 32);
		}
	}
	assert_int_equal(ages_since(1000, ages_tick(1000) + 1), 0); /* rounded up: not 795 days */
}

/* The very first sample of a host that has just booted: moments before the boot. */
static void test_ages_reach_behind_the_boot(void **state)
{
	(void)state;
	struct watch w = watch_new();
	struct tcpsock sock =
		with_clocks(record_full(1, TCP_STATE_CLOSE_WAIT, 80, 40000), 100, 2 * HOUR, HOUR);

	look(&w, &sock, 5000);
	expect_age(w.v.age_ms, HOUR, 16);
	assert_int_equal(w.v.reason, STALE_CLOSE_WAIT);
}

static void test_syn_sent_ages(void **state)
{
	(void)state;
	static const struct {
		uint64_t truth_ms;
		uint8_t retransmits, backoff;
		uint32_t rto_us, expires_ms;
	} cases[] = {
		/* four retransmissions a second apart, then doubling (tcp_syn_linear_timeouts 4) */
		{ 500, 0, 0, 1000000, 500 },
		{ 1200, 1, 0, 1000000, 800 },
		{ 2200, 2, 0, 1000000, 800 },
		{ 4200, 4, 0, 1000000, 800 },
		{ 6000, 5, 1, 2000000, 1000 },
		{ 8200, 6, 2, 4000000, 2800 },
		{ 15000, 7, 3, 8000000, 4000 },
		{ 43000, 9, 5, 32000000, 24000 },
		/* doubling from the first on (before Linux 6.5) */
		{ 1500, 1, 1, 2000000, 1500 },
		{ 8000, 3, 3, 8000000, 7000 },
		{ 70000, 6, 6, 64000000, 57000 },
		{ 8000, 3, 3, 8000000, 0 },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct tcpsock sock = with_clocks(record_full(1, TCP_STATE_SYN_SENT, 40000, 80),
						  4000000000, 4000000000, 4000000000);
		struct look v;

		sock.timer = TCP_TIMER_RETRANSMIT;
		sock.retransmits = cases[i].retransmits;
		sock.backoff = cases[i].backoff;
		sock.rto_us = cases[i].rto_us;
		sock.expires_ms = cases[i].expires_ms;
		look_once(&sock, &v);
		assert_true(v.has_age);
		if (cases[i].expires_ms != 0)
			expect_age(v.age_ms, cases[i].truth_ms, SECOND);
		assert_int_equal(v.reason, v.age_ms >= 10000 ? STALE_SYN_SENT : STALE_NONE);
		sock = without_info(sock); /* /proc knows no backoff, but the timeout */
		look_once(&sock, &v);
		if (cases[i].expires_ms != 0)
			expect_age(v.age_ms, cases[i].truth_ms, SECOND);
	}
}

static void test_syn_sent_garbage_is_no_age(void **state)
{
	(void)state;
	struct watch w = watch_new();
	struct tcpsock sock = with_clocks(record_full(1, TCP_STATE_SYN_SENT, 40000, 80), 4000000000,
					  4000000000, 4000000000);

	assert_int_equal(look(&w, &sock, START), STALE_NONE);
	assert_int_equal(w.v.age_ms, 0);
	assert_false(w.v.has_loss);
	assert_int_equal(look(&w, &sock, START + 9900), STALE_NONE);
	assert_int_equal(look(&w, &sock, START + 10000), STALE_SYN_SENT);
	assert_int_equal(w.v.stale_ms, 10000);
}

/* A client that repeats its SYN is answered out of turn: the number of SYN-ACKs says nothing of the time. */
static void test_syn_recv_ages(void **state)
{
	(void)state;
	static const struct {
		uint64_t truth_ms, least_ms;
		uint8_t syn_acks;
		uint32_t expires_ms;
	} cases[] = {
		{ 300, 300, 0, 700 },    { 1100, 1100, 1, 1900 }, { 3200, 3200, 2, 3800 },
		{ 3000, 0, 5, 900 }, /* SYNs at 1, 2 and 3 s, each answered */
		{ 8000, 8000, 3, 7000 }, { 14900, 0, 3, 100 },    { 40000, 40000, 5, 23000 },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct tcpsock sock = record_mini(1, TCP_STATE_SYN_RECV, 80, 40000);
		struct look v;

		sock.timer_retransmits = cases[i].syn_acks;
		sock.expires_ms = cases[i].expires_ms;
		look_once(&sock, &v);
		assert_true(v.has_age);
		assert_true(v.age_ms <= cases[i].truth_ms);
		assert_true(v.age_ms + 32 >= cases[i].least_ms);
		assert_int_equal(v.reason, cases[i].syn_acks >= 2 && v.age_ms >= 10000
						   ? STALE_SYN_RECV
						   : STALE_NONE);
	}
	struct tcpsock deferred = record_mini(1, TCP_STATE_SYN_RECV, 80, 40000);
	struct tcpsock sock = record_full(1, TCP_STATE_SYN_RECV, 80, 40000); /* Fast Open */
	struct look v;

	look_once(&sock, &v);
	assert_int_equal(v.age_ms, 0);
	/* TCP_DEFER_ACCEPT: the client has finished the handshake, no SYN-ACK goes out again. */
	deferred.expires_ms = 23000;
	look_once(&deferred, &v);
	assert_true(v.age_ms >= 30000);
	assert_int_equal(v.reason, STALE_NONE);
}

static void test_minis(void **state)
{
	(void)state;
	struct tcpsock sock = record_mini(1, TCP_STATE_FIN_WAIT2, 40000, 80);
	struct watch w = watch_new();
	struct look v;

	sock.expires_ms = 45000;
	look_once(&sock, &v);
	expect_age(v.age_ms, 15000, 16);
	assert_true(v.has_age);
	assert_int_equal(v.reason, STALE_NONE); /* the kernel reaps it */
	w.sysctl.value[NETSYSCTL_FIN_TIMEOUT] = 3;
	look(&w, &sock, START); /* floored at some timeouts: longer than the setting */
	assert_int_equal(w.v.age_ms, 0);
	look(&w, &sock, START + HOUR);
	assert_int_equal(w.v.reason, STALE_NONE);
	assert_false(w.v.has_loss);
	sock = record_mini(1, TCP_STATE_TIME_WAIT, 40000, 80);
	sock.expires_ms = 10000;
	look_once(&sock, &v);
	assert_false(v.has_age);
	assert_int_equal(v.reason, STALE_NONE);
}

static void test_close_wait(void **state)
{
	(void)state;
	struct watch w = watch_new();
	struct tcpsock sock =
		with_clocks(record_full(1, TCP_STATE_CLOSE_WAIT, 80, 40000), 500, 90000, 59980);

	assert_int_equal(look(&w, &sock, START), STALE_NONE);
	expect_age(w.v.age_ms, 59980, 16);
	sock.last_ack_recv_ms = 60032;
	assert_int_equal(look(&w, &sock, START + 52), STALE_CLOSE_WAIT);
	expect_age(w.v.stale_ms, 60032, 16);
	/* The peer's mini answers a keepalive probe: the clock starts anew, the age does not. */
	sock.last_ack_recv_ms = 16;
	assert_int_equal(look(&w, &sock, START + 10000), STALE_CLOSE_WAIT);
	expect_age(w.v.age_ms, 69980, 32);
}

static void test_half_closed_that_streams_is_at_work(void **state)
{
	(void)state;
	static const enum tcp_state states[] = { TCP_STATE_CLOSE_WAIT, TCP_STATE_FIN_WAIT2 };

	for (size_t i = 0; i < COUNT(states); i++) {
		struct watch w = watch_new();
		struct tcpsock sock = with_clocks(record_full(1, states[i], 80, 40000), 10, 10, 10);

		for (uint64_t t = 0; t <= 10 * MINUTE; t += 5000) {
			sock.bytes_acked += states[i] == TCP_STATE_CLOSE_WAIT ? 1000 : 0;
			sock.bytes_received += states[i] == TCP_STATE_FIN_WAIT2 ? 1000 : 0;
			assert_int_equal(look(&w, &sock, START + t), STALE_NONE);
		}
		expect_age(w.v.age_ms, 10 * MINUTE + 10, 32);
		/* It stops: stale a minute later, and for that long. */
		assert_int_equal(look(&w, &sock, START + 10 * MINUTE + 59900), STALE_NONE);
		assert_int_equal(look(&w, &sock, START + 11 * MINUTE + 100),
				 STALE_NONE + (i == 0 ? STALE_CLOSE_WAIT : STALE_FIN_WAIT2));
		expect_age(w.v.stale_ms, MINUTE + 110, 32);
	}
}

/* 48 bits of a counter are kept: beyond them nothing must look as if it moved. */
static void test_half_closed_after_very_many_bytes(void **state)
{
	(void)state;
	struct watch w = watch_new();
	struct tcpsock sock =
		with_clocks(record_full(1, TCP_STATE_CLOSE_WAIT, 80, 40000), 10, 10, 10);

	sock.bytes_acked = UINT64_C(3) << 48;
	sock.bytes_received = (UINT64_C(1) << 48) + 5;
	look(&w, &sock, START);
	look(&w, &sock, START + 30000);
	assert_int_equal(look(&w, &sock, START + 60000), STALE_CLOSE_WAIT);
}

static void test_fin_wait2(void **state)
{
	(void)state;
	struct watch w = watch_new();
	struct tcpsock sock =
		with_clocks(record_full(1, TCP_STATE_FIN_WAIT2, 40000, 80), 61000, 61000, 60900);
	struct look v;

	assert_int_equal(look_once(&sock, &v), STALE_FIN_WAIT2);
	expect_age(v.age_ms, 60900, 16);
	assert_true(v.has_loss);
	sock.inode = 0; /* an orphan: the kernel reaps it; timer 2 is its end, not a keepalive */
	sock.timer = TCP_TIMER_KEEPALIVE;
	sock.expires_ms = 40000;
	assert_int_equal(look(&w, &sock, START), STALE_NONE);
	assert_false(w.v.has_loss);
}

static void test_closing_ages(void **state)
{
	(void)state;
	static const enum tcp_state states[] = { TCP_STATE_FIN_WAIT1, TCP_STATE_LAST_ACK,
						 TCP_STATE_CLOSING };

	for (size_t i = 0; i < COUNT(states); i++) {
		struct watch w = watch_new();
		struct tcpsock sock =
			with_clocks(record_full(1, states[i], 40000, 80), 6000, 6000, 6000);

		/* An orphan, retransmits 4 after 6 s; the first two timeouts were 0.2 s. Silence is no time in this state. */
		sock.inode = 0;
		sock = with_retransmits(with_clocks(sock, HOUR, HOUR, HOUR), 4, 3200, 2900, 5700);
		assert_int_equal(look(&w, &sock, START), STALE_NONE);
		expect_age(w.v.age_ms, 6000, 304);
		assert_true(w.v.has_age);
		/* The peer's own FIN comes again and again, and answers nothing. */
		sock = with_clocks(sock, HOUR, HOUR, 10);
		w = watch_new();
		look(&w, &sock, START);
		expect_age(w.v.age_ms, 6000, 304);
		sock.segs_in += 3;
		assert_int_equal(look(&w, &sock, START + 174000), STALE_NONE);
		assert_int_equal(look(&w, &sock, START + 176000), STALE_CLOSING);
		assert_int_equal(w.v.blame, STALE_BLAMES_PATH);
		/* Data that still drains is progress. */
		sock.bytes_acked += 100;
		assert_int_equal(look(&w, &sock, START + 177000), STALE_NONE);
		sock = without_info(sock);
		look_once(&sock, &w.v);
		assert_int_equal(w.v.age_ms, 0);
	}
}

/* Karn: a timeout that was backed off for earlier segments says nothing of this one. */
static void test_backoff_from_before(void **state)
{
	(void)state;
	struct tcpsock sock =
		with_clocks(record_full(1, TCP_STATE_FIN_WAIT1, 40000, 80), HOUR, HOUR, HOUR);
	struct look v;

	sock = without_rto_time(sock);
	sock.timer = TCP_TIMER_RETRANSMIT;
	sock.retransmits = 1;
	sock.backoff =
		7; /* six of them are old: 12.8 s until the first timeout, 25.6 s until the next */
	sock.rto_us = 25600000;
	sock.expires_ms = 25000;
	look_once(&sock, &v);
	expect_age(v.age_ms, 12800 + 600, 32);
	sock.retransmits = 0;
	look_once(&sock, &v);
	assert_int_equal(v.age_ms, 0);
	sock.retransmits = sock.backoff = 255; /* a peer or a kernel that talks nonsense */
	look_once(&sock, &v);
	assert_true(v.age_ms <= 256 * UINT64_C(25600));
}

static void test_unaccepted(void **state)
{
	(void)state;
	static const enum tcp_state states[] = { TCP_STATE_ESTABLISHED, TCP_STATE_CLOSE_WAIT };

	for (size_t i = 0; i < COUNT(states); i++) {
		/* 29.9 s ago established; the peer sent and closed a second ago. */
		struct tcpsock sock =
			with_clocks(record_full(1, states[i], 80, 40000), 29900, 1000, 1000);
		struct look v;

		sock.inode = 0;
		sock.data_segs_in = 3;
		sock.rqueue = 100;
		assert_int_equal(look_once(&sock, &v), STALE_NONE);
		sock.last_data_sent_ms = 30016;
		assert_int_equal(look_once(&sock, &v), STALE_UNACCEPTED);
		expect_age(v.stale_ms, 30016, 16);
		/* Without tcp_info the age counts from first sight. */
		struct watch w = watch_new();

		sock = without_info(sock);
		assert_int_equal(look(&w, &sock, START), STALE_NONE);
		assert_int_equal(look(&w, &sock, START + 29900), STALE_NONE);
		assert_int_equal(look(&w, &sock, START + 30000), STALE_UNACCEPTED);
	}
}

static void test_idle(void **state)
{
	(void)state;
	struct tcpsock sock = with_clocks(established(), HOUR, 2 * HOUR - 100, 3 * HOUR);
	struct look v;

	assert_int_equal(look_once(&sock, &v), STALE_NONE);
	expect_age(v.silence_ms, 2 * HOUR - 100, 16);
	sock.last_data_recv_ms = 2 * HOUR + 16;
	assert_int_equal(look_once(&sock, &v), STALE_IDLE);
	expect_age(v.stale_ms, 2 * HOUR + 16, 16);
	assert_true(v.loss_ms == PORTVIEW_NEVER && v.has_loss);
	sock.timer = TCP_TIMER_DELACK; /* hides nothing, notices nothing */
	assert_int_equal(look_once(&sock, &v), STALE_IDLE);
	sock.timer = TCP_TIMER_KEEPALIVE;
	sock.expires_ms = 1000;
	assert_int_equal(look_once(&sock, &v), STALE_NONE);
	sock.timer = TCP_TIMER_RETRANSMIT; /* something is in flight */
	assert_int_equal(look_once(&sock, &v), STALE_NONE);
	sock.timer = TCP_TIMER_NONE;
	sock.info_state = TCP_STATE_CLOSE_WAIT; /* it is on its way to another state */
	assert_int_equal(look_once(&sock, &v), STALE_NONE);
	sock = without_info(with_clocks(established(), 3 * HOUR, 3 * HOUR, 3 * HOUR));
	assert_int_equal(look_once(&sock, &v), STALE_NONE); /* not to be known */
}

/* A peer that only sends keepalive probes moves segs_in and none of the clocks. */
static void test_peer_that_probes_is_not_silent(void **state)
{
	(void)state;
	struct watch w = watch_new();
	struct tcpsock sock = established();
	uint64_t t;

	for (t = 0; t <= 5 * HOUR; t += 5 * MINUTE) {
		sock = with_clocks(sock, 100 + t, 100 + t, 100 + t);
		if (t % HOUR == 0)
			sock.segs_in++;
		assert_int_equal(look(&w, &sock, START + t), STALE_NONE);
		assert_true(w.v.silence_ms <= HOUR + 100);
	}
	/* The last came with the last look. */
	sock = with_clocks(sock, 7 * HOUR, 7 * HOUR, 7 * HOUR);
	assert_int_equal(look(&w, &sock, START + 7 * HOUR - MINUTE), STALE_NONE);
	assert_int_equal(look(&w, &sock, START + 7 * HOUR), STALE_IDLE);
	expect_age(w.v.silence_ms, 2 * HOUR, 16);
}

static void test_silence_before_segs_in(void **state)
{
	(void)state;
	struct watch w = watch_new();
	struct tcpsock sock = with_clocks(established(), 9000, 5000, 7000);

	sock.known &= ~(uint32_t)TCPSOCK_SEGS; /* Linux before 4.2 */
	look(&w, &sock, START);
	assert_int_equal(w.v.silence_ms, 5000);
	sock = with_clocks(sock, 9000, 1000, 7000);
	look(&w, &sock, START + 1000);
	assert_int_equal(w.v.silence_ms, 1000);
}

static void test_heard_between_two_looks(void **state)
{
	(void)state;
	struct watch w = watch_new();
	struct tcpsock sock = with_clocks(established(), 10000, 10000, 10000);

	look(&w, &sock, START);
	sock = with_clocks(sock, 15000, 3000, 15000);
	sock.segs_in++;
	look(&w, &sock, START + 5000);
	expect_age(w.v.silence_ms, 3000, 16);
	sock = with_clocks(sock, 20000, 8000, 20000);
	look(&w, &sock, START + 10000);
	expect_age(w.v.silence_ms, 8000, 16);
}

/* The kernel's clocks are u32 milliseconds and wrap after 49.7 days; what is remembered does not. */
static void test_clocks_that_wrap(void **state)
{
	(void)state;
	struct watch idle = watch_new(), held = watch_new(), unaccepted = watch_new();
	struct tcpsock sock = established(), fin = record_full(2, TCP_STATE_CLOSE_WAIT, 80, 40000),
		       queued = record_full(3, TCP_STATE_ESTABLISHED, 80, 40000);

	queued.inode = 0;
	for (uint64_t t = 0; t <= 60 * DAY; t += HOUR) {
		uint64_t clock = (40 * DAY + t) & UINT32_MAX;

		sock = with_clocks(sock, clock, clock, clock);
		fin = with_clocks(fin, clock, clock, clock);
		queued = with_clocks(queued, clock, clock, clock);
		assert_int_equal(look(&idle, &sock, START + t), STALE_IDLE);
		expect_age(idle.v.silence_ms, 40 * DAY + t, 16);
		assert_int_equal(look(&held, &fin, START + t), STALE_CLOSE_WAIT);
		expect_age(held.v.age_ms, 40 * DAY + t, 16);
		assert_int_equal(look(&unaccepted, &queued, START + t), STALE_UNACCEPTED);
		expect_age(unaccepted.v.stale_ms, 40 * DAY + t, 16);
	}
}

/* Who has closed both halves answers no probe any more once tcp_fin_timeout is over; who waits for an answer does. */
static void test_client_that_waits(void **state)
{
	(void)state;
	struct watch w = watch_new();
	struct tcpsock sock = record_full(1, TCP_STATE_CLOSE_WAIT, 80, 40000);
	const struct stale_form *form = stale_rule(STALE_CLOSE_WAIT)->form;

	w.entry.role = ROLE_SERVER;
	sock = with_clocks(sock, HOUR, HOUR, 0);
	look(&w, &sock, START);
	for (uint64_t t = 10; t <= 180; t += 10) {
		/* Probes are answered each 50 s. */
		sock = with_clocks(sock, HOUR, HOUR, t % 50 * SECOND);
		look(&w, &sock, START + t * SECOND);
		if (t < 70)
			continue;
		assert_int_equal(w.v.reason, STALE_CLOSE_WAIT);
		assert_int_equal(form[w.v.form].restart, t < 100);
		assert_int_equal(w.v.blame, STALE_BLAMES_PROGRAM);
	}
	/* No answer, and the clock has wrapped. */
	sock = with_clocks(sock, HOUR, HOUR, 1000);
	look(&w, &sock, START + 50 * DAY);
	assert_true(form[w.v.form].restart);
	/* As a client it has no excuse. */
	w.entry.role = ROLE_CLIENT;
	sock = with_clocks(sock, HOUR, HOUR, 0);
	look(&w, &sock, START + 180 * SECOND);
	assert_true(form[w.v.form].restart);
}

/* timer 2, as after 0, 1, 2 and 3 probes of a peer that has gone. */
static void test_keepalive_probes(void **state)
{
	(void)state;
	struct watch w = watch_new();
	struct tcpsock sock = established();

	sock.timer = TCP_TIMER_KEEPALIVE;
	for (uint8_t probes = 0; probes <= 3; probes++) {
		uint64_t silence = probes == 0 ? 1000 : 3000 + (probes - 1u) * 2000 + 200;

		sock.probes = sock.timer_retransmits = probes;
		sock.expires_ms = probes == 0 ? 2000 : 1800;
		sock = with_clocks(sock, silence, silence, silence);
		assert_int_equal(look(&w, &sock, START + silence),
				 probes >= 2 ? STALE_KEEPALIVE : STALE_NONE);
		assert_int_equal(w.v.keepalive, KEEPALIVE_ON);
		if (probes >= 2)
			expect_age(w.v.stale_ms, silence, 32);
	}
	sock.probes = 0; /* it answers */
	sock.segs_in++;
	sock = with_clocks(sock, 10, 10, 10);
	assert_int_equal(look(&w, &sock, START + 9000), STALE_NONE);
}

static void test_keepalive_probes_without_info(void **state)
{
	(void)state;
	struct watch w = watch_new();
	struct tcpsock sock = without_info(established());

	sock.timer = TCP_TIMER_KEEPALIVE;
	sock.expires_ms = 7100000;
	assert_int_equal(look(&w, &sock, START), STALE_NONE);
	sock.probes = 1;
	assert_int_equal(look(&w, &sock, START + 10000), STALE_NONE);
	sock.probes = 2;
	assert_int_equal(look(&w, &sock, START + 85000), STALE_KEEPALIVE);
	expect_age(w.v.stale_ms, 75000, 16);
}

static void test_keepalive(void **state)
{
	(void)state;
	struct watch w = watch_new();
	struct tcpsock sock = established();

	/* Masked from the first look on. */
	sock.timer = TCP_TIMER_RETRANSMIT;
	look(&w, &sock, START);
	assert_int_equal(w.v.keepalive, KEEPALIVE_UNKNOWN);
	assert_false(w.v.has_loss);
	sock.timer = TCP_TIMER_PROBE;
	look(&w, &sock, START + 1000);
	assert_int_equal(w.v.keepalive, KEEPALIVE_UNKNOWN);
	sock.timer = TCP_TIMER_KEEPALIVE;
	sock.expires_ms = 5000;
	look(&w, &sock, START + 2000);
	assert_int_equal(w.v.keepalive, KEEPALIVE_ON);
	/* Seen once, it is remembered while masked, and through one look at an unarmed timer. */
	sock.timer = TCP_TIMER_RETRANSMIT;
	look(&w, &sock, START + 3000);
	assert_int_equal(w.v.keepalive, KEEPALIVE_ON);
	assert_true(w.v.has_loss && w.v.loss_ms != PORTVIEW_NEVER);
	sock.timer = TCP_TIMER_NONE;
	look(&w, &sock, START + 4000);
	assert_int_equal(w.v.keepalive, KEEPALIVE_ON);
	sock.timer = TCP_TIMER_KEEPALIVE;
	look(&w, &sock, START + 5000);
	sock.timer = TCP_TIMER_NONE;
	look(&w, &sock, START + 6000);
	assert_int_equal(w.v.keepalive, KEEPALIVE_ON);
	look(&w, &sock, START + 7000); /* a second time: switched off */
	assert_int_equal(w.v.keepalive, KEEPALIVE_OFF);
	assert_true(w.v.loss_ms == PORTVIEW_NEVER);
	sock.timer = TCP_TIMER_RETRANSMIT;
	look(&w, &sock, START + 8000);
	assert_int_equal(w.v.keepalive, KEEPALIVE_OFF);
	w = watch_new();
	sock.timer = TCP_TIMER_NONE;
	look(&w, &sock, START);
	assert_int_equal(w.v.keepalive, KEEPALIVE_OFF);
}

static void test_peer_loss(void **state)
{
	(void)state;
	struct watch w = watch_new();
	struct tcpsock sock = with_clocks(established(), 1000, 1000, 1000);

	w.sysctl.value[NETSYSCTL_KEEPALIVE_TIME] = 3;
	w.sysctl.value[NETSYSCTL_KEEPALIVE_PROBES] = 3;
	w.sysctl.value[NETSYSCTL_KEEPALIVE_INTVL] = 2;
	sock.timer = TCP_TIMER_KEEPALIVE;
	sock.expires_ms = 1996; /* armed 1 s ago for 3 s */
	look(&w, &sock, START);
	assert_true(w.v.has_loss);
	assert_int_equal(w.v.loss_ms, 9000);
	/* Something was heard since it was armed: the longest that was seen counts. */
	sock = with_clocks(sock, 0, 0, 0);
	look(&w, &sock, START + 100);
	assert_int_equal(w.v.loss_ms, 9000);
	/* A socket's own idle time of two minutes. */
	sock = with_clocks(sock, 20000, 20000, 20000);
	sock.expires_ms = 100000;
	look(&w, &sock, START + 20000);
	assert_int_equal(w.v.loss_ms, (120 + 3 * 2) * SECOND);
	sock.probes = 1; /* what runs now is the interval */
	sock.expires_ms = 900000;
	look(&w, &sock, START + 30000);
	assert_int_equal(w.v.loss_ms, (120 + 3 * 2) * SECOND);
	/* Only probing was ever seen: the namespace's setting. */
	w.entry = (struct track_entry){ 0 };
	w.last_ms = 0;
	look(&w, &sock, START + 40000);
	assert_int_equal(w.v.loss_ms, 9000);
}

/* A peer on this host cannot vanish unnoticed: no idle, and nothing in the worst case. Once it has closed, it can. */
static void test_peer_on_this_host(void **state)
{
	(void)state;
	struct watch w = watch_new();
	struct tcpsock sock = with_clocks(established(), 3 * HOUR, 3 * HOUR, 3 * HOUR);

	assert_int_equal(look(&w, &sock, START), STALE_IDLE);
	assert_true(w.v.has_loss);
	w = watch_new();
	w.entry.inside = true;
	assert_int_equal(look(&w, &sock, START), STALE_NONE);
	assert_false(w.v.has_loss);
	assert_int_equal(look(&w, &sock, START + 5000), STALE_NONE); /* now as one that is quiet */
	assert_false(w.v.has_loss);
	sock.state = sock.info_state = TCP_STATE_FIN_WAIT2;
	look(&w, &sock, START + 10000);
	assert_false(w.v.has_loss);
	sock.state = sock.info_state = TCP_STATE_CLOSE_WAIT;
	look(&w, &sock, START + 15000);
	assert_true(w.v.has_loss);
}

static void test_peer_loss_of_half_closed(void **state)
{
	(void)state;
	static const enum tcp_state states[] = { TCP_STATE_CLOSE_WAIT, TCP_STATE_FIN_WAIT2 };

	for (size_t i = 0; i < COUNT(states); i++) {
		struct tcpsock sock = record_full(1, states[i], 40000, 80);
		struct look v;

		look_once(&sock, &v);
		assert_true(v.has_loss && v.loss_ms == PORTVIEW_NEVER);
		sock.timer = TCP_TIMER_KEEPALIVE;
		sock.expires_ms = 7200000 - 100;
		look_once(&sock, &v);
		assert_true(v.has_loss);
		assert_int_equal(v.loss_ms, (7200 + 9 * 75) * SECOND);
		sock.inode = 0;
		look_once(&sock, &v);
		assert_false(v.has_loss);
	}
	struct tcpsock sock = record_full(1, TCP_STATE_LAST_ACK, 40000, 80);
	struct look v;

	look_once(&sock, &v);
	assert_false(v.has_loss);
}

/* The peer is gone while data is in flight: retransmissions back off from 0.2 s. */
static void test_retransmit(void **state)
{
	(void)state;
	struct watch w = watch_new();
	struct tcpsock sock = with_clocks(established(), 10, 5000, 5000);
	uint64_t t = 0, wait = 200;

	look(&w, &sock, START);
	sock.timer = TCP_TIMER_RETRANSMIT;
	sock.unacked = sock.wqueue = 100;
	for (uint8_t n = 0; n < 9; n++) {
		/* The n-th timeout has just been; the record is read 60 ms later. */
		uint64_t now = t + 60;

		sock = with_clocks(sock, 60, 5000 + now, 5000 + now);
		sock.retransmits = sock.backoff = n;
		sock.rto_us = (uint32_t)wait * 1000;
		sock.expires_ms = (uint32_t)(wait - 60);
		look(&w, &sock, START + now);
		assert_int_equal(w.v.reason, now >= 10000 + 400 ? STALE_RETRANSMIT : STALE_NONE);
		if (w.v.reason != STALE_NONE)
			expect_age(w.v.stale_ms, now, 400);
		t += wait;
		wait *= 2;
	}
	/* An answer ends it. */
	sock.bytes_acked += 50;
	sock.segs_in++;
	sock.retransmits = sock.backoff = 0;
	sock = with_clocks(sock, 10, 5, 5);
	assert_int_equal(look(&w, &sock, START + t), STALE_NONE);
	assert_false(w.entry.is_blocked);
}

/* First seen in the middle of it: the timer tells for how long, whatever else is heard of the peer. */
static void test_retransmit_at_first_sight(void **state)
{
	(void)state;
	/* 0.2 + 0.4 + ... + 6.4 = 12.6 s, and 0.8 s; the recovery began with the first timeout. */
	struct tcpsock sock =
		with_retransmits(with_clocks(established(), 100, HOUR, HOUR), 6, 12800, 800, 13200);
	struct look v;

	assert_int_equal(look_once(&sock, &v), STALE_RETRANSMIT);
	expect_age(v.stale_ms, 13400, 232);
	sock = without_rto_time(sock);
	assert_int_equal(look_once(&sock, &v), STALE_RETRANSMIT);
	expect_age(v.stale_ms, 13400, 32);
	/* Heartbeats of the peer through a path that loses large segments. */
	sock = with_clocks(sock, 100, 20, 20);
	assert_int_equal(look_once(&sock, &v), STALE_RETRANSMIT);
	assert_int_equal(v.blame, STALE_BLAMES_PATH);
	/* A tail-loss probe in flight is nothing. */
	sock = with_retransmits(with_clocks(established(), 100, HOUR, HOUR), 0, 200, 0, 0);
	assert_int_equal(look_once(&sock, &v), STALE_NONE);
}

/* Where a sysctl or a socket option caps the timeout, doublings no longer tell its base. */
static void test_retransmit_at_the_cap(void **state)
{
	(void)state;
	struct tcpsock sock =
		with_retransmits(with_clocks(established(), 100, 9, 9), 30, 1000, 0, 0);
	struct look v;

	sock = without_rto_time(sock);
	assert_int_equal(look_once(&sock, &v), STALE_RETRANSMIT);
	expect_age(v.stale_ms, 200 + 400 + 800 + 27 * SECOND, 32);
	/* A recovery before this one is in the kernel's clock: the sum bounds it, and it the sum. */
	sock.known |= TCPSOCK_RTO_TIME;
	sock.total_rto_recoveries = 2;
	sock.total_rto_time_ms = 12000;
	assert_int_equal(look_once(&sock, &v), STALE_RETRANSMIT);
	expect_age(v.stale_ms, 12000, 32);
	sock.total_rto_time_ms = 3600000;
	look_once(&sock, &v);
	expect_age(v.stale_ms, 28400, 32);
}

/* Only an acknowledgement ends it: not what is heard, nor the end of the peer's direction. */
static void test_retransmit_does_not_flap(void **state)
{
	(void)state;
	struct watch w = watch_new();
	struct tcpsock sock =
		with_retransmits(with_clocks(established(), 100, 9, 9), 7, 25600, 0, 25400);

	for (uint64_t t = 0; t < MINUTE; t += 5000) {
		sock.segs_in += 10;
		sock.bytes_received += 10;
		assert_int_equal(look(&w, &sock, START + t), STALE_RETRANSMIT);
		expect_age(w.v.stale_ms, 25600 + t, 232);
	}
	sock.state = sock.info_state = TCP_STATE_CLOSE_WAIT;
	sock.rqueue = 1;
	assert_int_equal(look(&w, &sock, START + MINUTE), STALE_RETRANSMIT);
	expect_age(w.v.stale_ms, 25600 + MINUTE, 232);
	sock.bytes_acked += 1448;
	sock = with_retransmits(sock, 1, 400, 100, 0);
	assert_int_equal(look(&w, &sock, START + MINUTE + 5000), STALE_NONE);
}

/* The device is down: the timer runs, and the last copy left later ago than the timer. */
static void test_what_does_not_leave_this_host(void **state)
{
	(void)state;
	struct tcpsock sock = with_retransmits(with_clocks(established(), 23700, 23700, 23700), 6,
					       12800, 10500, 23500);
	struct look v;

	sock.wqueue = 1000;
	assert_int_equal(look_once(&sock, &v), STALE_RETRANSMIT);
	assert_int_equal(v.blame, STALE_BLAMES_HOST);
	sock.last_data_sent_ms = 10500;
	look_once(&sock, &v);
	assert_int_equal(v.blame, STALE_BLAMES_PATH);
	/* A FIN alone never sets that clock. */
	sock.last_data_sent_ms = 23700;
	sock.wqueue = 1;
	look_once(&sock, &v);
	assert_int_equal(v.blame, STALE_BLAMES_PATH);
}

static void test_data_that_cannot_get_out(void **state)
{
	(void)state;
	struct watch w = watch_new();
	struct tcpsock sock = with_clocks(established(), 20000, 20000, 20000);

	/* Dropped by an output filter: timer 4 with an open window. */
	sock.timer = TCP_TIMER_PROBE;
	sock.probes = sock.backoff = 3;
	sock.rto_us = 200000;
	sock.expires_ms = 500;
	sock.notsent_bytes = sock.wqueue = 100;
	assert_int_equal(look(&w, &sock, START), STALE_NONE);
	sock = with_clocks(sock, 27000, 27000, 27000);
	assert_int_equal(look(&w, &sock, START + 7000),
			 STALE_NONE); /* 0.2 + 0.4 + 0.8 + 1.1 s at first sight */
	sock = with_clocks(sock, 31000, 31000, 31000);
	assert_int_equal(look(&w, &sock, START + 10000), STALE_RETRANSMIT);
	assert_int_equal(w.v.blame, STALE_BLAMES_HOST);
}

/*
 * A peer that does not read but answers every window probe, at intervals that grow to two minutes; then one that has gone.
 */
static void test_zero_window(void **state)
{
	(void)state;
	struct watch w = watch_new();
	struct tcpsock sock = with_clocks(established(), 0, 0, 0);
	uint64_t t = 0, wait = 200;
	uint8_t backoff = 0;

	sock.timer = TCP_TIMER_PROBE;
	sock.snd_wnd = 1447;
	sock.notsent_bytes = sock.wqueue = 100000;
	look(&w, &sock, START);
	while (t < 40 * MINUTE) {
		static const uint64_t fractions[] = { 0, 2, 4, 5, 6 };

		for (size_t i = 0; i < COUNT(fractions); i++) {
			uint64_t passed = wait * fractions[i] / 6;

			sock.backoff = backoff;
			sock.probes = i == 0 && t != 0; /* just sent, the answer is on its way */
			sock.expires_ms = (uint32_t)(wait - passed);
			sock = with_clocks(sock, t + passed, 100 + t + passed,
					   i == 0 && t != 0 ? wait : passed);
			look(&w, &sock, START + t + passed);
			if (i == 1)
				sock.segs_in++;
			if (t + passed >= MINUTE + 500)
				assert_int_equal(w.v.reason, STALE_ZERO_WINDOW);
			if (t + passed < MINUTE)
				assert_int_equal(w.v.reason, STALE_NONE);
			if (w.v.reason != STALE_NONE)
				expect_age(w.v.stale_ms, t + passed, 300);
		}
		sock.segs_in++;
		t += wait;
		backoff = (uint8_t)(backoff < 15 ? backoff + 1 : 15);
		wait = UINT64_C(200) << backoff < 120000 ? UINT64_C(200) << backoff : 120000;
	}
	/* Gone: a probe that is overdue for ten seconds is enough, or a second one. */
	sock.probes = 1;
	sock.expires_ms = 120000 - 9900;
	sock = with_clocks(sock, t, t, 129900);
	assert_int_equal(look(&w, &sock, START + t), STALE_ZERO_WINDOW);
	sock.expires_ms = 120000 - 10100;
	assert_int_equal(look(&w, &sock, START + t + 10200), STALE_RETRANSMIT);
	sock.probes = 2;
	sock.expires_ms = 120000;
	assert_int_equal(look(&w, &sock, START + t + 120000), STALE_RETRANSMIT);
}

static void test_zero_window_at_first_sight(void **state)
{
	(void)state;
	/* Shut for two minutes, filled 105.2 s ago; the last probe was answered 3 s ago. */
	struct tcpsock sock = with_clocks(established(), 105200, HOUR, 3000);
	struct look v;

	sock.known |= TCPSOCK_RWND_LIMITED;
	sock.rwnd_limited_us = 2 * MINUTE * 1000;
	sock.timer = TCP_TIMER_PROBE;
	sock.snd_wnd = 0;
	sock.rto_us = 200000;
	sock.backoff = 15; /* where a cap of 1 s has led it long ago */
	sock.expires_ms = 100;
	assert_int_equal(look_once(&sock, &v), STALE_ZERO_WINDOW);
	expect_age(v.stale_ms, 105200, 16);
	assert_int_equal(v.blame, STALE_BLAMES_PEER_PROGRAM);
	/* A late write has waited for less than the window was shut, and a window shut lately for less than the write. */
	sock.last_data_sent_ms = 5000;
	assert_int_equal(look_once(&sock, &v), STALE_NONE);
	sock.last_data_sent_ms = 105200;
	sock.rwnd_limited_us = 61 * SECOND * 1000;
	assert_int_equal(look_once(&sock, &v), STALE_ZERO_WINDOW);
	expect_age(v.stale_ms, 61000, 16);
	/* A whole segment would fit: this host's own trouble. */
	sock.snd_wnd = 1448;
	sock.probes = 1;
	assert_int_equal(look_once(&sock, &v), STALE_RETRANSMIT);
	assert_int_equal(v.blame, STALE_BLAMES_HOST);
	/* Linux before 5.4 does not tell the window, but that it waited for one; before 4.10 not even that. */
	sock.known &= ~(uint32_t)TCPSOCK_SND_WND;
	sock.probes = 0;
	assert_int_equal(look_once(&sock, &v), STALE_ZERO_WINDOW);
	sock.known &= ~(uint32_t)TCPSOCK_RWND_LIMITED;
	assert_int_equal(look_once(&sock, &v), STALE_ZERO_WINDOW);
}

/* The receiver shrank its window over data in flight: the retransmission timer runs, and what it sends is answered. */
static void test_window_shut_in_flight(void **state)
{
	(void)state;
	struct tcpsock sock =
		with_retransmits(with_clocks(established(), 700, HOUR, 702), 2, 102400, 700, 0);
	struct look v;

	sock.snd_wnd = 0;
	sock.backoff = 10;
	sock.retransmits = 0;
	assert_int_equal(look_once(&sock, &v), STALE_ZERO_WINDOW);
	expect_age(v.stale_ms, 102300 + 700, 200);
	sock.retransmits = 2;
	assert_int_equal(look_once(&sock, &v), STALE_ZERO_WINDOW);
	/* It answers no more: 11 s behind the last retransmission. */
	sock.last_ack_recv_ms = 11700;
	assert_int_equal(look_once(&sock, &v), STALE_RETRANSMIT);
	expect_age(v.stale_ms, 11700, 16);
}

static void test_window_that_opens(void **state)
{
	(void)state;
	struct watch w = watch_new();
	struct tcpsock sock = with_clocks(established(), 100, 100, 100);

	sock.timer = TCP_TIMER_PROBE;
	sock.snd_wnd = 0;
	for (uint64_t t = 0; t < 5 * MINUTE; t += 5000) {
		sock.bytes_acked += 1448; /* it reads, slowly */
		assert_int_equal(look(&w, &sock, START + t), STALE_NONE);
	}
	assert_int_equal(look(&w, &sock, START + 5 * MINUTE + 1000), STALE_NONE);
	assert_int_equal(look(&w, &sock, START + 6 * MINUTE + 1016), STALE_ZERO_WINDOW);
}

static void test_unread(void **state)
{
	(void)state;
	struct watch w = watch_new();
	struct tcpsock sock = with_clocks(established(), 100, 100, 100);

	sock.timer = TCP_TIMER_KEEPALIVE;
	sock.expires_ms = 1000000;
	sock.bytes_received = 5000;
	/* Idle for an hour with all read: what comes then is not old. */
	for (uint64_t t = 0; t <= HOUR; t += MINUTE)
		assert_int_equal(look(&w, &sock, START + t), STALE_NONE);
	sock.bytes_received = sock.bytes_received + 300;
	sock.rqueue = 300;
	assert_int_equal(look(&w, &sock, START + HOUR + MINUTE), STALE_NONE);
	sock.bytes_received += 700; /* more comes, nothing is read */
	sock.rqueue += 700;
	assert_int_equal(look(&w, &sock, START + HOUR + 4 * MINUTE), STALE_NONE);
	assert_int_equal(look(&w, &sock, START + HOUR + 5 * MINUTE + 16), STALE_UNREAD);
	assert_true(w.v.stale_ms >= 5 * MINUTE && w.v.stale_ms <= 5 * MINUTE + 32);
	sock.rqueue -= 1; /* it reads one byte */
	assert_int_equal(look(&w, &sock, START + HOUR + 7 * MINUTE), STALE_NONE);
	assert_int_equal(look(&w, &sock, START + HOUR + 12 * MINUTE + 16), STALE_UNREAD);
	sock.rqueue = 0;
	assert_int_equal(look(&w, &sock, START + HOUR + 13 * MINUTE), STALE_NONE);
	/* At first sight it is as old as the newest of it, at least. */
	w = watch_new();
	sock = with_clocks(sock, 100, 6 * MINUTE, 100);
	sock.rqueue = 10;
	assert_int_equal(look(&w, &sock, START), STALE_UNREAD);
	expect_age(w.v.stale_ms, 6 * MINUTE, 16);
	sock.known &= ~(uint32_t)TCPSOCK_BYTES;
	w = watch_new();
	look(&w, &sock, START);
	assert_int_equal(look(&w, &sock, START + HOUR), STALE_NONE);
}

/* One socket, every reason at once: the first in the order applies, and the next when its facts are gone. */
static void test_precedence(void **state)
{
	(void)state;
	struct watch w = watch_new();
	struct tcpsock sock = with_clocks(established(), 3 * HOUR, 3 * HOUR, 3 * HOUR);

	sock.rqueue = 2000;
	sock.bytes_received = 2000;
	sock.timer = TCP_TIMER_PROBE;
	sock.probes = 3;
	sock.snd_wnd = 0;
	look(&w, &sock, START);
	sock = with_clocks(sock, 4 * HOUR, 4 * HOUR, 4 * HOUR);
	assert_int_equal(look(&w, &sock, START + HOUR), STALE_RETRANSMIT);
	sock.probes = 0;
	assert_int_equal(look(&w, &sock, START + HOUR + 1), STALE_UNREAD);
	sock.rqueue = 0;
	assert_int_equal(look(&w, &sock, START + HOUR + 2), STALE_ZERO_WINDOW);
	sock.snd_wnd = 65535;
	sock.timer = TCP_TIMER_NONE;
	assert_int_equal(look(&w, &sock, START + HOUR + 3), STALE_IDLE);
	sock.timer = TCP_TIMER_KEEPALIVE;
	sock.probes = 2;
	assert_int_equal(look(&w, &sock, START + HOUR + 4), STALE_KEEPALIVE);
	sock.inode = 0;
	assert_int_equal(look(&w, &sock, START + HOUR + 5), STALE_UNACCEPTED);
}

/* Whose data lies unread here is not the peer's fault while it waits for its own threshold. */
static void test_facts_choose_before_thresholds(void **state)
{
	(void)state;
	struct watch w = watch_new();
	struct tcpsock sock = with_clocks(established(), 2 * MINUTE, 2 * MINUTE, 100);

	sock.rqueue = 2000;
	sock.bytes_received = 2000;
	sock.timer = TCP_TIMER_PROBE;
	sock.snd_wnd = 0;
	sock.known |= TCPSOCK_RWND_LIMITED;
	sock.rwnd_limited_us = 2 * MINUTE * 1000;
	assert_int_equal(look(&w, &sock, START), STALE_NONE);
	assert_int_equal(look(&w, &sock, START + 3 * MINUTE + 16), STALE_UNREAD);
	assert_int_equal(w.v.blame, STALE_BLAMES_PROGRAM);
}

/*
 * Half-closed connections, by what is queued in each direction. The peer of each row is in another row: both ends name the
 * same culprit.
 */
static void test_half_closed_by_its_queues(void **state)
{
	(void)state;
	static const struct {
		enum tcp_state state;
		uint8_t timer, retransmits, backoff;
		uint32_t wqueue, rqueue, inode, snd_wnd;
		enum stale_reason reason;
		enum stale_blame blame;
	} rows[] = {
		{ TCP_STATE_CLOSE_WAIT, 1, 6, 6, 5000, 0, 9, 65535, STALE_RETRANSMIT,
		  STALE_BLAMES_PATH },
		{ TCP_STATE_CLOSE_WAIT, 4, 0, 6, 33624, 0, 9, 0, STALE_ZERO_WINDOW,
		  STALE_BLAMES_PEER_PROGRAM },
		{ TCP_STATE_CLOSE_WAIT, 4, 0, 6, 33624, 1, 9, 0, STALE_ZERO_WINDOW,
		  STALE_BLAMES_PEER_PROGRAM },
		{ TCP_STATE_CLOSE_WAIT, 4, 0, 6, 33624, 127481, 9, 0, STALE_UNREAD,
		  STALE_BLAMES_PROGRAM },
		{ TCP_STATE_CLOSE_WAIT, 0, 0, 0, 0, 0, 9, 65535, STALE_CLOSE_WAIT,
		  STALE_BLAMES_PROGRAM },
		{ TCP_STATE_CLOSE_WAIT, 0, 0, 0, 0, 1, 9, 65535, STALE_EOF_UNREAD,
		  STALE_BLAMES_PROGRAM },
		{ TCP_STATE_CLOSE_WAIT, 0, 0, 0, 0, 101, 9, 65535, STALE_UNREAD,
		  STALE_BLAMES_PROGRAM },
		{ TCP_STATE_CLOSE_WAIT, 0, 0, 0, 0, 101, 0, 65535, STALE_UNACCEPTED,
		  STALE_BLAMES_PROGRAM },
		{ TCP_STATE_FIN_WAIT2, 0, 0, 0, 0, 127480, 9, 65535, STALE_UNREAD,
		  STALE_BLAMES_PROGRAM },
		{ TCP_STATE_FIN_WAIT2, 0, 0, 0, 0, 0, 9, 65535, STALE_FIN_WAIT2,
		  STALE_BLAMES_PEER_PROGRAM },
		{ TCP_STATE_FIN_WAIT2, 0, 0, 0, 0, 0, 0, 65535, STALE_NONE, STALE_BLAMES_NOBODY },
		{ TCP_STATE_FIN_WAIT1, 4, 0, 6, 33625, 0, 9, 0, STALE_ZERO_WINDOW,
		  STALE_BLAMES_PEER_PROGRAM },
		{ TCP_STATE_FIN_WAIT1, 1, 6, 6, 1, 0, 0, 65535, STALE_CLOSING, STALE_BLAMES_PATH },
		{ TCP_STATE_FIN_WAIT1, 1, 6, 6, 5001, 0, 9, 65535, STALE_CLOSING,
		  STALE_BLAMES_PATH },
		{ TCP_STATE_FIN_WAIT1, 1, 0, 0, 5001, 0, 9, 65535, STALE_NONE,
		  STALE_BLAMES_NOBODY },
		{ TCP_STATE_LAST_ACK, 4, 0, 6, 33625, 1, 0, 0, STALE_ZERO_WINDOW,
		  STALE_BLAMES_PEER_PROGRAM },
		{ TCP_STATE_LAST_ACK, 1, 6, 6, 1, 1, 0, 65535, STALE_CLOSING, STALE_BLAMES_PATH },
		{ TCP_STATE_CLOSING, 1, 6, 6, 1, 1, 0, 65535, STALE_CLOSING, STALE_BLAMES_PATH },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct watch w = watch_new();
		struct tcpsock sock = record_full(1, rows[i].state, 80, 40000);

		/* Everything has been so for ten minutes; what could be sent was, each time again. */
		sock = with_retransmits(sock, rows[i].retransmits, 12800, 100, 10 * MINUTE);
		sock = with_clocks(sock, rows[i].timer == TCP_TIMER_RETRANSMIT ? 100 : 10 * MINUTE,
				   10 * MINUTE,
				   rows[i].timer == TCP_TIMER_PROBE ? 50 : 10 * MINUTE);
		sock.timer = rows[i].timer;
		sock.backoff = rows[i].backoff;
		sock.wqueue = rows[i].wqueue;
		sock.rqueue = rows[i].rqueue;
		sock.inode = rows[i].inode;
		sock.snd_wnd = rows[i].snd_wnd;
		sock.known |= TCPSOCK_RWND_LIMITED;
		sock.rwnd_limited_us = rows[i].timer == TCP_TIMER_PROBE ? 10 * MINUTE * 1000 : 0;
		sock.bytes_received = rows[i].rqueue;
		look(&w, &sock, START);
		if (w.v.reason != rows[i].reason)
			print_error("row %zu: %s\n", i, stale_reason_name(w.v.reason));
		assert_int_equal(w.v.reason, rows[i].reason);
		assert_int_equal(w.v.blame, rows[i].blame);
		/* Heartbeats of the peer hide nothing that lies unread or unacknowledged. */
		sock.bytes_received += 10;
		sock.rqueue += rows[i].reason == STALE_UNREAD ? 10 : 0;
		look(&w, &sock, START + 5000);
		if (rows[i].reason == STALE_UNREAD || rows[i].reason == STALE_RETRANSMIT ||
		    rows[i].reason == STALE_ZERO_WINDOW || rows[i].reason == STALE_CLOSING)
			assert_int_equal(w.v.reason, rows[i].reason);
	}
}

/* What a server says as it drops an idle connection is no data that a program should have read. */
static void test_farewells_and_tickets(void **state)
{
	(void)state;
	/* HTTP 408 and the end, ten minutes ago; the client had asked 20 s before. */
	struct tcpsock sock = with_clocks(record_full(1, TCP_STATE_CLOSE_WAIT, 40000, 80),
					  10 * MINUTE + 20000, 10 * MINUTE, 10 * MINUTE);
	struct watch w = watch_new();

	sock.bytes_received = 533;
	sock.rqueue = 33;
	w.entry.role = ROLE_CLIENT;
	assert_int_equal(look(&w, &sock, START), STALE_EOF_UNREAD);
	w = watch_new();
	w.entry.role = ROLE_SERVER;
	assert_int_equal(look(&w, &sock, START), STALE_UNREAD);
	/* Too much for a farewell. */
	w = watch_new();
	w.entry.role = ROLE_CLIENT;
	sock.bytes_received = 3000;
	sock.rqueue = 1026;
	assert_int_equal(look(&w, &sock, START), STALE_UNREAD);
	sock.bytes_received = 533;
	sock.rqueue = 33;
	/* It had never read anything; or the data had lain there before the peer gave up; or it answers what was asked. */
	w = watch_new();
	w.entry.role = ROLE_CLIENT;
	sock.bytes_received = 33;
	assert_int_equal(look(&w, &sock, START), STALE_UNREAD);
	w = watch_new();
	w.entry.role = ROLE_CLIENT;
	sock.bytes_received = 533;
	sock = with_clocks(sock, 12 * MINUTE, 11 * MINUTE, 10 * MINUTE);
	assert_int_equal(look(&w, &sock, START), STALE_UNREAD);
	w = watch_new();
	w.entry.role = ROLE_CLIENT;
	sock = with_clocks(sock, 10 * MINUTE + 200, 10 * MINUTE, 10 * MINUTE);
	assert_int_equal(look(&w, &sock, START), STALE_UNREAD);

	/* Session tickets behind a TLS handshake; more than these, or after requests, is data. */
	w = watch_new();
	w.entry.role = ROLE_CLIENT;
	sock = with_clocks(established(), 10 * MINUTE + 60, 10 * MINUTE, 10 * MINUTE);
	sock.bytes_received = 2000;
	sock.rqueue = 510;
	sock.data_segs_out = 2;
	assert_int_equal(look(&w, &sock, START), STALE_NONE);
	sock.data_segs_out = 5;
	assert_int_equal(look(&w, &sock, START), STALE_UNREAD);
	sock.data_segs_out = 2;
	sock.rqueue = 1025;
	w = watch_new();
	w.entry.role = ROLE_CLIENT;
	assert_int_equal(look(&w, &sock, START), STALE_UNREAD);
	/* shutdown(SHUT_RD): nobody is going to read it. */
	sock.shutdown = TCPSOCK_SHUT_RECEIVE;
	assert_int_equal(look(&w, &sock, START), STALE_NONE);
}

static void test_state_changes_begin_anew(void **state)
{
	(void)state;
	struct watch w = watch_new();
	struct tcpsock sock = with_clocks(established(), HOUR, HOUR, HOUR);

	look(&w, &sock, START);
	sock = with_clocks(record_full(1, TCP_STATE_CLOSE_WAIT, 40000, 80), HOUR, HOUR, 200);
	look(&w, &sock, START + 5000);
	expect_age(w.v.age_ms, 200, 16);
	sock = with_clocks(record_full(1, TCP_STATE_LAST_ACK, 40000, 80), HOUR, HOUR, 5200);
	look(&w, &sock, START + 10000);
	assert_int_equal(w.v.age_ms, 0);
	assert_int_equal(w.entry.state, TCP_STATE_LAST_ACK);
}

/*
 * A connection in random circumstances, and its twin, which is never taken for quiet: all that a look finds and remembers
 * must be the same. Clocks are the kernel's; only what changes between two looks is random.
 */
struct life {
	struct tcpsock sock;
	uint64_t sent_ms, recv_ms, ack_ms; /* when it last sent, received, was acknowledged */
	uint64_t expires_ms;               /* of its timer */
	uint64_t rng;
};

static uint64_t roll(struct life *life, uint64_t n)
{
	life->rng ^= life->rng << 13;
	life->rng ^= life->rng >> 7;
	life->rng ^= life->rng << 17;
	return life->rng % n;
}

static void set_timer(struct life *life, uint64_t now_ms)
{
	struct tcpsock *sock = &life->sock;

	sock->timer = (uint8_t)roll(life, 6);
	sock->probes = (uint8_t)(roll(life, 3) == 0 ? roll(life, 4) : 0);
	sock->retransmits = (uint8_t)(sock->timer == TCP_TIMER_RETRANSMIT ? roll(life, 3) : 0);
	sock->backoff = sock->retransmits;
	sock->rto_us = (uint32_t)(200000 << sock->backoff);
	sock->snd_wnd = (uint32_t)roll(life, 2) * 65536;
	life->expires_ms = now_ms + roll(life, 7200000);
}

static void change(struct life *life, uint64_t now_ms)
{
	struct tcpsock *sock = &life->sock;

	switch (roll(life, 24)) {
	case 0:
		sock->segs_in++;
		life->ack_ms = now_ms - roll(life, 10);
		break;
	case 1:
		sock->segs_in++;
		sock->data_segs_in++;
		sock->bytes_received += 1 + roll(life, 5000);
		sock->rqueue = (uint32_t)(roll(life, 2) * 700);
		life->recv_ms = now_ms - roll(life, 10);
		break;
	case 2:
		sock->bytes_received += roll(life, 2) * 100;
		sock->rqueue = (uint32_t)(roll(life, 2) * 100);
		break;
	case 3:
		sock->segs_out++;
		sock->data_segs_out++;
		sock->bytes_acked += 100;
		life->sent_ms = now_ms;
		break;
	case 4:
	case 5:
		set_timer(life, now_ms);
		break;
	case 6:
		sock->timer = TCP_TIMER_NONE;
		break;
	case 7:
		sock->info_state = roll(life, 2) ? TCP_STATE_CLOSE_WAIT : TCP_STATE_ESTABLISHED;
		break;
	case 8:
		sock->state = roll(life, 3) ? TCP_STATE_ESTABLISHED : TCP_STATE_CLOSE_WAIT;
		sock->info_state = sock->state;
		break;
	case 9:
		sock->inode = (uint32_t)roll(life, 3);
		break;
	case 10:
		sock->known ^= roll(life, 2) ? TCPSOCK_SEGS : TCPSOCK_INFO;
		break;
	case 11:
		*sock = established();
		break;
	default:
		break;
	}
}

static void tell_clocks(struct life *life, uint64_t now_ms)
{
	life->sock = with_clocks(life->sock, now_ms - life->sent_ms, now_ms - life->recv_ms,
				 now_ms - life->ack_ms);
	life->sock.expires_ms =
		(uint32_t)(life->expires_ms > now_ms ? life->expires_ms - now_ms : 0);
}

static void expect_same_look(const struct look *a, const struct look *b)
{
	assert_int_equal(a->reason, b->reason);
	assert_int_equal(a->stale_ms, b->stale_ms);
	assert_int_equal(a->keepalive, b->keepalive);
	assert_int_equal(a->has_age, b->has_age);
	assert_int_equal(a->age_ms, b->age_ms);
	assert_int_equal(a->silence_ms, b->silence_ms);
	assert_int_equal(a->has_loss, b->has_loss);
	assert_true(a->loss_ms == b->loss_ms);
}

/* Spoils what this look would set in any case, so that it does not take the short way. */
static void make_unquiet(struct track_entry *entry, const struct tcpsock *sock)
{
	if (sock->state != TCP_STATE_ESTABLISHED)
		return;
	if (sock->rqueue == 0)
		entry->has_read = false;
	else if (sock->timer == TCP_TIMER_KEEPALIVE ||
		 (sock->timer == TCP_TIMER_NONE && entry->keepalive == KEEPALIVE_OFF))
		entry->keepalive_gone = true;
}

static void test_quiet_looks_find_the_same(void **state)
{
	(void)state;
	static const uint64_t pauses[] = { 20, 1000, 5000, 15000, 60000, 1800000 };

	for (uint64_t seed = 1; seed <= 400; seed++) {
		struct life life = { .sock = established(), .rng = seed * 20231122 };
		struct watch w = watch_new(), twin = watch_new();
		uint64_t now_ms = START;

		life.sent_ms = life.recv_ms = life.ack_ms = now_ms - roll(&life, 100000);
		if (roll(&life, 2) == 0)
			life.sock.data_segs_in = life.sock.data_segs_out = 0;
		set_timer(&life, now_ms);
		for (int i = 0; i < 500; i++) {
			change(&life, now_ms);
			tell_clocks(&life, now_ms);
			make_unquiet(&twin.entry, &life.sock);
			look(&w, &life.sock, now_ms);
			look(&twin, &life.sock, now_ms);
			expect_same_look(&w.v, &twin.v);
			assert_memory_equal(&w.entry, &twin.entry, sizeof(w.entry));
			now_ms += pauses[roll(&life, COUNT(pauses))] + roll(&life, 50);
		}
	}
}

static void test_dead(void **state)
{
	(void)state;
	struct ages_context context = { START + 59900, 5000, &defaults, &sysctls };
	struct track_entry entry = { .id = 1, .state = TCP_STATE_CLOSE, .since = ages_tick(START) };
	struct look v;

	ages_dead(&entry, &context, &v);
	assert_int_equal(v.reason, STALE_NONE);
	context.now_ms = START + 60016;
	ages_dead(&entry, &context, &v);
	assert_int_equal(v.reason, STALE_DEAD);
	expect_age(v.stale_ms, 60032, 32);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ticks),
		cmocka_unit_test(test_ages_reach_behind_the_boot),
		cmocka_unit_test(test_syn_sent_ages),
		cmocka_unit_test(test_syn_sent_garbage_is_no_age),
		cmocka_unit_test(test_syn_recv_ages),
		cmocka_unit_test(test_minis),
		cmocka_unit_test(test_close_wait),
		cmocka_unit_test(test_half_closed_that_streams_is_at_work),
		cmocka_unit_test(test_half_closed_after_very_many_bytes),
		cmocka_unit_test(test_fin_wait2),
		cmocka_unit_test(test_closing_ages),
		cmocka_unit_test(test_backoff_from_before),
		cmocka_unit_test(test_unaccepted),
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_peer_that_probes_is_not_silent),
		cmocka_unit_test(test_silence_before_segs_in),
		cmocka_unit_test(test_heard_between_two_looks),
		cmocka_unit_test(test_clocks_that_wrap),
		cmocka_unit_test(test_client_that_waits),
		cmocka_unit_test(test_keepalive_probes),
		cmocka_unit_test(test_keepalive_probes_without_info),
		cmocka_unit_test(test_keepalive),
		cmocka_unit_test(test_peer_loss),
		cmocka_unit_test(test_peer_on_this_host),
		cmocka_unit_test(test_peer_loss_of_half_closed),
		cmocka_unit_test(test_retransmit),
		cmocka_unit_test(test_retransmit_at_first_sight),
		cmocka_unit_test(test_data_that_cannot_get_out),
		cmocka_unit_test(test_zero_window),
		cmocka_unit_test(test_zero_window_at_first_sight),
		cmocka_unit_test(test_window_that_opens),
		cmocka_unit_test(test_unread),
		cmocka_unit_test(test_precedence),
		cmocka_unit_test(test_facts_choose_before_thresholds),
		cmocka_unit_test(test_half_closed_by_its_queues),
		cmocka_unit_test(test_farewells_and_tickets),
		cmocka_unit_test(test_retransmit_at_the_cap),
		cmocka_unit_test(test_retransmit_does_not_flap),
		cmocka_unit_test(test_what_does_not_leave_this_host),
		cmocka_unit_test(test_window_shut_in_flight),
		cmocka_unit_test(test_state_changes_begin_anew),
		cmocka_unit_test(test_quiet_looks_find_the_same),
		cmocka_unit_test(test_dead),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
