/*
 * auth: checks the name and password of a request.
 *
 * Owns the parser of the Authorization header, a bounded memory of pairs that were right, and the
 * lane: a thread that computes one bcrypt at a time, with a short queue of guesses. The memory
 * holds hashes under a random key, never a password. Must not know any other part of HTTP.
 */
#pragma once

#include "tcphealth/web/share.h"
#include "tcphealth/web/webconfig.h"

#include <stdbool.h>
#include <stddef.h>

/* Bytes of name, colon and password together; longer ones are wrong. */
#define AUTH_TEXT_MAX 1024

enum auth_result {
	AUTH_RIGHT,
	/* Also without a header, or with one that cannot be parsed. */
	AUTH_WRONG,
	/* Not known without a computation: auth_ask(). */
	AUTH_UNKNOWN,
	/* Another guess of the same share is waiting or computed. */
	AUTH_NOT_YOUR_TURN,
	/* Too many others wait, or have waited too long: ask again later. */
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

/* NULL without memory, random numbers or a thread. */
struct auth *auth_new(void);

/* Stops first. NULL is fine. */
void auth_free(struct auth *auth);

/*
 * What is known of a header (NULL: none) without a computation, given the users of `config` (at
 * least one): right if the pair was right before, wrong if it is no pair, else unknown. Takes
 * microseconds. Any thread.
 */
enum auth_result auth_check(struct auth *auth, const struct webconfig *config, const char *header);

/* Called once, never with AUTH_UNKNOWN, on the lane's thread or the caller's. */
typedef void (*auth_told_fn)(void *arg, enum auth_result result);

/*
 * Checks an unknown header. Shares take turns: each has one guess waiting or computed at most, and
 * the largest IPv6 prefix yields when too many wait. A guess waits AUTH_WAIT_MS and one computation
 * at most. An unknown name costs as much as the most expensive hash. `config` and `header` are
 * borrowed during the call. Any thread.
 */
#define AUTH_WAIT_MS 5000
void auth_ask(struct auth *auth, const struct webconfig *config, const char *header,
	      const struct share *share, auth_told_fn told, void *arg);

/* Stops computing: from now on every request gets AUTH_BUSY. Any thread. */
void auth_quiesce(struct auth *auth);

/* Whether a bcrypt is being computed, which nothing can interrupt. Any thread. */
bool auth_is_busy(struct auth *auth);

/* Quiesces, and returns once every request has its result. */
void auth_stop(struct auth *auth);
