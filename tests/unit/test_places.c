/* places: who leaves for whom. */
#include "tcphealth/web/places.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <stdio.h>

#define PER_SHARE 2
#define COUNT     8 /* seats: 7 */

/* One connection comes, at a time of its own. Its descriptor counts from 1. */
struct comer {
	const char *from;
	/* Whose descriptor leaves for it; 0: nobody. */
	int leaver;
};

static struct place place_of(int fd, const char *from)
{
	struct sockaddr_in6 peer = { .sin6_family = AF_INET6 };

	assert_int_equal(inet_pton(AF_INET6, from, &peer.sin6_addr), 1);
	return (struct place){ .fd = fd,
			       .share = share_of((const struct sockaddr *)&peer),
			       .connected = true,
			       .since_ns = (uint64_t)fd,
			       .deadline_ms = 1000 };
}

/* Who leaves, as above. Whoever does is closed at once. */
static int come(struct places *places, const struct place *newcomer)
{
	struct place *leaver = places_take(places, newcomer);
	int fd = leaver ? leaver->fd : 0;

	if (leaver)
		places_release(places, leaver);
	return fd;
}

static void come_all(struct places *places, const struct comer *comers, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct place newcomer = place_of((int)i + 1, comers[i].from);
		assert_int_equal(come(places, &newcomer), comers[i].leaver);
	}
}

#define COME_ALL(places, comers) come_all(places, comers, sizeof(comers) / sizeof((comers)[0]))

static struct places begin(unsigned int count)
{
	struct places places;

	assert_true(places_init(&places, count, PER_SHARE));
	return places;
}

static void test_a_share_keeps_to_itself(void **state)
{
	static const struct comer comers[] = {
		{ "::ffff:10.0.0.1", 0 },
		{ "::ffff:127.0.0.1", 0 },
		{ "2001:db8::1", 0 },
		{ "::ffff:10.0.0.1", 0 },
		{ "::ffff:127.0.0.2", 0 },
		{ "2001:db8::2", 0 },
		/* The longest idle of its own, whatever the others do. */
		{ "::ffff:10.0.0.1", 1 },
		{ "::1", 2 },
		{ "2001:db8::3", 3 },
		{ "2001:db8::3", 6 },
	};
	struct places places = begin(COUNT);

	(void)state;
	COME_ALL(&places, comers);
	places_done(&places);
}

/* Many networks of one /48, or one /56, crowd out themselves and nobody else. */
static void test_a_full_house_takes_from_the_largest(void **state)
{
	static const struct comer many_56[] = {
		{ "::ffff:10.0.0.1", 0 },
		{ "::ffff:10.0.0.1", 0 },
		{ "2001:db8:0:100::1", 0 },
		{ "2001:db8:0:200::1", 0 },
		{ "2001:db8:0:300::1", 0 },
		{ "2001:db8:1::1", 0 },
		{ "2001:db8:1::1", 0 },
		{ "2001:db8:0:400::1", 3 },
		{ "::ffff:10.0.0.2", 4 },
		/* Three shares have two each: the longest idle of all leaves. */
		{ "::ffff:10.0.0.3", 1 },
	};
	static const struct comer many_64[] = {
		{ "2001:db8:0:100::1", 0 },
		{ "2001:db8:0:101::1", 0 },
		{ "2001:db8:0:200::1", 0 },
		{ "2001:db8:0:201::1", 0 },
		{ "2001:db8:0:201::1", 0 },
		{ "2001:db8:1::1", 0 },
		{ "2001:db8:1::2", 0 },
		/* Of the /48 with five, the /56 with three, the /64 with two. */
		{ "::ffff:10.0.0.1", 4 },
	};
	struct places places = begin(COUNT);

	(void)state;
	COME_ALL(&places, many_56);
	places_done(&places);
	places = begin(COUNT);
	COME_ALL(&places, many_64);
	places_done(&places);
}

/* A house full of addresses that have one each lets in all the same. */
static void test_many_addresses(void **state)
{
	struct places places = begin(COUNT);

	(void)state;
	for (int i = 1; i < 100; i++) {
		char from[32];
		(void)snprintf(from, sizeof(from), "::ffff:10.0.1.%d", i);
		struct place newcomer = place_of(i, from);
		assert_int_equal(come(&places, &newcomer), i < COUNT ? 0 : i - COUNT + 1);
	}
	places_done(&places);
}

static void test_idle_ones_first(void **state)
{
	struct places places = begin(COUNT);
	struct place a = place_of(1, "::1"), b = place_of(2, "::1"), c = place_of(3, "::1"),
		     d = place_of(4, "::1");

	(void)state;
	a.asking = true;
	assert_int_equal(come(&places, &a), 0);
	assert_int_equal(come(&places, &b), 0);
	assert_int_equal(come(&places, &c), 2);
	/* All are being answered: the oldest. */
	places_find(&places, 3)->asking = true;
	assert_int_equal(come(&places, &d), 1);
	places_done(&places);
}

/* Whoever is leaving holds its descriptor but no seat; there are spare places meanwhile. */
static void test_leaving_takes_time(void **state)
{
	struct places places = begin(3); /* seats: 2 */

	(void)state;
	for (int fd = 1; fd <= 3; fd++) {
		struct place newcomer = place_of(fd, "::1"), *leaver;
		assert_true(places_has_room(&places));
		leaver = places_take(&places, &newcomer);
		assert_int_equal(leaver ? leaver->fd : 0, fd == 3 ? 1 : 0);
	}
	assert_true(places_find(&places, 1)->leaving);
	assert_false(places_has_room(&places));
	places_release(&places, places_find(&places, 1));
	assert_true(places_has_room(&places));
	struct place newcomer = place_of(4, "::1");
	assert_int_equal(places_take(&places, &newcomer)->fd, 2);
	places_done(&places);
}

/* A descriptor that comes again was closed unseen. */
static void test_closed_unseen(void **state)
{
	struct places places = begin(COUNT);
	struct place a = place_of(1, "::1"), b = place_of(2, "::1");

	(void)state;
	assert_int_equal(come(&places, &a), 0);
	assert_int_equal(come(&places, &b), 0);
	assert_int_equal(come(&places, &a), 0);
	assert_int_equal(places.used, 2);
	places_done(&places);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_share_keeps_to_itself),
		cmocka_unit_test(test_a_full_house_takes_from_the_largest),
		cmocka_unit_test(test_many_addresses),
		cmocka_unit_test(test_idle_ones_first),
		cmocka_unit_test(test_leaving_takes_time),
		cmocka_unit_test(test_closed_unseen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
