/*
 * guard: the web configuration in use, and its reloads.
 *
 * Owns the current policy: the parsed file and its TLS credentials. When the file or one
 * that it names has changed, builds a new policy and then swaps it in; if that fails the
 * old one stays. Must not know HTTP. Any thread.
 */
#pragma once

#include "tcphealth/web/tls.h"
#include "tcphealth/web/webconfig.h"

#include <stdbool.h>
#include <stdint.h>

/* The rules for a request or a connection. Never changes. */
struct policy {
	struct webconfig *config;
	struct tls *tls; /* NULL: plain HTTP */
};

void policy_unref(const struct policy *policy);

struct guard;

/*
 * Reads the file at `path`. 0 and *ret_guard, or -errno and *ret_error. `refused` (or
 * NULL) as in tls.h.
 */
int guard_new(const char *path, tls_refused_fn refused, void *refused_arg, struct guard **ret_guard,
	      struct web_error *ret_error);
void guard_free(struct guard *guard);

/* Whether every policy, now and later, has TLS. */
bool guard_has_tls(const struct guard *guard);

/* The current policy as a new reference. */
const struct policy *guard_policy(struct guard *guard);

/* Whether the last reading failed, so that the policy is an older one. */
bool guard_has_failed(const struct guard *guard);

/*
 * Reads all files again. 0, or -errno and *ret_error: then the old policy stays. TLS
 * cannot be switched on or off, nor users or required client certificates off.
 */
int guard_reload(struct guard *guard, struct web_error *ret_error);

enum guard_news {
	GUARD_NOTHING,
	GUARD_RENEWED,
	/* Failed for another reason than the time before. */
	GUARD_FAILED,
};

/*
 * To be called with each request. At most once a second, on one thread at a time, checks whether a
 * file has changed, and if so reads all again. *ret_error is set with GUARD_FAILED.
 */
enum guard_news guard_renew(struct guard *guard, uint64_t now_ms, struct web_error *ret_error);
