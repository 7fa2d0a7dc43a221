/*
 * auth: whether a request's name and password are those of a user.
 *
 * Owns the way from an Authorization header to a result, a bounded memory of pairs that were right, and the one lane in which bcrypt
 * computes. The memory holds keyed hashes under a random key, never a password. Knows users and hashes; must not know HTTP but for that header.
 */
#ifndef TCPHEALTH_WEB_AUTH_H
#define TCPHEALTH_WEB_AUTH_H

#include "tcphealth/web/webconfig.h"

#include <stdbool.h>
#include <stddef.h>

#define AUTH_TEXT_MAX 1024 /* bytes of name and password together; more are wrong */

enum auth_result {
	AUTH_RIGHT,
	AUTH_WRONG, /* also without a header, or with one that is not understood */
	AUTH_BUSY,  /* the lane is taken: ask again later */
};

/* What a header says. */
struct auth_pair {
	char text[AUTH_TEXT_MAX + 1];
	char *name;     /* into text; NUL terminated, and without one inside */
	char *password; /* `password_len` bytes, NUL terminated */
	size_t password_len;
};

/* False if it is not "Basic" with sound base64 of name, colon, password. The caller wipes *ret_pair in any case. */
bool auth_parse(const char *header, struct auth_pair *ret_pair);

struct auth;

/* NULL when out of memory or randomness. */
struct auth *auth_new(void);
void auth_free(struct auth *auth);

/*
 * Judges by the users of `config`, of which there is at least one. Any thread. What was right before takes microseconds, all else one bcrypt:
 * an unknown name costs as much as the most expensive hash. Only one is computed at a time.
 */
enum auth_result auth_check(struct auth *auth, const struct webconfig *config, const char *header);

/* Whether a bcrypt is being computed; it cannot be interrupted. */
bool auth_is_busy(struct auth *auth);

#endif
