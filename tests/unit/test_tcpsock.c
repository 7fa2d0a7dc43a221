/*
 * Names of states, text and kinds of addresses.
 */
#include "tcphealth/source/tcpsock.h"

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

static void names_every_state(void **state)
{
	static const char *const names[] = {
		"unknown",   "established", "syn_sent",   "syn_recv", "fin_wait1", "fin_wait2",
		"time_wait", "close",       "close_wait", "last_ack", "listen",    "closing",
	};

	(void)state;
	for (unsigned int i = 0; i < TCP_STATE_COUNT; i++)
		assert_string_equal(tcp_state_name(i), names[i]);
	assert_string_equal(tcp_state_name(TCP_STATE_COUNT), "unknown");
	assert_string_equal(tcp_state_name(UINT32_MAX), "unknown");
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
		char text[TCPSOCK_ADDR_LEN];
		char endpoint[TCPSOCK_ENDPOINT_LEN], expected[TCPSOCK_ENDPOINT_LEN];

		assert_string_equal(tcpsock_addr_text(&addr, text), rows[i].text);
		(void)snprintf(expected, sizeof(expected), v6 ? "[%s]:65535" : "%s:65535",
			       rows[i].text);
		assert_string_equal(tcpsock_endpoint_text(&addr, 65535, endpoint), expected);
		assert_int_equal(tcpsock_addr_is_any(&addr), rows[i].any);
		assert_int_equal(tcpsock_addr_is_loopback(&addr), rows[i].loopback);
	}
}

static void maps_v4(void **state)
{
	struct in6_addr want = address("::ffff:192.0.2.1");
	struct in6_addr got = tcpsock_addr_v4(inet_addr("192.0.2.1"));

	(void)state;
	assert_memory_equal(&got, &want, sizeof(want));
}

static void knows_only_all_bits(void **state)
{
	struct tcpsock sock = { .known = TCPSOCK_INFO | TCPSOCK_BYTES };

	(void)state;
	assert_true(tcpsock_knows(&sock, TCPSOCK_INFO));
	assert_true(tcpsock_knows(&sock, TCPSOCK_INFO | TCPSOCK_BYTES));
	assert_false(tcpsock_knows(&sock, TCPSOCK_INFO | TCPSOCK_SEGS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_every_state),
		cmocka_unit_test(describes_addresses),
		cmocka_unit_test(maps_v4),
		cmocka_unit_test(knows_only_all_bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
