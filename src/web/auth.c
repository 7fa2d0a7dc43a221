/*
 * auth: checks Authorization headers.
 *
 * Owns the memory of right pairs and the lane. Must not know what is protected.
 *
 * Only right pairs are remembered: a client that guesses can neither fill the memory nor
 * push another pair out of it.
 */
#include "tcphealth/web/auth.h"

#include "tcphealth/base/clock.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#define SCHEME     "Basic "
#define KEY_LEN    32
#define MAC_LEN    32
#define REMEMBERED 64 /* pairs; the least recently used goes first */
#define GUESSES    16 /* in the lane, with the one being computed */

struct memo {
	unsigned char mac[MAC_LEN];
	uint64_t used; /* 0: free */
};

/* A pair in the lane, and what its check needs. */
struct guess {
	struct auth_pair pair;
	unsigned char mac[MAC_LEN];
	/* A decoy for an unknown name. */
	struct bcrypt_hash hash;
	struct bcrypt_hash decoy;
	struct share share;
	uint64_t asked_ms;
	auth_told_fn told;
	void *arg;
};

struct auth {
	unsigned char key[KEY_LEN];
	pthread_mutex_t memory_lock; /* of memos and clock */
	struct memo memos[REMEMBERED];
	uint64_t clock;

	struct bcrypt_room *room; /* of the lane's thread */
	pthread_t thread;
	bool running; /* the thread */

	pthread_mutex_t lane_lock; /* of all below */
	pthread_cond_t lane_news;
	/* In the order of their turns. The first stays here while it is computed. */
	struct guess *guesses[GUESSES];
	size_t guess_count;
	bool computing, ending;
};

/*
 * Decodes base64 with padding (RFC 4648) into `data`. Its length, or -1 if it is longer
 * than `size` or is not base64. White space, which the library would skip, is not.
 */
static ssize_t decode_base64(const char *text, char *data, size_t size)
{
	const gnutls_datum_t base64 = { (unsigned char *)(uintptr_t)text,
					(unsigned int)strlen(text) };
	gnutls_datum_t decoded;
	ssize_t len = -1;

	if (strpbrk(text, " \t\r\n\v\f") || gnutls_base64_decode2(&base64, &decoded) < 0)
		return -1;
	if (decoded.size <= size) {
		memcpy(data, decoded.data, decoded.size);
		len = (ssize_t)decoded.size;
	}
	explicit_bzero(decoded.data, decoded.size);
	gnutls_free(decoded.data);
	return len;
}

bool auth_parse(const char *header, struct auth_pair *ret_pair)
{
	ssize_t len;
	char *colon;

	if (!header || strncasecmp(header, SCHEME, strlen(SCHEME)) != 0)
		return false;
	len = decode_base64(header + strlen(SCHEME), ret_pair->text, AUTH_TEXT_MAX);
	if (len < 0)
		return false;
	ret_pair->text[len] = '\0';
	colon = memchr(ret_pair->text, ':', (size_t)len);
	/* With a NUL inside, a C string would be shorter than what the client sent. */
	if (!colon || memchr(ret_pair->text, '\0', (size_t)len))
		return false;
	*colon = '\0';
	ret_pair->name = ret_pair->text;
	ret_pair->password = colon + 1;
	ret_pair->password_len = (size_t)len - (size_t)(colon + 1 - ret_pair->text);
	return true;
}

/*
 * Hashes name, password and stored hash together, so that a pair is forgotten when its
 * hash changes. The lengths keep name and password apart.
 */
static bool make_mac(const struct auth *auth, const struct auth_pair *pair,
		     const struct bcrypt_hash *hash, unsigned char *mac)
{
	gnutls_hmac_hd_t handle;
	const size_t lengths[] = { strlen(pair->name), pair->password_len };
	bool good;

	if (gnutls_hmac_init(&handle, GNUTLS_MAC_SHA256, auth->key, KEY_LEN) < 0)
		return false;
	good = gnutls_hmac(handle, lengths, sizeof(lengths)) == 0 &&
	       gnutls_hmac(handle, pair->name, lengths[0]) == 0 &&
	       gnutls_hmac(handle, pair->password, lengths[1]) == 0 &&
	       gnutls_hmac(handle, &hash->cost, sizeof(hash->cost)) == 0 &&
	       gnutls_hmac(handle, hash->salt, sizeof(hash->salt)) == 0 &&
	       gnutls_hmac(handle, hash->digest, sizeof(hash->digest)) == 0;
	gnutls_hmac_deinit(handle, mac);
	return good;
}

