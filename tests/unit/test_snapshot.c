/*
 * Tests of snapshot and of the names of stale reasons.
 */
#include "tcphealth/model/snapshot.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BLOCKS 500
#define SHARES 2000

static void test_new_is_empty(void **state)
{
	(void)state;
	struct snapshot *snapshot = snapshot_new(3);

	assert_non_null(snapshot);
	assert_int_equal(snapshot->ns_count, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_null(snapshot->ns[i].name);
		assert_null(snapshot->ns[i].pairs);
		assert_int_equal(snapshot->ns[i].can, 0);
		assert_int_equal(snapshot->ns[i].listener_unit_count, 0);
	}
	snapshot_unref(snapshot);
}

static void test_new_without_namespaces(void **state)
{
	(void)state;
	struct snapshot *snapshot = snapshot_new(0);

	assert_non_null(snapshot);
	assert_int_equal(snapshot->ns_count, 0);
	snapshot_unref(snapshot);
}

static bool is_filled(const unsigned char *data, size_t len, unsigned char value)
{
	for (size_t i = 0; i < len; i++)
		if (data[i] != value)
			return false;
	return true;
}

/* Sizes around a chunk's, so that all ways to find room are taken. */
static size_t block_len(size_t i)
{
	static const size_t lens[] = { 1, 7, 16, 100, 4000, 16384, 16385, 65536, 300000 };

	return lens[i % (sizeof(lens) / sizeof(lens[0]))];
}

static void test_blocks_are_zeroed_aligned_and_apart(void **state)
{
	(void)state;
	struct snapshot *snapshot = snapshot_new(1);
	unsigned char *blocks[BLOCKS];

	for (size_t i = 0; i < BLOCKS; i++) {
		blocks[i] = snapshot_alloc(snapshot, 1, block_len(i));
		assert_non_null(blocks[i]);
		assert_int_equal((uintptr_t)blocks[i] % _Alignof(max_align_t), 0);
		assert_true(is_filled(blocks[i], block_len(i), 0));
		memset(blocks[i], (int)(i % 251) + 1, block_len(i));
	}
	for (size_t i = 0; i < BLOCKS; i++)
		assert_true(is_filled(blocks[i], block_len(i), (unsigned char)(i % 251 + 1)));
	assert_null(snapshot->ns[0].name);
	snapshot_unref(snapshot);
}

static void test_impossible_sizes_fail(void **state)
{
	(void)state;
	struct snapshot *snapshot = snapshot_new(1);

	assert_null(snapshot_alloc(snapshot, SIZE_MAX, 2));
	assert_null(snapshot_alloc(snapshot, SIZE_MAX, 1));
	assert_null(snapshot_alloc(snapshot, SIZE_MAX - 24, 1));
	assert_non_null(snapshot_alloc(snapshot, 0, 8));
	assert_non_null(snapshot_alloc(snapshot, 4, 8));
	assert_null(snapshot_new(SIZE_MAX / 2));
	snapshot_unref(snapshot);
}

static void *share(void *arg)
{
	for (int i = 0; i < SHARES; i++)
		snapshot_unref(snapshot_ref(arg));
	snapshot_unref(arg);
	return NULL;
}

/* Whether too many or too few are freed is for the sanitizers to see. */
static void test_references_across_threads(void **state)
{
	(void)state;
	struct snapshot *snapshot = snapshot_new(1);
	pthread_t threads[3];

	snapshot->sockets = 42;
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, share, snapshot_ref(snapshot)),
				 0);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(snapshot->sockets, 42);
	snapshot_unref(snapshot);
}

static void test_null_is_fine(void **state)
{
	(void)state;
	assert_null(snapshot_ref(NULL));
	snapshot_unref(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_new_is_empty),
		cmocka_unit_test(test_new_without_namespaces),
		cmocka_unit_test(test_blocks_are_zeroed_aligned_and_apart),
		cmocka_unit_test(test_impossible_sizes_fail),
		cmocka_unit_test(test_references_across_threads),
		cmocka_unit_test(test_null_is_fine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
