/*
 * Tests of pace: what a budget buys over an hour of made-up costs.
 */
#include "tcphealth/app/pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define INTERVAL_MS 5000u
#define MS          1000000u
#define HOUR        720u /* of INTERVAL_MS */

struct spending {
	unsigned int full;
	double share;         /* of one processor */
	unsigned int longest; /* ticks without a full dump */
};

/* So many ticks at these costs. */
static struct spending spend(struct pace *pace, unsigned int ticks, uint64_t full_ns,
			     uint64_t states_ns)
{
	struct spending spending = { 0 };
	double spent_ns = 0;
	unsigned int since = 0;

	for (unsigned int i = 0; i < ticks; i++) {
		enum tier tier = pace_choose(pace);
		uint64_t cost_ns = tier == TIER_FULL ? full_ns : states_ns;

		pace_pay(pace, tier, cost_ns);
		spent_ns += (double)cost_ns;
		spending.full += tier == TIER_FULL;
		since = tier == TIER_FULL ? 0 : since + 1;
		spending.longest = since > spending.longest ? since : spending.longest;
	}
	spending.share = spent_ns / ((double)ticks * INTERVAL_MS * MS);
	return spending;
}

static void test_cheap_dumps_are_always_full(void **state)
{
	struct pace pace;

	(void)state;
	pace_init(&pace, 0.05, INTERVAL_MS, 1);
	assert_int_equal(spend(&pace, HOUR, 200 * MS, 10 * MS).full, HOUR);
	assert_int_equal(pace_interval_ms(&pace, TIER_FULL), INTERVAL_MS);
	assert_int_equal(pace_interval_ms(&pace, TIER_STATES), INTERVAL_MS);
}

static void test_no_budget_is_no_limit(void **state)
{
	struct pace pace;

	(void)state;
	pace_init(&pace, 0, INTERVAL_MS, 1);
	assert_int_equal(spend(&pace, HOUR, 60000u * (uint64_t)MS, MS).full, HOUR);
}

/* 250 ms an interval: after 20 ms for each cheap sample the rest is saved for the full one. */
static void test_dear_dumps_keep_the_budget(void **state)
{
	static const uint64_t costs_ms[] = { 300, 500, 1000, 2500, 10000 };

	(void)state;
	for (size_t i = 0; i < sizeof(costs_ms) / sizeof(costs_ms[0]); i++) {
		struct pace pace;
		struct spending spending;
		double wanted = (double)HOUR / ((double)costs_ms[i] - 20) * (250 - 20);

		pace_init(&pace, 0.05, INTERVAL_MS, 1);
		spend(&pace, 100, costs_ms[i] * MS, 20 * MS);
		spending = spend(&pace, HOUR, costs_ms[i] * MS, 20 * MS);
		assert_true(spending.share < 0.0505);
		assert_true(spending.full > 0.9 * wanted - 1);
		assert_true(pace_interval_ms(&pace, TIER_FULL) >= costs_ms[i] / 250 * INTERVAL_MS);
		assert_int_equal(pace_interval_ms(&pace, TIER_STATES), INTERVAL_MS);
	}
}

static void test_however_dear_now_and_then(void **state)
{
	struct spending spending;
	struct pace pace;

	(void)state;
	pace_init(&pace, 0.001, INTERVAL_MS, 1);
	spending = spend(&pace, HOUR, 60000u * (uint64_t)MS, 1000 * MS);
	assert_in_range(spending.full, HOUR / 121, HOUR / 100);
	assert_true(spending.longest < 120);
}

static void test_end_of_a_load_is_soon_noticed(void **state)
{
	struct pace pace;

	(void)state;
	pace_init(&pace, 0.05, INTERVAL_MS, 1);
	spend(&pace, HOUR, 5000u * (uint64_t)MS, 20 * MS);
	assert_true(spend(&pace, 100, 10 * MS, MS).full > 60);
	assert_int_equal(spend(&pace, 100, 10 * MS, MS).full, 100);
	assert_int_equal(pace_interval_ms(&pace, TIER_FULL), INTERVAL_MS);
}

/* What was not spent in a quiet hour does not pay for a busy one. */
static void test_savings_are_bounded(void **state)
{
	struct pace pace;

	(void)state;
	pace_init(&pace, 0.05, INTERVAL_MS, 1);
	spend(&pace, HOUR, 10 * MS, MS);
	assert_true(spend(&pace, 60, 2000u * (uint64_t)MS, 20 * MS).share < 0.1);
}

static void test_one_slow_dump_changes_little(void **state)
{
	struct pace pace;

	(void)state;
	pace_init(&pace, 0.05, INTERVAL_MS, 1);
	spend(&pace, 100, 100 * MS, 10 * MS);
	assert_int_equal(pace_choose(&pace), TIER_FULL);
	pace_pay(&pace, TIER_FULL, 400 * MS);
	assert_int_equal(spend(&pace, 100, 100 * MS, 10 * MS).full, 100);
}

/* The first is not held against the next: it also fills tables. */
static void test_first_two_are_full(void **state)
{
	struct pace pace;

	(void)state;
	pace_init(&pace, 0.05, INTERVAL_MS, 1);
	assert_int_equal(spend(&pace, 2, 9000u * (uint64_t)MS, MS).full, 2);
	assert_int_equal(spend(&pace, 1, 9000u * (uint64_t)MS, MS).full, 0);
}

