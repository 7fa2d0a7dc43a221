/*
 * Tests of census: scripted dumps and events, and a random world whose truth is known.
 */
#include "tcphealth/model/census.h"

#include "helpers/records.h"
#include "tcphealth/base/address.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define INTERVAL_MS  5000u
#define KEEP_MS      3600000u
#define UNIT_CGROUP  77u

struct scene {
	struct census *census;
	struct census_sample sample;
	struct netstat counters;
};

static struct census_config config_of(void)
{
	struct census_config config = { .keep_ms = KEEP_MS, .kernel_cgroup_id = 1 };

	for (int i = 0; i < STALE_REASONS; i++)
		config.thresholds.least[i] = 60000;
	config.thresholds.least[STALE_IDLE] = 7200000;
	config.thresholds.least[STALE_KEEPALIVE] = 2;
	return config;
}

static void open_scene(struct scene *s)
{
	struct census_config config;

	*s = (struct scene){ .sample = { .now_ms = 100000000,
					 .can = SOURCE_COOKIES | SOURCE_EVENTS } };
	netsysctl_defaults(&s->sample.sysctl);
	s->sample.sysctl.value[NETSYSCTL_PORT_LOW] = 32768;
	s->sample.sysctl.value[NETSYSCTL_PORT_HIGH] = 60999;
	s->sample.sysctl.known = UINT32_C(1) << NETSYSCTL_PORT_LOW;
	config = config_of();
	s->census = census_new(&config);
	assert_non_null(s->census);
}

static void close_scene(struct scene *s)
{
	census_free(s->census);
}

static void begin(struct scene *s)
{
	s->sample.now_ms += INTERVAL_MS;
	assert_int_equal(census_begin(s->census, &s->sample), 0);
}

static void see(struct scene *s, const struct tcpsock *sock)
{
	assert_int_equal(census_take(s->census, sock, 1, s->sample.now_ms), 0);
}

static void end(struct scene *s)
{
	struct ledger *ledger = census_ledger(s->census);

	assert_int_equal(census_end(s->census), 0);
	assert_int_equal(census_drained(s->census, &s->counters), 0);
	assert_int_equal(ledger_arbitrate(&ledger, 1, 1000, s->sample.now_ms, KEEP_MS, 0), 0);
}

/* One whole sample of up to three sockets; NULL ends them. */
static void dump(struct scene *s, const struct tcpsock *a, const struct tcpsock *b,
		 const struct tcpsock *c)
{
	const struct tcpsock *socks[] = { a, b, c };

	begin(s);
	for (size_t i = 0; i < COUNT(socks) && socks[i] != NULL; i++)
		see(s, socks[i]);
	end(s);
}

static void dumps(struct scene *s, int n, const struct tcpsock *a)
{
	for (int i = 0; i < n; i++)
		dump(s, a, NULL, NULL);
}

static void die(struct scene *s, struct tcpdeath death)
{
	assert_int_equal(census_event(s->census, &death), 0);
}

/* Events come between samples; what they count is settled by the next arbitration. */
static uint64_t counter(struct scene *s, enum role role, uint16_t port, unsigned int which)
{
	const struct ledger_pair *pair = ledger_pair(census_ledger(s->census), role, port);

	return pair->counter[which] + pair->fresh[which];
}

static struct portview view(struct scene *s, enum role role, uint16_t port)
{
	const struct ledger_pair *pair = ledger_pair(census_ledger(s->census), role, port);
	const struct portview *v = ledger_pair_view(census_ledger(s->census), pair);

	return v != NULL ? *v : (struct portview){ 0 };
}

static uint32_t in_state(struct scene *s, enum role role, uint16_t port, enum tcp_state state)
{
	return view(s, role, port).state[state];
}

static void expect(struct scene *s, enum role role, uint16_t port, uint64_t opened, uint64_t closed,
		   uint64_t sent)
{
	assert_int_equal(counter(s, role, port, LEDGER_OPENED), opened);
	assert_int_equal(counter(s, role, port, LEDGER_CLOSED), closed);
	assert_int_equal(counter(s, role, port, LEDGER_SENT_BYTES), sent);
}

static uint64_t failed(struct scene *s, uint16_t port, enum connects_failure failure)
{
	return counter(s, ROLE_CLIENT, port, LEDGER_FAILED + failure);
}

/* Settles them first. */
static void expect_failed(struct scene *s, uint16_t port, uint64_t refused, uint64_t timeout,
			  uint64_t abandoned)
{
	assert_int_equal(census_drained(s->census, &s->counters), 0);
	assert_int_equal(failed(s, port, CONNECTS_REFUSED), refused);
	assert_int_equal(failed(s, port, CONNECTS_TIMEOUT), timeout);
	assert_int_equal(failed(s, port, CONNECTS_ABANDONED), abandoned);
}

static uint64_t sum_of_states(struct scene *s)
{
	size_t n;
	const struct ledger_pair *pairs = ledger_pairs(census_ledger(s->census), &n);
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++) {
		const struct portview *v = ledger_pair_view(census_ledger(s->census), &pairs[i]);

		for (int state = 0; v != NULL && state < TCP_STATE_COUNT; state++)
			sum += v->state[state];
	}
	return sum;
}

static uint64_t sum_of_evidence(struct scene *s)
{
	uint64_t sum = 0;

	for (int i = 0; i < ROLE_EVIDENCE_COUNT; i++)
		sum += census_evidence(s->census, (enum role_evidence)i);
	return sum;
}

/* Stale connections by cgroup, those of both tiers together; their number is *ret_rows. */
static uint64_t sum_of_cgroups(struct scene *s, size_t *ret_rows)
{
	uint64_t sum = 0;

	*ret_rows = 0;
	for (int tier = 0; tier < TIERS; tier++) {
		size_t n;
		const struct tally_cgroup *rows = census_cgroups(s->census, (enum tier)tier, &n);

		for (size_t i = 0; i < n; i++) {
			sum += stale_group_all(rows[i].form).sockets;
			*ret_rows += stale_group_all(rows[i].form).sockets != 0;
		}
	}
	return sum;
}

/* A client that sent and had acknowledged so many bytes to port 80. */
static struct tcpsock client(uint64_t id, uint64_t sent)
{
	struct tcpsock sock =
		record_full(id, TCP_STATE_ESTABLISHED, (uint16_t)(40000 + id % 10000), 80);

	sock.bytes_sent = sent;
	sock.bytes_acked = sent + 1;
	sock.data_segs_out = (uint32_t)((sent + 1447) / 1448);
	sock.delivered = sock.data_segs_out + 1;
	sock.segs_out = sock.data_segs_out + 2;
	return sock;
}

/* A server on port 8080. */
static struct tcpsock server(uint64_t id, uint64_t sent)
{
	struct tcpsock sock = client(id, sent);

	sock.remote_port = sock.local_port;
	sock.local_port = 8080;
	sock.bytes_acked--;
	return sock;
}

static struct tcpsock mini_of(const struct tcpsock *sock, enum tcp_state state)
{
	struct tcpsock mini = record_mini(sock->id, state, sock->local_port, sock->remote_port);

	mini.local = sock->local;
	mini.remote = sock->remote;
	return mini;
}

static struct tcpsock syn_sent(uint64_t id)
{
	struct tcpsock sock =
		record_full(id, TCP_STATE_SYN_SENT, (uint16_t)(40000 + id % 10000), 80);

	sock.timer = TCP_TIMER_RETRANSMIT;
	sock.rto_us = 1000000;
	sock.expires_ms = 500;
	sock.wqueue = sock.unacked = 1;
	sock.segs_in = sock.delivered = 0;
	sock.min_rtt_us = UINT32_MAX;
	return sock;
}

static struct tcpdeath failed_death(uint64_t id, uint32_t segs_in, uint32_t retrans)
{
	struct tcpsock sock = syn_sent(id);
	struct tcpdeath death = record_death(&sock, false);

	death.wqueue = 1;
	death.delivered = 0;
	death.segs_in = segs_in;
	death.total_retrans = retrans;
	return death;
}

static void test_baseline_counts_nothing(void **state)
{
	(void)state;
	struct scene s;
	struct tcpsock old = client(1, 1000000), syn = syn_sent(2),
		       wait = record_mini(3, TCP_STATE_TIME_WAIT, 40003, 80);

	open_scene(&s);
	begin(&s);
	see(&s, &old);
	see(&s, &syn);
	see(&s, &wait);
	end(&s);
	expect(&s, ROLE_CLIENT, 80, 0, 0, 0);
	assert_int_equal(counter(&s, ROLE_CLIENT, 80, LEDGER_SENT_SEGMENTS), 0);
	assert_int_equal(in_state(&s, ROLE_CLIENT, 80, TCP_STATE_ESTABLISHED), 1);
	assert_int_equal(in_state(&s, ROLE_CLIENT, 80, TCP_STATE_SYN_SENT), 1);
	assert_int_equal(in_state(&s, ROLE_CLIENT, 80, TCP_STATE_TIME_WAIT), 1);
	old = client(1, 1000500);
	syn = client(2, 10);
	dump(&s, &old, &syn, NULL);
	expect(&s, ROLE_CLIENT, 80, 1, 0, 500 + 11);
	die(&s, record_death(&old, true));
	die(&s, record_death(&syn, true));
	expect(&s, ROLE_CLIENT, 80, 1, 2, 500 + 11 + 2); /* one was there before: 1 - 2 + 1 = 0 */
	dumps(&s, 3, NULL);
	expect(&s, ROLE_CLIENT, 80, 1, 2, 500 + 11 + 2);
	close_scene(&s);
}

/* A sample of every state but ESTABLISHED. */
static void states_sample(struct scene *s, const struct tcpsock *a, const struct tcpsock *b)
{
	s->sample.tier = TIER_STATES;
	dump(s, a, b, NULL);
	s->sample.tier = TIER_FULL;
}

static void test_states_samples_keep_what_the_full_one_found(void **state)
{
	(void)state;
	struct scene s;
	struct tcpsock quiet = client(1, 1000), closing = client(2, 1000), syn = client(3, 0);

	open_scene(&s);
	dump(&s, &quiet, &closing, NULL);
	assert_int_equal(in_state(&s, ROLE_CLIENT, 80, TCP_STATE_ESTABLISHED), 2);
	states_sample(&s, NULL, NULL);
	assert_int_equal(in_state(&s, ROLE_CLIENT, 80, TCP_STATE_ESTABLISHED), 2);
	closing.state = closing.info_state = TCP_STATE_CLOSE_WAIT;
	closing.bytes_received++;
	syn.state = syn.info_state = TCP_STATE_SYN_SENT;
	syn.bytes_acked = 0;
	for (int i = 0; i < 3; i++) {
		states_sample(&s, &closing, &syn);
		assert_int_equal(in_state(&s, ROLE_CLIENT, 80, TCP_STATE_ESTABLISHED), 1);
		assert_int_equal(in_state(&s, ROLE_CLIENT, 80, TCP_STATE_CLOSE_WAIT), 1);
		assert_int_equal(in_state(&s, ROLE_CLIENT, 80, TCP_STATE_SYN_SENT), 1);
		assert_int_equal(sum_of_states(&s), 3);
		assert_int_equal(sum_of_evidence(&s), 3);
		assert_int_equal(census_sockets(s.census), 3);
	}
	/* What a states sample does not show means nothing. */
	states_sample(&s, NULL, NULL);
	states_sample(&s, NULL, NULL);
	states_sample(&s, NULL, NULL);
	assert_int_equal(sum_of_states(&s), 1);
	assert_int_equal(counter(&s, ROLE_CLIENT, 80, LEDGER_CLOSED), 0);
	dump(&s, &quiet, &closing, NULL);
	assert_int_equal(in_state(&s, ROLE_CLIENT, 80, TCP_STATE_ESTABLISHED), 1);
	assert_int_equal(in_state(&s, ROLE_CLIENT, 80, TCP_STATE_CLOSE_WAIT), 1);
	assert_int_equal(sum_of_states(&s), 2);
	close_scene(&s);
}

