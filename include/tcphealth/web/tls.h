/*
 * tls: the certificates and rules of one configuration, ready for GnuTLS.
 *
 * Knows GnuTLS and the files that a configuration names; must not know HTTP nor who serves. A struct tls does not change: renewed files make
 * a new one, and connections keep the one that they began with. Any thread.
 */
#ifndef TCPHEALTH_WEB_TLS_H
#define TCPHEALTH_WEB_TLS_H

#include "tcphealth/web/webconfig.h"

struct gnutls_session_int; /* what gnutls_session_t points to */
struct tls;

/* Hears why a client's certificate was refused; called on serving threads, possibly very often. */
typedef void (*tls_refused_fn)(void *arg, const char *why);

struct tls_config {
	const struct webconfig *web; /* borrowed, as long as the result lives; its `tls` is true */
	tls_refused_fn refused;      /* or NULL */
	void *refused_arg;
};

/* Reads certificate, key and client CAs. 0 and *ret_tls, or -errno and *ret_error. */
int tls_new(const struct tls_config *config, struct tls **ret_tls,
	    struct web_error *ret_error);
void tls_free(struct tls *tls);

/*
 * Prepares a server's session before its handshake. `tls` is to live until the session is gone, whose
 * database pointer it takes. 0, or -EINVAL: the handshake will fail.
 */
int tls_attach(struct tls *tls, struct gnutls_session_int *session);

#endif
