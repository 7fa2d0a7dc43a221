/*
 * Tests of ledger: who has series, and counters that neither fall nor get lost on the way.
 */
#include "tcphealth/model/ledger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define KEEP_MS 3600000u

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void arbitrate(struct ledger *ledger, uint32_t max, uint64_t now_ms)
{
	assert_int_equal(ledger_arbitrate(&ledger, 1, max, now_ms, KEEP_MS, 0), 0);
}

static bool published(struct ledger *ledger, enum role role, uint16_t port)
{
	return ledger_pair(ledger, role, port)->published;
}

static struct portview *view_of(struct ledger *ledger, enum role role, uint16_t port,
				enum tier tier)
{
	return ledger_view(ledger, ledger_pair(ledger, role, port), tier);
}

static void use(struct ledger *ledger, enum role role, uint16_t port)
{
	view_of(ledger, role, port, TIER_FULL)->state[TCP_STATE_ESTABLISHED]++;
}

static void use_stale(struct ledger *ledger, enum role role, uint16_t port)
{
	use(ledger, role, port);
	view_of(ledger, role, port, TIER_FULL)->stale[STALE_IDLE]++;
}

static void add(struct ledger *ledger, enum role role, uint16_t port, uint64_t amount)
{
	ledger_add(ledger_pair(ledger, role, port), LEDGER_SENT_BYTES, amount);
}

static uint64_t counter(struct ledger *ledger, enum role role, uint16_t port)
{
	return ledger_pair(ledger, role, port)->counter[LEDGER_SENT_BYTES];
}

static void test_views_live_one_sample(void **state)
{
	(void)state;
	struct ledger *ledger = ledger_new(NULL);
	struct portview *view;

	ledger_begin(ledger, TIER_FULL);
	assert_null(ledger_pair_view(ledger, ledger_pair(ledger, ROLE_SERVER, 80)));
	view = view_of(ledger, ROLE_SERVER, 80, TIER_FULL);
	view->state[TCP_STATE_ESTABLISHED] = 3;
	assert_ptr_equal(view_of(ledger, ROLE_SERVER, 80, TIER_FULL), view);
	for (uint16_t port = 1000; port < 2000; port++)
		use(ledger, ROLE_CLIENT, port);
	assert_int_equal(view_of(ledger, ROLE_SERVER, 80, TIER_FULL)->state[TCP_STATE_ESTABLISHED],
			 3);
	assert_int_equal(view_of(ledger, ROLE_CLIENT, 80, TIER_FULL)->state[TCP_STATE_ESTABLISHED],
			 0);
	ledger_begin(ledger, TIER_FULL);
	assert_null(ledger_pair_view(ledger, ledger_pair(ledger, ROLE_SERVER, 80)));
	assert_int_equal(view_of(ledger, ROLE_SERVER, 80, TIER_FULL)->state[TCP_STATE_ESTABLISHED],
			 0);
	ledger_free(ledger);
}

static void test_a_states_sample_keeps_the_full_part(void **state)
{
	(void)state;
	struct ledger *ledger = ledger_new(NULL);
	const struct ledger_pair *pair;

	ledger_begin(ledger, TIER_FULL);
	view_of(ledger, ROLE_SERVER, 80, TIER_FULL)->state[TCP_STATE_ESTABLISHED] = 3;
	view_of(ledger, ROLE_SERVER, 80, TIER_STATES)->state[TCP_STATE_ESTABLISHED] = 4;
	view_of(ledger, ROLE_SERVER, 80, TIER_STATES)->stale[STALE_CLOSING] = 5;
	pair = ledger_pair(ledger, ROLE_SERVER, 80);
	assert_int_equal(ledger_pair_view(ledger, pair)->state[TCP_STATE_ESTABLISHED], 7);
	ledger_begin(ledger, TIER_STATES);
	assert_int_equal(ledger_pair_view(ledger, pair)->state[TCP_STATE_ESTABLISHED], 3);
	assert_int_equal(ledger_pair_view(ledger, pair)->stale[STALE_CLOSING], 0);
	ledger_begin(ledger, TIER_FULL);
	assert_null(ledger_pair_view(ledger, pair));
	ledger_free(ledger);
}