static void test_a_death_between_full_samples_leaves_the_show(void **state)
{
	(void)state;
	struct scene s;
	struct tcpsock a = client(1, 1000), b = client(2, 1000);

	open_scene(&s);
	dump(&s, &a, &b, NULL);
	states_sample(&s, NULL, NULL);
	a.bytes_sent += 50;
	a.bytes_acked += 50;
	die(&s, record_death(&a, true));
	assert_int_equal(in_state(&s, ROLE_CLIENT, 80, TCP_STATE_ESTABLISHED), 1);
	states_sample(&s, NULL, NULL);
	assert_int_equal(in_state(&s, ROLE_CLIENT, 80, TCP_STATE_ESTABLISHED), 1);
	expect(&s, ROLE_CLIENT, 80, 0, 1, 51); /* its FIN, too */
	die(&s, record_death(&a, true));       /* told twice: takes nothing away */
	assert_int_equal(in_state(&s, ROLE_CLIENT, 80, TCP_STATE_ESTABLISHED), 1);
	/* Reset, its descriptor held: in no dump, `close` from the second full one on, until its event. */
	dumps(&s, 2, NULL);
	states_sample(&s, NULL, NULL);
	assert_int_equal(in_state(&s, ROLE_CLIENT, 80, TCP_STATE_CLOSE), 1);
	assert_int_equal(sum_of_states(&s), 1);
	die(&s, record_death(&b, false));
	assert_int_equal(sum_of_states(&s), 0);
	states_sample(&s, NULL, NULL);
	assert_int_equal(sum_of_states(&s), 0);
	expect(&s, ROLE_CLIENT, 80, 0, 2, 51);
	close_scene(&s);
}

/* An ESTABLISHED socket that is stale moves on: it must not stay stale in the part that lasts. */
static void test_stale_moves_between_tiers(void **state)
{
	(void)state;
	struct scene s;
	struct tcpsock sock = client(1, 1000);
	size_t rows;

	open_scene(&s);
	sock.cgroup_id = 77;
	sock.last_data_recv_ms = sock.last_ack_recv_ms = sock.last_data_sent_ms = 3 * 3600 * 1000;
	dump(&s, &sock, NULL, NULL);
	assert_int_equal(view(&s, ROLE_CLIENT, 80).stale[STALE_IDLE], 1);
	assert_int_equal(view(&s, ROLE_CLIENT, 80).keepalive[KEEPALIVE_OFF], 1);
	sock.state = sock.info_state = TCP_STATE_CLOSE_WAIT;
	sock.bytes_received++;
	sock.last_ack_recv_ms = 0;
	states_sample(&s, &sock, NULL);
	assert_int_equal(view(&s, ROLE_CLIENT, 80).stale[STALE_IDLE], 0);
	assert_int_equal(view(&s, ROLE_CLIENT, 80).keepalive[KEEPALIVE_OFF], 0);
	assert_int_equal(sum_of_cgroups(&s, &rows), 0);
	states_sample(&s, &sock, NULL);
	assert_int_equal(sum_of_cgroups(&s, &rows), 0);
	for (uint32_t ms = 0; ms < 65000; ms += INTERVAL_MS) {
		sock.last_ack_recv_ms = ms;
		states_sample(&s, &sock, NULL);
	}
	assert_int_equal(view(&s, ROLE_CLIENT, 80).stale[STALE_CLOSE_WAIT], 1);
	assert_int_equal(census_cgroups(s.census, TIER_STATES, &rows)[0].cgroup_id, 77);
	assert_int_equal(sum_of_cgroups(&s, &rows), 1);
	close_scene(&s);
}

/* What a connection has queued follows it into another state, and is gone with it. */
static void test_queues_count_once(void **state)
{
	(void)state;
	struct scene s;
	struct tcpsock moves = client(1, 1000), dies = client(2, 1000), stays = client(3, 1000);

	open_scene(&s);
	moves.rqueue = moves.wqueue = 1000;
	moves.timer = TCP_TIMER_KEEPALIVE;
	moves.probes = 1;
	dies.wqueue = 200;
	stays.rqueue = 30;
	dump(&s, &moves, &dies, &stays);
	assert_int_equal(view(&s, ROLE_CLIENT, 80).sum[TALLY_RECEIVE_QUEUE], 1030);
	assert_int_equal(view(&s, ROLE_CLIENT, 80).sum[TALLY_SEND_QUEUE], 1200);
	assert_int_equal(view(&s, ROLE_CLIENT, 80).sum[TALLY_PROBES], 1);
	moves.state = moves.info_state = TCP_STATE_CLOSE_WAIT;
	moves.bytes_received++;
	moves.rqueue++; /* the FIN, which nobody can read */
	moves.wqueue = 0;
	for (int i = 0; i < 2; i++) {
		states_sample(&s, &moves, NULL);
		assert_int_equal(view(&s, ROLE_CLIENT, 80).sum[TALLY_RECEIVE_QUEUE], 1030);
		assert_int_equal(view(&s, ROLE_CLIENT, 80).sum[TALLY_SEND_QUEUE], 200);
		assert_int_equal(view(&s, ROLE_CLIENT, 80).sum[TALLY_PROBES], 0);
	}
	die(&s, record_death(&dies, false));
	assert_int_equal(view(&s, ROLE_CLIENT, 80).sum[TALLY_RECEIVE_QUEUE], 1030);
	assert_int_equal(view(&s, ROLE_CLIENT, 80).sum[TALLY_SEND_QUEUE], 0);
	close_scene(&s);
}

/* It was in the last full dump, and dies before this one comes to it: it takes nothing off that this one has not shown. */
static void test_death_during_a_full_dump(void **state)
{
	(void)state;
	struct scene s;
	struct tcpsock stays = client(1, 1000), early = client(2, 1000), late = client(3, 1000);

	open_scene(&s);
	dump(&s, &stays, &early, &late);
	begin(&s);
	see(&s, &stays);
	see(&s, &late);
	die(&s, record_death(&early, true));
	die(&s, record_death(&late, true));
	end(&s);
	assert_int_equal(in_state(&s, ROLE_CLIENT, 80, TCP_STATE_ESTABLISHED), 1);
	assert_int_equal(sum_of_states(&s), 1);
	assert_int_equal(sum_of_evidence(&s), 1);
	assert_int_equal(census_sockets(s.census), 1);
	close_scene(&s);
}

/* Older than the first dump, and gone before that came to it: its life is not counted, its event is yet to be taken. */
static void test_death_during_the_first_dump(void **state)
{
	(void)state;
	struct scene s;
	struct tcpsock sock = client(1, 1000);

	open_scene(&s);
	begin(&s);
	assert_int_equal(census_end(s.census), 0);
	die(&s, record_death(&sock, true));
	die(&s, failed_death(3, 1, 0));
	assert_int_equal(census_drained(s.census, &s.counters), 0);
	expect(&s, ROLE_CLIENT, 80, 0, 0, 0);
	expect_failed(&s, 80, 0, 0, 0);
	sock.id = 2;
	die(&s, record_death(&sock, true));
	expect(&s, ROLE_CLIENT, 80, 1, 1, 1002);
	close_scene(&s);
}

static void test_nothing_counts_before_the_baseline(void **state)
{
	(void)state;
	struct scene s;
	struct tcpsock sock = client(1, 1000), other = client(2, 1000);

	open_scene(&s);
	die(&s, record_death(&sock, true)); /* taken before the first sample */
	die(&s, failed_death(3, 1, 0));
	begin(&s);
	see(&s, &other);
	census_abort(s.census);
	die(&s, record_death(&sock, true));
	other = client(2, 1100);
	dump(&s, &other, NULL, NULL);
	expect(&s, ROLE_CLIENT, 80, 0, 0, 100); /* since it was first seen */
	expect_failed(&s, 80, 0, 0, 0);
	die(&s, record_death(&sock, true));
	expect(&s, ROLE_CLIENT, 80, 1, 1, 100 + 1002);
	close_scene(&s);
}

/* Each way to die (Linux 6.18): what comes, and what is to be counted, known from a dump or not. */
struct way {
	const char *what;
	bool server;
	bool fin;
	bool time_wait; /* a mini follows */
	bool wiped;
};

static const struct way ways[] = {
	{ "active close of a client", false, true, true, false },
	{ "passive close of a client", false, true, false, false },
	{ "reset client, or orphan given up", false, false, false, false },
	{ "active close of a server", true, true, true, false },
	{ "passive close of a server", true, true, false, false },
	{ "reset server, or unread data", true, false, false, false },
	{ "SO_LINGER 0 of a client", false, false, false, true },
	{ "SO_LINGER 0 of a server", true, false, false, true },
};

static void check_way(const struct way *w, bool known)
{
	struct scene s;
	struct tcpsock listener = record_listener(500, "0.0.0.0", 8080);
	struct tcpsock sock = w->server ? server(1, 700) : client(1, 700);
	struct tcpsock mini = mini_of(&sock, TCP_STATE_TIME_WAIT);
	enum role role = w->server ? ROLE_SERVER : ROLE_CLIENT;
	uint16_t port = w->server ? 8080 : 80;
	uint64_t acked = sock.bytes_acked + (w->fin ? 1 : 0);

	open_scene(&s);
	dump(&s, &listener, NULL, NULL);
	if (known)
		dump(&s, &listener, &sock, NULL);
	die(&s, w->wiped ? record_wiped(1, sock.local_port, true) : record_death(&sock, w->fin));
	if (w->wiped && known)
		die(&s, record_wiped(1, sock.local_port, true)); /* told twice */
	if (w->wiped && !known) {
		port = w->server ? 8080 : LEDGER_PORT_UNKNOWN;
		acked = 0;
	}
	expect(&s, role, port, 1, 1, acked);
	if (!known)
		mini.id = 999; /* a socket that no dump has shown bears another cookie as a mini */
	for (int i = 0; i < 3; i++) {
		if (w->time_wait)
			dump(&s, &listener, &mini, NULL);
		else
			dump(&s, &listener, NULL, NULL);
		expect(&s, role, port, 1, 1, acked);
		assert_int_equal(in_state(&s, role, port, TCP_STATE_TIME_WAIT), w->time_wait);
		assert_int_equal(in_state(&s, role, port, TCP_STATE_CLOSE), 0);
	}
	dump(&s, &listener, NULL, NULL);
	dump(&s, &listener, NULL, NULL);
	expect(&s, role, port, 1, 1, acked);
	assert_int_equal(sum_of_states(&s), 0);
	assert_int_equal(census_wiped_closes(s.census), w->wiped);
	expect_failed(&s, port, 0, 0, 0);
	close_scene(&s);
}

