/*
 * Tests of track: against a plain table, and of the order that it learns.
 */
#include "tcphealth/model/track.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define IDS 6000u

/* xorshift64: the same numbers in every run. */
static size_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (size_t)*state;
}

/* Ids are spread over 64 bits, some alike in their low or high half. */
static uint64_t id_of(uint32_t i)
{
	switch (i % 3) {
	case 0:
		return i + 1;
	case 1:
		return (uint64_t)(i + 1) << 32;
	default:
		return (i + 1) * UINT64_C(0x9E3779B97F4A7C15) | 1;
	}
}

static void see(struct track *track, uint64_t id, bool expect_created, bool expect_again)
{
	bool created, again;
	struct track_entry *entry = track_see(track, id, &created, &again);

	assert_non_null(entry);
	assert_int_equal(entry->id, id);
	assert_int_equal(created, expect_created);
	assert_int_equal(again, expect_again);
}

static void nothing(void *arg, struct track_entry *entry)
{
	(void)arg;
	(void)entry;
}

struct sweeping {
	struct track *track;
	const bool *seen; /* by number */
	size_t calls;
	bool remove;
};

static uint32_t number_of(const struct track_entry *entry)
{
	return entry->acked_low;
}

static void check_unseen(void *arg, struct track_entry *entry)
{
	struct sweeping *s = arg;

	assert_false(s->seen[number_of(entry)]);
	s->calls++;
	if (s->remove)
		track_remove(s->track, entry);
}

/* The plain table: which numbers are in, and a value that must come back with each. */
struct plain {
	bool in[IDS];
	uint32_t value[IDS];
	size_t count;
};

static void count_entry(void *arg, struct track_entry *entry)
{
	size_t *count = arg;

	assert_int_not_equal(entry->id, 0);
	++*count;
}

static size_t count_of(struct track *track)
{
	size_t count = 0;

	track_each(track, count_entry, &count);
	return count;
}

static void compare(struct track *track, const struct plain *plain)
{
	assert_int_equal(count_of(track), plain->count);
	for (uint32_t i = 0; i < IDS; i++) {
		const struct track_entry *entry = track_find(track, id_of(i));

		assert_int_equal(entry != NULL, plain->in[i]);
		if (entry == NULL)
			continue;
		assert_int_equal(entry->acked_low, i);
		assert_int_equal(entry->retrans, plain->value[i]);
	}
}

static void shuffle(uint32_t *order, size_t n, uint64_t *rng, size_t swaps)
{
	for (size_t i = 0; i < swaps && n != 0; i++) {
		size_t a = next_random(rng) % n, b = next_random(rng) % n;
		uint32_t t = order[a];

		order[a] = order[b];
		order[b] = t;
	}
}

static void see_number(struct track *track, struct plain *plain, uint32_t i, bool *seen,
		       uint64_t *rng)
{
	bool created, again;
	struct track_entry *entry = track_see(track, id_of(i), &created, &again);

	assert_non_null(entry);
	assert_int_equal(entry->id, id_of(i));
	assert_int_equal(created, !plain->in[i]);
	assert_int_equal(again, seen[i]);
	if (created) {
		assert_int_equal(entry->retrans, 0);
		assert_int_equal(entry->state, 0);
		plain->in[i] = true;
		plain->count++;
	}
	if (!again) {
		plain->value[i] = (uint32_t)next_random(rng);
		entry->retrans = plain->value[i];
		entry->acked_low = i;
	}
	seen[i] = true;
}

/* One dump of some of the numbers, in an order that changes little or much, some twice. */
static void dump(struct track *track, struct plain *plain, enum tier tier, uint32_t *order,
		 size_t n, bool *seen, uint64_t *rng)
{
	track_begin(track, tier);
	memset(seen, 0, IDS * sizeof(*seen));
	for (size_t i = 0; i < n; i++) {
		see_number(track, plain, order[i], seen, rng);
		if (next_random(rng) % 50 == 0)
			see_number(track, plain, order[i], seen, rng);
		if (next_random(rng) % 100 == 0)
			see_number(track, plain, order[next_random(rng) % (i + 1)], seen, rng);
	}
}

static void remove_some(struct track *track, struct plain *plain, uint64_t *rng)
{
	for (uint64_t k = next_random(rng) % 200; k > 0; k--) {
		uint32_t i = (uint32_t)(next_random(rng) % IDS);

		if (!plain->in[i])
			continue;
		track_remove(track, track_find(track, id_of(i)));
		plain->in[i] = false;
		plain->count--;
	}
}