static void test_keep(void **state)
{
	(void)state;
	struct ledger *ledger = ledger_new(NULL);

	ledger_begin(ledger, TIER_FULL);
	use(ledger, ROLE_SERVER, 80);
	assert_false(published(ledger, ROLE_SERVER, 80)); /* until decided */
	arbitrate(ledger, 256, 1000);
	assert_true(published(ledger, ROLE_SERVER, 80));
	ledger_begin(ledger, TIER_FULL);
	arbitrate(ledger, 256, 1000 + KEEP_MS - 1);
	assert_true(published(ledger, ROLE_SERVER, 80));
	ledger_begin(ledger, TIER_FULL);
	arbitrate(ledger, 256, 1000 + KEEP_MS);
	assert_false(published(ledger, ROLE_SERVER, 80));
	/* What died between two samples has no view, yet it was there. */
	ledger_begin(ledger, TIER_FULL);
	add(ledger, ROLE_SERVER, 80, 5);
	arbitrate(ledger, 256, 5000000);
	assert_true(published(ledger, ROLE_SERVER, 80));
	ledger_begin(ledger, TIER_FULL);
	arbitrate(ledger, 256, 5000000 + LEDGER_HELD_MAX_MS);
	assert_int_equal(counter(ledger, ROLE_SERVER, 80), 5);
	ledger_begin(ledger, TIER_FULL);
	arbitrate(ledger, 256, 5000000 + KEEP_MS);
	assert_false(published(ledger, ROLE_SERVER, 80));
	ledger_free(ledger);
}

static void test_pinned_needs_no_sockets(void **state)
{
	(void)state;
	struct ledger *ledger = ledger_new(NULL);

	ledger_begin(ledger, TIER_FULL);
	assert_int_equal(ledger_pin(ledger, ROLE_SERVER, 80), 0);
	arbitrate(ledger, 256, 1000);
	assert_true(published(ledger, ROLE_SERVER, 80));
	assert_null(ledger_pair_view(ledger, ledger_pair(ledger, ROLE_SERVER, 80)));
	ledger_free(ledger);
}

static void test_excluded(void **state)
{
	(void)state;
	static struct portset excluded;
	struct ledger *ledger;

	portset_add(&excluded, 80);
	ledger = ledger_new(&excluded);
	ledger_begin(ledger, TIER_FULL);
	ledger_pin(ledger, ROLE_SERVER, 80);
	use_stale(ledger, ROLE_SERVER, 80);
	use(ledger, ROLE_CLIENT, 80);
	use(ledger, ROLE_CLIENT, 81);
	add(ledger, ROLE_SERVER, 80, 7);
	arbitrate(ledger, 256, 1000);
	assert_false(published(ledger, ROLE_SERVER, 80));
	assert_false(published(ledger, ROLE_CLIENT, 80));
	assert_true(published(ledger, ROLE_CLIENT, 81));
	assert_int_equal(ledger_other(ledger, ROLE_SERVER)[LEDGER_SENT_BYTES], 7);
	ledger_free(ledger);
}

