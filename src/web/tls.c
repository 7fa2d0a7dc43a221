/*
 * tls: certificates, priorities, and the verification of clients.
 *
 * Owns GnuTLS's credentials. Must not know HTTP. Verifies clients during the handshake,
 * because libmicrohttpd requests certificates but never checks them.
 */
#include "tcphealth/web/tls.h"

#include "tcphealth/base/buf.h"
#include "tcphealth/base/file.h"

#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PEM_MAX (1024u * 1024) /* bytes of a file */

struct tls {
	struct tls_config config;
	gnutls_certificate_credentials_t credentials;
	gnutls_priority_t priority;
	/*
	 * Replaces it in TLS 1.2 if the file chooses cipher suites; NULL: none of them is
	 * left.
	 */
	gnutls_priority_t priority12;
};

/* GnuTLS negotiates the parts of a suite. TLS 1.3's suites cannot be chosen, as in Go. */
static const struct {
	const char *exchange, *cipher, *mac;
} suites[WEBCONFIG_CIPHERS] = {
	[WEBCONFIG_RSA_AES_128_CBC_SHA] = { "RSA", "AES-128-CBC", "SHA1" },
	[WEBCONFIG_RSA_AES_256_CBC_SHA] = { "RSA", "AES-256-CBC", "SHA1" },
	[WEBCONFIG_RSA_AES_128_GCM_SHA256] = { "RSA", "AES-128-GCM", "AEAD" },
	[WEBCONFIG_RSA_AES_256_GCM_SHA384] = { "RSA", "AES-256-GCM", "AEAD" },
	[WEBCONFIG_ECDHE_ECDSA_AES_128_CBC_SHA] = { "ECDHE-ECDSA", "AES-128-CBC", "SHA1" },
	[WEBCONFIG_ECDHE_ECDSA_AES_256_CBC_SHA] = { "ECDHE-ECDSA", "AES-256-CBC", "SHA1" },
	[WEBCONFIG_ECDHE_RSA_AES_128_CBC_SHA] = { "ECDHE-RSA", "AES-128-CBC", "SHA1" },
	[WEBCONFIG_ECDHE_RSA_AES_256_CBC_SHA] = { "ECDHE-RSA", "AES-256-CBC", "SHA1" },
	[WEBCONFIG_ECDHE_ECDSA_AES_128_GCM_SHA256] = { "ECDHE-ECDSA", "AES-128-GCM", "AEAD" },
	[WEBCONFIG_ECDHE_ECDSA_AES_256_GCM_SHA384] = { "ECDHE-ECDSA", "AES-256-GCM", "AEAD" },
	[WEBCONFIG_ECDHE_RSA_AES_128_GCM_SHA256] = { "ECDHE-RSA", "AES-128-GCM", "AEAD" },
	[WEBCONFIG_ECDHE_RSA_AES_256_GCM_SHA384] = { "ECDHE-RSA", "AES-256-GCM", "AEAD" },
	[WEBCONFIG_ECDHE_RSA_CHACHA20_POLY1305_SHA256] = { "ECDHE-RSA", "CHACHA20-POLY1305",
							   "AEAD" },
	[WEBCONFIG_ECDHE_ECDSA_CHACHA20_POLY1305_SHA256] = { "ECDHE-ECDSA", "CHACHA20-POLY1305",
							     "AEAD" },
};

/* Files. */

static void drop_file(gnutls_datum_t *data)
{
	if (data->data)
		explicit_bzero(data->data, data->size);
	free(data->data);
	*data = (gnutls_datum_t){ NULL, 0 };
}

static int read_file(const struct webconfig *web, const struct webconfig_file *file,
		     gnutls_datum_t *ret_data, struct web_error *ret_error)
{
	char *text = malloc(PEM_MAX);
	ssize_t len = text ? file_read(AT_FDCWD, file->path, text, PEM_MAX) : -ENOMEM;
	int err = len < 0 ? (int)len : 0;

	*ret_data = (gnutls_datum_t){ (unsigned char *)text, err ? PEM_MAX : (unsigned int)len };
	if (!err)
		return 0;
	drop_file(ret_data);
	web_fail_at(ret_error, web->name, file->place, "%.150s: %s", file->path, strerror(-err));
	return err;
}

