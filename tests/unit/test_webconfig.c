/* webconfig: what stands in a file, what is refused and where. The corpus of whole files is compared with promtool in tests/it. */
#include "tcphealth/web/webconfig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define HASH         "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi"

static struct webconfig *parse(const char *text)
{
	struct webconfig *config = NULL;
	struct web_error error = { "" };

	if (webconfig_parse("/etc/tcph/web.yml", text, strlen(text), &config, &error))
		fail_msg("%s: %s", text, error.text);
	return config;
}

static void test_defaults(void **state)
{
	struct webconfig *config = parse("");

	(void)state;
	assert_false(config->tls);
	assert_null(config->cert.path);
	assert_int_equal(config->min_version, WEBCONFIG_TLS12);
	assert_int_equal(config->max_version, WEBCONFIG_TLS13);
	assert_true(config->prefer_server_ciphers);
	assert_int_equal(config->client_auth, WEBCONFIG_CLIENT_NONE);
	assert_int_equal(config->user_count, 0);
	assert_int_equal(config->rate_interval_ns, 0);
	for (size_t i = 0; i < WEBCONFIG_HEADERS; i++)
		assert_null(config->headers[i]);
	webconfig_free(config);
}

static void test_tls(void **state)
{
	struct webconfig *config = parse(
		"tls_server_config:\n"
		"  cert_file: server.crt\n"
		"  key_file: /keys/server.key\n"
		"  client_auth_type: VerifyClientCertIfGiven\n"
		"  client_ca_file: ../ca.crt\n"
		"  client_allowed_sans: [a.example, 192.0.2.1]\n"
		"  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256]\n"
		"  curve_preferences:\n  - X25519\n  - CurveP256\n"
		"  min_version: TLS13\n"
		"  max_version: TLS12\n"
		"  prefer_server_cipher_suites: no\n");

	(void)state;
	assert_true(config->tls);
	assert_string_equal(config->cert.path, "/etc/tcph/server.crt");
	assert_string_equal(config->key.path, "/keys/server.key");
	assert_string_equal(config->client_ca.path, "/etc/tcph/../ca.crt");
	assert_int_equal(config->client_ca.place.line, 5);
	assert_int_equal(config->client_ca.place.column, 19);
	assert_int_equal(config->client_auth, WEBCONFIG_CLIENT_VERIFY_IF_GIVEN);
	assert_true(config->has_allowed_sans);
	assert_int_equal(config->allowed_san_count, 2);
	assert_string_equal(config->allowed_sans[1], "192.0.2.1");
	assert_int_equal(config->ciphers.count, 2);
	assert_int_equal(config->ciphers.ids[0], WEBCONFIG_ECDHE_RSA_AES_128_GCM_SHA256);
	assert_int_equal(config->ciphers.ids[1], WEBCONFIG_AES_128_GCM_SHA256);
	assert_int_equal(config->curves.count, 2);
	assert_int_equal(config->curves.ids[0], WEBCONFIG_X25519);
	assert_int_equal(config->min_version, WEBCONFIG_TLS13);
	assert_int_equal(config->max_version, WEBCONFIG_TLS12);
	assert_false(config->prefer_server_ciphers);
	webconfig_free(config);
}

static void test_every_cipher_has_its_name(void **state)
{
	static const char *const names[WEBCONFIG_CIPHERS] = {
		[WEBCONFIG_RSA_AES_128_CBC_SHA] = "TLS_RSA_WITH_AES_128_CBC_SHA",
		[WEBCONFIG_RSA_AES_256_CBC_SHA] = "TLS_RSA_WITH_AES_256_CBC_SHA",
		[WEBCONFIG_RSA_AES_128_GCM_SHA256] = "TLS_RSA_WITH_AES_128_GCM_SHA256",
		[WEBCONFIG_RSA_AES_256_GCM_SHA384] = "TLS_RSA_WITH_AES_256_GCM_SHA384",
		[WEBCONFIG_AES_128_GCM_SHA256] = "TLS_AES_128_GCM_SHA256",
		[WEBCONFIG_AES_256_GCM_SHA384] = "TLS_AES_256_GCM_SHA384",
		[WEBCONFIG_CHACHA20_POLY1305_SHA256] = "TLS_CHACHA20_POLY1305_SHA256",
		[WEBCONFIG_ECDHE_ECDSA_AES_128_CBC_SHA] = "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
		[WEBCONFIG_ECDHE_ECDSA_AES_256_CBC_SHA] = "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
		[WEBCONFIG_ECDHE_RSA_AES_128_CBC_SHA] = "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
		[WEBCONFIG_ECDHE_RSA_AES_256_CBC_SHA] = "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
		[WEBCONFIG_ECDHE_ECDSA_AES_128_GCM_SHA256] =
			"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
		[WEBCONFIG_ECDHE_ECDSA_AES_256_GCM_SHA384] =
			"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
		[WEBCONFIG_ECDHE_RSA_AES_128_GCM_SHA256] = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
		[WEBCONFIG_ECDHE_RSA_AES_256_GCM_SHA384] = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
		[WEBCONFIG_ECDHE_RSA_CHACHA20_POLY1305_SHA256] =
			"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
		[WEBCONFIG_ECDHE_ECDSA_CHACHA20_POLY1305_SHA256] =
			"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
	};
	char text[256];

	(void)state;
	for (unsigned int i = 0; i < WEBCONFIG_CIPHERS; i++) {
		(void)snprintf(text, sizeof(text), "tls_server_config: {cipher_suites: [%s]}",
			       names[i]);
		struct webconfig *config = parse(text);
		assert_int_equal(config->ciphers.count, 1);
		assert_int_equal(config->ciphers.ids[0], i);
		webconfig_free(config);
	}
}