static void test_ways_to_die(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(ways); i++) {
		check_way(&ways[i], false);
		check_way(&ways[i], true);
	}
}

static void test_event_before_the_last_bytes_were_dumped(void **state)
{
	(void)state;
	struct scene s;
	struct tcpsock sock = client(1, 100);

	open_scene(&s);
	dump(&s, NULL, NULL, NULL);
	dump(&s, &sock, NULL, NULL);
	sock = client(1, 250);
	die(&s, record_death(&sock, true));
	die(&s, record_death(&sock, true)); /* told twice */
	expect(&s, ROLE_CLIENT, 80, 1, 1, 252);
	/* A full record after the event would be an anomaly: nothing is added. */
	sock = client(1, 400);
	dumps(&s, 2, &sock);
	expect(&s, ROLE_CLIENT, 80, 1, 1, 252);
	close_scene(&s);
}

static void test_noise_is_ignored(void **state)
{
	(void)state;
	struct scene s;
	struct tcpdeath listener = record_wiped(1, 8080, true), unused = record_wiped(2, 0, false);

	open_scene(&s);
	dump(&s, NULL, NULL, NULL);
	listener.flags = unused.flags = RECORD_DEATH & ~TCPDEATH_REMOTE;
	die(&s, listener);
	die(&s, unused);
	expect(&s, ROLE_CLIENT, LEDGER_PORT_UNKNOWN, 0, 0, 0);
	expect_failed(&s, LEDGER_PORT_UNKNOWN, 0, 0, 0);
	assert_int_equal(census_wiped_closes(s.census), 0);
	close_scene(&s);
}

static void test_failed_connects(void **state)
{
	(void)state;
	struct scene s;
	struct tcpsock sock = syn_sent(1);
	struct tcpdeath death;

	open_scene(&s);
	dump(&s, NULL, NULL, NULL);
	die(&s, failed_death(11, 1, 0)); /* unknown, non-blocking */
	expect_failed(&s, 80, 1, 0, 0);
	die(&s, failed_death(12, 0, 6));
	expect_failed(&s, 80, 1, 1, 0);
	die(&s, failed_death(13, 0, 0));
	expect_failed(&s, 80, 1, 1, 1);
	die(&s, record_wiped(14, 40014, false)); /* unknown, blocking: the port is lost */
	expect_failed(&s, LEDGER_PORT_UNKNOWN, 1, 0, 0);
	death = record_wiped(15, 40015, false);
	death.retransmits = 6;
	die(&s, death);
	expect_failed(&s, LEDGER_PORT_UNKNOWN, 1, 1, 0);
	/* A dump saw it in SYN_SENT: the port is known although it was wiped. */
	dump(&s, &sock, NULL, NULL);
	death = record_wiped(1, 40001, false);
	death.retransmits = 6;
	die(&s, death);
	die(&s, death);
	expect_failed(&s, 80, 1, 2, 1);
	dumps(&s, 3, NULL);
	assert_int_equal(sum_of_states(&s), 0);
	expect(&s, ROLE_CLIENT, 80, 0, 0, 0);
	assert_int_equal(census_wiped_closes(s.census), 0);
	close_scene(&s);
}

/* Refused, yet its descriptor is held: it is dead, not open, and failed when the descriptor is closed. */
static void test_failed_connect_that_is_held(void **state)
{
	(void)state;
	struct scene s;
	struct tcpsock sock = syn_sent(1);

	open_scene(&s);
	dump(&s, NULL, NULL, NULL);
	dump(&s, &sock, NULL, NULL);
	dumps(&s, 3, NULL);
	assert_int_equal(in_state(&s, ROLE_CLIENT, 80, TCP_STATE_CLOSE), 1);
	expect(&s, ROLE_CLIENT, 80, 0, 0, 0);
	die(&s, failed_death(1, 1, 0));
	expect_failed(&s, 80, 1, 0, 0);
	dump(&s, NULL, NULL, NULL);
	assert_int_equal(sum_of_states(&s), 0);
	expect(&s, ROLE_CLIENT, 80, 0, 0, 0);
	close_scene(&s);
}

static void test_syn_recv(void **state)
{
	(void)state;
	struct scene s;
	struct tcpsock request = record_mini(1, TCP_STATE_SYN_RECV, 8080, 40001),
		       sock = server(1, 20);

	open_scene(&s);
	dump(&s, NULL, NULL, NULL);
	dump(&s, &request, NULL, NULL);
	assert_int_equal(in_state(&s, ROLE_SERVER, 8080, TCP_STATE_SYN_RECV), 1);
	expect(&s, ROLE_SERVER, 8080, 0, 0, 0);
	dumps(&s, 3, NULL); /* expires without an event */
	assert_int_equal(sum_of_states(&s), 0);
	request.id = sock.id = 2;
	dump(&s, &request, NULL, NULL);
	dump(&s, &sock, NULL, NULL);
	expect(&s, ROLE_SERVER, 8080, 1, 0, 20);
	close_scene(&s);
}

static void test_reset_and_held(void **state)
{
	(void)state;
	struct scene s;
	struct tcpsock sock = client(1, 100);
	const struct tally_cgroup *cgroups;
	size_t rows;

	sock.cgroup_id = 4711;
	open_scene(&s);
	dump(&s, NULL, NULL, NULL);
	dump(&s, &sock, NULL, NULL);
	dump(&s, NULL, NULL, NULL); /* missing once may be the dump's fault */
	assert_int_equal(sum_of_states(&s), 0);
	expect(&s, ROLE_CLIENT, 80, 1, 0, 101);
	for (uint64_t i = 1; i <= 20; i++) {
		dump(&s, NULL, NULL, NULL);
		expect(&s, ROLE_CLIENT, 80, 1, 1, 101);
		assert_int_equal(in_state(&s, ROLE_CLIENT, 80, TCP_STATE_CLOSE), 1);
		assert_int_equal(view(&s, ROLE_CLIENT, 80).stale[STALE_DEAD],
				 i * INTERVAL_MS >= 60000);
	}
	/* The cgroup it had while it lived. */
	cgroups = census_cgroups(s.census, TIER_FULL, &rows);
	assert_int_equal(rows, 1);
	assert_int_equal(cgroups[0].cgroup_id, 4711);
	assert_int_equal(stale_group_all(cgroups[0].form).sockets, 1);
	sock = client(1, 130);
	die(&s, record_death(&sock, false));
	expect(&s, ROLE_CLIENT, 80, 1, 1, 131);
	dump(&s, NULL, NULL, NULL);
	assert_int_equal(sum_of_states(&s), 0);
	expect(&s, ROLE_CLIENT, 80, 1, 1, 131);
	close_scene(&s);
}

/* A socket that a dump misses once keeps its memory: here, that it has been idle for long. */
static void test_missed_once(void **state)
{
	(void)state;
	struct scene s;
	struct tcpsock sock = client(1, 100);

	open_scene(&s);
	sock.last_data_recv_ms = sock.last_ack_recv_ms = 8000000;
	dump(&s, &sock, NULL, NULL);
	assert_int_equal(view(&s, ROLE_CLIENT, 80).stale[STALE_IDLE], 1);
	dump(&s, NULL, NULL, NULL);
	sock.last_data_recv_ms = sock.last_ack_recv_ms = 8010000;
	dump(&s, &sock, NULL, NULL);
	assert_int_equal(view(&s, ROLE_CLIENT, 80).stale[STALE_IDLE], 1);
	assert_true(view(&s, ROLE_CLIENT, 80).peak[TALLY_SILENCE] >= 8000000);
	dump(&s, NULL, NULL, NULL);
	dump(&s, &sock, NULL, NULL);
	dump(&s, NULL, NULL, NULL);
	expect(&s, ROLE_CLIENT, 80, 0, 0, 0);
	close_scene(&s);
}

static void test_without_events(void **state)
{
	(void)state;
	struct scene s;
	struct tcpsock sock = client(1, 100), mini = record_mini(2, TCP_STATE_TIME_WAIT, 40002, 80);

	open_scene(&s);
	s.sample.can = SOURCE_COOKIES;
	dump(&s, NULL, NULL, NULL);
	dump(&s, &sock, NULL, NULL);
	expect(&s, ROLE_CLIENT, 80, 1, 0, 101);
	dumps(&s, 2, NULL);
	expect(&s, ROLE_CLIENT, 80, 1, 1, 101);
	assert_int_equal(in_state(&s, ROLE_CLIENT, 80, TCP_STATE_CLOSE), 0);
	/* A mini that no dump had shown before is all that is seen of its connection. */
	dumps(&s, 3, &mini);
	expect(&s, ROLE_CLIENT, 80, 2, 2, 101);
	dumps(&s, 3, NULL);
	/* One that had been shown is the same connection. */
	dump(&s, &sock, NULL, NULL);
	mini = mini_of(&sock, TCP_STATE_TIME_WAIT);
	dumps(&s, 2, &mini);
	expect(&s, ROLE_CLIENT, 80, 3, 2, 202);
	dumps(&s, 3, NULL);
	expect(&s, ROLE_CLIENT, 80, 3, 3, 202);
	assert_int_equal(sum_of_states(&s), 0);
	close_scene(&s);
}

/* Events stop: what waited for one is let go. */
static void test_events_that_end(void **state)
{
	(void)state;
	struct scene s;
	struct tcpsock sock = client(1, 100);

	open_scene(&s);
	dump(&s, NULL, NULL, NULL);
	dump(&s, &sock, NULL, NULL);
	dumps(&s, 3, NULL);
	assert_int_equal(in_state(&s, ROLE_CLIENT, 80, TCP_STATE_CLOSE), 1);
	s.sample.can = SOURCE_COOKIES;
	dump(&s, NULL, NULL, NULL);
	assert_int_equal(sum_of_states(&s), 0);
	expect(&s, ROLE_CLIENT, 80, 1, 1, 101);
	close_scene(&s);
}

static void test_kernel_sockets_have_no_event(void **state)
{
	(void)state;
	struct scene s;
	struct tcpsock sock = client(1, 100), program = client(2, 100);

	open_scene(&s);
	dump(&s, NULL, NULL, NULL);
	sock.cgroup_id = program.cgroup_id = 1;
	sock.uid = 0;
	dump(&s, &sock, &program, NULL);
	dumps(&s, 2, NULL);
	expect(&s, ROLE_CLIENT, 80, 2, 2, 202);
	assert_int_equal(in_state(&s, ROLE_CLIENT, 80, TCP_STATE_CLOSE), 1); /* the program's */
	close_scene(&s);
}

