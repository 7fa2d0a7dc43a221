/*
 * Tests of tally: what goes in comes out again.
 */
#include "tcphealth/model/tally.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_merge(void **state)
{
	(void)state;
	struct portview a = { .peak[TALLY_SILENCE] = 5,
			      .peak[TALLY_LOSS] = PORTVIEW_NEVER,
			      .sum[TALLY_RECEIVE_QUEUE] = 1,
			      .ephemeral_ratio = 0.5 };
	struct portview b = { .peak[TALLY_SILENCE] = 7,
			      .peak[TALLY_LOSS] = 3,
			      .sum[TALLY_RECEIVE_QUEUE] = 2,
			      .sum[TALLY_SEND_QUEUE] = 9,
			      .sum[TALLY_PROBES] = 4,
			      .ephemeral_ratio = 0.25 };

	a.state[1] = 1, b.state[1] = 2;
	a.stale[STALE_IDLE] = 3, b.stale[STALE_IDLE] = 4;
	a.keepalive[KEEPALIVE_OFF] = 5, b.keepalive[KEEPALIVE_OFF] = 6;
	a.oldest_ms[8] = 7, b.oldest_ms[8] = 6;
	portview_merge(&a, &b);
	assert_int_equal(a.state[1], 3);
	assert_int_equal(a.stale[STALE_IDLE], 7);
	assert_int_equal(a.keepalive[KEEPALIVE_OFF], 11);
	assert_int_equal(a.oldest_ms[8], 7);
	assert_int_equal(a.peak[TALLY_SILENCE], 7);
	assert_true(a.peak[TALLY_LOSS] == PORTVIEW_NEVER);
	assert_int_equal(a.sum[TALLY_RECEIVE_QUEUE], 3);
	assert_int_equal(a.sum[TALLY_SEND_QUEUE], 9);
	assert_int_equal(a.sum[TALLY_PROBES], 4);
	assert_true(a.ephemeral_ratio > 0.49);
	portview_merge(&b, &a);
	assert_true(b.ephemeral_ratio > 0.49);
}

static uint64_t rng = 20231122;

static uint64_t roll(uint64_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng % n;
}

struct connection {
	struct track_entry entry;
	struct tally_share share;
	enum stale_reason reason;
	uint64_t stale_ms;
	const struct tcpsock *sock;
};

/* Of the full part; every third adds no more than its entry tells. */
static struct connection random_connection(uint64_t id)
{
	struct connection c = { .entry = { .id = id + 1,
					   .port = 80,
					   .pair_role = ROLE_CLIENT,
					   .state = TCP_STATE_ESTABLISHED,
					   .keepalive = roll(KEEPALIVES) & 3u,
					   .evidence = roll(ROLE_EVIDENCE_COUNT) & 15u } };

	if (id % 10 == 9)
		c.entry.state = TCP_STATE_CLOSE;
	if (id % 3 == 0)
		return c;
	for (int i = 0; i < TALLY_SUMS; i++)
		c.share.sum[i] = (uint32_t)roll(UINT32_MAX);
	if (id % 3 == 1) {
		c.reason = (enum stale_reason)(1 + roll(STALE_REASONS - 1));
		c.share.cgroup_id = roll(5000);
		c.share.form = (uint8_t)roll(STALE_FORMS);
	}
	return c;
}

static void add(struct tally *tally, struct portview *view, struct connection *c)
{
	assert_int_equal(tally_add(tally, view, &c->entry, c->share,
				   (struct tally_stale){ c->reason, c->stale_ms, c->sock }),
			 0);
}

static uint64_t stale_in_cgroups(const struct tally_part *part)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < part->cgroup_count; i++)
		sum += stale_group_all(part->cgroups[i].form).sockets;
	return sum;
}

static uint64_t connections(const struct tally_part *part)
{
	uint64_t sum = 0;

	for (int i = 0; i < ROLE_EVIDENCE_COUNT; i++)
		sum += part->evidence[i];
	return sum;
}

static void test_what_goes_in_comes_out(void **state)
{
	(void)state;
	static struct connection all[20000];
	const uint64_t n = sizeof(all) / sizeof(all[0]);
	struct tally tally = { 0 };
	const struct tally_part *part = &tally.part[TIER_FULL];
	struct portview view, empty = { 0 };

	for (int sample = 0; sample < 3; sample++) {
		uint64_t stale = 0, queued = 0;

		tally_begin(&tally, TIER_FULL);
		view = empty;
		for (uint64_t id = 0; id < n; id++) {
			all[id] = random_connection(id);
			add(&tally, &view, &all[id]);
			assert_true(all[id].entry.shown);
			queued += all[id].share.sum[TALLY_SEND_QUEUE];
			stale += all[id].reason != STALE_NONE;
		}
		assert_int_equal(view.sum[TALLY_SEND_QUEUE], queued);
		assert_int_equal(view.state[TCP_STATE_ESTABLISHED], n / 10 * 9);
		assert_int_equal(view.state[TCP_STATE_CLOSE], n / 10);
		assert_int_equal(connections(part), n / 10 * 9);
		/* Not every cgroup has a row. */
		assert_in_range(stale_in_cgroups(part), 1, stale - 1);
		for (uint64_t id = n; id-- > 0;) {
			tally_take_off(&tally, &view, &all[id].entry);
			assert_false(all[id].entry.shown);
		}
		assert_memory_equal(&view, &empty, sizeof(view));
		assert_int_equal(connections(part), 0);
		assert_int_equal(stale_in_cgroups(part), 0);
	}
	tally_done(&tally);
}