static void test_headers_are_fit_for_http(void **state)
{
	struct webconfig *config =
		parse("http_server_config:\n"
		      "  headers:\n"
		      "    Content-Security-Policy: |\n      default-src 'self';\n      img-src *\n"
		      "    X-XSS-Protection: \" \\t\\r\\n \"\n"
		      "    Strict-Transport-Security: \"\\r\\n max-age=1\\r\\nX-Forged: 1 \"\n"
		      "    X-Frame-Options: deny\n");

	(void)state;
	assert_string_equal(config->headers[WEBCONFIG_CONTENT_SECURITY_POLICY],
			    "default-src 'self'; img-src *");
	assert_null(config->headers[WEBCONFIG_X_XSS_PROTECTION]);
	assert_string_equal(config->headers[WEBCONFIG_STRICT_TRANSPORT_SECURITY],
			    "max-age=1  X-Forged: 1");
	assert_string_equal(config->headers[WEBCONFIG_X_FRAME_OPTIONS], "deny");
	assert_null(config->headers[WEBCONFIG_X_CONTENT_TYPE_OPTIONS]);
	webconfig_free(config);
}

static void test_users(void **state)
{
	struct webconfig *config =
		parse("basic_auth_users:\n  alice: " HASH "\n  'b c': '" HASH "'\n");

	(void)state;
	assert_int_equal(config->user_count, 2);
	assert_string_equal(config->users[1].name, "b c");
	assert_int_equal(config->users[1].hash.cost, 10);
	assert_string_equal(config->users[1].hash.salt, "QOauhQNbBCuQDKes6eFzPe");
	assert_string_equal(config->users[1].hash.digest, "MqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi");
	webconfig_free(config);
}

/* A null is nothing, as in Go: not its word. */
static void test_nulls(void **state)
{
	struct webconfig *config = parse("tls_server_config:\n"
					 "  cert_file: ~\n"
					 "  client_auth_type: null\n"
					 "  client_allowed_sans: ~\n"
					 "  cipher_suites: [~, TLS_AES_128_GCM_SHA256]\n"
					 "  min_version:\n"
					 "http_server_config:\n"
					 "  headers: {X-XSS-Protection: null}\n"
					 "basic_auth_users: {~: '" HASH "'}\n"
					 "rate_limit: NULL\n");

	(void)state;
	assert_false(config->tls);
	assert_null(config->cert.path);
	assert_false(config->has_allowed_sans);
	assert_int_equal(config->ciphers.count, 1);
	assert_int_equal(config->min_version, WEBCONFIG_TLS12);
	assert_null(config->headers[WEBCONFIG_X_XSS_PROTECTION]);
	assert_int_equal(config->user_count, 1);
	assert_string_equal(config->users[0].name, "");
	assert_int_equal(config->rate_interval_ns, 0);
	webconfig_free(config);
}

static void test_rate_limit(void **state)
{
	static const struct {
		const char *interval;
		uint64_t ns;
	} cases[] = {
		{ "100ms", 100000000 },
		{ "1.5s", 1500000000 },
		{ "1m30s", UINT64_C(90000000000) },
		{ "0", 0 },
		{ "2us", 2000 },
		{ "0s", 0 },
		{ "\"1h\"", UINT64_C(3600000000000) },
	};
	char text[128];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		(void)snprintf(text, sizeof(text), "rate_limit: {interval: %s, burst: 7}",
			       cases[i].interval);
		struct webconfig *config = parse(text);
		assert_int_equal(config->rate_interval_ns, cases[i].ns);
		assert_int_equal(config->rate_burst, 7);
		webconfig_free(config);
	}
}