static void test_overrun(void **state)
{
	(void)state;
	struct scene s;
	struct tcpsock early = client(1, 10), late = client(2, 10), later = client(3, 10);

	open_scene(&s);
	dump(&s, NULL, NULL, NULL);
	dump(&s, &early, &late, &later);
	dump(&s, &late, &later,
	     NULL); /* its event is among those lost, and that is known only now */
	census_overrun(s.census);
	dump(&s, &later, NULL, NULL);
	dumps(&s, 2, &later);
	assert_int_equal(in_state(&s, ROLE_CLIENT, 80, TCP_STATE_CLOSE), 0);
	expect(&s, ROLE_CLIENT, 80, 3, 2, 33);
	/* What dies after that is dead again. */
	dumps(&s, 2, NULL);
	assert_int_equal(in_state(&s, ROLE_CLIENT, 80, TCP_STATE_CLOSE), 1);
	expect(&s, ROLE_CLIENT, 80, 3, 3, 33);
	/* Who was dead before may have been closed among what was lost. */
	census_overrun(s.census);
	dumps(&s, 3, NULL);
	assert_int_equal(in_state(&s, ROLE_CLIENT, 80, TCP_STATE_CLOSE), 0);
	/* An event that comes after all counts what is left. */
	late = client(2, 15);
	die(&s, record_death(&late, true));
	expect(&s, ROLE_CLIENT, 80, 3, 3, 33 + 6);
	close_scene(&s);
}

/* Samples from /proc between do not use up the suspicion, nor are lost events held against sockets that live. */
static void test_overrun_and_another_source(void **state)
{
	(void)state;
	struct scene s;
	struct tcpsock sock = client(1, 10), alive = client(2, 10);

	open_scene(&s);
	dump(&s, NULL, NULL, NULL);
	dump(&s, &sock, &alive, NULL);
	census_overrun(s.census);
	s.sample.can = 0;
	dumps(&s, 3, NULL);
	s.sample.can = SOURCE_COOKIES | SOURCE_EVENTS;
	dumps(&s, 3, &alive);
	assert_int_equal(in_state(&s, ROLE_CLIENT, 80, TCP_STATE_CLOSE), 0);
	assert_int_equal(in_state(&s, ROLE_CLIENT, 80, TCP_STATE_ESTABLISHED), 1);
	expect(&s, ROLE_CLIENT, 80, 2, 1, 22);
	close_scene(&s);
}

/* As /proc shows it: the id changes with accept and close. */
static struct tcpsock by_tuple(struct tcpsock sock, uint64_t id)
{
	bool mini = tcpsock_knows(&sock, TCPSOCK_MINI);

	sock.id = id;
	sock.known = mini ? TCPSOCK_MINI : TCPSOCK_PROBES;
	sock.bytes_acked = sock.bytes_received = sock.bytes_sent = 0;
	sock.segs_in = sock.segs_out = sock.data_segs_out = sock.delivered = 0;
	sock.min_rtt_us = sock.snd_wnd = sock.snd_mss = 0;
	return sock;
}

static void test_source_change(void **state)
{
	(void)state;
	struct scene s;
	struct tcpsock old = client(1, 100), died = client(2, 100), born = client(3, 50),
		       fleeting = client(4, 7);
	struct tcpsock proc_old = by_tuple(old, 1001), proc_died = by_tuple(died, 1002),
		       proc_born = by_tuple(born, 1003);
	struct tcpsock proc_mini = by_tuple(mini_of(&died, TCP_STATE_TIME_WAIT), 1004);

	open_scene(&s);
	dump(&s, NULL, NULL, NULL);
	dump(&s, &old, &died, NULL);
	expect(&s, ROLE_CLIENT, 80, 2, 0, 202);
	s.sample.can = 0;
	dump(&s, &proc_old, &proc_died, NULL);
	died = client(2, 120);
	die(&s, record_death(&died, true)); /* events come in meanwhile, by cookie */
	die(&s, record_death(&fleeting, true));
	dump(&s, &proc_old, &proc_born, &proc_mini);
	assert_int_equal(in_state(&s, ROLE_CLIENT, 80, TCP_STATE_ESTABLISHED), 2);
	assert_int_equal(in_state(&s, ROLE_CLIENT, 80, TCP_STATE_TIME_WAIT), 1);
	dumps(&s, 3, &proc_old);
	assert_int_equal(sum_of_states(&s), 1);
	expect(&s, ROLE_CLIENT, 80, 3, 2, 202 + 21 + 9); /* by events alone */
	s.sample.can = SOURCE_COOKIES | SOURCE_EVENTS;
	old = client(1, 300);
	dumps(&s, 3, &old);
	expect(&s, ROLE_CLIENT, 80, 3, 2, 202 + 21 + 9 + 200);
	assert_int_equal(sum_of_states(&s), 1);
	dump(&s, &old, &born,
	     NULL); /* born under /proc, first seen by cookie now: all of it is new */
	expect(&s, ROLE_CLIENT, 80, 4, 2, 202 + 21 + 9 + 200 + 51);
	close_scene(&s);
}

/* The memory by tuples outlives attempts to go back to netlink that fail. */
static void test_failed_return_to_netlink(void **state)
{
	(void)state;
	struct scene s;
	struct tcpsock sock = by_tuple(record_full(1, TCP_STATE_CLOSE_WAIT, 8080, 40001), 1001);

	open_scene(&s);
	for (int i = 0; i <= 12; i++) {
		s.sample.can = SOURCE_COOKIES;
		begin(&s);
		census_abort(s.census);
		s.sample.can = 0;
		dump(&s, &sock, NULL, NULL);
	}
	assert_int_equal(view(&s, ROLE_SERVER, 8080).stale[STALE_CLOSE_WAIT], 1);
	assert_true(view(&s, ROLE_SERVER, 8080).oldest_ms[TCP_STATE_CLOSE_WAIT] >= 60000);
	close_scene(&s);
}

static void test_drops_of_listeners_over_sources(void **state)
{
	(void)state;
	struct scene s;
	struct tcpsock listener = record_listener(1, "0.0.0.0", 8080),
		       proc = by_tuple(listener, 1001);

	open_scene(&s);
	s.counters.known = UINT32_C(1) << NETSTAT_LISTEN_DROPS;
	s.sample.can |= SOURCE_DROPS;
	listener.drops = 1000;
	dump(&s, &listener, NULL, NULL);
	s.sample.can = 0;
	begin(&s);
	census_abort(s.census);
	s.sample.can = SOURCE_COOKIES | SOURCE_EVENTS | SOURCE_DROPS;
	dump(&s, &listener, NULL, NULL);
	s.sample.can = 0;
	dump(&s, &proc, NULL, NULL);
	s.sample.can = SOURCE_COOKIES | SOURCE_EVENTS | SOURCE_DROPS;
	dump(&s, &listener, NULL, NULL);
	listener.drops = 1003;
	s.counters.value[NETSTAT_LISTEN_DROPS] = 2;
	dump(&s, &listener, NULL, NULL);
	assert_int_equal(counter(&s, ROLE_SERVER, 8080, LEDGER_LISTEN_DROPS), 2);
	assert_int_equal(counter(&s, ROLE_SERVER, LEDGER_PORT_UNKNOWN, LEDGER_LISTEN_DROPS), 0);
	close_scene(&s);
}

static void test_aborted_dump(void **state)
{
	(void)state;
	struct scene s;
	struct tcpsock a = client(1, 100), b = client(2, 100), c = client(3, 100);

	open_scene(&s);
	dump(&s, NULL, NULL, NULL);
	dump(&s, &a, &b, NULL);
	for (int i = 0; i < 3; i++) { /* however often: b is not missing, a is not counted twice */
		begin(&s);
		a = client(1, 110);
		see(&s, &a);
		see(&s, &c);
		census_abort(s.census);
	}
	expect(&s, ROLE_CLIENT, 80, 3, 0, 202 + 10 + 101);
	dump(&s, &a, &b, &c);
	assert_int_equal(in_state(&s, ROLE_CLIENT, 80, TCP_STATE_ESTABLISHED), 3);
	assert_int_equal(census_sockets(s.census), 3);
	expect(&s, ROLE_CLIENT, 80, 3, 0, 202 + 10 + 101);
	close_scene(&s);
}

/* A record that waits for the end of a dump which never comes: the event finds no half-made entry. */
static void test_aborted_dump_with_deferred(void **state)
{
	(void)state;
	struct scene s;
	struct tcpsock sock = client(1, 100);

	sock.remote = sock.local = record_addr("127.0.0.1");
	sock.known &= ~(uint32_t)TCPSOCK_SENT;
	open_scene(&s);
	dump(&s, NULL, NULL, NULL);
	begin(&s);
	see(&s, &sock);
	census_abort(s.census);
	die(&s, record_death(&sock, true));
	expect(&s, ROLE_CLIENT, 80, 1, 1, 102);
	expect(&s, ROLE_SERVER, LEDGER_PORT_UNKNOWN, 0, 0, 0);
	dumps(&s, 4, NULL);
	assert_int_equal(sum_of_states(&s), 0);
	sock.id = 2;
	begin(&s);
	see(&s, &sock);
	census_abort(s.census);
	dump(&s, &sock, NULL, NULL);
	expect(&s, ROLE_CLIENT, 80, 2, 1, 102 + 101);
	close_scene(&s);
}

static void test_duplicates_and_strange_states(void **state)
{
	(void)state;
	struct scene s;
	struct tcpsock sock = client(1, 100), moved = client(1, 200), strange = client(2, 100);

	open_scene(&s);
	dump(&s, NULL, NULL, NULL);
	begin(&s);
	see(&s, &sock);
	see(&s, &moved);
	strange.state = strange.info_state = TCP_STATE_NONE;
	see(&s, &strange);
	strange.state = strange.info_state = TCP_STATE_CLOSE;
	see(&s, &strange);
	strange.state = 12;
	see(&s, &strange);
	strange.state = 255;
	see(&s, &strange);
	end(&s);
	assert_int_equal(sum_of_states(&s), 1);
	assert_int_equal(sum_of_evidence(&s), 1);
	expect(&s, ROLE_CLIENT, 80, 1, 0, 101); /* the second is left for the next dump */
	dump(&s, &moved, NULL, NULL);
	expect(&s, ROLE_CLIENT, 80, 1, 0, 201);
	close_scene(&s);
}

static void test_new_life_of_a_socket(void **state)
{
	(void)state;
	struct scene s;
	struct tcpsock sock = client(1, 1000), again = client(1, 30);

	open_scene(&s);
	dump(&s, NULL, NULL, NULL);
	dump(&s, &sock, NULL, NULL);
	again.local_port++;
	again.remote_port = 443; /* connect(AF_UNSPEC), then elsewhere */
	dump(&s, &again, NULL, NULL);
	expect(&s, ROLE_CLIENT, 80, 1, 1, 1001);
	expect(&s, ROLE_CLIENT, 443, 1, 0, 31);
	die(&s, record_death(&again, true));
	expect(&s, ROLE_CLIENT, 443, 1, 1, 32);
	close_scene(&s);
}