static bool recall(struct auth *auth, const unsigned char *mac)
{
	bool found = false;

	pthread_mutex_lock(&auth->memory_lock);
	for (size_t i = 0; i < REMEMBERED; i++) {
		struct memo *memo = &auth->memos[i];
		if (memo->used && gnutls_memcmp(memo->mac, mac, MAC_LEN) == 0) {
			memo->used = ++auth->clock;
			found = true;
		}
	}
	pthread_mutex_unlock(&auth->memory_lock);
	return found;
}

static void remember(struct auth *auth, const unsigned char *mac)
{
	struct memo *oldest;

	pthread_mutex_lock(&auth->memory_lock);
	oldest = &auth->memos[0];
	for (size_t i = 1; i < REMEMBERED; i++) {
		if (auth->memos[i].used < oldest->used)
			oldest = &auth->memos[i];
	}
	memcpy(oldest->mac, mac, MAC_LEN);
	oldest->used = ++auth->clock;
	pthread_mutex_unlock(&auth->memory_lock);
}

/* The time it takes depends on the lengths only. */
static bool is_name(const char *candidate, const char *name)
{
	size_t len = strlen(candidate);

	return len == strlen(name) && gnutls_memcmp(candidate, name, len) == 0;
}

/* Compares with every user, so that the time does not depend on which one it is. */
static const struct webconfig_user *find_user(const struct webconfig *config, const char *name,
					      unsigned int *ret_cost)
{
	const struct webconfig_user *found = NULL;

	*ret_cost = 0;
	for (size_t i = 0; i < config->user_count; i++) {
		const struct webconfig_user *user = &config->users[i];
		*ret_cost = user->hash.cost > *ret_cost ? user->hash.cost : *ret_cost;
		if (is_name(user->name, name))
			found = user;
	}
	return found;
}

static enum auth_result compute(struct auth *auth, const struct guess *guess)
{
	const struct auth_pair *pair = &guess->pair;
	enum bcrypt_result result =
		bcrypt_matches(auth->room, &guess->hash, pair->password, pair->password_len);

	/* An unusable hash took no time, which would tell it from others. */
	if (result == BCRYPT_UNUSABLE)
		(void)bcrypt_matches(auth->room, &guess->decoy, pair->password, pair->password_len);
	if (result != BCRYPT_MATCH)
		return AUTH_WRONG;
	remember(auth, guess->mac);
	return AUTH_RIGHT;
}

static void tell(struct guess *guess, enum auth_result result)
{
	auth_told_fn told = guess->told;
	void *arg = guess->arg;

	explicit_bzero(guess, sizeof(*guess));
	free(guess);
	told(arg, result);
}

/* The next guess, or NULL at the end. Marks whether it will be computed. Under the lock. */
static struct guess *next_guess(struct auth *auth)
{
	struct guess *guess;

	while (auth->guess_count == 0 && !auth->ending)
		pthread_cond_wait(&auth->lane_news, &auth->lane_lock);
	if (auth->guess_count == 0)
		return NULL;
	guess = auth->guesses[0];
	auth->computing = !auth->ending && clock_mono_ms() - guess->asked_ms <= AUTH_WAIT_MS;
	return guess;
}

static void remove_guess(struct auth *auth, size_t i)
{
	auth->guess_count--;
	for (; i < auth->guess_count; i++)
		auth->guesses[i] = auth->guesses[i + 1];
}

static void *run_lane(void *arg)
{
	struct auth *auth = arg;
	struct guess *guess;

	pthread_setname_np(pthread_self(), "http-password");
	pthread_mutex_lock(&auth->lane_lock);
	while ((guess = next_guess(auth)) != NULL) {
		enum auth_result result = AUTH_BUSY;
		bool due = auth->computing;
		pthread_mutex_unlock(&auth->lane_lock);
		if (due)
			result = compute(auth, guess);
		pthread_mutex_lock(&auth->lane_lock);
		auth->computing = false;
		remove_guess(auth, 0);
		pthread_mutex_unlock(&auth->lane_lock);
		tell(guess, result);
		pthread_mutex_lock(&auth->lane_lock);
	}
	pthread_mutex_unlock(&auth->lane_lock);
	return NULL;
}

static size_t count_share(const struct auth *auth, const struct share *share,
			  enum share_width width)
{
	size_t count = 0;

	for (size_t i = 0; i < auth->guess_count; i++)
		count += share_is_same(&auth->guesses[i]->share, share, width);
	return count;
}

/*
 * The place of a full lane that yields to a newcomer: the last of the widest share with most
 * guesses, if the newcomer's has fewer. The first is being computed: 0 means none.
 */
static size_t yielding(const struct auth *auth, const struct share *newcomer)
{
	size_t most = count_share(auth, newcomer, SHARE_48) + 1, place = 0;

	for (size_t i = 1; i < auth->guess_count; i++) {
		size_t count = count_share(auth, &auth->guesses[i]->share, SHARE_48);
		if (count > most || (count == most && place > 0)) {
			most = count;
			place = i;
		}
	}
	return place;
}

