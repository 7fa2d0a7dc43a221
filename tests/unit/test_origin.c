/*
 * Tests of origin: which peers, names and headers are this host's own.
 */
#include "tcphealth/web/origin.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/un.h>

#include <cmocka.h>

static bool is_loopback(const char *text)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };

	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
		return origin_is_loopback((const struct sockaddr *)&v4);
	assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
	return origin_is_loopback((const struct sockaddr *)&v6);
}

static void test_peers(void **state)
{
	static const char *const own[] = { "127.0.0.1", "127.255.255.254", "::1",
					   "::ffff:127.0.0.1" };
	static const char *const others[] = { "128.0.0.1",  "126.255.255.255",
					      "0.0.0.0",    "10.0.0.1",
					      "::",         "::2",
					      "fe80::1",    "::ffff:10.0.0.1",
					      "::127.0.0.1" };
	struct sockaddr_un local = { .sun_family = AF_UNIX };

	(void)state;
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		assert_true(is_loopback(own[i]));
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_false(is_loopback(others[i]));
	assert_false(origin_is_loopback((const struct sockaddr *)&local));
}

static void test_hosts_that_are_own(void **state)
{
	static const char *const hosts[] = {
		"localhost", "LOCALHOST", "localhost:10793", "127.0.0.1",    "127.0.0.1:1",
		"127.1.2.3", "[::1]",     "[::1]:10793",     "[0:0:0:0::1]", "[::ffff:127.0.0.1]:80"
	};

	(void)state;
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		if (!origin_host_is_own(hosts[i]))
			fail_msg("%s", hosts[i]);
	}
}

static void test_hosts_that_are_not(void **state)
{
	static const char *const hosts[] = { "",
					     ":80",
					     "evil.example",
					     "localhost.evil.example",
					     "localhost.",
					     "localhost@evil.example",
					     "localhost:80@evil.example",
					     "localhost:80/",
					     "localhost ",
					     "127.0.0.1.evil.example",
					     "127.1",
					     "0.0.0.0",
					     "[::]",
					     "[::1",
					     "[::1]x",
					     "[::1]:80:80",
					     "[]",
					     "[",
					     "::1",
					     "192.0.2.1",
					     "[2001:db8::1]:80",
					     "0x7f.0.0.1",
					     "2130706433" };
	char longest[5000];

	(void)state;
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		if (origin_host_is_own(hosts[i]))
			fail_msg("%s", hosts[i]);
	}
	memset(longest, '1', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_false(origin_host_is_own(longest));
	assert_false(origin_host_is_own(NULL));
}

static void test_proxy_headers(void **state)
{
	static const char *const proxied[] = { "Forwarded",         "FORWARDED",
					       "X-Forwarded-For",   "x-forwarded-host",
					       "X-Forwarded-Proto", "X-Forwarded-",
					       "X-Real-IP",         "Via" };
	static const char *const plain[] = { "Host",          "Forward", "X-Forwarded",
					     "Forwarded-For", "Viable",  "" };

	(void)state;
	for (size_t i = 0; i < sizeof(proxied) / sizeof(proxied[0]); i++)
		assert_true(origin_is_proxy_header(proxied[i]));
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		assert_false(origin_is_proxy_header(plain[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_peers),
		cmocka_unit_test(test_hosts_that_are_own),
		cmocka_unit_test(test_hosts_that_are_not),
		cmocka_unit_test(test_proxy_headers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