static void test_full_pairs_in_use_stay(void **state)
{
	(void)state;
	struct ledger *ledger = ledger_new(NULL);

	ledger_begin(ledger, TIER_FULL);
	for (uint16_t port = 10; port < 14; port++)
		use(ledger, ROLE_CLIENT, port);
	arbitrate(ledger, 4, 1000);
	/* Lower ports come, but the places are taken; the roles do not share them. */
	ledger_begin(ledger, TIER_FULL);
	for (uint16_t port = 8; port < 14; port++) {
		use(ledger, ROLE_CLIENT, port);
		add(ledger, ROLE_CLIENT, port, 1);
	}
	use(ledger, ROLE_SERVER, 8);
	arbitrate(ledger, 4, 2000);
	for (uint16_t port = 8; port < 14; port++)
		assert_int_equal(published(ledger, ROLE_CLIENT, port), port >= 10);
	assert_true(published(ledger, ROLE_SERVER, 8));
	arbitrate(ledger, 4, 2000 + LEDGER_HELD_MAX_MS);
	assert_int_equal(ledger_other(ledger, ROLE_CLIENT)[LEDGER_SENT_BYTES], 2);
	assert_int_equal(counter(ledger, ROLE_CLIENT, 8), 0);
	assert_int_equal(counter(ledger, ROLE_CLIENT, 10), 1);
	ledger_free(ledger);
}

static void test_full_empty_longest_yields(void **state)
{
	(void)state;
	struct ledger *ledger = ledger_new(NULL);

	for (uint16_t i = 0; i < 4; i++) { /* 13 was used last, 10 is empty for the longest time */
		ledger_begin(ledger, TIER_FULL);
		for (uint16_t port = (uint16_t)(10 + i); port < 14; port++)
			use(ledger, ROLE_CLIENT, port);
		arbitrate(ledger, 4, 1000u * (i + 1));
	}
	ledger_begin(ledger, TIER_FULL);
	use(ledger, ROLE_CLIENT, 20);
	arbitrate(ledger, 4, 5000);
	assert_true(published(ledger, ROLE_CLIENT, 20));
	assert_false(published(ledger, ROLE_CLIENT, 10));
	for (uint16_t port = 11; port < 14; port++)
		assert_true(published(ledger, ROLE_CLIENT, port));
	ledger_begin(ledger, TIER_FULL);
	use(ledger, ROLE_CLIENT, 20);
	use(ledger, ROLE_CLIENT, 10);
	arbitrate(ledger, 4, 6000);
	assert_true(published(ledger, ROLE_CLIENT, 10));
	assert_false(published(ledger, ROLE_CLIENT, 11));
	ledger_free(ledger);
}

static void test_full_pinned_and_stale_displace(void **state)
{
	(void)state;
	struct ledger *ledger = ledger_new(NULL);

	ledger_begin(ledger, TIER_FULL);
	use(ledger, ROLE_SERVER, 10);
	use(ledger, ROLE_SERVER, 11);
	arbitrate(ledger, 2, 1000);
	ledger_begin(ledger, TIER_FULL);
	use(ledger, ROLE_SERVER, 10);
	use(ledger, ROLE_SERVER, 11);
	use_stale(ledger, ROLE_SERVER, 20);
	arbitrate(ledger, 2, 2000);
	assert_true(published(ledger, ROLE_SERVER, 20));
	assert_int_equal(published(ledger, ROLE_SERVER, 10) + published(ledger, ROLE_SERVER, 11),
			 1);
	ledger_begin(ledger, TIER_FULL);
	use(ledger, ROLE_SERVER, 10);
	use(ledger, ROLE_SERVER, 11);
	use_stale(ledger, ROLE_SERVER, 20);
	ledger_pin(ledger, ROLE_SERVER, 21);
	ledger_pin(ledger, ROLE_SERVER, 22);
	arbitrate(ledger, 2, 3000);
	/* Who has a place keeps it among equals. */
	assert_true(published(ledger, ROLE_SERVER, 20));
	assert_true(published(ledger, ROLE_SERVER, 21));
	assert_false(published(ledger, ROLE_SERVER, 22));
	assert_false(published(ledger, ROLE_SERVER, 10));
	ledger_free(ledger);
}