/* Gives a guess its place. The one that has none, with *ret_why, or NULL. Under the lock. */
static struct guess *enqueue(struct auth *auth, struct guess *guess, enum auth_result *ret_why)
{
	struct guess *loser = NULL;
	size_t place;

	*ret_why = AUTH_BUSY;
	if (auth->ending)
		return guess;
	if (count_share(auth, &guess->share, SHARE_64) > 0) {
		*ret_why = AUTH_NOT_YOUR_TURN;
		return guess;
	}
	if (auth->guess_count == GUESSES) {
		place = yielding(auth, &guess->share);
		if (place == 0)
			return guess;
		loser = auth->guesses[place];
		remove_guess(auth, place);
	}
	auth->guesses[auth->guess_count++] = guess;
	pthread_cond_signal(&auth->lane_news);
	return loser;
}

/* The user of a pair, or NULL, and what the memory knows it by. False: no memory. */
static bool identify(struct auth *auth, const struct webconfig *config,
		     const struct auth_pair *pair, struct bcrypt_hash *ret_hash,
		     struct bcrypt_hash *ret_decoy, unsigned char *mac)
{
	unsigned int cost;
	const struct webconfig_user *user = find_user(config, pair->name, &cost);

	*ret_decoy = bcrypt_decoy(cost);
	*ret_hash = user ? user->hash : *ret_decoy;
	return make_mac(auth, pair, ret_hash, mac);
}

static enum auth_result judge(struct auth *auth, const struct webconfig *config,
			      const struct auth_pair *pair)
{
	unsigned char mac[MAC_LEN];
	struct bcrypt_hash hash, decoy;

	if (!identify(auth, config, pair, &hash, &decoy, mac))
		return AUTH_BUSY;
	return recall(auth, mac) ? AUTH_RIGHT : AUTH_UNKNOWN; /* a decoy's is never known */
}

enum auth_result auth_check(struct auth *auth, const struct webconfig *config, const char *header)
{
	enum auth_result result = AUTH_WRONG;
	struct auth_pair pair;

	if (auth_parse(header, &pair))
		result = judge(auth, config, &pair);
	explicit_bzero(&pair, sizeof(pair));
	return result;
}

void auth_ask(struct auth *auth, const struct webconfig *config, const char *header,
	      const struct share *share, auth_told_fn told, void *arg)
{
	struct guess *guess = calloc(1, sizeof(*guess));
	enum auth_result why = AUTH_BUSY;

	if (!guess) {
		told(arg, AUTH_BUSY);
		return;
	}
	guess->share = *share;
	guess->told = told;
	guess->arg = arg;
	guess->asked_ms = clock_mono_ms();
	if (!auth_parse(header, &guess->pair)) {
		why = AUTH_WRONG;
	} else if (identify(auth, config, &guess->pair, &guess->hash, &guess->decoy, guess->mac)) {
		pthread_mutex_lock(&auth->lane_lock);
		guess = enqueue(auth, guess, &why);
		pthread_mutex_unlock(&auth->lane_lock);
	}
	if (guess)
		tell(guess, why);
}

void auth_quiesce(struct auth *auth)
{
	pthread_mutex_lock(&auth->lane_lock);
	auth->ending = true;
	pthread_cond_signal(&auth->lane_news);
	pthread_mutex_unlock(&auth->lane_lock);
}

bool auth_is_busy(struct auth *auth)
{
	bool computing;

	pthread_mutex_lock(&auth->lane_lock);
	computing = auth->computing;
	pthread_mutex_unlock(&auth->lane_lock);
	return computing;
}

void auth_stop(struct auth *auth)
{
	auth_quiesce(auth);
	if (auth->running)
		pthread_join(auth->thread, NULL);
	auth->running = false;
}

struct auth *auth_new(void)
{
	struct auth *auth = calloc(1, sizeof(*auth));

	if (!auth)
		return NULL;
	pthread_mutex_init(&auth->memory_lock, NULL);
	pthread_mutex_init(&auth->lane_lock, NULL);
	pthread_cond_init(&auth->lane_news, NULL);
	auth->room = bcrypt_room_new();
	if (auth->room && getrandom(auth->key, KEY_LEN, 0) == KEY_LEN)
		auth->running = pthread_create(&auth->thread, NULL, run_lane, auth) == 0;
	if (auth->running)
		return auth;
	auth_free(auth);
	return NULL;
}

void auth_free(struct auth *auth)
{
	if (!auth)
		return;
	auth_stop(auth);
	bcrypt_room_free(auth->room);
	pthread_mutex_destroy(&auth->memory_lock);
	pthread_mutex_destroy(&auth->lane_lock);
	pthread_cond_destroy(&auth->lane_news);
	explicit_bzero(auth, sizeof(*auth));
	free(auth);
}