/* Better evidence takes a connection from one pair to another: opened - closed stays what is open in each. */
static void test_change_of_role(void **state)
{
	(void)state;
	struct scene s;
	struct tcpsock sock = server(1, 100), alike;

	open_scene(&s);
	dump(&s, NULL, NULL, NULL);
	/* Only ports to go by, and they err: the service is the higher one. */
	sock.local_port = 50001;
	sock.remote_port = 1024;
	alike = sock;
	alike.known &= ~(uint32_t)TCPSOCK_SENT;
	dump(&s, &alike, NULL, NULL);
	assert_int_equal(census_evidence(s.census, ROLE_BY_PORT_RANGE), 1);
	expect(&s, ROLE_CLIENT, 1024, 1, 0, 100);
	dump(&s, &sock, NULL, NULL);
	assert_int_equal(census_evidence(s.census, ROLE_BY_HANDSHAKE), 1);
	expect(&s, ROLE_CLIENT, 1024, 1, 1, 100);
	expect(&s, ROLE_SERVER, 50001, 1, 0, 0);
	dump(&s, &alike, NULL, NULL); /* settled: weaker evidence changes nothing */
	die(&s, record_death(&sock, true));
	expect(&s, ROLE_CLIENT, 1024, 1, 1, 100);
	expect(&s, ROLE_SERVER, 50001, 1, 1, 1);
	close_scene(&s);
}

static void test_handshake_is_confirmed_by_a_second_look(void **state)
{
	(void)state;
	struct scene s;
	struct tcpsock sock = client(1, 100), wrong = client(1, 100);

	open_scene(&s);
	sock.last_data_sent_ms = wrong.last_data_sent_ms = 5; /* not sure */
	wrong.bytes_acked--;                                  /* two fields of different moments */
	dump(&s, &wrong, NULL, NULL);
	assert_int_equal(in_state(&s, ROLE_SERVER, sock.local_port, TCP_STATE_ESTABLISHED), 1);
	dump(&s, &sock, NULL, NULL);
	assert_int_equal(in_state(&s, ROLE_CLIENT, 80, TCP_STATE_ESTABLISHED), 1);
	dump(&s, &sock, NULL, NULL); /* agrees */
	sock.last_data_sent_ms = 100;
	sock.bytes_sent++; /* even a look that claims to be sure comes too late */
	dump(&s, &sock, NULL, NULL);
	assert_int_equal(in_state(&s, ROLE_CLIENT, 80, TCP_STATE_ESTABLISHED), 1);
	close_scene(&s);
}

static void test_listener_evidence(void **state)
{
	(void)state;
	struct scene s;
	struct tcpsock listener = record_listener(500, "::", 50001);
	struct tcpsock mini = record_mini(1, TCP_STATE_TIME_WAIT, 50001, 1024);

	open_scene(&s);
	dump(&s, &listener, &mini, NULL);
	assert_int_equal(census_evidence(s.census, ROLE_BY_LISTENER), 1);
	assert_int_equal(in_state(&s, ROLE_SERVER, 50001, TCP_STATE_TIME_WAIT), 1);
	mini.id = 2;
	dump(&s, &mini, NULL, NULL);
	assert_int_equal(census_evidence(s.census, ROLE_BY_FORMER_LISTENER), 1);
	assert_int_equal(in_state(&s, ROLE_SERVER, 50001, TCP_STATE_TIME_WAIT), 1);
	s.sample.now_ms += KEEP_MS;
	dump(&s, NULL, NULL, NULL);
	mini.id = 3;
	dump(&s, &mini, NULL, NULL);
	assert_int_equal(census_evidence(s.census, ROLE_BY_PORT_RANGE), 1);
	assert_int_equal(in_state(&s, ROLE_CLIENT, 1024, TCP_STATE_TIME_WAIT), 1);
	close_scene(&s);
}

/* Both ports are inside the range, so that the numbers tell nothing, and the dump shows it before the one that is known. */
static void test_known_service_tells_role_of_time_wait(void **state)
{
	(void)state;
	struct scene s;
	struct tcpsock known = client(1, 100), mini = record_mini(2, TCP_STATE_TIME_WAIT, 70, 80);

	mini.local = known.local;
	mini.remote = known.remote;
	open_scene(&s);
	s.sample.sysctl.value[NETSYSCTL_PORT_LOW] = 1;
	s.sample.sysctl.value[NETSYSCTL_PORT_HIGH] = 65535;
	dump(&s, &mini, &known, NULL);
	assert_int_equal(census_evidence(s.census, ROLE_BY_KNOWN_SERVICE), 1);
	assert_int_equal(in_state(&s, ROLE_CLIENT, 80, TCP_STATE_TIME_WAIT), 1);
	/* Those that come when the known one has gone. */
	mini.id = 3;
	mini.local_port = 72;
	dump(&s, &mini, NULL, NULL);
	assert_int_equal(in_state(&s, ROLE_CLIENT, 80, TCP_STATE_TIME_WAIT), 1);
	/* Another service of the same host. */
	mini.id = 4;
	mini.remote_port = 82;
	dump(&s, &mini, NULL, NULL);
	assert_int_equal(census_evidence(s.census, ROLE_BY_PORT_ORDER), 1);
	close_scene(&s);
}

/* The same where this host is the service, and nobody listens any more. */
static void test_known_service_of_this_host(void **state)
{
	(void)state;
	struct scene s;
	struct tcpsock known = server(1, 100), mini = record_mini(2, TCP_STATE_TIME_WAIT, 8080, 50);

	mini.local = known.local;
	mini.remote = known.remote;
	open_scene(&s);
	s.sample.sysctl.value[NETSYSCTL_PORT_LOW] = 1;
	s.sample.sysctl.value[NETSYSCTL_PORT_HIGH] = 65535;
	dump(&s, &mini, &known, NULL);
	assert_int_equal(census_evidence(s.census, ROLE_BY_KNOWN_SERVICE), 1);
	assert_int_equal(in_state(&s, ROLE_SERVER, 8080, TCP_STATE_TIME_WAIT), 1);
	close_scene(&s);
}

static void test_time_wait_inherits(void **state)
{
	(void)state;
	struct scene s;
	struct tcpsock sock = server(1, 100), mini, unseen = server(2, 100);

	open_scene(&s);
	dump(&s, NULL, NULL, NULL);
	sock.local_port = unseen.local_port = 50001; /* by its ports it were a client */
	sock.remote_port = unseen.remote_port = 1024;
	unseen.remote = record_addr("192.0.2.8");
	dump(&s, &sock, NULL, NULL);
	mini = mini_of(&sock, TCP_STATE_TIME_WAIT);
	dump(&s, &mini, NULL, NULL);
	assert_int_equal(in_state(&s, ROLE_SERVER, 50001, TCP_STATE_TIME_WAIT), 1);
	die(&s, record_death(&sock, true));
	dump(&s, &mini, NULL, NULL);
	assert_int_equal(in_state(&s, ROLE_SERVER, 50001, TCP_STATE_TIME_WAIT), 1);
	/* One that no dump had shown: by the 4-tuple of its event. */
	die(&s, record_death(&unseen, true));
	mini = mini_of(&unseen, TCP_STATE_TIME_WAIT);
	mini.id = 999;
	dump(&s, &mini, NULL, NULL);
	assert_int_equal(in_state(&s, ROLE_SERVER, 50001, TCP_STATE_TIME_WAIT), 1);
	assert_int_equal(census_evidence(s.census, ROLE_BY_EVENT), 1);
	expect(&s, ROLE_SERVER, 50001, 2, 2, 202);
	close_scene(&s);
}

/* Answers all that is asked for with `other`, or NULL; returns how often. */
static size_t end_with(struct scene *s, const struct tcpsock *other)
{
	size_t asked = 0;

	for (; census_waiting(s->census) != NULL; asked++)
		assert_int_equal(census_settle(s->census, other), 0);
	end(s);
	return asked;
}

/* A loopback connection whose one end does not tell: a client by its ports, but its other end opened. */
static void test_other_end(void **state)
{
	(void)state;
	struct scene s;
	struct tcpsock mute = server(1, 100), other = client(2, 100);

	mute.local = mute.remote = other.local = other.remote = record_addr("127.0.0.1");
	mute.local_port = other.remote_port = 50001;
	mute.remote_port = other.local_port = 1024;
	mute.known &= ~(uint32_t)TCPSOCK_SENT;
	open_scene(&s);
	begin(&s);
	see(&s, &mute);
	assert_int_equal(end_with(&s, &other), 1);
	assert_int_equal(census_evidence(s.census, ROLE_BY_OTHER_END), 1);
	assert_int_equal(in_state(&s, ROLE_SERVER, 50001, TCP_STATE_ESTABLISHED), 1);
	/* Known now, it is not asked again. */
	begin(&s);
	see(&s, &mute);
	assert_int_equal(end_with(&s, &other), 0);
	assert_int_equal(census_evidence(s.census, ROLE_BY_OTHER_END), 1);
	/* The other end is mute as well, but was known before. */
	mute.id = 3;
	begin(&s);
	see(&s, &other);
	other.known &= ~(uint32_t)TCPSOCK_SENT;
	see(&s, &mute);
	assert_int_equal(end_with(&s, &other), 1);
	assert_int_equal(in_state(&s, ROLE_SERVER, 50001, TCP_STATE_ESTABLISHED), 1);
	/* No answer, or one that does not know: the ports. */
	mute.id = 4;
	other.id = 5;
	begin(&s);
	see(&s, &mute);
	assert_int_equal(end_with(&s, &other), 1);
	assert_int_equal(in_state(&s, ROLE_CLIENT, 1024, TCP_STATE_ESTABLISHED), 1);
	close_scene(&s);
}

/* Its other end has gone for good: a TIME_WAIT is looked up once, not in every dump. */
static void test_other_end_of_a_mini_is_asked_once(void **state)
{
	(void)state;
	struct scene s;
	struct tcpsock mini = record_mini(1, TCP_STATE_TIME_WAIT, 40001, 80);
	size_t asked = 0;

	mini.local = mini.remote = record_addr("127.0.0.1");
	open_scene(&s);
	for (int i = 0; i < 5; i++) {
		begin(&s);
		see(&s, &mini);
		asked += end_with(&s, NULL);
		assert_int_equal(in_state(&s, ROLE_CLIENT, 80, TCP_STATE_TIME_WAIT), 1);
	}
	assert_int_equal(asked, 1);
	close_scene(&s);
}

/* Without cookies: by the mirrored 4-tuple, whichever end came first. */
static void test_mirror(void **state)
{
	(void)state;
	for (int first = 0; first < 2; first++) {
		struct scene s;
		struct tcpsock ends[2] = { by_tuple(server(1, 0), 1), by_tuple(client(2, 0), 2) };
		struct tcpsock listener = by_tuple(record_listener(3, "127.0.0.1", 50001), 3);

		ends[0].local = ends[0].remote = ends[1].local = ends[1].remote =
			record_addr("127.0.0.1");
		ends[0].local_port = ends[1].remote_port = 50001;
		ends[0].remote_port = ends[1].local_port = 1024; /* by their ports both would err */
		open_scene(&s);
		s.sample.can = 0;
		dump(&s, &listener, &ends[first], &ends[1 - first]);
		assert_int_equal(in_state(&s, ROLE_SERVER, 50001, TCP_STATE_ESTABLISHED), 1);
		assert_int_equal(in_state(&s, ROLE_CLIENT, 50001, TCP_STATE_ESTABLISHED), 1);
		assert_int_equal(census_evidence(s.census, ROLE_BY_OTHER_END), 1);
		close_scene(&s);
	}
}

