/*
 * tls: the certificates and rules of one configuration, ready for GnuTLS.
 *
 * Knows GnuTLS and the files that a configuration names; must not know HTTP. A struct tls
 * never changes: new files make a new one, and a connection keeps the one it started
 * with. Any thread.
 */
#pragma once

#include "tcphealth/web/webconfig.h"

struct gnutls_session_int; /* what gnutls_session_t points to */
struct tls;

/*
 * Called with the reason when a client's certificate is refused. On serving threads, possibly very
 * often.
 */
typedef void (*tls_refused_fn)(void *arg, const char *why);

struct tls_config {
	/* With `tls` true. Borrowed for the life of the struct tls. */
	const struct webconfig *web;
	tls_refused_fn refused; /* or NULL */
	void *refused_arg;
};

/*
 * Reads the certificate, the key and the client CAs. 0 and *ret_tls, or -errno and
 * *ret_error.
 */
int tls_new(const struct tls_config *config, struct tls **ret_tls, struct web_error *ret_error);
void tls_free(struct tls *tls);

/*
 * Prepares a session before its handshake, and uses its database pointer. `tls` must
 * outlive the session. 0, or -EINVAL: the handshake will fail.
 */
int tls_attach(struct tls *tls, struct gnutls_session_int *session);