/* Some states dumps, of which some break off and some lose an entry: the full dump behind them must not notice. */
static void dump_states(struct track *track, struct plain *plain, uint32_t *order, uint64_t *rng)
{
	static bool seen[IDS];

	for (uint64_t k = next_random(rng) % 4; k > 0; k--) {
		size_t n = next_random(rng) % (IDS / 10);

		shuffle(order, n, rng, next_random(rng) % 3 == 0 ? IDS : 3);
		dump(track, plain, TIER_STATES, order, n, seen, rng);
		if (next_random(rng) % 4 == 0)
			remove_some(track, plain, rng);
		if (next_random(rng) % 5 != 0)
			track_end_states(track);
		if (next_random(rng) % 4 == 0)
			remove_some(track, plain, rng);
		compare(track, plain);
	}
}

static void test_against_a_plain_table(void **state)
{
	(void)state;
	struct track *track = track_new();
	static struct plain plain;
	static bool seen[IDS];
	static uint32_t order[IDS];
	uint64_t rng = 88172645463325252u;

	for (uint32_t i = 0; i < IDS; i++)
		order[i] = i;
	for (int round = 0; round < 150; round++) {
		size_t n = round % 10 == 9 ? next_random(&rng) % 100 : next_random(&rng) % IDS;
		bool aborted = next_random(&rng) % 5 == 0;
		struct sweeping s = { track, seen, 0, next_random(&rng) % 3 == 0 };
		size_t unseen = 0;

		shuffle(order, n, &rng, round % 4 == 0 ? IDS : 20);
		dump_states(track, &plain, order, &rng);
		dump(track, &plain, TIER_FULL, order, n, seen, &rng);
		if (round % 7 == 0)
			remove_some(track, &plain, &rng);
		for (uint32_t i = 0; i < IDS; i++)
			unseen += plain.in[i] && !seen[i];
		if (!aborted) {
			track_sweep(track, check_unseen, &s);
			assert_int_equal(s.calls, unseen);
			for (uint32_t i = 0; i < IDS && s.remove; i++) {
				plain.count -= plain.in[i] && !seen[i];
				plain.in[i] = plain.in[i] && seen[i];
			}
			remove_some(track, &plain, &rng);
			track_trim(track);
		}
		compare(track, &plain);
	}
	track_free(track);
}

static void remove_odd(void *arg, struct track_entry *entry)
{
	if (entry->id & 1)
		track_remove(arg, entry);
}

static uint64_t cgroup_of(uint64_t id)
{
	return 77 + id / 1000 % 3;
}

static void test_growth_each_and_trim(void **state)
{
	(void)state;
	const uint64_t n = 200000;
	struct track *track = track_new();

	track_begin(track, TIER_FULL);
	for (uint64_t id = 1; id <= n; id++)
		see(track, id, true, false);
	for (uint64_t id = 1; id <= n; id++)
		track_note_cgroup(track, track_find(track, id), cgroup_of(id));
	track_sweep(track, nothing, NULL);
	assert_int_equal(count_of(track), n);
	track_each(track, remove_odd, track);
	assert_int_equal(count_of(track), n / 2);
	for (uint64_t id = 1; id <= n; id++)
		assert_int_equal(track_find(track, id) != NULL, id % 2 == 0);
	/* Few are left: the memory shrinks, what is left stays. */
	for (uint64_t id = 2; id <= n; id += 2) {
		if (id % 1000 != 0)
			track_remove(track, track_find(track, id));
	}
	track_trim(track);
	assert_int_equal(count_of(track), n / 1000);
	for (uint64_t id = 1; id <= n; id++)
		assert_int_equal(track_find(track, id) != NULL, id % 1000 == 0);
	for (uint64_t id = 1000; id <= n; id += 1000)
		assert_int_equal(track_cgroup(track, track_find(track, id)), cgroup_of(id));
	track_begin(track, TIER_FULL);
	for (uint64_t id = 1; id <= n; id++)
		see(track, id, id % 1000 != 0, false);
	track_sweep(track, nothing, NULL);
	assert_int_equal(count_of(track), n);
	track_free(track);
}

