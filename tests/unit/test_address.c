/* Unit tests of address. */
#include "tcphealth/base/address.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct in6_addr address(const char *text)
{
	struct in6_addr addr;

	assert_int_equal(inet_pton(AF_INET6, text, &addr), 1);
	return addr;
}

static void describes_addresses(void **state)
{
	static const struct {
		const char *addr;
		const char *text;
		bool any;
		bool loopback;
	} rows[] = {
		{ "::", "::", true, false },
		{ "::1", "::1", false, true },
		{ "::2", "::2", false, false },
		{ "::ffff:0.0.0.0", "0.0.0.0", true, false },
		{ "::ffff:127.0.0.1", "127.0.0.1", false, true },
		{ "::ffff:127.255.1.2", "127.255.1.2", false, true },
		{ "::ffff:128.0.0.1", "128.0.0.1", false, false },
		{ "::ffff:192.0.2.255", "192.0.2.255", false, false },
		{ "2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1", false, false },
		{ "2001:db8:1111:2222:3333:4444:5555:6666",
		  "2001:db8:1111:2222:3333:4444:5555:6666", false, false },
		{ "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255",
		  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct in6_addr addr = address(rows[i].addr);
		bool v6 = strchr(rows[i].text, ':') != NULL;
		char text[ADDRESS_LEN];
		char endpoint[ADDRESS_ENDPOINT_LEN], expected[ADDRESS_ENDPOINT_LEN];

		assert_string_equal(address_text(&addr, text), rows[i].text);
		(void)snprintf(expected, sizeof(expected), v6 ? "[%s]:65535" : "%s:65535",
			       rows[i].text);
		assert_string_equal(address_endpoint_text(&addr, 65535, endpoint), expected);
		assert_int_equal(address_is_any(&addr), rows[i].any);
		assert_int_equal(address_is_loopback(&addr), rows[i].loopback);
	}
}

static void maps_v4(void **state)
{
	struct in6_addr want = address("::ffff:192.0.2.1");
	struct in6_addr got = address_v4(inet_addr("192.0.2.1"));

	(void)state;
	assert_memory_equal(&got, &want, sizeof(want));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(describes_addresses),
		cmocka_unit_test(maps_v4),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
