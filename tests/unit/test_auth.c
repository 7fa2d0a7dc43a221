/* auth, bcrypt and ratelimit: headers, hashes, who is right, and turns in the lane. */
#include "tcphealth/web/auth.h"
#include "tcphealth/web/ratelimit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <crypt.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SALT         "abcdefghijklmnopqrstuu"

static struct bcrypt_hash hash_of(const char *password, unsigned int cost)
{
	struct crypt_data *data = calloc(1, sizeof(*data));
	struct bcrypt_hash hash;
	char setting[64];

	assert_non_null(data);
	(void)snprintf(setting, sizeof(setting), "$2b$%02u$" SALT, cost);
	const char *text = crypt_rn(password, setting, data, sizeof(*data));
	assert_null(bcrypt_parse(text, strlen(text), &hash));
	free(data);
	return hash;
}

static void test_headers(void **state)
{
	static const struct {
		const char *header, *name, *password; /* NULL: refused */
	} cases[] = {
		{ "Basic YTpi", "a", "b" },
		{ "bAsIc YTpi", "a", "b" },
		{ "Basic YWxpY2U6czpl", "alice", "s:e" },
		{ "Basic Og==", "", "" },
		{ "Basic YTo=", "a", "" },
		{ "Basic OmI=", "", "b" },
		{ "Basic w7w6w7w=", "\xc3\xbc", "\xc3\xbc" },
		{ NULL, NULL, NULL },
		{ "", NULL, NULL },
		{ "Basic", NULL, NULL },
		{ "Basic ", NULL, NULL },
		{ "Basic =", NULL, NULL },
		{ "Basic ====", NULL, NULL },
		{ "Basic YTp", NULL, NULL },
		{ "Basic YTpi=", NULL, NULL },
		{ "Basic YT=i", NULL, NULL },
		{ "Basic YTpi ", NULL, NULL },
		{ "Basic YT\tpi", NULL, NULL },
		{ "Basic YTo-", NULL, NULL },
		{ "Basic YTpiYR==", NULL, NULL }, /* bits that no encoder leaves */
		{ "Basic  YTpi", NULL, NULL },
		{ "Basic YWxp", NULL, NULL },     /* no colon */
		{ "Basic YTpiAA==", NULL, NULL }, /* a NUL */
		{ "Basic AGE6Yg==", NULL, NULL },
		{ "Digest YTpi", NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct auth_pair pair;
		assert_int_equal(auth_parse(cases[i].header, &pair), cases[i].name != NULL);
		if (!cases[i].name)
			continue;
		assert_string_equal(pair.name, cases[i].name);
		assert_string_equal(pair.password, cases[i].password);
		assert_int_equal(pair.password_len, strlen(cases[i].password));
	}
}

/* "Basic " and the base64 of "a:" and so many bytes 0x69 ('i'): that of "aaa" repeats. */
static void test_length_of_a_header(void **state)
{
	static const struct {
		size_t groups;
		bool good;
	} cases[] = { { 10, true },
		      { AUTH_TEXT_MAX / 3 - 1, true },
		      { AUTH_TEXT_MAX / 3 + 1, false },
		      { 5000, false } };

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char *header = calloc(1, 16 + cases[i].groups * 4);
		struct auth_pair pair;
		assert_non_null(header);
		strcpy(header, "Basic YTph");
		for (size_t group = 1; group < cases[i].groups; group++)
			memcpy(header + 6 + group * 4, "YWFh", 4);
		assert_int_equal(auth_parse(header, &pair), cases[i].good);
		if (cases[i].good)
			assert_int_equal(pair.password_len, cases[i].groups * 3 - 2);
		free(header);
	}
}