static void test_max_over_all_namespaces(void **state)
{
	(void)state;
	struct ledger *ledgers[2] = { ledger_new(NULL), ledger_new(NULL) };
	size_t n = 0;

	for (int l = 0; l < 2; l++) {
		ledger_begin(ledgers[l], TIER_FULL);
		for (uint16_t port = 1; port <= 10; port++)
			use(ledgers[l], ROLE_CLIENT, port);
	}
	assert_int_equal(ledger_arbitrate(ledgers, 2, 7, 1000, KEEP_MS, 0), 0);
	for (int l = 0; l < 2; l++) {
		for (uint16_t port = 1; port <= 10; port++)
			n += published(ledgers[l], ROLE_CLIENT, port);
		ledger_free(ledgers[l]);
	}
	assert_int_equal(n, 7);
	assert_int_equal(ledger_arbitrate(NULL, 0, 7, 1000, KEEP_MS, 0), 0);
}

static void test_unknown_always_has_series(void **state)
{
	(void)state;
	struct ledger *ledger = ledger_new(NULL);

	ledger_begin(ledger, TIER_FULL);
	use(ledger, ROLE_CLIENT, 80);
	add(ledger, ROLE_CLIENT, LEDGER_PORT_UNKNOWN, 3);
	arbitrate(ledger, 1, 1000);
	assert_true(published(ledger, ROLE_CLIENT, 80)); /* it takes no place */
	assert_true(published(ledger, ROLE_CLIENT, LEDGER_PORT_UNKNOWN));
	ledger_begin(ledger, TIER_FULL);
	arbitrate(ledger, 1, 1000 + 2 * KEEP_MS);
	assert_true(published(ledger, ROLE_CLIENT, LEDGER_PORT_UNKNOWN));
	assert_int_equal(counter(ledger, ROLE_CLIENT, LEDGER_PORT_UNKNOWN), 3);
	ledger_free(ledger);
}

/* Counters stop while a pair has no series and go on from there; what came meanwhile is in `other`. */
static void test_counters_over_publish_and_unpublish(void **state)
{
	(void)state;
	struct ledger *ledger = ledger_new(NULL);

	ledger_begin(ledger, TIER_FULL);
	use(ledger, ROLE_SERVER, 80);
	add(ledger, ROLE_SERVER, 80, 100);
	arbitrate(ledger, 1, 1000);
	assert_int_equal(counter(ledger, ROLE_SERVER, 80), 100);
	ledger_begin(ledger, TIER_FULL);
	ledger_pin(ledger, ROLE_SERVER, 22);
	use(ledger, ROLE_SERVER, 80);
	add(ledger, ROLE_SERVER, 80, 10); /* has series at this moment */
	arbitrate(ledger, 1, 2000);
	assert_false(published(ledger, ROLE_SERVER, 80));
	add(ledger, ROLE_SERVER, 80, 1);
	ledger_begin(ledger, TIER_FULL);
	ledger_pin(ledger, ROLE_SERVER, 22);
	arbitrate(ledger, 1, 3000);
	assert_int_equal(counter(ledger, ROLE_SERVER, 80), 110);
	assert_int_equal(ledger_other(ledger, ROLE_SERVER)[LEDGER_SENT_BYTES], 0);
	ledger_begin(ledger, TIER_FULL);
	use_stale(ledger, ROLE_SERVER, 80);
	add(ledger, ROLE_SERVER, 80, 5);
	arbitrate(ledger, 1, 4000);
	/* New again: it goes on from where it stood, but not at once. */
	assert_int_equal(counter(ledger, ROLE_SERVER, 80), 110);
	ledger_begin(ledger, TIER_FULL);
	use_stale(ledger, ROLE_SERVER, 80);
	arbitrate(ledger, 1, 4000 + LEDGER_HELD_MAX_MS);
	assert_int_equal(counter(ledger, ROLE_SERVER, 80), 115);
	assert_int_equal(ledger_other(ledger, ROLE_SERVER)[LEDGER_SENT_BYTES], 1);
	ledger_free(ledger);
}