static void test_evidence_sums_up(void **state)
{
	(void)state;
	struct scene s;
	struct tcpsock listener = record_listener(9000, "0.0.0.0", 8080);

	open_scene(&s);
	for (int round = 0; round < 3; round++) {
		begin(&s);
		see(&s, &listener);
		for (uint64_t id = 1; id <= 1000; id++) {
			struct tcpsock sock = id % 3 ? client(id, id) : server(id, id);

			if (id % 5 == 0)
				sock = mini_of(&sock, TCP_STATE_TIME_WAIT);
			if (id % 7 == 0)
				sock.remote = sock.local;
			if (id % 11 == 0)
				sock = syn_sent(id);
			if (id % 13 == 0)
				sock.known &= ~(uint32_t)TCPSOCK_SENT;
			see(&s, &sock);
		}
		end(&s);
		assert_int_equal(sum_of_evidence(&s), 1000);
		assert_int_equal(sum_of_states(&s), 1000);
		assert_int_equal(census_sockets(s.census), 1001);
	}
	close_scene(&s);
}

static void test_gauges(void **state)
{
	(void)state;
	struct scene s;
	struct tcpsock a = client(1, 100), b = client(2, 100),
		       c = record_full(3, TCP_STATE_CLOSE_WAIT, 40003, 80);
	struct portview v;

	open_scene(&s);
	b.rqueue = 5, a.wqueue = 7;
	a.timer = TCP_TIMER_KEEPALIVE;
	a.expires_ms = 1000000;
	a.probes = 3;
	a.last_data_recv_ms = a.last_ack_recv_ms = 8000;
	b.last_data_recv_ms = b.last_ack_recv_ms = 4000;
	c.bytes_acked = 1;
	c.last_data_recv_ms = c.last_ack_recv_ms = 70000;
	c.cgroup_id = UNIT_CGROUP;
	dump(&s, &a, &b, &c);
	v = view(&s, ROLE_CLIENT, 80);
	assert_int_equal(v.state[TCP_STATE_ESTABLISHED], 2);
	assert_int_equal(v.sum[TALLY_RECEIVE_QUEUE], 5);
	assert_int_equal(v.sum[TALLY_SEND_QUEUE], 7);
	assert_int_equal(v.keepalive[KEEPALIVE_ON], 1);
	assert_int_equal(v.keepalive[KEEPALIVE_OFF], 1);
	assert_int_equal(v.sum[TALLY_PROBES], 3);
	assert_in_range(v.peak[TALLY_SILENCE], 8000 - 16, 8000);
	assert_true(v.peak[TALLY_LOSS] == PORTVIEW_NEVER);
	assert_true(v.oldest_ms[TCP_STATE_CLOSE_WAIT] > 69900);
	assert_int_equal(v.oldest_ms[TCP_STATE_ESTABLISHED], 0);
	assert_int_equal(v.stale[STALE_KEEPALIVE], 1);
	assert_int_equal(v.stale[STALE_CLOSE_WAIT], 1);
	close_scene(&s);
}

/* Silent for 8 s when it was read, which may be long after the sample began; the next sample finds the same record. */
static void test_ages_count_from_when_a_record_was_read(void **state)
{
	struct scene s;
	struct tcpsock sock = client(1, 100);

	(void)state;
	open_scene(&s);
	sock.last_data_recv_ms = sock.last_ack_recv_ms = 8000;
	for (unsigned int i = 0; i < 2; i++) {
		begin(&s);
		assert_int_equal(census_take(s.census, &sock, 1, s.sample.now_ms + i * 600000), 0);
		end(&s);
	}
	assert_in_range(view(&s, ROLE_CLIENT, 80).peak[TALLY_SILENCE], 608000 - 16,
			608000 + INTERVAL_MS);
	close_scene(&s);
}

static void test_many_at_a_time(void **state)
{
	struct scene s;
	struct tcpsock socks[] = { record_listener(7, "0.0.0.0", 8080), client(1, 100),
				   client(2, 100), client(1, 100) };

	(void)state;
	open_scene(&s);
	begin(&s);
	assert_int_equal(census_take(s.census, socks, 4, s.sample.now_ms), 0);
	assert_int_equal(census_take(s.census, socks, 0, s.sample.now_ms), 0);
	end(&s);
	assert_int_equal(census_sockets(s.census), 3);
	close_scene(&s);
}

static void test_cgroups(void **state)
{
	(void)state;
	struct scene s;
	const struct tally_cgroup *cgroups;
	size_t n;

	open_scene(&s);
	begin(&s);
	for (uint64_t id = 1; id <= 10; id++) {
		struct tcpsock sock =
			record_full(id, TCP_STATE_CLOSE_WAIT, 8080, (uint16_t)(40000 + id));

		sock.last_data_recv_ms = sock.last_ack_recv_ms = (uint32_t)(70000 + id * 1000);
		sock.cgroup_id = id <= 7 ? UNIT_CGROUP : 0;
		see(&s, &sock);
	}
	end(&s);
	cgroups = census_cgroups(s.census, TIER_STATES, &n);
	assert_int_equal(n, 2);
	assert_int_equal(cgroups[0].cgroup_id, UNIT_CGROUP);
	assert_int_equal(stale_group_all(cgroups[0].form).sockets, 7);
	assert_in_range(stale_group_all(cgroups[0].form).oldest_ms, 76900, 77000);
	assert_int_equal(cgroups[0].port, 8080);
	assert_int_equal(cgroups[0].role, ROLE_SERVER);
	assert_int_equal(cgroups[0].reason, STALE_CLOSE_WAIT);
	assert_int_equal(stale_group_all(cgroups[1].form).sockets, 3);
	/* A program with stuck connections on very many ports does not grow the list for ever. */
	begin(&s);
	for (uint64_t id = 1; id <= 5000; id++) {
		struct tcpsock sock =
			record_full(100 + id, TCP_STATE_CLOSE_WAIT, (uint16_t)(1000 + id), 40000);

		sock.last_data_recv_ms = sock.last_ack_recv_ms = 70000;
		see(&s, &sock);
	}
	end(&s);
	(void)sum_of_cgroups(&s, &n);
	assert_in_range(n, 1000, 4096);
	dump(&s, NULL, NULL, NULL);
	(void)sum_of_cgroups(&s, &n);
	assert_int_equal(n, 0);
	close_scene(&s);
}

static void test_ephemeral_ports(void **state)
{
	(void)state;
	struct scene s;
	double ratio;

	open_scene(&s);
	begin(&s);
	for (uint64_t id = 1; id <= 3000; id++) {
		struct tcpsock sock = client(id, 0);

		sock.local_port =
			(uint16_t)(id <= 100 ? id : 32768 + 2 * id); /* outside the range: bound */
		sock.remote = record_addr(id % 3 == 0 ? "192.0.2.1" : "192.0.2.2");
		see(&s, &sock);
	}
	end(&s);
	ratio = view(&s, ROLE_CLIENT, 80).ephemeral_ratio * 28232;
	assert_true(ratio > 1900 && ratio < 1940); /* two thirds of 2900 */
	begin(&s);
	for (uint64_t id = 1; id <= 30000; id++) { /* many different ports, few of each */
		struct tcpsock sock = client(id, 0);

		sock.remote_port = (uint16_t)id;
		see(&s, &sock);
	}
	end(&s);
	assert_true(view(&s, ROLE_CLIENT, 80).ephemeral_ratio * 28232 < 1.1);
	close_scene(&s);
}

static void test_included_and_listening_ports(void **state)
{
	(void)state;
	static struct portset include;
	struct scene s;
	struct tcpsock listener = record_listener(1, "0.0.0.0", 8080);
	struct census_config config;

	open_scene(&s);
	census_free(s.census);
	portset_add(&include, 22);
	portset_add(&include, 63);
	portset_add(&include, 64);
	portset_add(&include, 65535);
	config = config_of();
	config.include = &include;
	s.census = census_new(&config);
	dump(&s, &listener, NULL, NULL);
	static const uint16_t ports[] = { 22, 63, 64, 65535 };

	for (size_t i = 0; i < COUNT(ports); i++) {
		assert_true(ledger_pair(census_ledger(s.census), ROLE_SERVER, ports[i])->published);
		assert_true(ledger_pair(census_ledger(s.census), ROLE_CLIENT, ports[i])->published);
	}
	assert_true(ledger_pair(census_ledger(s.census), ROLE_SERVER, 8080)->pinned);
	assert_false(ledger_pair(census_ledger(s.census), ROLE_CLIENT, 8080)->published);
	assert_false(ledger_pair(census_ledger(s.census), ROLE_SERVER, 23)->published);
	close_scene(&s);
}

/* Very many dead sockets that no event ever comes for: memory is bounded, and late events count nothing twice. */
static void test_too_many_dead(void **state)
{
	(void)state;
	struct scene s;
	const uint64_t n = 70000;
	struct tcpsock sock;

	open_scene(&s);
	dump(&s, NULL, NULL, NULL);
	for (int part = 0; part < 2; part++) { /* the first half dies earlier */
		begin(&s);
		for (uint64_t id = 1; id <= n / 2; id++) {
			sock = client(id + (uint64_t)part * n / 2, 10);
			see(&s, &sock);
		}
		end(&s);
		s.sample.now_ms += 600000;
	}
	dumps(&s, 2, NULL);
	expect(&s, ROLE_CLIENT, 80, n, n, n * 11);
	dump(&s, NULL, NULL, NULL);
	assert_in_range(in_state(&s, ROLE_CLIENT, 80, TCP_STATE_CLOSE), 1, 65536);
	for (uint64_t id = 1; id <= n; id += 1000) {
		sock = client(id, 10);
		die(&s, record_death(&sock, false));
	}
	assert_int_equal(counter(&s, ROLE_CLIENT, 80, LEDGER_OPENED), n);
	assert_int_equal(counter(&s, ROLE_CLIENT, 80, LEDGER_CLOSED), n);
	close_scene(&s);
}

/* More sockets, addresses and ports than the tables of one sample hold: what is left out is still counted. */
static void test_tables_are_bounded(void **state)
{
	(void)state;
	struct scene s;
	const uint32_t n = 270000;

	open_scene(&s);
	s.sample.can = 0;
	for (int round = 0; round < 2; round++) {
		begin(&s);
		for (uint32_t i = 1; i <= n; i++) {
			struct tcpsock sock = by_tuple(client(i, 0), i);

			sock.local = address_v4(htonl(0x0a000000 + i % 500));
			sock.remote = address_v4(htonl(0x0b000000 + i));
			sock.local_port = (uint16_t)(40000 + i % 20000);
			see(&s, &sock);
		}
		end(&s);
		assert_int_equal(sum_of_states(&s), n);
		assert_int_equal(in_state(&s, ROLE_CLIENT, 80, TCP_STATE_ESTABLISHED), n);
		assert_true(view(&s, ROLE_CLIENT, 80).ephemeral_ratio > 0);
	}
	/* All of them between two addresses of this host, none of which tells. */
	begin(&s);
	for (uint32_t i = 1; i <= 20000; i++) {
		struct tcpsock sock = by_tuple(client(i, 0), n + i);

		sock.remote = sock.local;
		sock.local_port = (uint16_t)(40000 + i);
		see(&s, &sock);
	}
	end(&s);
	assert_int_equal(sum_of_evidence(&s), 20000);
	assert_int_equal(in_state(&s, ROLE_CLIENT, 80, TCP_STATE_ESTABLISHED), 20000);
	close_scene(&s);
}