static void test_bcrypt_texts(void **state)
{
#define REST "QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi"
	static const struct {
		const char *text;
		unsigned int cost; /* 0: refused */
	} cases[] = {
		{ "$2y$10$" REST, 10 }, { "$2a$04$" REST, 4 },  { "$2b$31$" REST, 31 },
		{ "$2$10$" REST, 10 },  { "$1y$10$" REST, 10 }, { "$2y$10$" REST "junk", 10 },
		{ "$2y$+5$" REST, 5 },  { "$2y$03$" REST, 0 },  { "$2y$32$" REST, 0 },
		{ "$2y$1x$" REST, 0 },  { "$2y$-5$" REST, 0 },  { "$3y$10$" REST, 0 },
		{ "x2y$10$" REST, 0 },  { "$2y$10$", 0 },       { "", 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct bcrypt_hash hash = { 0 };
		const char *wrong = bcrypt_parse(cases[i].text, strlen(cases[i].text), &hash);
		assert_int_equal(wrong == NULL, cases[i].cost != 0);
		assert_int_equal(hash.cost, cases[i].cost);
	}
}

static void test_bcrypt_matches(void **state)
{
	struct bcrypt_room *room = bcrypt_room_new();
	struct bcrypt_hash hash = hash_of("secret", 4), other = hash, broken = hash;
	char long_password[200];

	(void)state;
	other.digest[30] = other.digest[30] == 'a' ? 'b' : 'a';
	memset(broken.salt, '!', BCRYPT_SALT_LEN);
	assert_int_equal(bcrypt_matches(room, &hash, "secret", 6), BCRYPT_MATCH);
	assert_int_equal(bcrypt_matches(room, &hash, "secret", 5), BCRYPT_MISMATCH);
	assert_int_equal(bcrypt_matches(room, &hash, "", 0), BCRYPT_MISMATCH);
	assert_int_equal(bcrypt_matches(room, &other, "secret", 6), BCRYPT_MISMATCH);
	assert_int_equal(bcrypt_matches(room, &broken, "secret", 6), BCRYPT_UNUSABLE);
	memset(long_password, 'x', sizeof(long_password));
	long_password[72] = '\0';
	hash = hash_of(long_password, 4);
	long_password[72] = 'y';
	assert_int_equal(bcrypt_matches(room, &hash, long_password, sizeof(long_password)),
			 BCRYPT_MATCH);
	assert_int_equal(bcrypt_matches(room, &hash, long_password, 71), BCRYPT_MISMATCH);
	struct bcrypt_hash decoy = bcrypt_decoy(4);
	assert_int_equal(bcrypt_matches(room, &decoy, "secret", 6), BCRYPT_MISMATCH);
	bcrypt_room_free(room);
	bcrypt_room_free(NULL);
}

/* Others' hashes: what different programs made of known passwords. */
static void test_hashes_of_other_programs(void **state)
{
	static const struct {
		const char *password, *hash;
	} cases[] = {
		{ "fakepassword", "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi" },
		{ "U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW" },
		{ "", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.7uG0VCzI2bS7j6ymqJi9CdcdxiRTWNy" },
	};
	struct bcrypt_room *room = bcrypt_room_new();

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct bcrypt_hash hash;
		assert_null(bcrypt_parse(cases[i].hash, strlen(cases[i].hash), &hash));
		assert_int_equal(
			bcrypt_matches(room, &hash, cases[i].password, strlen(cases[i].password)),
			BCRYPT_MATCH);
	}
	bcrypt_room_free(room);
}

/* alice:secret, bob:other; the names are literals. */
static struct webconfig two_users(struct webconfig_user users[2], unsigned int cost)
{
	static char alice[] = "alice", bob[] = "bob";

	users[0] = (struct webconfig_user){ alice, hash_of("secret", cost) };
	users[1] = (struct webconfig_user){ bob, hash_of("other", 4) };
	return (struct webconfig){ .users = users, .user_count = 2 };
}

#define ALICE_SECRET "Basic YWxpY2U6c2VjcmV0"
#define ALICE_OTHER  "Basic YWxpY2U6b3RoZXI="
#define BOB_OTHER    "Basic Ym9iOm90aGVy"
#define BOB_SECRET   "Basic Ym9iOnNlY3JldA=="
#define CAROL_SECRET "Basic Y2Fyb2w6c2VjcmV0"

/* One that asks, from an IPv6 address with that many /48 and /64, and waits to be told. */
struct asker {
	struct share share;
	pthread_mutex_t lock;
	pthread_cond_t told;
	enum auth_result result; /* AUTH_UNKNOWN: not told yet */
	unsigned int times;
};

static void on_told(void *arg, enum auth_result result)
{
	struct asker *asker = arg;

	pthread_mutex_lock(&asker->lock);
	asker->result = result;
	asker->times++;
	pthread_cond_signal(&asker->told);
	pthread_mutex_unlock(&asker->lock);
}

static void ask(struct auth *auth, const struct webconfig *config, const char *header,
		struct asker *asker, unsigned int prefix48, unsigned int prefix64)
{
	struct sockaddr_in6 addr = { .sin6_family = AF_INET6, .sin6_addr.s6_addr = { 0x20, 1 } };

	addr.sin6_addr.s6_addr[5] = (unsigned char)prefix48;
	addr.sin6_addr.s6_addr[7] = (unsigned char)prefix64;
	*asker = (struct asker){ .share = share_of((struct sockaddr *)&addr),
				 .result = AUTH_UNKNOWN };
	pthread_mutex_init(&asker->lock, NULL);
	pthread_cond_init(&asker->told, NULL);
	auth_ask(auth, config, header, &asker->share, on_told, asker);
}

/* What it is told, which is told once. */
static enum auth_result hear(struct asker *asker)
{
	pthread_mutex_lock(&asker->lock);
	while (asker->result == AUTH_UNKNOWN)
		pthread_cond_wait(&asker->told, &asker->lock);
	pthread_mutex_unlock(&asker->lock);
	assert_int_equal(asker->times, 1);
	pthread_cond_destroy(&asker->told);
	pthread_mutex_destroy(&asker->lock);
	return asker->result;
}

static bool is_told(struct asker *asker)
{
	bool told;

	pthread_mutex_lock(&asker->lock);
	told = asker->result != AUTH_UNKNOWN;
	pthread_mutex_unlock(&asker->lock);
	return told;
}

/* The verdict, in the lane if need be. */
static enum auth_result verdict(struct auth *auth, const struct webconfig *config,
				const char *header)
{
	enum auth_result result = auth_check(auth, config, header);
	struct asker asker;

	if (result != AUTH_UNKNOWN)
		return result;
	ask(auth, config, header, &asker, 0, 0);
	return hear(&asker);
}

static uint64_t cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* CPU time of a check that must give that verdict. */
static uint64_t cost_of(struct auth *auth, const struct webconfig *config, const char *header,
			enum auth_result want)
{
	uint64_t before = cpu_ns();

	assert_int_equal(verdict(auth, config, header), want);
	return cpu_ns() - before;
}

static void test_who_is_right(void **state)
{
	struct webconfig_user users[2];
	struct webconfig config = two_users(users, 4);
	struct auth *auth = auth_new();

	(void)state;
	for (int round = 0; round < 2; round++) {
		assert_int_equal(verdict(auth, &config, ALICE_SECRET), AUTH_RIGHT);
		assert_int_equal(verdict(auth, &config, ALICE_OTHER), AUTH_WRONG);
		assert_int_equal(verdict(auth, &config, BOB_SECRET), AUTH_WRONG);
		assert_int_equal(verdict(auth, &config, CAROL_SECRET), AUTH_WRONG);
		assert_int_equal(verdict(auth, &config, NULL), AUTH_WRONG);
		assert_int_equal(verdict(auth, &config, "Basic !"), AUTH_WRONG);
	}
	assert_false(auth_is_busy(auth));
	auth_free(auth);
	auth_free(NULL);
}

/* In CPU time, which other programs do not change: cost 9 is hundreds of times the rest. */
static void test_what_is_remembered(void **state)
{
	struct webconfig_user users[2];
	struct webconfig config = two_users(users, 9);
	struct auth *auth = auth_new();

	(void)state;
	uint64_t first = cost_of(auth, &config, ALICE_SECRET, AUTH_RIGHT);
	assert_true(cost_of(auth, &config, ALICE_SECRET, AUTH_RIGHT) < first / 4);
	/* Wrong ones never, and a name that is unknown costs as much as the most expensive hash. */
	for (int round = 0; round < 2; round++) {
		assert_true(cost_of(auth, &config, ALICE_OTHER, AUTH_WRONG) > first / 4);
		assert_true(cost_of(auth, &config, CAROL_SECRET, AUTH_WRONG) > first / 4);
	}
	/* A hash that no bcrypt can use tells nothing of itself, either. */
	memset(users[1].hash.salt, '!', BCRYPT_SALT_LEN);
	assert_true(cost_of(auth, &config, BOB_SECRET, AUTH_WRONG) > first / 4);
	/* Another hash of the same user makes the memory worthless. */
	users[0].hash = hash_of("other", 9);
	assert_int_equal(verdict(auth, &config, ALICE_SECRET), AUTH_WRONG);
	auth_free(auth);
}

static void test_memory_is_bounded(void **state)
{
	static char names[100][8];
	static struct webconfig_user users[100];
	struct webconfig config = { .users = users, .user_count = 100 };
	struct auth *auth = auth_new();
	struct bcrypt_hash hash = hash_of("secret", 4);

	(void)state;
	for (int i = 0; i < 100; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "u%02d", i);
		users[i] = (struct webconfig_user){ names[i], hash };
	}
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 100; i++) {
			/* "u00:" to "u99:" and "secret", in base64 */
			static const char digits[] =
				"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
			char text[16], header[32] = "Basic ";
			int len = snprintf(text, sizeof(text), "%s:secret", names[i]);
			char *at = header + 6;
			for (int j = 0; j < len; j += 3) {
				uint32_t b = (uint32_t)text[j] << 16 |
					     (uint32_t)(j + 1 < len ? text[j + 1] : 0) << 8 |
					     (uint32_t)(j + 2 < len ? text[j + 2] : 0);
				*at++ = digits[b >> 18 & 63];
				*at++ = digits[b >> 12 & 63];
				*at++ = j + 1 < len ? digits[b >> 6 & 63] : '=';
				*at++ = j + 2 < len ? digits[b & 63] : '=';
			}
			*at = '\0';
			assert_int_equal(verdict(auth, &config, header), AUTH_RIGHT);
		}
	}
	auth_free(auth);
}