/* Whatever the arbitration does: all counters with `other` add up to what was added, and none falls. */
static void check_sums(struct ledger *const *ledgers, size_t count, const uint64_t *added,
		       uint64_t *before, bool all)
{
	uint64_t sum[ROLE_COUNT] = { 0 };

	for (size_t l = 0; l < count; l++) {
		for (int role = 0; role < ROLE_COUNT; role++) {
			uint64_t *last = &before[(l * ROLE_COUNT + (size_t)role) * 65];

			for (uint16_t port = 0; port < 64; port++) {
				uint64_t now = counter(ledgers[l], (enum role)role, port);

				assert_true(now >= last[port]);
				last[port] = now;
				sum[role] += now + ledger_pair(ledgers[l], (enum role)role, port)
							   ->fresh[LEDGER_SENT_BYTES];
			}
			const uint64_t *other = ledger_other(ledgers[l], (enum role)role);

			if (!other)
				continue;
			assert_true(other[LEDGER_SENT_BYTES] >= last[64]);
			last[64] = other[LEDGER_SENT_BYTES];
			sum[role] += other[LEDGER_SENT_BYTES];
		}
	}
	/* What `other` holds back is missing until the end. */
	for (int role = 0; role < ROLE_COUNT; role++) {
		assert_true(sum[role] <= added[role]);
		if (all)
			assert_int_equal(sum[role], added[role]);
	}
}

static void check_count(struct ledger *const *ledgers, size_t count, uint32_t max)
{
	uint32_t n[ROLE_COUNT] = { 0 };

	for (size_t l = 0; l < count; l++) {
		size_t pairs;
		const struct ledger_pair *pair = ledger_pairs(ledgers[l], &pairs);

		for (size_t i = 0; i < pairs; i++)
			n[pair[i].role] += pair[i].published && pair[i].port != LEDGER_PORT_UNKNOWN;
	}
	for (int role = 0; role < ROLE_COUNT; role++)
		assert_in_range(n[role], 0, max);
}

static void test_random_sums(void **state)
{
	(void)state;
	struct ledger *ledgers[2] = { ledger_new(NULL), ledger_new(NULL) };
	uint64_t added[ROLE_COUNT] = { 0 };
	static uint64_t before[2 * ROLE_COUNT * 65];
	uint64_t rng = 4711;

	for (uint64_t round = 1; round <= 500; round++) {
		uint32_t max = (uint32_t)(next_random(&rng) % 20);

		for (size_t l = 0; l < 2; l++) {
			ledger_begin(ledgers[l], TIER_FULL);
			for (int i = 0; i < 60; i++) {
				enum role role = (enum role)(next_random(&rng) % 2);
				uint16_t port = (uint16_t)(next_random(&rng) % 64);
				uint64_t amount = next_random(&rng) % 1000;

				switch (next_random(&rng) % 4) {
				case 0:
					use(ledgers[l], role, port);
					break;
				case 1:
					use_stale(ledgers[l], role, port);
					break;
				case 2:
					ledger_pin(ledgers[l], role, port);
					break;
				default:
					add(ledgers[l], role, port, amount);
					added[role] += amount;
				}
			}
		}
		assert_int_equal(ledger_arbitrate(ledgers, 2, max, round * KEEP_MS / 3, KEEP_MS, 0),
				 0);
		check_sums(ledgers, 2, added, before, false);
		check_count(ledgers, 2, max);
	}
	assert_int_equal(ledger_arbitrate(ledgers, 2, 64, UINT64_C(1) << 40, KEEP_MS, 0), 0);
	assert_int_equal(ledger_arbitrate(ledgers, 2, 64, UINT64_C(1) << 41, UINT64_MAX, 0), 0);
	check_sums(ledgers, 2, added, before, true);
	ledger_free(ledgers[0]);
	ledger_free(ledgers[1]);
	ledger_free(NULL);
}

static void count_five(struct ledger *ledger, uint16_t port)
{
	ledger_begin(ledger, TIER_FULL);
	add(ledger, ROLE_CLIENT, port, 5);
}

