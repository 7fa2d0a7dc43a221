/*
 * auth: checks the name and password of a request.
 *
 * Owns the parser of the Authorization header, a bounded memory of pairs that were right,
 * and the lane in which one bcrypt at a time is computed. The memory holds hashes under a
 * random key, never a password. Must not know any other part of HTTP.
 */
#ifndef TCPHEALTH_WEB_AUTH_H
#define TCPHEALTH_WEB_AUTH_H

#include "tcphealth/web/webconfig.h"

#include <stdbool.h>
#include <stddef.h>

/* Bytes of name, colon and password together; longer ones are wrong. */
#define AUTH_TEXT_MAX 1024

enum auth_result {
	AUTH_RIGHT,
	/* Also without a header, or with one that cannot be parsed. */
	AUTH_WRONG,
	/* Another password is being checked: ask again later. */
	AUTH_BUSY,
};

/* Name and password of a header: strings inside `text`. */
struct auth_pair {
	char text[AUTH_TEXT_MAX + 1];
	char *name;
	char *password;
	size_t password_len;
};

/*
 * Parses "Basic " and the base64 of name, colon, password. False if the header is
 * anything else. The caller wipes *ret_pair in either case.
 */
bool auth_parse(const char *header, struct auth_pair *ret_pair);

struct auth;

/* NULL without memory or random numbers. */
struct auth *auth_new(void);
void auth_free(struct auth *auth);

/*
 * Checks a header (NULL: none) against the users of `config`, at least one. A pair that
 * was right before takes microseconds; any other takes one bcrypt, and an unknown name
 * costs as much as the most expensive hash. Any thread.
 */
enum auth_result auth_check(struct auth *auth, const struct webconfig *config, const char *header);

/* Whether a bcrypt is being computed, which nothing can interrupt. Any thread. */
bool auth_is_busy(struct auth *auth);

#endif