/* Alice's hash costs a quarter of a second, Bob's nothing. */
static struct webconfig slow_alice(struct webconfig_user users[2])
{
	struct webconfig config = two_users(users, 4);

	users[0].hash.cost = 12;
	return config;
}

/* Asks for Alice, and returns once the lane computes. */
static void occupy(struct auth *auth, const struct webconfig *slow, struct asker *asker)
{
	ask(auth, slow, ALICE_OTHER, asker, 0, 0);
	while (!auth_is_busy(auth) && !is_told(asker))
		sched_yield();
	assert_true(auth_is_busy(auth));
}

/* Whoever guesses has one turn at a time, and all others have theirs. */
static void test_turns(void **state)
{
	struct webconfig_user users[2], slow_users[2];
	struct webconfig config = two_users(users, 4), slow = slow_alice(slow_users);
	struct auth *auth = auth_new();
	struct asker guesser, again, scraper;

	(void)state;
	assert_int_equal(verdict(auth, &config, ALICE_SECRET), AUTH_RIGHT);
	occupy(auth, &slow, &guesser);
	for (int i = 0; i < 10; i++) {
		ask(auth, &slow, BOB_SECRET, &again, 0, 0);
		assert_int_equal(hear(&again), AUTH_NOT_YOUR_TURN);
	}
	ask(auth, &config, BOB_OTHER, &scraper, 0, 1);
	ask(auth, &config, BOB_OTHER, &again, 0, 1);
	assert_int_equal(hear(&again), AUTH_NOT_YOUR_TURN);
	assert_int_equal(auth_check(auth, &config, ALICE_SECRET), AUTH_RIGHT); /* remembered */
	assert_int_equal(auth_check(auth, &config, NULL), AUTH_WRONG);
	assert_false(is_told(&scraper));
	assert_int_equal(hear(&guesser), AUTH_WRONG);
	assert_int_equal(hear(&scraper), AUTH_RIGHT);
	assert_int_equal(auth_check(auth, &config, BOB_OTHER), AUTH_RIGHT);
	auth_free(auth);
}

