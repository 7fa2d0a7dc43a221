/* Unit tests of tcpsock. */
#include "tcphealth/source/tcpsock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

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
		cmocka_unit_test(knows_only_all_bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
