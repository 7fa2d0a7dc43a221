/* Unit tests of hash. */
#include "tcphealth/base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>

#include <cmocka.h>

enum { MANY = 100000 };

static uint64_t hash_of(uint64_t key)
{
	return hash_mix(hash_seed, key);
}

static uint32_t find(const struct hash *hash, const uint64_t *keys, uint64_t key)
{
	uint32_t i;

	for (size_t at = 0; (i = hash_next(hash, hash_of(key), &at)) != HASH_END;)
		if (keys[i] == key)
			return i;
	return HASH_END;
}

static void test_empty(void **state)
{
	struct hash hash = { 0 };
	size_t at = 0;

	(void)state;
	assert_int_equal(hash_next(&hash, 7, &at), HASH_END);
	hash_reset(&hash);
	hash_done(&hash);
}

/* Through all the growing each is found, and nothing that was not added. */
static void test_find(void **state)
{
	static uint64_t keys[MANY];
	struct hash hash = { 0 };

	(void)state;
	for (uint32_t i = 0; i < MANY; i++) {
		keys[i] = (uint64_t)i * 64;
		assert_int_equal(find(&hash, keys, keys[i]), HASH_END);
		assert_int_equal(hash_add(&hash, hash_of(keys[i]), i), 0);
		assert_int_equal(find(&hash, keys, keys[i]), i);
	}
	assert_int_equal(hash.count, MANY);
	for (uint32_t i = 0; i < MANY; i++) {
		assert_int_equal(find(&hash, keys, keys[i]), i);
		assert_int_equal(find(&hash, keys, keys[i] + 1), HASH_END);
	}
	hash_done(&hash);
	assert_int_equal(find(&hash, keys, 0), HASH_END);
}

/* Elements whose hashes are equal all come, and each once. */
static void test_equal_hashes(void **state)
{
	struct hash hash = { 0 };

	(void)state;
	for (uint64_t h = 0; h < 3; h++)
		for (uint32_t i = 0; i < 500; i++)
			assert_int_equal(hash_add(&hash, h, (size_t)(i * 3 + h)), 0);
	for (uint64_t h = 0; h < 3; h++) {
		bool seen[1500] = { false };
		unsigned int count = 0;
		uint32_t i;

		for (size_t at = 0; (i = hash_next(&hash, h, &at)) != HASH_END; count++) {
			assert_int_equal(i % 3, h);
			assert_false(seen[i]);
			seen[i] = true;
		}
		assert_int_equal(count, 500);
	}
	hash_done(&hash);
}

static void test_reset(void **state)
{
	static const uint64_t keys[] = { 1, 2 };
	struct hash hash = { 0 };
	size_t size;

	(void)state;
	for (size_t i = 0; i < 1000; i++)
		assert_int_equal(hash_add(&hash, hash_of(1), 0), 0);
	size = hash.size;
	hash_reset(&hash);
	assert_int_equal(hash.count, 0);
	assert_int_equal(find(&hash, keys, 1), HASH_END);
	for (size_t i = 0; i < 1000; i++)
		assert_int_equal(hash_add(&hash, hash_of(2), 1), 0);
	assert_int_equal(hash.size, size);
	assert_int_equal(find(&hash, keys, 1), HASH_END);
	assert_int_equal(find(&hash, keys, 2), 1);
	hash_done(&hash);
}

/* Whatever bit of the values two of them differ in, their hashes differ in many, of the lower half as well. */
static void test_mix(void **state)
{
	(void)state;
	for (unsigned int bit = 0; bit < 64; bit++) {
		uint64_t value = UINT64_C(1) << bit, next = UINT64_C(1) << (bit + 1) % 64;

		assert_int_not_equal((uint32_t)hash_of(0), (uint32_t)hash_of(value));
		assert_int_not_equal((uint32_t)hash_of(next), (uint32_t)hash_of(value));
		assert_int_not_equal((uint32_t)hash_mix(hash_of(value), next),
				     (uint32_t)hash_mix(hash_of(next), value));
	}
}

/* All four words of an address count, each in its place. */
static void test_mix_address(void **state)
{
	uint64_t seen[5];

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		struct in6_addr addr = { 0 };

		if (i < 4)
			addr.s6_addr[i * 4 + 1] = 1;
		seen[i] = hash_mix_address(hash_seed, &addr);
		for (size_t k = 0; k < i; k++)
			assert_int_not_equal(seen[k], seen[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),        cmocka_unit_test(test_find),
		cmocka_unit_test(test_equal_hashes), cmocka_unit_test(test_reset),
		cmocka_unit_test(test_mix),          cmocka_unit_test(test_mix_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