/* A prefix with as many addresses as it likes cannot keep another one out of the lane. */
static void test_a_prefix_yields(void **state)
{
	struct webconfig_user users[2], slow_users[2];
	struct webconfig config = two_users(users, 4), slow = slow_alice(slow_users);
	struct auth *auth = auth_new();
	struct asker guesser, crowd[40], scraper;
	unsigned int busy = 0;

	(void)state;
	occupy(auth, &slow, &guesser);
	for (unsigned int i = 0; i < 40; i++)
		ask(auth, &config, BOB_SECRET, &crowd[i], 1, i);
	ask(auth, &config, BOB_OTHER, &scraper, 2, 0);
	assert_false(is_told(&scraper));
	assert_int_equal(hear(&guesser), AUTH_WRONG);
	assert_int_equal(hear(&scraper), AUTH_RIGHT);
	for (unsigned int i = 0; i < 40; i++)
		busy += hear(&crowd[i]) == AUTH_BUSY;
	assert_in_range(busy, 1, 39);
	auth_free(auth);
}

static void test_the_end_waits_for_nobody(void **state)
{
	struct webconfig_user users[2], slow_users[2];
	struct webconfig config = two_users(users, 4), slow = slow_alice(slow_users);
	struct auth *auth = auth_new();
	struct asker guesser, waiting, late;

	(void)state;
	occupy(auth, &slow, &guesser);
	ask(auth, &config, BOB_OTHER, &waiting, 0, 1);
	auth_quiesce(auth);
	ask(auth, &config, BOB_OTHER, &late, 0, 2);
	assert_int_equal(hear(&late), AUTH_BUSY);
	auth_stop(auth);
	assert_int_equal(hear(&guesser), AUTH_WRONG);
	assert_int_equal(hear(&waiting), AUTH_BUSY);
	assert_false(auth_is_busy(auth));
	auth_free(auth);
}