/* Who looks at counters by their growth has to see where they began. */
static void test_new_series_begin_at_zero(void **state)
{
	(void)state;
	struct ledger *ledger = ledger_new(NULL);
	uint64_t born = 10000;

	/* What the first sample has seen is not new. */
	count_five(ledger, 80);
	arbitrate(ledger, 1, 5000);
	assert_int_equal(counter(ledger, ROLE_CLIENT, 80), 5);
	/* A pair, and `other`. */
	count_five(ledger, 80);
	add(ledger, ROLE_CLIENT, 81, 5);
	ledger_pin(ledger, ROLE_CLIENT, 82);
	add(ledger, ROLE_CLIENT, 82, 5);
	assert_int_equal(ledger_arbitrate(&ledger, 1, 2, born, KEEP_MS, 5000), 0);
	for (uint64_t now = born; now < born + LEDGER_HELD_MS; now += 5000) {
		assert_true(published(ledger, ROLE_CLIENT, 82));
		assert_int_equal(counter(ledger, ROLE_CLIENT, 82), 0);
		assert_int_equal(ledger_other(ledger, ROLE_CLIENT)[LEDGER_SENT_BYTES], 0);
		assert_int_equal(ledger_arbitrate(&ledger, 1, 2, now, KEEP_MS, now), 0);
	}
	assert_int_equal(counter(ledger, ROLE_CLIENT, 80), 10);
	/* Nobody was shown a 0 in the meantime. */
	assert_int_equal(ledger_arbitrate(&ledger, 1, 2, born + LEDGER_HELD_MS, KEEP_MS, born - 1),
			 0);
	assert_int_equal(counter(ledger, ROLE_CLIENT, 82), 0);
	assert_int_equal(ledger_arbitrate(&ledger, 1, 2, born + LEDGER_HELD_MS, KEEP_MS, born), 0);
	assert_int_equal(counter(ledger, ROLE_CLIENT, 82), 5);
	assert_int_equal(ledger_other(ledger, ROLE_CLIENT)[LEDGER_SENT_BYTES], 5);
	add(ledger, ROLE_CLIENT, 82, 2);
	assert_int_equal(counter(ledger, ROLE_CLIENT, 82), 7);
	ledger_free(ledger);
}

static void test_nobody_asks_for_new_series(void **state)
{
	(void)state;
	struct ledger *ledger = ledger_new(NULL);

	ledger_begin(ledger, TIER_FULL);
	arbitrate(ledger, 9, 1000);
	assert_true(published(ledger, ROLE_CLIENT, LEDGER_PORT_UNKNOWN)); /* from the start */
	count_five(ledger, LEDGER_PORT_UNKNOWN);
	count_five(ledger, 80);
	arbitrate(ledger, 9, 2000);
	assert_int_equal(counter(ledger, ROLE_CLIENT, LEDGER_PORT_UNKNOWN), 5);
	assert_int_equal(counter(ledger, ROLE_CLIENT, 80), 0);
	arbitrate(ledger, 9, 2000 + LEDGER_HELD_MAX_MS);
	assert_int_equal(counter(ledger, ROLE_CLIENT, 80), 5);
	ledger_free(ledger);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_views_live_one_sample),
		cmocka_unit_test(test_new_series_begin_at_zero),
		cmocka_unit_test(test_nobody_asks_for_new_series),
		cmocka_unit_test(test_a_states_sample_keeps_the_full_part),
		cmocka_unit_test(test_keep),
		cmocka_unit_test(test_pinned_needs_no_sockets),
		cmocka_unit_test(test_excluded),
		cmocka_unit_test(test_full_pairs_in_use_stay),
		cmocka_unit_test(test_full_empty_longest_yields),
		cmocka_unit_test(test_full_pinned_and_stale_displace),
		cmocka_unit_test(test_max_over_all_namespaces),
		cmocka_unit_test(test_unknown_always_has_series),
		cmocka_unit_test(test_counters_over_publish_and_unpublish),
		cmocka_unit_test(test_random_sums),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
