/* Unit tests of keyed. */
#include "tcphealth/base/keyed.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { MANY = 10000 };

struct element {
	uint64_t key;
	uint32_t value;
};

static struct element *find(const struct keyed *keyed, uint64_t key)
{
	return keyed_find(keyed, sizeof(struct element), hash_mix(hash_seed, key));
}

static struct element *add(struct keyed *keyed, uint64_t key)
{
	return keyed_add(keyed, sizeof(struct element), hash_mix(hash_seed, key));
}

/* Through all the growing each is found with what was put into it, and nothing that was not added. */
static void test_find(void **state)
{
	struct keyed keyed = { 0 };

	(void)state;
	assert_null(find(&keyed, 0));
	for (uint32_t i = 0; i < MANY; i++) {
		assert_null(find(&keyed, i * 64));
		add(&keyed, i * 64)->value = i;
	}
	assert_int_equal(keyed.count, MANY);
	for (uint32_t i = 0; i < MANY; i++) {
		assert_int_equal(find(&keyed, i * 64)->value, i);
		assert_null(find(&keyed, i * 64 + 1));
	}
	keyed_done(&keyed);
	assert_null(find(&keyed, 0));
}

static void test_first_of_equal_keys(void **state)
{
	struct keyed keyed = { 0 };

	(void)state;
	add(&keyed, 7)->value = 1;
	add(&keyed, 7)->value = 2;
	assert_int_equal(keyed.count, 2);
	assert_int_equal(find(&keyed, 7)->value, 1);
	keyed_done(&keyed);
}

static void test_reset(void **state)
{
	struct keyed keyed = { 0 };

	(void)state;
	add(&keyed, 7)->value = 1;
	keyed_reset(&keyed);
	assert_int_equal(keyed.count, 0);
	assert_null(find(&keyed, 7));
	add(&keyed, 8)->value = 2;
	assert_int_equal(find(&keyed, 8)->value, 2);
	keyed_done(&keyed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_first_of_equal_keys),
		cmocka_unit_test(test_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