static void test_rate_limit(void **state)
{
	static const struct {
		uint64_t at_ns;
		bool allowed;
	} steps[] = {
		/* two at once, then one every 100 */
		{ 1000, true },  { 1000, true },  { 1000, false }, { 1099, false }, { 1100, true },
		{ 1101, false }, { 1199, false }, { 1250, true },  { 1299, false }, { 1300, true },
		{ 9000, true },  { 9000, true },  { 9000, false }, { 9100, true },  { 9050, false },
	};
	struct ratelimit limit = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT(steps); i++)
		assert_int_equal(ratelimit_take(&limit, 100, 2, steps[i].at_ns), steps[i].allowed);
	assert_true(ratelimit_take(&limit, 100, 3, 9100)); /* other settings */
	for (int i = 0; i < 100; i++)
		assert_true(ratelimit_take(&limit, 0, 0, 9100));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_length_of_a_header),
		cmocka_unit_test(test_bcrypt_texts),
		cmocka_unit_test(test_bcrypt_matches),
		cmocka_unit_test(test_hashes_of_other_programs),
		cmocka_unit_test(test_who_is_right),
		cmocka_unit_test(test_what_is_remembered),
		cmocka_unit_test(test_memory_is_bounded),
		cmocka_unit_test(test_turns),
		cmocka_unit_test(test_a_prefix_yields),
		cmocka_unit_test(test_the_end_waits_for_nobody),
		cmocka_unit_test(test_rate_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