static void test_look_remembers_nothing(void **state)
{
	(void)state;
	struct scene s;
	struct tcpsock sock = client(1, 100), mute = server(2, 100);
	struct census_place place;
	struct look look;

	open_scene(&s);
	census_look(s.census, &sock, s.sample.now_ms, &place, &look); /* before any sample */
	assert_int_equal(place.role, ROLE_CLIENT);
	dump(&s, NULL, NULL, NULL);
	dump(&s, &sock, NULL, NULL);
	sock.last_data_recv_ms = sock.last_ack_recv_ms = 8000000;
	census_look(s.census, &sock, s.sample.now_ms + 8000000, &place, &look);
	assert_int_equal(place.port, 80);
	assert_int_equal(place.evidence, ROLE_BY_HANDSHAKE);
	assert_int_equal(look.reason, STALE_IDLE);
	mute.known &= ~(uint32_t)TCPSOCK_SENT;
	census_look(s.census, &mute, s.sample.now_ms, &place, &look);
	assert_int_equal(place.role, ROLE_SERVER);
	dump(&s, &sock, NULL, NULL);
	assert_int_equal(sum_of_states(&s), 1);
	expect(&s, ROLE_CLIENT, 80, 1, 0, 101);
	close_scene(&s);
}

/*
 * A random world. Connections are born, move bytes and die in every way while dumps walk over them (and miss or repeat some, or break
 * off); events wait until a dump has ended. The counters must come out at what happened, to the byte.
 */
#define WORLD_MAX 600u

enum life {
	LIFE_NONE,
	LIFE_SYN_SENT,
	LIFE_OPEN,
	LIFE_DEAD_HELD, /* reset, its descriptor open: no dump shows it */
	LIFE_TIME_WAIT,
};

struct being {
	enum life life;
	struct tcpsock sock;
	uint64_t dumped_acked, dumped_received; /* as a dump last saw them */
	uint32_t dumped_retrans, dumped_segs;
	bool dumped;
	bool dumped_open; /* past its handshake */
	bool missed;      /* by the last dump: the next does not miss it */
	uint64_t ends_at; /* TIME_WAIT */
};

struct truth {
	uint64_t counter[ROLE_COUNT][65536][LEDGER_COUNTERS];
};

struct world {
	struct scene scene;
	struct being beings[WORLD_MAX];
	struct truth *truth;
	struct tcpdeath *events;
	size_t event_count, event_cap;
	uint64_t next_id, step, wiped, before;
	bool broken; /* the last full dump */
	uint64_t rng;
};

static uint64_t roll(struct world *w, uint64_t n)
{
	w->rng ^= w->rng << 13;
	w->rng ^= w->rng >> 7;
	w->rng ^= w->rng << 17;
	return w->rng % n;
}

static bool is_server(const struct being *b)
{
	return b->sock.local_port < 32768;
}

static uint64_t *truth_of(struct world *w, const struct being *b)
{
	return w->truth->counter[is_server(b) ? ROLE_SERVER : ROLE_CLIENT]
				[is_server(b) ? b->sock.local_port : b->sock.remote_port];
}

static void send_event(struct world *w, struct tcpdeath death)
{
	if (w->event_count == w->event_cap) {
		w->event_cap = w->event_cap ? w->event_cap * 2 : 1024;
		w->events = realloc(w->events, w->event_cap * sizeof(*w->events));
		assert_non_null(w->events);
	}
	w->events[w->event_count++] = death;
}

static void be_born(struct world *w, struct being *b)
{
	uint64_t id = ++w->next_id;
	bool serves = roll(w, 2) == 0;

	*b = (struct being){ .life = LIFE_OPEN };
	if (serves) {
		b->sock = server(id, 0);
		b->sock.local_port = (uint16_t)(8080 + roll(w, 3));
		b->sock.remote_port = (uint16_t)(33000 + id % 20000);
	} else {
		b->sock = client(id, 0);
		b->sock.local_port = (uint16_t)(33000 + id % 20000);
		b->sock.remote_port = (uint16_t)(80 + roll(w, 3));
	}
	b->sock.timer = roll(w, 2) == 0 ? TCP_TIMER_KEEPALIVE : TCP_TIMER_NONE;
	b->sock.probes = b->sock.timer != TCP_TIMER_NONE ? (uint8_t)roll(w, 3) : 0;
	if (!serves && roll(w, 3) == 0) {
		uint16_t local = b->sock.local_port, remote = b->sock.remote_port;

		b->life = LIFE_SYN_SENT;
		b->sock = syn_sent(id);
		b->sock.local_port = local;
		b->sock.remote_port = remote;
		return;
	}
	truth_of(w, b)[LEDGER_OPENED]++;
	truth_of(w, b)[LEDGER_SENT_BYTES] += b->sock.bytes_acked;
	truth_of(w, b)[LEDGER_SENT_SEGMENTS] += b->sock.segs_out;
}

static void move_bytes(struct world *w, struct being *b)
{
	uint64_t *truth = truth_of(w, b);
	uint64_t sent = roll(w, 50000), received = roll(w, 50000), again = roll(w, 10) == 0 ? 1 : 0;
	uint32_t segs = (uint32_t)(sent / 1448 + 1 + again);

	b->sock.rqueue = (uint32_t)roll(w, 2000);
	b->sock.wqueue = (uint32_t)roll(w, 2000);
	b->sock.bytes_sent += sent + again * 100;
	b->sock.bytes_retrans += again * 100;
	b->sock.bytes_acked += sent;
	b->sock.bytes_received += received;
	b->sock.total_retrans += (uint32_t)again;
	b->sock.segs_out += segs;
	b->sock.segs_in++;
	b->sock.data_segs_out += segs;
	b->sock.delivered += segs;
	truth[LEDGER_SENT_BYTES] += sent;
	truth[LEDGER_RECEIVED_BYTES] += received;
	truth[LEDGER_RETRANSMITTED_SEGMENTS] += again;
	truth[LEDGER_SENT_SEGMENTS] += segs;
}

static void die_in_order(struct world *w, struct being *b)
{
	uint64_t *truth = truth_of(w, b);

	truth[LEDGER_CLOSED]++;
	truth[LEDGER_SENT_BYTES]++; /* its FIN */
	truth[LEDGER_SENT_SEGMENTS]++;
	send_event(w, record_death(&b->sock, true));
	b->life = LIFE_NONE;
	if (roll(w, 2) == 0) {
		b->life = LIFE_TIME_WAIT;
		b->ends_at = w->step + roll(w, 3000);
		b->sock = mini_of(&b->sock, TCP_STATE_TIME_WAIT);
		if (!b->dumped)
			b->sock.id = ++w->next_id;
	}
}

/* What no dump has seen of it is lost, and for one that no dump has seen at all the client's port. */
static void be_wiped(struct world *w, struct being *b)
{
	uint64_t *truth = truth_of(w, b);

	truth[LEDGER_SENT_BYTES] -= b->sock.bytes_acked - b->dumped_acked;
	truth[LEDGER_RECEIVED_BYTES] -= b->sock.bytes_received - b->dumped_received;
	truth[LEDGER_RETRANSMITTED_SEGMENTS] -= b->sock.total_retrans - b->dumped_retrans;
	truth[LEDGER_SENT_SEGMENTS] -= b->sock.segs_out - b->dumped_segs;
	if (!b->dumped && !is_server(b)) {
		truth[LEDGER_OPENED]--;
		truth = w->truth->counter[ROLE_CLIENT][LEDGER_PORT_UNKNOWN];
		truth[LEDGER_OPENED]++;
	}
	truth[LEDGER_CLOSED]++;
	w->wiped++;
	send_event(w, record_wiped(b->sock.id, b->sock.local_port, true));
	b->life = LIFE_NONE;
}

static void be_reset(struct world *w, struct being *b)
{
	truth_of(w, b)[LEDGER_CLOSED]++;
	b->life = LIFE_DEAD_HELD;
	if (roll(w, 3) != 0) { /* most programs close at once */
		send_event(w, record_death(&b->sock, false));
		b->life = LIFE_NONE;
	}
}

static void fail_to_connect(struct world *w, struct being *b)
{
	struct tcpdeath death = record_death(&b->sock, false);
	uint64_t *truth = truth_of(w, b);

	b->life = LIFE_NONE;
	death.delivered = 0;
	death.wqueue = 1;
	death.segs_in = 0;
	switch (roll(w, 5)) {
	case 0:
		death.segs_in = 1;
		truth[LEDGER_FAILED + CONNECTS_REFUSED]++;
		break;
	case 1:
		death.total_retrans += 6;
		death.segs_out += 6;
		truth[LEDGER_FAILED + CONNECTS_TIMEOUT]++;
		break;
	case 2:
		truth[LEDGER_FAILED + CONNECTS_ABANDONED]++;
		break;
	default: /* blocking */
		if (!b->dumped)
			truth = w->truth->counter[ROLE_CLIENT][LEDGER_PORT_UNKNOWN];
		truth[LEDGER_FAILED + CONNECTS_REFUSED]++;
		death = record_wiped(b->sock.id, b->sock.local_port, false);
	}
	/* Its SYN was counted if a dump saw it. */
	if (b->dumped)
		truth_of(w, b)[LEDGER_SENT_SEGMENTS] += b->dumped_segs;
	send_event(w, death);
}

static void live_syn_sent(struct world *w, struct being *b)
{
	struct tcpsock sock = client(b->sock.id, 0);

	if (roll(w, 3) == 0) {
		fail_to_connect(w, b);
		return;
	}
	sock.local_port = b->sock.local_port;
	sock.remote_port = b->sock.remote_port;
	b->sock = sock;
	b->life = LIFE_OPEN;
	truth_of(w, b)[LEDGER_OPENED]++;
	truth_of(w, b)[LEDGER_SENT_BYTES] += b->sock.bytes_acked;
	truth_of(w, b)[LEDGER_SENT_SEGMENTS] += b->sock.segs_out;
}

static void live(struct world *w, struct being *b)
{
	w->step++;
	switch (b->life) {
	case LIFE_NONE:
		be_born(w, b);
		break;
	case LIFE_SYN_SENT:
		live_syn_sent(w, b);
		break;
	case LIFE_OPEN:
		if (roll(w, 10) < 7)
			move_bytes(w, b);
		else if (roll(w, 10) < 6)
			die_in_order(w, b);
		else if (roll(w, 2) == 0)
			be_reset(w, b);
		else
			be_wiped(w, b);
		break;
	case LIFE_DEAD_HELD:
		if (roll(w, 4) == 0) {
			send_event(w, record_death(&b->sock, false));
			b->life = LIFE_NONE;
		}
		break;
	case LIFE_TIME_WAIT:
		if (w->step >= b->ends_at)
			b->life = LIFE_NONE;
		break;
	}
}

