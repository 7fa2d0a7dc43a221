/*
 * webconfig: the file of --web.config.file, as a plain value.
 *
 * Accepts the format of Prometheus's exporter-toolkit, and rejects what it rejects:
 * `promtool check web-config` gives the same verdict, but for the exceptions in
 * docs/web-config.md. Reads this one file and no certificate; must not know TLS or HTTP.
 * Any thread.
 */
#pragma once

#include "tcphealth/web/bcrypt.h"
#include "tcphealth/web/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEBCONFIG_SIZE_MAX (1024 * 1024) /* bytes of a file */

enum webconfig_client_auth {
	WEBCONFIG_CLIENT_NONE,
	WEBCONFIG_CLIENT_REQUEST,     /* not verified */
	WEBCONFIG_CLIENT_REQUIRE_ANY, /* not verified */
	WEBCONFIG_CLIENT_VERIFY_IF_GIVEN,
	WEBCONFIG_CLIENT_REQUIRE_AND_VERIFY,
};

enum webconfig_version {
	WEBCONFIG_TLS10,
	WEBCONFIG_TLS11,
	WEBCONFIG_TLS12,
	WEBCONFIG_TLS13,
};

enum webconfig_curve {
	WEBCONFIG_P256,
	WEBCONFIG_P384,
	WEBCONFIG_P521,
	WEBCONFIG_X25519,
};

/*
 * Go's secure cipher suites, by their IANA names. The three without a key exchange belong to TLS
 * 1.3 and are always on.
 */
#define WEBCONFIG_CIPHER_LIST(C)                                                                   \
	C(RSA_AES_128_CBC_SHA, "TLS_RSA_WITH_AES_128_CBC_SHA")                                     \
	C(RSA_AES_256_CBC_SHA, "TLS_RSA_WITH_AES_256_CBC_SHA")                                     \
	C(RSA_AES_128_GCM_SHA256, "TLS_RSA_WITH_AES_128_GCM_SHA256")                               \
	C(RSA_AES_256_GCM_SHA384, "TLS_RSA_WITH_AES_256_GCM_SHA384")                               \
	C(AES_128_GCM_SHA256, "TLS_AES_128_GCM_SHA256")                                            \
	C(AES_256_GCM_SHA384, "TLS_AES_256_GCM_SHA384")                                            \
	C(CHACHA20_POLY1305_SHA256, "TLS_CHACHA20_POLY1305_SHA256")                                \
	C(ECDHE_ECDSA_AES_128_CBC_SHA, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA")                     \
	C(ECDHE_ECDSA_AES_256_CBC_SHA, "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA")                     \
	C(ECDHE_RSA_AES_128_CBC_SHA, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA")                         \
	C(ECDHE_RSA_AES_256_CBC_SHA, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA")                         \
	C(ECDHE_ECDSA_AES_128_GCM_SHA256, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256")               \
	C(ECDHE_ECDSA_AES_256_GCM_SHA384, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384")               \
	C(ECDHE_RSA_AES_128_GCM_SHA256, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256")                   \
	C(ECDHE_RSA_AES_256_GCM_SHA384, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384")                   \
	C(ECDHE_RSA_CHACHA20_POLY1305_SHA256, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256")       \
	C(ECDHE_ECDSA_CHACHA20_POLY1305_SHA256, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256")

#define WEBCONFIG_CIPHER(ID, name) WEBCONFIG_##ID,
enum webconfig_cipher {
	WEBCONFIG_CIPHER_LIST(WEBCONFIG_CIPHER) WEBCONFIG_CIPHERS,
};

enum webconfig_header {
	WEBCONFIG_CONTENT_SECURITY_POLICY,
	WEBCONFIG_X_FRAME_OPTIONS,
	WEBCONFIG_X_CONTENT_TYPE_OPTIONS,
	WEBCONFIG_X_XSS_PROTECTION,
	WEBCONFIG_STRICT_TRANSPORT_SECURITY,
	WEBCONFIG_HEADERS,
};

/* A file that the configuration names. */
struct webconfig_file {
	/* NULL: none. A relative one was taken from the configuration's directory. */
	char *path;
	/* Where it is named, for errors found later. */
	struct web_place place;
};

/* Values of one of the enums above, in the file's order. */
struct webconfig_list {
	unsigned char *ids;
	size_t count;
};

struct webconfig_user {
	char *name;
	struct bcrypt_hash hash;
};

struct webconfig {
	char *name; /* of the file, in errors */

	bool tls;
	struct webconfig_file cert, key, client_ca;
	enum webconfig_client_auth client_auth;
	/* client_allowed_sans is given, even if empty. */
	bool has_allowed_sans;
	char **allowed_sans;
	size_t allowed_san_count;
	enum webconfig_version min_version, max_version;
	bool prefer_server_ciphers;
	struct webconfig_list ciphers, curves; /* empty: the defaults */

	/* Without control characters. NULL: not given, or blank. */
	char *headers[WEBCONFIG_HEADERS];

	struct webconfig_user *users;
	size_t user_count;

	uint64_t rate_interval_ns; /* between requests; 0: no limit */
	uint64_t rate_burst;
};

/*
 * Parses the content of a file called `name`. 0 and *ret_config, or -EINVAL, -ENOMEM and
 * *ret_error.
 */
int webconfig_parse(const char *name, const char *text, size_t len, struct webconfig **ret_config,
		    struct web_error *ret_error);

/* Reads and parses the file. 0 and *ret_config, or -errno and *ret_error. */
int webconfig_load(const char *path, struct webconfig **ret_config, struct web_error *ret_error);

/* Wipes the hashes. NULL is fine. */
void webconfig_free(struct webconfig *config);

/* "X-Frame-Options". */
const char *webconfig_header_name(enum webconfig_header header);