static void test_errors(void **state)
{
	static const struct {
		const char *text, *error; /* after the file's name */
	} cases[] = {
		{ "nonsense: 1\n", ":1:1: unknown key \"nonsense\"" },
		{ "http_server_config:\n  http2: true\n  http2: true\n", ":3:3: duplicate key" },
		{ "http_server_config: {http2: maybe}\n",
		  ":1:29: \"maybe\" is not a boolean (allowed: true, false)" },
		{ "tls_server_config:\n  min_version: TLS14\n",
		  ":2:16: unknown TLS version \"TLS14\" (allowed: TLS13, TLS12, TLS11, TLS10)" },
		{ "tls_server_config:\n  key_file: a\n", "cert_file is missing" },
		{ "tls_server_config:\n  cert_file: a\n", "key_file is missing" },
		{ "tls_server_config:\n  cert_file: [a]\n",
		  ":2:15: expected a string, not a list" },
		{ "tls_server_config: 1\n", ":1:20: expected a mapping, not a string" },
		{ "- 1\n", ": expected a mapping, not a list" },
		{ "basic_auth_users:\n  alice: secret\n",
		  ":2:10: user \"alice\": too short for a bcrypt hash" },
		{ "basic_auth_users:\n  alice: &h " HASH "\n  bob: *h\n",
		  ":3:9: aliases are not supported" },
		{ "tls_server_config: &t {}\nhttp_server_config: *t\n",
		  ":2:22: aliases are not supported" },
		{ "tls_server_config:\n  curve_preferences: [&c X25519, *c]\n",
		  ":2:35: aliases are not supported" },
		{ "http_server_config:\n  headers: {*a : b}\n",
		  ":2:14: aliases are not supported" },
		{ "http_server_config:\n  http2: true\n  <<: {http2: false}\n",
		  ":3:3: merge keys are not supported" },
		{ "basic_auth_users:\n  <<: " HASH "\n", ":2:3: merge keys are not supported" },
		{ "basic_auth_users:\n  \"<<\": secret\n", ":2:9: user \"<<\": too short" },
		{ "http_server_config:\n  http2: !!bool true\n", ":2:17: tags are not supported" },
		{ "http_server_config: !x\n  http2: true\n", ":2:3: tags are not supported" },
		{ "http_server_config:\n  !!str http2: true\n", ":2:9: tags are not supported" },
		{ "tls_server_config:\n  client_allowed_sans: !!set [a]\n",
		  ":2:31: tags are not supported" },
		{ "rate_limit: !!null ~\n", ":1:20: tags are not supported" },
		{ "rate_limit: [1]\n", ":1:14: expected a mapping, not a list" },
		{ "tls_server_config:\n  cipher_suites: a\n", "expected a list, not a string" },
		{ "tls_server_config:\n  cipher_suites: {a: b}\n",
		  "expected a list, not a mapping" },
		{ "http_server_config:\n  http2: true # \x01\n",
		  ":2:17: a control character is not allowed" },
		{ "http_server_config:\n  http2: \xff\n", ":2:10: invalid UTF-8" },
		{ "%YAML 1.2\n---\n{}\n", "YAML 1.2 is not supported" },
		{ "rate_limit: {interval: soon}\n", "\"soon\" is not a duration" },
		{ "rate_limit: {interval: 1}\n", "\"1\" is not a duration" },
		{ "rate_limit: {interval: -1s}\n", "\"-1s\" is not a duration" },
		{ "rate_limit: {interval: 1e3s}\n", "\"1e3s\" is not a duration" },
		{ "rate_limit: {interval: 1s}\n", "a burst of 0" },
		{ "rate_limit: {interval: 1s, burst: many}\n", "\"many\" is not a whole number" },
		{ "rate_limit: {interval: 1s, burst: -1}\n", "\"-1\" is not a whole number" },
		{ "tls_server_config: {cipher_suites: [nope]}\n", "unknown cipher suite \"nope\"" },
		{ "tls_server_config: {cert_file: \"a\\0b\"}\n", "a NUL is not allowed" },
		{ "tls_server_config: {\n", ":" },
		{ "tls_server_config: {cert_file: 'a''''b'}\n", "several escaped quotes in a row" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct webconfig *config = NULL;
		struct web_error error = { "" };
		assert_int_equal(webconfig_parse("web.yml", cases[i].text, strlen(cases[i].text),
						 &config, &error),
				 -EINVAL);
		assert_null(config);
		assert_ptr_equal(strstr(error.text, "web.yml:"), error.text);
		if (!strstr(error.text, cases[i].error))
			fail_msg("%s: %s", cases[i].text, error.text);
		assert_null(strpbrk(error.text, "\r\n"));
	}
}

static void test_files(void **state)
{
	char path[] = "/tmp/test_webconfig.XXXXXX";
	int fd = mkstemp(path);
	struct webconfig *config = NULL;
	struct web_error error;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "http_server_config:\n", 20), 20);
	assert_int_equal(webconfig_load(path, &config, &error), 0);
	assert_string_equal(config->name, path);
	webconfig_free(config);
	assert_int_equal(ftruncate(fd, WEBCONFIG_SIZE_MAX + 1), 0);
	assert_int_equal(webconfig_load(path, &config, &error), -EFBIG);
	close(fd);
	unlink(path);
	assert_int_equal(webconfig_load(path, &config, &error), -ENOENT);
	assert_non_null(strstr(error.text, path));
	assert_int_equal(webconfig_load("/", &config, &error), -EISDIR);
	webconfig_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_tls),
		cmocka_unit_test(test_every_cipher_has_its_name),
		cmocka_unit_test(test_headers_are_fit_for_http),
		cmocka_unit_test(test_users),
		cmocka_unit_test(test_nulls),
		cmocka_unit_test(test_rate_limit),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
