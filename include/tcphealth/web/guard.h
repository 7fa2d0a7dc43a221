/*
 * guard: the web configuration in force, and its renewal.
 *
 * Owns the current policy: the parsed file and what TLS made of it. Renews it when the file, or one that it names, has changed: the new one
 * is made whole, then swapped in; where that fails the old one stays. Must not know HTTP. Any thread.
 */
#ifndef TCPHEALTH_WEB_GUARD_H
#define TCPHEALTH_WEB_GUARD_H

#include "tcphealth/web/tls.h"
#include "tcphealth/web/webconfig.h"

#include <stdbool.h>
#include <stdint.h>

/* What is in force for a request or a connection; does not change. */
struct policy {
	struct webconfig *config;
	struct tls *tls; /* NULL: plain HTTP */
};

void policy_unref(const struct policy *policy);

struct guard;

/* Reads the file at `path`. 0 and *ret_guard, or -errno and *ret_error. */
int guard_new(const char *path, tls_refused_fn refused, void *refused_arg, struct guard **ret_guard,
	      struct web_error *ret_error);
void guard_free(struct guard *guard);

/* Whether policies have TLS; it stays so. */
bool guard_has_tls(const struct guard *guard);

/* The current policy as a new reference. */
const struct policy *guard_policy(struct guard *guard);

/* Reads all files anew. 0, or -errno and *ret_error: then the old policy stays. TLS cannot be switched on or off. */
int guard_reload(struct guard *guard, struct web_error *ret_error);

enum guard_news {
	GUARD_NOTHING,
	GUARD_RENEWED,
	GUARD_FAILED, /* and not for the same reason as the time before */
};

/*
 * To be called now and then, as with each request: looks at the files at most once a second, on one
 * thread while others go on, and reads those that have changed. *ret_error is set with GUARD_FAILED.
 */
enum guard_news guard_renew(struct guard *guard, uint64_t now_ms,
			    struct web_error *ret_error);

#endif