/* A key that belongs to another certificate is an error. Takes nothing over. */
static int set_pair(struct tls *tls, const gnutls_datum_t *cert, gnutls_x509_privkey_t key)
{
	gnutls_x509_crt_t *chain = NULL;
	unsigned int count = 0;
	int r = gnutls_x509_crt_list_import2(&chain, &count, cert, GNUTLS_X509_FMT_PEM,
					     GNUTLS_X509_CRT_LIST_SORT);

	if (r < 0)
		return r;
	r = gnutls_certificate_set_x509_key(tls->credentials, chain, (int)count, key);
	for (unsigned int i = 0; i < count; i++)
		gnutls_x509_crt_deinit(chain[i]);
	gnutls_free(chain);
	return r;
}

/*
 * In two steps, because the library's call for both leaks memory when a certificate is
 * broken. An encrypted key is an error: there is no password for it.
 */
static int load_pair(struct tls *tls, const gnutls_datum_t *cert, const gnutls_datum_t *key_text,
		     struct web_error *ret_error)
{
	const struct webconfig *web = tls->config.web;
	gnutls_x509_privkey_t key;
	int r = gnutls_x509_privkey_init(&key);

	if (r >= 0) {
		r = gnutls_x509_privkey_import2(key, key_text, GNUTLS_X509_FMT_PEM, NULL, 0);
		if (r >= 0)
			r = set_pair(tls, cert, key);
		gnutls_x509_privkey_deinit(key);
	}
	if (r >= 0)
		return 0;
	return web_fail_at(ret_error, web->name, web->cert.place,
			   "certificate %.120s and key %.120s: %s", web->cert.path, web->key.path,
			   gnutls_strerror(r));
}

static int load_own(struct tls *tls, struct web_error *ret_error)
{
	const struct webconfig *web = tls->config.web;
	gnutls_datum_t cert = { NULL, 0 }, key = { NULL, 0 };
	int err = read_file(web, &web->cert, &cert, ret_error);

	if (!err)
		err = read_file(web, &web->key, &key, ret_error);
	if (!err)
		err = load_pair(tls, &cert, &key, ret_error);
	drop_file(&cert);
	drop_file(&key);
	return err;
}

static bool verifies(const struct webconfig *web)
{
	return web->client_auth == WEBCONFIG_CLIENT_VERIFY_IF_GIVEN ||
	       web->client_auth == WEBCONFIG_CLIENT_REQUIRE_AND_VERIFY;
}

/* A file without a usable certificate is accepted, as in Go: it trusts no client. */
static int load_client_cas(struct tls *tls, struct web_error *ret_error)
{
	const struct webconfig *web = tls->config.web;
	gnutls_datum_t cas;
	int err;

	if (!web->client_ca.path) {
		if (verifies(web))
			(void)gnutls_certificate_set_x509_system_trust(tls->credentials);
		return 0;
	}
	err = read_file(web, &web->client_ca, &cas, ret_error);
	if (err)
		return err;
	(void)gnutls_certificate_set_x509_trust_mem(tls->credentials, &cas, GNUTLS_X509_FMT_PEM);
	drop_file(&cas);
	return 0;
}

/* Priorities. */

static void put_curves(struct buf *text, const struct webconfig_list *curves)
{
	static const char *const groups[] = {
		[WEBCONFIG_P256] = "SECP256R1",
		[WEBCONFIG_P384] = "SECP384R1",
		[WEBCONFIG_P521] = "SECP521R1",
		[WEBCONFIG_X25519] = "X25519",
	};

	if (curves->count)
		buf_puts(text, ":-GROUP-ALL");
	for (size_t i = 0; i < curves->count; i++)
		buf_printf(text, ":+GROUP-%s", groups[curves->ids[i]]);
}

/* At least TLS 1.2: an older minimum in the file means TLS 1.2. */
static void put_versions(struct buf *text, const struct webconfig *web)
{
	enum webconfig_version min =
		web->min_version < WEBCONFIG_TLS12 ? WEBCONFIG_TLS12 : web->min_version;

	buf_puts(text, "SECURE128:-VERS-ALL");
	if (web->max_version >= WEBCONFIG_TLS13 || min == WEBCONFIG_TLS13)
		buf_puts(text, ":+VERS-TLS1.3");
	if (min == WEBCONFIG_TLS12)
		buf_puts(text, ":+VERS-TLS1.2");
}

