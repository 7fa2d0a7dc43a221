/*
 * bcrypt: parses stored hashes, and computes with libcrypt. Must not know which user they
 * belong to.
 *
 * libcrypt never gets a stored hash, only a setting made from its cost and salt: a text
 * that it did not recognise as bcrypt would silently mean DES.
 */
#include "tcphealth/web/bcrypt.h"

#include "tcphealth/base/number.h"

#include <crypt.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of a hash without a minor version: "$2$10$" and 53 more. */
#define HASH_MIN 59

/*
 * "$2b$10$" and the salt. $2a and $2y mark hashes of programs with old bugs; the
 * algorithm is the same.
 */
#define SETTING_LEN (7 + BCRYPT_SALT_LEN)

struct bcrypt_room {
	struct crypt_data data;
};

const char *bcrypt_parse(const char *text, size_t len, struct bcrypt_hash *ret_hash)
{
	struct bcrypt_hash hash = { 0 };
	uint64_t cost;
	const char *end = text + len, *at, *digits;
	size_t left;

	if (len < HASH_MIN)
		return "too short for a bcrypt hash";
	if (text[0] != '$' || text[1] > '2')
		return "not a bcrypt hash ($2a$, $2b$ or $2y$)";
	at = text + (text[2] == '$' ? 3 : 4);
	/* Two characters, as Go reads them: the first may be a sign. */
	digits = at + (*at == '+');
	if (number_take(&digits, at + 2, 99, &cost) || digits != at + 2)
		return "not a bcrypt hash: its cost is not a number";
	if (cost < BCRYPT_COST_MIN || cost > BCRYPT_COST_MAX)
		return "the cost of a bcrypt hash must be from 4 to 31";
	hash.cost = (unsigned int)cost;
	at += 3;
	memcpy(hash.salt, at, BCRYPT_SALT_LEN);
	at += BCRYPT_SALT_LEN;
	left = (size_t)(end - at);
	memcpy(hash.digest, at, left < BCRYPT_DIGEST_LEN ? left : BCRYPT_DIGEST_LEN);
	*ret_hash = hash;
	return NULL;
}

struct bcrypt_hash bcrypt_decoy(unsigned int cost)
{
	/* A real digest consists of ./A-Za-z0-9. */
	return (struct bcrypt_hash){ cost, "nobodyknowsthispasswor",
				     "-------------------------------" };
}

struct bcrypt_room *bcrypt_room_new(void)
{
	return calloc(1, sizeof(struct bcrypt_room));
}

void bcrypt_room_free(struct bcrypt_room *room)
{
	if (room)
		explicit_bzero(room, sizeof(*room));
	free(room);
}

enum bcrypt_result bcrypt_matches(struct bcrypt_room *room, const struct bcrypt_hash *hash,
				  const char *password, size_t len)
{
	char phrase[BCRYPT_PASSWORD_MAX + 1] = { 0 };
	char setting[SETTING_LEN + 1];
	enum bcrypt_result result = BCRYPT_UNUSABLE;
	const char *made;

	(void)snprintf(setting, sizeof(setting), "$2b$%02u$%s", hash->cost, hash->salt);
	memcpy(phrase, password, len < BCRYPT_PASSWORD_MAX ? len : BCRYPT_PASSWORD_MAX);
	/* Not crypt_r(): the sanitizers replace it, and then fail to find libcrypt. */
	made = crypt_rn(phrase, setting, &room->data, (int)sizeof(room->data));
	/*
	 * libcrypt clears the unused bits of the salt's last character: compare what
	 * follows it.
	 */
	if (made && strlen(made) == SETTING_LEN + BCRYPT_DIGEST_LEN)
		/* The time does not depend on where they differ. */
		result = gnutls_memcmp(made + SETTING_LEN, hash->digest, BCRYPT_DIGEST_LEN) == 0
				 ? BCRYPT_MATCH
				 : BCRYPT_MISMATCH;
	explicit_bzero(phrase, sizeof(phrase));
	explicit_bzero(room, sizeof(*room));
	return result;
}
