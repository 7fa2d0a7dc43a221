/*
 * bcrypt: one stored password hash, and whether a password fits.
 *
 * Knows the text form of bcrypt hashes ("$2b$10$" salt digest) and libcrypt; nothing of users. What is taken for a hash, and what for a
 * match, is as Prometheus's exporters have it (Go's x/crypto/bcrypt). Pure but for time; any thread.
 */
#ifndef TCPHEALTH_WEB_BCRYPT_H
#define TCPHEALTH_WEB_BCRYPT_H

#include <stdbool.h>
#include <stddef.h>

#define BCRYPT_COST_MIN   4
#define BCRYPT_COST_MAX   31
#define BCRYPT_SALT_LEN   22
#define BCRYPT_DIGEST_LEN 31
/* Bytes of a password that count; what follows them is not looked at, as in every bcrypt. */
#define BCRYPT_PASSWORD_MAX 72

struct bcrypt_hash {
	unsigned int cost; /* work doubles with each */
	char salt[BCRYPT_SALT_LEN + 1];
	char digest[BCRYPT_DIGEST_LEN + 1];
};

/* NULL and *ret_hash, or what is wrong with the text (static). */
const char *bcrypt_parse(const char *text, size_t len, struct bcrypt_hash *ret_hash);

/* A hash of that cost that no password fits, for an equal amount of work. */
struct bcrypt_hash bcrypt_decoy(unsigned int cost);

/* Room to work in, which holds traces of passwords only during bcrypt_matches(). NULL when out of memory. */
struct bcrypt_room;
struct bcrypt_room *bcrypt_room_new(void);
void bcrypt_room_free(struct bcrypt_room *room);

enum bcrypt_result {
	BCRYPT_MISMATCH,
	BCRYPT_MATCH,
	BCRYPT_UNUSABLE, /* the hash's salt is none: nothing was computed */
};

/* Takes 2^cost steps: at cost 10 some 50 ms of CPU time. `len` bytes without a NUL. */
enum bcrypt_result bcrypt_matches(struct bcrypt_room *room, const struct bcrypt_hash *hash,
				  const char *password, size_t len);

#endif