static void put_rest(struct buf *text, const struct webconfig *web)
{
	put_curves(text, &web->curves);
	if (web->prefer_server_ciphers)
		buf_puts(text, ":%SERVER_PRECEDENCE");
	buf_putc(text, '\0');
}

/* The listed suites, in order. False if none is of TLS 1.2. */
static bool put_suites(struct buf *text, const struct webconfig_list *ciphers)
{
	bool found = false;

	buf_puts(text, "SECURE128:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:-CIPHER-ALL:-MAC-ALL");
	for (size_t i = 0; i < ciphers->count; i++) {
		enum webconfig_cipher id = ciphers->ids[i];
		if (!suites[id].cipher)
			continue;
		buf_printf(text, ":+%s:+%s:+%s", suites[id].exchange, suites[id].cipher,
			   suites[id].mac);
		found = true;
	}
	return found;
}

/* Consumes the text. */
static int make_priority(const struct tls *tls, struct buf *text, gnutls_priority_t *ret,
			 struct web_error *ret_error)
{
	const struct webconfig *web = tls->config.web;
	int r = text->err ? GNUTLS_E_MEMORY_ERROR : gnutls_priority_init(ret, text->data, NULL);

	buf_done(text);
	if (r >= 0)
		return 0;
	return web_fail_at(ret_error, web->name, web->cert.place,
			   "these versions, cipher suites and curves cannot be combined: %s",
			   gnutls_strerror(r));
}

static int make_priorities(struct tls *tls, struct web_error *ret_error)
{
	const struct webconfig *web = tls->config.web;
	struct buf text;
	int err;

	buf_init(&text, 16 * 1024);
	put_versions(&text, web);
	put_rest(&text, web);
	err = make_priority(tls, &text, &tls->priority, ret_error);
	if (err || !web->ciphers.count)
		return err;
	buf_init(&text, 64 * 1024);
	if (put_suites(&text, &web->ciphers)) {
		put_rest(&text, web);
		return make_priority(tls, &text, &tls->priority12, ret_error);
	}
	buf_done(&text);
	return 0;
}

/* The handshake. */

static int refuse(const struct tls *tls, const char *why)
{
	if (tls->config.refused)
		tls->config.refused(tls->config.refused_arg, why);
	return GNUTLS_E_CERTIFICATE_ERROR;
}

static bool is_allowed(const struct webconfig *web, const char *name, size_t len)
{
	for (size_t i = 0; i < web->allowed_san_count; i++) {
		if (strlen(web->allowed_sans[i]) == len &&
		    memcmp(web->allowed_sans[i], name, len) == 0)
			return true;
	}
	return false;
}

static bool address_is_allowed(const struct webconfig *web, const unsigned char *address,
			       size_t len)
{
	char text[INET6_ADDRSTRLEN];

	if (len != sizeof(struct in_addr) && len != sizeof(struct in6_addr))
		return false;
	if (!inet_ntop(len == sizeof(struct in_addr) ? AF_INET : AF_INET6, address, text,
		       sizeof(text)))
		return false;
	return is_allowed(web, text, strlen(text));
}

static bool has_allowed_san(const struct webconfig *web, gnutls_x509_crt_t cert)
{
	unsigned char name[1024];
	unsigned int type;

	for (unsigned int i = 0;; i++) {
		size_t len = sizeof(name);
		int r = gnutls_x509_crt_get_subject_alt_name2(cert, i, name, &len, &type, NULL);
		if (r == GNUTLS_E_SHORT_MEMORY_BUFFER)
			continue;
		if (r < 0)
			return false;
		if (type == GNUTLS_SAN_IPADDRESS
			    ? address_is_allowed(web, name, len)
			    : (type == GNUTLS_SAN_DNSNAME || type == GNUTLS_SAN_RFC822NAME ||
			       type == GNUTLS_SAN_URI) &&
				      is_allowed(web, (const char *)name, len))
			return true;
	}
}

static bool san_is_allowed(const struct webconfig *web, const gnutls_datum_t *der)
{
	gnutls_x509_crt_t cert;
	bool allowed = false;

	if (gnutls_x509_crt_init(&cert) < 0)
		return false;
	if (gnutls_x509_crt_import(cert, der, GNUTLS_X509_FMT_DER) >= 0)
		allowed = has_allowed_san(web, cert);
	gnutls_x509_crt_deinit(cert);
	return allowed;
}

