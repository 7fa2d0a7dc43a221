/*
 * auth: checks Authorization headers.
 *
 * Owns the memory of right pairs and the lane. Must not know what is protected.
 *
 * Only right pairs are remembered: a client that guesses can neither fill the memory nor
 * push another pair out of it.
 */
#include "tcphealth/web/auth.h"

#include <errno.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#define SCHEME     "Basic "
#define KEY_LEN    32
#define MAC_LEN    32
#define REMEMBERED 64 /* pairs; the least recently used goes first */

struct memo {
	unsigned char mac[MAC_LEN];
	uint64_t used; /* 0: free */
};

struct auth {
	unsigned char key[KEY_LEN];
	pthread_mutex_t memory_lock; /* of memos and clock */
	struct memo memos[REMEMBERED];
	uint64_t clock;
	/* Held while a bcrypt is computed in `room`. */
	pthread_mutex_t lane;
	struct bcrypt_room *room;
	atomic_bool computing; /* for auth_is_busy() */
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
		len = decoded.size;
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

/* In the lane. Without a hash, or with an unusable one, a decoy costs the same time. */
static bool compute(struct auth *auth, const struct bcrypt_hash *hash, unsigned int cost,
		    const struct auth_pair *pair)
{
	const struct bcrypt_hash decoy = bcrypt_decoy(cost);
	enum bcrypt_result result = BCRYPT_UNUSABLE;

	if (hash)
		result = bcrypt_matches(auth->room, hash, pair->password, pair->password_len);
	if (result == BCRYPT_UNUSABLE)
		(void)bcrypt_matches(auth->room, &decoy, pair->password, pair->password_len);
	return result == BCRYPT_MATCH;
}

static enum auth_result judge(struct auth *auth, const struct webconfig *config,
			      const struct auth_pair *pair)
{
	unsigned char mac[MAC_LEN];
	unsigned int cost;
	const struct webconfig_user *user = find_user(config, pair->name, &cost);
	const struct bcrypt_hash nobody = bcrypt_decoy(cost);
	bool right;

	if (!make_mac(auth, pair, user ? &user->hash : &nobody, mac))
		return AUTH_BUSY;
	if (recall(auth, mac))
		return AUTH_RIGHT; /* never a decoy's */
	if (pthread_mutex_trylock(&auth->lane) != 0)
		return AUTH_BUSY;
	atomic_store(&auth->computing, true);
	right = compute(auth, user ? &user->hash : NULL, cost, pair);
	atomic_store(&auth->computing, false);
	pthread_mutex_unlock(&auth->lane);
	if (right)
		remember(auth, mac);
	return right ? AUTH_RIGHT : AUTH_WRONG;
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

bool auth_is_busy(struct auth *auth)
{
	return atomic_load(&auth->computing);
}

struct auth *auth_new(void)
{
	struct auth *auth = calloc(1, sizeof(*auth));

	if (!auth)
		return NULL;
	pthread_mutex_init(&auth->memory_lock, NULL);
	pthread_mutex_init(&auth->lane, NULL);
	atomic_init(&auth->computing, false);
	auth->room = bcrypt_room_new();
	if (auth->room && getrandom(auth->key, KEY_LEN, 0) == KEY_LEN)
		return auth;
	auth_free(auth);
	return NULL;
}

void auth_free(struct auth *auth)
{
	if (!auth)
		return;
	bcrypt_room_free(auth->room);
	pthread_mutex_destroy(&auth->memory_lock);
	pthread_mutex_destroy(&auth->lane);
	explicit_bzero(auth, sizeof(*auth));
	free(auth);
}
