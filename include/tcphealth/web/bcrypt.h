/*
 * bcrypt: parses a stored password hash and compares a password with it.
 *
 * Knows the text form of a hash ("$2b$10$" salt digest) and libcrypt; must not know
 * users. Accepts and matches the same as Prometheus's exporters do (Go's
 * x/crypto/bcrypt). Any thread.
 */
#pragma once

#include <stddef.h>

#define BCRYPT_COST_MIN   4
#define BCRYPT_COST_MAX   31
#define BCRYPT_SALT_LEN   22
#define BCRYPT_DIGEST_LEN 31
/* Bytes of a password that count, in any bcrypt. The rest is ignored. */
#define BCRYPT_PASSWORD_MAX 72

struct bcrypt_hash {
	unsigned int cost; /* 2^cost steps */
	char salt[BCRYPT_SALT_LEN + 1];
	char digest[BCRYPT_DIGEST_LEN + 1];
};

/* NULL and *ret_hash, or what is wrong with the text (static text). */
const char *bcrypt_parse(const char *text, size_t len, struct bcrypt_hash *ret_hash);

/* A hash that no password matches; comparing with it costs as much as any of that cost. */
struct bcrypt_hash bcrypt_decoy(unsigned int cost);

/* Memory to work in. It holds traces of a password only during bcrypt_matches(). */
struct bcrypt_room;

/* NULL when out of memory. */
struct bcrypt_room *bcrypt_room_new(void);
void bcrypt_room_free(struct bcrypt_room *room);

enum bcrypt_result {
	BCRYPT_MISMATCH,
	BCRYPT_MATCH,
	/* The salt of the hash is invalid; nothing was computed. */
	BCRYPT_UNUSABLE,
};

/*
 * Compares `len` bytes without a NUL with a hash. At cost 10 it takes about 50 ms of CPU
 * time. One thread at a time for each room.
 */
enum bcrypt_result bcrypt_matches(struct bcrypt_room *room, const struct bcrypt_hash *hash,
				  const char *password, size_t len);