/* Off, on again with other numbers, off. */
static void test_the_same_socket_again(void **state)
{
	(void)state;
	struct connection c = { .entry = { .id = 7, .state = TCP_STATE_ESTABLISHED } };
	struct portview view = { 0 }, empty = { 0 };
	struct tally tally = { 0 };

	for (uint32_t i = 1; i <= 3; i++) {
		c.share.sum[TALLY_PROBES] = i;
		add(&tally, &view, &c);
		assert_int_equal(view.sum[TALLY_PROBES], i);
		tally_take_off(&tally, &view, &c.entry);
		assert_memory_equal(&view, &empty, sizeof(view));
	}
	tally_done(&tally);
}

static void test_a_states_sample_keeps_the_full_part(void **state)
{
	(void)state;
	struct connection a = { .entry = { .id = 1, .state = TCP_STATE_CLOSE_WAIT },
				.share.cgroup_id = 4,
				.reason = STALE_CLOSE_WAIT };
	struct connection b = a,
			  idle = { .entry = { .id = 3, .state = TCP_STATE_ESTABLISHED },
				   .share = { .cgroup_id = 4, .sum[TALLY_RECEIVE_QUEUE] = 9 },
				   .reason = STALE_IDLE };
	struct portview full = { 0 }, states = { 0 };
	struct tally tally = { 0 };

	b.entry.id = 2;
	add(&tally, &states, &a);
	add(&tally, &states, &b);
	add(&tally, &full, &idle);
	assert_true(idle.entry.shown);
	assert_false(a.entry.shown);
	assert_int_equal(tally.part[TIER_STATES].cgroup_count, 1);
	assert_int_equal(stale_group_all(tally.part[TIER_STATES].cgroups[0].form).sockets, 2);
	tally_begin(&tally, TIER_STATES);
	assert_int_equal(connections(&tally.part[TIER_STATES]), 0);
	assert_int_equal(tally.part[TIER_STATES].cgroup_count, 0);
	assert_int_equal(connections(&tally.part[TIER_FULL]), 1);
	assert_int_equal(stale_group_all(tally.part[TIER_FULL].cgroups[0].form).sockets, 1);
	tally_take_off(&tally, &full, &idle.entry);
	assert_int_equal(stale_group_all(tally.part[TIER_FULL].cgroups[0].form).sockets, 0);
	assert_int_equal(full.sum[TALLY_RECEIVE_QUEUE], 0);
	tally_done(&tally);
}

/* By the form of their reason; the peer is that of the oldest that a dump shows. */
static void test_forms_and_a_peer(void **state)
{
	struct tcpsock old = { .remote_port = 443 }, young = { .remote_port = 444 };
	struct connection c = { .entry = { .id = 1, .state = TCP_STATE_CLOSE_WAIT },
				.reason = STALE_CLOSE_WAIT };
	struct portview view = { 0 };
	struct tally tally = { 0 };
	const struct tally_cgroup *row;

	(void)state;
	c.stale_ms = 90000;
	add(&tally, &view, &c);
	row = &tally.part[TIER_STATES].cgroups[0];
	assert_int_equal(row->peer_port, 0);
	c.stale_ms = 60000, c.sock = &young, c.share.form = 2;
	add(&tally, &view, &c);
	assert_int_equal(row->peer_port, 444);
	c.stale_ms = 95000, c.sock = &old;
	add(&tally, &view, &c);
	c.stale_ms = 60000, c.sock = &young;
	add(&tally, &view, &c);
	assert_int_equal(row->peer_port, 443);
	assert_int_equal(row->form[0].sockets, 1);
	assert_int_equal(row->form[0].oldest_ms, 90000);
	assert_int_equal(row->form[2].sockets, 3);
	assert_int_equal(row->form[2].oldest_ms, 95000);
	assert_int_equal(tally.part[TIER_STATES].cgroup_count, 1);
	tally_done(&tally);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_merge),
		cmocka_unit_test(test_what_goes_in_comes_out),
		cmocka_unit_test(test_the_same_socket_again),
		cmocka_unit_test(test_a_states_sample_keeps_the_full_part),
		cmocka_unit_test(test_forms_and_a_peer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