/* Verifies the chain up to one of the CAs, for client authentication. */
static int verify_chain(const struct tls *tls, gnutls_session_t session)
{
	int r;

	gnutls_datum_t why = { NULL, 0 };
	gnutls_typed_vdata_st purpose = {
		.type = GNUTLS_DT_KEY_PURPOSE_OID,
		/* The library does not write to it, though its prototype has no const. */
		.data = (unsigned char *)(uintptr_t)GNUTLS_KP_TLS_WWW_CLIENT,
	};
	unsigned int status = 0;

	if (gnutls_certificate_verify_peers(session, &purpose, 1, &status) < 0)
		return refuse(tls, "cannot be verified");
	if (status == 0)
		return 0;
	(void)gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &why, 0);
	r = refuse(tls, why.data ? (const char *)why.data : "not trusted");
	gnutls_free(why.data);
	return r;
}

/* GnuTLS calls it in the handshake, after the client's certificate, if any. */
static int on_client_certificate(gnutls_session_t session)
{
	const struct tls *tls = gnutls_db_get_ptr(session);
	const struct webconfig *web = tls->config.web;
	unsigned int count = 0;
	const gnutls_datum_t *chain = gnutls_certificate_get_peers(session, &count);
	int err;

	if (!chain || count == 0) {
		bool required = web->client_auth == WEBCONFIG_CLIENT_REQUIRE_ANY ||
				web->client_auth == WEBCONFIG_CLIENT_REQUIRE_AND_VERIFY;
		return required ? refuse(tls, "none sent") : 0;
	}
	err = verifies(web) ? verify_chain(tls, session) : 0;
	if (!err && web->has_allowed_sans && !san_is_allowed(web, &chain[0]))
		return refuse(tls, "no allowed subject alternative name");
	return err;
}

/* GnuTLS calls it in the handshake, when the version is known but not the suite. */
static int on_client_hello(gnutls_session_t session)
{
	const struct tls *tls = gnutls_db_get_ptr(session);

	if (gnutls_protocol_get_version(session) != GNUTLS_TLS1_2)
		return 0;
	return tls->priority12 ? gnutls_priority_set(session, tls->priority12)
			       : GNUTLS_E_NO_CIPHER_SUITES;
}

static void ask_client(gnutls_session_t session, const struct webconfig *web)
{
	bool required = web->client_auth == WEBCONFIG_CLIENT_REQUIRE_ANY ||
			web->client_auth == WEBCONFIG_CLIENT_REQUIRE_AND_VERIFY;

	gnutls_certificate_server_set_request(session,
					      required ? GNUTLS_CERT_REQUIRE : GNUTLS_CERT_REQUEST);
	gnutls_session_set_verify_function(session, on_client_certificate);
	/* Without a CA file, the names of all the system's CAs would be a long list. */
	gnutls_certificate_send_x509_rdn_sequence(session, !web->client_ca.path);
}

int tls_attach(struct tls *tls, struct gnutls_session_int *session)
{
	const struct webconfig *web = tls->config.web;

	gnutls_db_set_ptr(session, tls);
	if (gnutls_priority_set(session, tls->priority) < 0 ||
	    gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, tls->credentials) < 0)
		return -EINVAL;
	if (web->ciphers.count)
		gnutls_handshake_set_post_client_hello_function(session, on_client_hello);
	if (web->client_auth != WEBCONFIG_CLIENT_NONE)
		ask_client(session, web);
	return 0;
}

int tls_new(const struct tls_config *config, struct tls **ret_tls, struct web_error *ret_error)
{
	struct tls *tls = calloc(1, sizeof(*tls));
	int err;

	if (!tls || gnutls_certificate_allocate_credentials(&tls->credentials) < 0) {
		free(tls);
		return web_fail(ret_error, config->web->name, -ENOMEM);
	}
	tls->config = *config;
	err = load_own(tls, ret_error);
	if (!err)
		err = load_client_cas(tls, ret_error);
	if (!err)
		err = make_priorities(tls, ret_error);
	if (err) {
		tls_free(tls);
		return err;
	}
	*ret_tls = tls;
	return 0;
}

void tls_free(struct tls *tls)
{
	if (!tls)
		return;
	gnutls_certificate_free_credentials(tls->credentials);
	if (tls->priority)
		gnutls_priority_deinit(tls->priority);
	if (tls->priority12)
		gnutls_priority_deinit(tls->priority12);
	free(tls);
}