/* An id that does not fit is unknown, not cut; a place that is used again tells of its new socket. */
static void test_cgroups(void **state)
{
	(void)state;
	struct track *track = track_new();
	const uint64_t cgroups[] = { 12, 0, UINT32_MAX, UINT64_C(1) << 32, 12 };
	const uint64_t expected[] = { 12, 0, UINT32_MAX, 0, 12 };

	track_begin(track, TIER_FULL);
	for (uint64_t id = 1; id <= 5; id++) {
		see(track, id, true, false);
		track_note_cgroup(track, track_find(track, id), cgroups[id - 1]);
	}
	for (uint64_t id = 1; id <= 5; id++)
		assert_int_equal(track_cgroup(track, track_find(track, id)), expected[id - 1]);
	track_remove(track, track_find(track, 3));
	see(track, 6, true, false);
	track_note_cgroup(track, track_find(track, 6), 12);
	assert_int_equal(track_cgroup(track, track_find(track, 6)), 12);
	track_free(track);
}

static void test_trim_of_an_empty_table(void **state)
{
	(void)state;
	struct track *track = track_new();

	track_begin(track, TIER_FULL);
	for (uint64_t id = 1; id <= 5000; id++)
		see(track, id, true, false);
	track_sweep(track, nothing, NULL);
	for (uint64_t id = 1; id <= 5000; id++)
		track_remove(track, track_find(track, id));
	track_trim(track);
	assert_int_equal(count_of(track), 0);
	track_begin(track, TIER_FULL);
	see(track, 7, true, false);
	track_sweep(track, nothing, NULL);
	assert_non_null(track_find(track, 7));
	track_free(track);
}

static void collect(void *arg, struct track_entry *entry)
{
	*(uint64_t *)arg += entry->id;
}

/* A dump that began and broke off, once or several times, makes nothing look seen, or unseen, later. */
static void test_aborted_dumps(void **state)
{
	(void)state;
	for (int aborts = 1; aborts <= 4; aborts++) {
		struct track *track = track_new();
		uint64_t unseen = 0;

		track_begin(track, TIER_FULL);
		see(track, 1, true, false);
		see(track, 2, true, false);
		see(track, 4, true, false);
		track_sweep(track, collect, &unseen);
		assert_int_equal(unseen, 0);
		for (int i = 0; i < aborts; i++) {
			track_begin(track, TIER_FULL);
			see(track, 2, false, false);
			see(track, 8, i == 0, false);
		}
		track_begin(track, TIER_FULL);
		see(track, 1, false, false);
		see(track, 1, false, true);
		track_sweep(track, collect, &unseen);
		assert_int_equal(unseen, 2 + 4 + 8);
		unseen = 0;
		track_begin(track, TIER_FULL);
		see(track, 8, false, false);
		track_sweep(track, collect, &unseen);
		assert_int_equal(unseen, 1 + 2 + 4);
		track_free(track);
	}
}

/* Entries of the free list and stale links must never be taken for the one that was asked for. */
static void test_links_to_removed_entries(void **state)
{
	(void)state;
	struct track *track = track_new();

	track_begin(track, TIER_FULL);
	for (uint64_t id = 1; id <= 100; id++)
		see(track, id, true, false);
	track_sweep(track, nothing, NULL);
	for (uint64_t id = 10; id <= 90; id += 2)
		track_remove(track, track_find(track, id));
	track_remove(track, track_find(track, 1));   /* the first */
	track_remove(track, track_find(track, 100)); /* and the last of the order */
	track_begin(track, TIER_FULL);
	for (uint64_t id = 200; id < 220; id++) /* these take the places of removed ones */
		see(track, id, true, false);
	for (uint64_t id = 2; id <= 99; id++)
		see(track, id, id >= 10 && id <= 90 && id % 2 == 0, false);
	track_remove(track, track_find(track, 99)); /* where the cursor stands */
	see(track, 1, true, false);
	see(track, 99, true, false);
	see(track, 100, true, false);
	track_sweep(track, nothing, NULL);
	assert_int_equal(count_of(track), 120);
	track_free(track);
}

static void test_null_and_unknown(void **state)
{
	(void)state;
	struct track *track = track_new();

	assert_null(track_find(track, 5));
	track_sweep(track, nothing, NULL);
	track_trim(track);
	assert_int_equal(count_of(track), 0);
	track_free(track);
	track_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_a_plain_table),
		cmocka_unit_test(test_growth_each_and_trim),
		cmocka_unit_test(test_cgroups),
		cmocka_unit_test(test_trim_of_an_empty_table),
		cmocka_unit_test(test_aborted_dumps),
		cmocka_unit_test(test_links_to_removed_entries),
		cmocka_unit_test(test_null_and_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
