/* Unit tests of tcpsock. */
#include "tcphealth/source/tcpsock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
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

static void leaves_the_fin_out_of_what_is_unread(void **state)
{
	static const struct {
		enum tcp_state state;
		uint32_t rqueue, unread;
	} looks[] = {
		{ TCP_STATE_ESTABLISHED, 11, 11 }, { TCP_STATE_FIN_WAIT1, 11, 11 },
		{ TCP_STATE_FIN_WAIT2, 11, 11 },   { TCP_STATE_CLOSE_WAIT, 11, 10 },
		{ TCP_STATE_LAST_ACK, 11, 10 },    { TCP_STATE_CLOSING, 11, 10 },
		{ TCP_STATE_CLOSE_WAIT, 1, 0 },    { TCP_STATE_CLOSE_WAIT, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(looks) / sizeof(looks[0]); i++) {
		struct tcpsock sock = { .state = (uint8_t)looks[i].state,
					.rqueue = looks[i].rqueue };

		assert_int_equal(tcpsock_unread(&sock), looks[i].unread);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_every_state),
		cmocka_unit_test(knows_only_all_bits),
		cmocka_unit_test(leaves_the_fin_out_of_what_is_unread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