static void test_insisting_buys_the_next(void **state)
{
	struct pace pace;

	(void)state;
	pace_init(&pace, 0.05, INTERVAL_MS, 1);
	spend(&pace, 3, 9000u * (uint64_t)MS, MS);
	pace_insist(&pace);
	assert_int_equal(pace_choose(&pace), TIER_FULL);
	pace_pay(&pace, TIER_FULL, 9000u * (uint64_t)MS);
	assert_int_equal(pace_choose(&pace), TIER_STATES);
}

static void test_full_every_third(void **state)
{
	struct pace pace;

	(void)state;
	pace_init(&pace, 0.05, INTERVAL_MS, 3);
	assert_int_equal(spend(&pace, 2, 10 * MS, MS).full, 2);
	for (int round = 0; round < 10; round++) {
		assert_int_equal(spend(&pace, 2, 10 * MS, MS).full, 0);
		assert_int_equal(spend(&pace, 1, 10 * MS, MS).full, 1);
		assert_int_equal(pace_interval_ms(&pace, TIER_FULL), 3 * INTERVAL_MS);
		assert_int_equal(pace_interval_ms(&pace, TIER_STATES), INTERVAL_MS);
	}
	/* A lost one is made up for at once, and the third after it is the next. */
	pace_insist(&pace);
	assert_int_equal(spend(&pace, 1, 10 * MS, MS).full, 1);
	assert_int_equal(spend(&pace, 2, 10 * MS, MS).full, 0);
	assert_int_equal(spend(&pace, 1, 10 * MS, MS).full, 1);
}

/* The others save for it: twice an interval's income is there by the third, ten times is not. */
static void test_the_budget_stretches_further(void **state)
{
	struct pace pace;
	struct spending spending;

	(void)state;
	pace_init(&pace, 0.05, INTERVAL_MS, 3);
	assert_int_equal(spend(&pace, HOUR, 500 * MS, 20 * MS).full, HOUR / 3 + 1);
	pace_init(&pace, 0.05, INTERVAL_MS, 3);
	spend(&pace, 100, 2500u * (uint64_t)MS, 20 * MS);
	spending = spend(&pace, HOUR, 2500u * (uint64_t)MS, 20 * MS);
	assert_in_range(spending.full, HOUR / 13, HOUR / 9);
	assert_true(spending.share < 0.0505);
}

/* While the next full dump is waited for longer than the last was, its interval is longer already. */
static void test_interval_grows_while_waiting(void **state)
{
	struct pace pace;

	(void)state;
	pace_init(&pace, 0.05, INTERVAL_MS, 1);
	spend(&pace, 2, 9000u * (uint64_t)MS, MS);
	assert_int_equal(pace_interval_ms(&pace, TIER_FULL), INTERVAL_MS);
	spend(&pace, 10, 9000u * (uint64_t)MS, MS);
	assert_int_equal(pace_interval_ms(&pace, TIER_FULL), 10 * INTERVAL_MS);
}

/*
 * At a steady load the distances between full dumps differ by one tick; where the cost varies by a tenth, by little more. None is saved for
 * long to be followed by several.
 */
static void test_no_oscillation(void **state)
{
	static const unsigned int percent[] = { 95, 99, 100, 101, 105, 130, 200, 333, 750, 2000 };

	(void)state;
	for (size_t i = 0; i < sizeof(percent) / sizeof(percent[0]); i++) {
		for (unsigned int noise = 0; noise <= 10; noise += 10) {
			unsigned int since = 0, shortest = 1000, longest = 0;
			uint64_t rng = 88172645463325252u;
			struct pace pace;

			pace_init(&pace, 0.05, INTERVAL_MS, 1);
			for (unsigned int tick = 0; tick < 3 * HOUR; tick++) {
				uint64_t full_ms = 250 * percent[i] / 100;
				enum tier tier = pace_choose(&pace);

				rng = rng * 6364136223846793005u + 1442695040888963407u;
				full_ms = full_ms * (100 - noise + (rng >> 33) % (2 * noise + 1)) /
					  100;
				pace_pay(&pace, tier, (tier == TIER_FULL ? full_ms : 5) * MS);
				since++;
				if (tier != TIER_FULL)
					continue;
				if (tick > HOUR && since < shortest)
					shortest = since;
				if (tick > HOUR && since > longest)
					longest = since;
				since = 0;
			}
			assert_true(longest - shortest <= (noise == 0 ? 1u : 2u + longest / 5));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cheap_dumps_are_always_full),
		cmocka_unit_test(test_no_budget_is_no_limit),
		cmocka_unit_test(test_dear_dumps_keep_the_budget),
		cmocka_unit_test(test_however_dear_now_and_then),
		cmocka_unit_test(test_end_of_a_load_is_soon_noticed),
		cmocka_unit_test(test_savings_are_bounded),
		cmocka_unit_test(test_one_slow_dump_changes_little),
		cmocka_unit_test(test_first_two_are_full),
		cmocka_unit_test(test_insisting_buys_the_next),
		cmocka_unit_test(test_full_every_third),
		cmocka_unit_test(test_the_budget_stretches_further),
		cmocka_unit_test(test_interval_grows_while_waiting),
		cmocka_unit_test(test_no_oscillation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