static void show(struct world *w, struct being *b)
{
	see(&w->scene, &b->sock);
	if (b->life == LIFE_TIME_WAIT)
		return;
	b->dumped = true;
	b->dumped_open = b->life == LIFE_OPEN;
	b->dumped_acked = b->sock.bytes_acked;
	b->dumped_received = b->sock.bytes_received;
	b->dumped_retrans = b->sock.total_retrans;
	b->dumped_segs = b->sock.segs_out;
}

static void drain(struct world *w)
{
	for (size_t i = 0; i < w->event_count; i++)
		die(&w->scene, w->events[i]);
	w->event_count = 0;
}

/* `busy`: the world goes on while the dump walks, and the dump is as imperfect as the kernel's. */
static bool walk(struct world *w, bool busy)
{
	bool aborts = busy && roll(w, 6) == 0;
	bool full = !busy || w->broken || roll(w, 3) != 0;
	uint64_t until = aborts ? roll(w, WORLD_MAX) : WORLD_MAX;

	w->scene.sample.tier = full ? TIER_FULL : TIER_STATES;
	w->broken = full && aborts;
	begin(&w->scene);
	for (uint16_t port = 8080; port < 8083; port++) {
		struct tcpsock listener =
			record_listener(UINT64_C(1) << 40 | port, "0.0.0.0", port);

		see(&w->scene, &listener);
	}
	for (uint64_t i = 0; i < until; i++) {
		struct being *b = &w->beings[i];

		if (busy && roll(w, 2) == 0)
			live(w, &w->beings[roll(w, WORLD_MAX)]);
		if (b->life == LIFE_NONE || b->life == LIFE_DEAD_HELD ||
		    (b->sock.state == TCP_STATE_ESTABLISHED && !full))
			continue;
		b->missed = busy && !b->missed && roll(w, 50) == 0;
		if (b->missed)
			continue;
		show(w, b);
		if (busy && roll(w, 50) == 0)
			see(&w->scene, &b->sock);
	}
	if (aborts) {
		census_abort(w->scene.census);
		return false;
	}
	if (roll(w, 2) == 0)
		drain(w);
	end(&w->scene);
	return true;
}

static void compare_counters(struct world *w, enum role role, uint16_t port)
{
	for (int c = 0; c < LEDGER_COUNTERS; c++) {
		uint64_t counted = counter(&w->scene, role, port, (unsigned int)c);
		uint64_t truth = w->truth->counter[role][port][c];

		if (counted != truth)
			fail_msg("step %llu: %s %u counter %d is %llu, truth %llu",
				 (unsigned long long)w->step, role_name(role), port, c,
				 (unsigned long long)counted, (unsigned long long)truth);
	}
}

/* All that was open has died, and none of it is in a dump: nothing is left of what the last full sample showed. */
static void expect_empty_show(struct world *w)
{
	size_t n, rows;
	struct ledger *ledger = census_ledger(w->scene.census);
	const struct ledger_pair *pairs = ledger_pairs(ledger, &n);

	for (size_t i = 0; i < n; i++) {
		const struct portview *v = ledger_view(
			ledger, ledger_pair(ledger, (enum role)pairs[i].role, pairs[i].port),
			TIER_FULL);

		assert_int_equal(v->state[TCP_STATE_ESTABLISHED], 0);
		assert_int_equal(v->state[TCP_STATE_CLOSE], 0);
		for (int k = 0; k < KEEPALIVES; k++)
			assert_int_equal(v->keepalive[k], 0);
		for (int k = 0; k < TALLY_SUMS; k++)
			assert_int_equal(v->sum[k], 0);
		for (int k = 0; k < STALE_REASONS; k++)
			assert_int_equal(v->stale[k], 0);
	}
	assert_int_equal(sum_of_cgroups(&w->scene, &rows), 0);
}

static void compare_world(struct world *w)
{
	uint64_t open = 0, opened = 0, closed = 0;

	for (size_t i = 0; i < WORLD_MAX; i++)
		open += w->beings[i].life == LIFE_OPEN;
	for (uint16_t port = 0; port < 3; port++) {
		compare_counters(w, ROLE_SERVER, (uint16_t)(8080 + port));
		compare_counters(w, ROLE_CLIENT, (uint16_t)(80 + port));
	}
	compare_counters(w, ROLE_CLIENT, LEDGER_PORT_UNKNOWN);
	for (int role = 0; role < ROLE_COUNT; role++) {
		for (uint32_t port = 0; port < 65536; port++) {
			opened +=
				counter(&w->scene, (enum role)role, (uint16_t)port, LEDGER_OPENED);
			closed +=
				counter(&w->scene, (enum role)role, (uint16_t)port, LEDGER_CLOSED);
		}
	}
	assert_int_equal(opened + w->before, closed + open);
	assert_int_equal(census_wiped_closes(w->scene.census), w->wiped);
	assert_int_equal(sum_of_evidence(&w->scene), census_sockets(w->scene.census) - 3);
}

/*
 * What cannot be known yet: of the dead whose descriptor is held, what they did after the last dump that saw them. And what is known
 * early: the SYN of an attempt that a dump saw. `sign` takes both into the truth, and out again.
 */
static void adjust_truth(struct world *w, uint64_t sign)
{
	for (size_t i = 0; i < WORLD_MAX; i++) {
		struct being *b = &w->beings[i];
		uint64_t *truth = truth_of(w, b);

		if (b->life == LIFE_SYN_SENT && b->dumped)
			truth[LEDGER_SENT_SEGMENTS] += sign * b->dumped_segs;
		if (b->life != LIFE_DEAD_HELD)
			continue;
		truth[LEDGER_OPENED] -= b->dumped_open ? 0 : sign;
		truth[LEDGER_CLOSED] -= b->dumped_open ? 0 : sign;
		truth[LEDGER_SENT_BYTES] -= sign * (b->sock.bytes_acked - b->dumped_acked);
		truth[LEDGER_RECEIVED_BYTES] -=
			sign * (b->sock.bytes_received - b->dumped_received);
		truth[LEDGER_RETRANSMITTED_SEGMENTS] -=
			sign * (b->sock.total_retrans - b->dumped_retrans);
		truth[LEDGER_SENT_SEGMENTS] -= sign * (b->sock.segs_out - b->dumped_segs);
	}
}

static void test_random_world(void **state)
{
	(void)state;
	static struct world w;

	w.rng = 20231122;
	w.truth = calloc(1, sizeof(*w.truth));
	assert_non_null(w.truth);
	open_scene(&w.scene);
	/* What is there before the first sample counts from there on. */
	for (int i = 0; i < 3000; i++)
		live(&w, &w.beings[roll(&w, WORLD_MAX / 2)]);
	w.event_count = 0;
	w.wiped = 0;
	for (size_t i = 0; i < WORLD_MAX; i++) {
		if (w.beings[i].life == LIFE_DEAD_HELD || w.beings[i].life == LIFE_SYN_SENT)
			w.beings[i].life = LIFE_NONE;
		w.before += w.beings[i].life == LIFE_OPEN;
	}
	memset(w.truth, 0, sizeof(*w.truth));
	walk(&w, false);
	for (int round = 0; round < 300; round++) {
		for (uint64_t n = roll(&w, 400); n > 0; n--)
			live(&w, &w.beings[roll(&w, WORLD_MAX)]);
		if (walk(&w, true))
			drain(&w);
		if (round % 10 != 9)
			continue;
		walk(&w, false);
		drain(&w);
		walk(&w, false);
		adjust_truth(&w, 1);
		compare_world(&w);
		adjust_truth(&w, UINT64_MAX);
	}
	for (size_t i = 0; i < WORLD_MAX; i++) {
		if (w.beings[i].life == LIFE_OPEN)
			die_in_order(&w, &w.beings[i]);
		if (w.beings[i].life == LIFE_DEAD_HELD)
			send_event(&w, record_death(&w.beings[i].sock, false));
		if (w.beings[i].life == LIFE_SYN_SENT)
			fail_to_connect(&w, &w.beings[i]);
		w.beings[i].life = LIFE_NONE;
	}
	drain(&w);
	w.scene.sample.tier = TIER_STATES;
	dump(&w.scene, NULL, NULL, NULL);
	expect_empty_show(&w);
	for (int i = 0; i < 3; i++)
		walk(&w, false);
	compare_world(&w);
	assert_int_equal(sum_of_states(&w.scene), 0);
	close_scene(&w.scene);
	free(w.events);
	free(w.truth);
}

static void test_free_null(void **state)
{
	(void)state;
	census_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_baseline_counts_nothing),
		cmocka_unit_test(test_states_samples_keep_what_the_full_one_found),
		cmocka_unit_test(test_a_death_between_full_samples_leaves_the_show),
		cmocka_unit_test(test_stale_moves_between_tiers),
		cmocka_unit_test(test_queues_count_once),
		cmocka_unit_test(test_death_during_a_full_dump),
		cmocka_unit_test(test_death_during_the_first_dump),
		cmocka_unit_test(test_nothing_counts_before_the_baseline),
		cmocka_unit_test(test_ways_to_die),
		cmocka_unit_test(test_event_before_the_last_bytes_were_dumped),
		cmocka_unit_test(test_noise_is_ignored),
		cmocka_unit_test(test_failed_connects),
		cmocka_unit_test(test_failed_connect_that_is_held),
		cmocka_unit_test(test_syn_recv),
		cmocka_unit_test(test_reset_and_held),
		cmocka_unit_test(test_missed_once),
		cmocka_unit_test(test_without_events),
		cmocka_unit_test(test_events_that_end),
		cmocka_unit_test(test_kernel_sockets_have_no_event),
		cmocka_unit_test(test_overrun),
		cmocka_unit_test(test_overrun_and_another_source),
		cmocka_unit_test(test_source_change),
		cmocka_unit_test(test_failed_return_to_netlink),
		cmocka_unit_test(test_drops_of_listeners_over_sources),
		cmocka_unit_test(test_aborted_dump),
		cmocka_unit_test(test_aborted_dump_with_deferred),
		cmocka_unit_test(test_duplicates_and_strange_states),
		cmocka_unit_test(test_new_life_of_a_socket),
		cmocka_unit_test(test_change_of_role),
		cmocka_unit_test(test_handshake_is_confirmed_by_a_second_look),
		cmocka_unit_test(test_listener_evidence),
		cmocka_unit_test(test_known_service_tells_role_of_time_wait),
		cmocka_unit_test(test_known_service_of_this_host),
		cmocka_unit_test(test_time_wait_inherits),
		cmocka_unit_test(test_other_end),
		cmocka_unit_test(test_other_end_of_a_mini_is_asked_once),
		cmocka_unit_test(test_mirror),
		cmocka_unit_test(test_evidence_sums_up),
		cmocka_unit_test(test_gauges),
		cmocka_unit_test(test_ages_count_from_when_a_record_was_read),
		cmocka_unit_test(test_many_at_a_time),
		cmocka_unit_test(test_cgroups),
		cmocka_unit_test(test_ephemeral_ports),
		cmocka_unit_test(test_included_and_listening_ports),
		cmocka_unit_test(test_too_many_dead),
		cmocka_unit_test(test_tables_are_bounded),
		cmocka_unit_test(test_look_remembers_nothing),
		cmocka_unit_test(test_random_world),
		cmocka_unit_test(test_free_null),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
