/*
 * Tests of role: the handshake's arithmetic, destroy events, ports.
 */
#include "tcphealth/model/role.h"

#include "helpers/records.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* What one end did: the kernel's numbers follow from it. */
struct end {
	const char *name;
	enum tcp_state state;
	uint64_t sent;    /* bytes sent once */
	uint64_t acked;   /* of these acknowledged */
	uint64_t retrans; /* bytes sent again */
	uint32_t unacked; /* segments in flight */
	uint32_t notsent; /* bytes that wait, with a FIN behind them if it was closed */
	bool fin_acked;
	bool fin_in_flight;
};

static const struct end ends[] = {
	{ .name = "fresh", .state = TCP_STATE_ESTABLISHED },
	{ .name = "all acknowledged", .state = TCP_STATE_ESTABLISHED, .sent = 5000, .acked = 5000 },
	{ .name = "in flight",
	  .state = TCP_STATE_ESTABLISHED,
	  .sent = 5000,
	  .acked = 2104,
	  .unacked = 2 },
	{ .name = "one byte in flight", .state = TCP_STATE_ESTABLISHED, .sent = 1, .unacked = 1 },
	{ .name = "tail-loss probe",
	  .state = TCP_STATE_ESTABLISHED,
	  .sent = 1448,
	  .retrans = 1448,
	  .unacked = 1 },
	{ .name = "part retransmitted",
	  .state = TCP_STATE_ESTABLISHED,
	  .sent = 9000,
	  .acked = 6104,
	  .retrans = 700,
	  .unacked = 2 },
	{ .name = "corked",
	  .state = TCP_STATE_ESTABLISHED,
	  .sent = 100,
	  .acked = 100,
	  .notsent = 700 },
	{ .name = "zero window",
	  .state = TCP_STATE_ESTABLISHED,
	  .sent = 90000,
	  .acked = 90000,
	  .notsent = 1000000 },
	{ .name = "in flight and corked",
	  .state = TCP_STATE_ESTABLISHED,
	  .sent = 1448,
	  .unacked = 1,
	  .notsent = 3 },
	{ .name = "peer closed", .state = TCP_STATE_CLOSE_WAIT, .sent = 10, .acked = 10 },
	{ .name = "peer closed, in flight",
	  .state = TCP_STATE_CLOSE_WAIT,
	  .sent = 10,
	  .unacked = 1 },
	{ .name = "FIN in flight",
	  .state = TCP_STATE_FIN_WAIT1,
	  .sent = 10,
	  .acked = 10,
	  .unacked = 1,
	  .fin_in_flight = true },
	{ .name = "data and FIN in flight",
	  .state = TCP_STATE_FIN_WAIT1,
	  .sent = 10,
	  .unacked = 1,
	  .fin_in_flight = true },
	{ .name = "FIN behind unsent data",
	  .state = TCP_STATE_FIN_WAIT1,
	  .sent = 1448,
	  .acked = 1448,
	  .notsent = 501 },
	{ .name = "FIN behind unsent data, in flight",
	  .state = TCP_STATE_FIN_WAIT1,
	  .sent = 2896,
	  .acked = 1448,
	  .unacked = 1,
	  .notsent = 501 },
	{ .name = "FIN acknowledged",
	  .state = TCP_STATE_FIN_WAIT2,
	  .sent = 10,
	  .acked = 10,
	  .fin_acked = true },
	{ .name = "both closing",
	  .state = TCP_STATE_CLOSING,
	  .sent = 10,
	  .acked = 10,
	  .unacked = 1,
	  .fin_in_flight = true },
	{ .name = "closed second",
	  .state = TCP_STATE_LAST_ACK,
	  .sent = 10,
	  .acked = 10,
	  .unacked = 1,
	  .fin_in_flight = true },
	{ .name = "closed second, FIN waits",
	  .state = TCP_STATE_LAST_ACK,
	  .sent = 10,
	  .acked = 10,
	  .notsent = 1 },
};

static struct tcpsock sock_of(const struct end *end, bool opener)
{
	struct tcpsock sock = record_full(1, end->state, 40000, 80);

	sock.bytes_sent = end->sent + end->retrans;
	sock.bytes_retrans = end->retrans;
	sock.bytes_acked = end->acked + (opener ? 1 : 0) + (end->fin_acked ? 1 : 0);
	sock.unacked = end->unacked;
	sock.notsent_bytes = end->notsent;
	sock.wqueue =
		(uint32_t)(end->sent - end->acked) + end->notsent + (end->fin_in_flight ? 1 : 0);
	return sock;
}

static void test_handshake_tells_both_ends(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(ends); i++) {
		for (int opener = 0; opener < 2; opener++) {
			struct tcpsock sock = sock_of(&ends[i], opener);
			struct role_guess guess = { 0 };

			if (role_from_handshake(&sock, &guess) != ROLE_HANDSHAKE_TELLS)
				fail_msg("%s, opener %d: does not tell", ends[i].name, opener);
			if (guess.role != (opener ? ROLE_CLIENT : ROLE_SERVER))
				fail_msg("%s, opener %d: wrong", ends[i].name, opener);
			assert_int_equal(guess.evidence, ROLE_BY_HANDSHAKE);
			assert_int_equal(guess.sure, ends[i].unacked == 0);
		}
	}
}

static void test_sure_only_when_quiet(void **state)
{
	(void)state;
	const struct end quiet = { .state = TCP_STATE_ESTABLISHED, .sent = 5, .acked = 5 };
	struct role_guess guess;
	struct tcpsock sock = sock_of(&quiet, true);

	sock.last_data_sent_ms = sock.last_ack_recv_ms = 20;
	assert_int_equal(role_from_handshake(&sock, &guess), ROLE_HANDSHAKE_TELLS);
	assert_true(guess.sure);
	sock.last_data_sent_ms = 19;
	role_from_handshake(&sock, &guess);
	assert_false(guess.sure);
	sock.last_data_sent_ms = 20;
	sock.last_ack_recv_ms = 19;
	role_from_handshake(&sock, &guess);
	assert_false(guess.sure);
	sock.last_ack_recv_ms = 20;
	sock.wqueue = 1; /* read before, outside the lock */
	assert_int_equal(role_from_handshake(&sock, &guess), ROLE_HANDSHAKE_TELLS);
	assert_false(guess.sure);
}

static void check_handshake(const struct tcpsock *sock, enum role_handshake expected)
{
	struct role_guess guess = { ROLE_CLIENT, ROLE_BY_PORT_ORDER, true };

	assert_int_equal(role_from_handshake(sock, &guess), expected);
	if (expected != ROLE_HANDSHAKE_TELLS)
		assert_int_equal(guess.evidence, ROLE_BY_PORT_ORDER); /* left as it was */
}

static void test_states_that_tell_nothing(void **state)
{
	(void)state;
	static const enum tcp_state others[] = { TCP_STATE_NONE,     TCP_STATE_SYN_SENT,
						 TCP_STATE_SYN_RECV, TCP_STATE_TIME_WAIT,
						 TCP_STATE_CLOSE,    TCP_STATE_LISTEN };

	for (size_t i = 0; i < COUNT(others); i++) {
		struct tcpsock sock = record_full(1, others[i], 40000, 80);

		check_handshake(&sock, ROLE_HANDSHAKE_REFUSES);
	}
	struct tcpsock sock = record_full(1, TCP_STATE_ESTABLISHED, 40000, 80);

	sock.info_state = TCP_STATE_CLOSE_WAIT;
	check_handshake(&sock, ROLE_HANDSHAKE_REFUSES);
	sock.state = sock.info_state = 200;
	check_handshake(&sock, ROLE_HANDSHAKE_REFUSES);
}

static void test_what_must_be_known(void **state)
{
	(void)state;
	static const uint32_t needed[] = { TCPSOCK_INFO, TCPSOCK_BYTES, TCPSOCK_NOTSENT };
	struct tcpsock sock;

	for (size_t i = 0; i < COUNT(needed); i++) {
		sock = record_full(1, TCP_STATE_ESTABLISHED, 40000, 80);
		sock.known &= ~needed[i];
		check_handshake(&sock, ROLE_HANDSHAKE_REFUSES);
	}
	/* Before Linux 4.19: only for who sent nothing, and says so. */
	sock = record_full(1, TCP_STATE_ESTABLISHED, 40000, 80);
	sock.known &= ~(uint32_t)TCPSOCK_SENT;
	sock.bytes_acked = 1;
	check_handshake(&sock, ROLE_HANDSHAKE_TELLS);
	sock.data_segs_out = 1;
	check_handshake(&sock, ROLE_HANDSHAKE_REFUSES);
	sock.data_segs_out = 0;
	sock.known &= ~(uint32_t)TCPSOCK_DATA_SEGS;
	check_handshake(&sock, ROLE_HANDSHAKE_REFUSES);
}

static void test_queue_that_cannot_belong(void **state)
{
	(void)state;
	const struct end busy = {
		.state = TCP_STATE_ESTABLISHED, .sent = 5000, .acked = 2104, .unacked = 2
	};
	struct tcpsock sock = sock_of(&busy, true);

	sock.wqueue = 1; /* less than a byte a segment */
	check_handshake(&sock, ROLE_HANDSHAKE_REFUSES);
	sock.wqueue = 2 * 65535 + 1;
	check_handshake(&sock, ROLE_HANDSHAKE_REFUSES);
	sock.wqueue = 0;
	sock.notsent_bytes = 10;
	check_handshake(&sock, ROLE_HANDSHAKE_REFUSES);
	sock = sock_of(&busy, true);
	sock.wqueue += 1; /* plausible, but more than a SYN is left over */
	check_handshake(&sock, ROLE_HANDSHAKE_REFUSES);
}

static void test_local_drops_are_hopeless(void **state)
{
	(void)state;
	struct tcpsock sock = record_full(1, TCP_STATE_ESTABLISHED, 40000, 80);

	sock.bytes_sent = 3000; /* one of its segments never left this host */
	sock.bytes_acked = 3000 - 1448 + 1;
	check_handshake(&sock, ROLE_HANDSHAKE_HOPELESS);
	sock = record_full(1, TCP_STATE_FIN_WAIT2, 40000,
			   80); /* an acceptor whose FIN is not counted */
	check_handshake(&sock, ROLE_HANDSHAKE_HOPELESS);
}

static void test_state_tells(void **state)
{
	(void)state;
	struct role_guess guess;
	struct tcpsock sock = record_full(1, TCP_STATE_SYN_SENT, 40000, 80);

	assert_true(role_from_state(&sock, &guess));
	assert_int_equal(guess.role, ROLE_CLIENT);
	assert_int_equal(guess.evidence, ROLE_BY_STATE);
	assert_true(guess.sure);
	sock.info_state = TCP_STATE_ESTABLISHED; /* moved on meanwhile */
	assert_false(role_from_state(&sock, &guess));
	sock = record_mini(1, TCP_STATE_SYN_RECV, 80, 40000);
	assert_true(role_from_state(&sock, &guess));
	assert_int_equal(guess.role, ROLE_SERVER);
	sock = record_full(1, TCP_STATE_SYN_RECV, 80, 40000);
	sock.known |= TCPSOCK_FASTOPEN;
	assert_true(role_from_state(&sock, &guess));
	assert_int_equal(guess.role, ROLE_SERVER);
	sock = record_mini(1, TCP_STATE_TIME_WAIT, 80, 40000);
	assert_false(role_from_state(&sock, &guess));
}

static void test_accept_queue(void **state)
{
	(void)state;
	static const struct {
		enum tcp_state state, info_state;
		bool queued;
	} cases[] = {
		{ TCP_STATE_ESTABLISHED, TCP_STATE_ESTABLISHED, true },
		{ TCP_STATE_CLOSE_WAIT, TCP_STATE_CLOSE_WAIT, true },
		{ TCP_STATE_ESTABLISHED, TCP_STATE_CLOSE_WAIT, true },
		{ TCP_STATE_ESTABLISHED, TCP_STATE_FIN_WAIT1, false }, /* was being closed */
		{ TCP_STATE_FIN_WAIT1, TCP_STATE_FIN_WAIT1, false },   /* orphans */
		{ TCP_STATE_FIN_WAIT2, TCP_STATE_FIN_WAIT2, false },
		{ TCP_STATE_LAST_ACK, TCP_STATE_LAST_ACK, false },
		{ TCP_STATE_CLOSING, TCP_STATE_CLOSING, false },
	};
	struct role_guess guess;

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct tcpsock sock = record_full(1, cases[i].state, 80, 40000);

		sock.info_state = (uint8_t)cases[i].info_state;
		assert_false(role_from_state(&sock, &guess)); /* accepted */
		sock.inode = 0;
		assert_int_equal(role_from_state(&sock, &guess), cases[i].queued);
		if (!cases[i].queued)
			continue;
		assert_int_equal(guess.role, ROLE_SERVER);
		assert_int_equal(guess.evidence, ROLE_BY_ACCEPT_QUEUE);
	}
}

/* The state is lost with the socket, and with it whether a FIN was counted. */
static void test_death(void **state)
{
	(void)state;
	static const struct {
		uint64_t acked;
		uint32_t delivered; /* beyond the handshake and the data */
		int role;           /* -1: undecided */
	} cases[] = {
		{ 100 + 2, 1, ROLE_CLIENT },                          /* SYN and FIN */
		{ 100 + 2, 0, ROLE_CLIENT }, { 100, 0, ROLE_SERVER }, /* neither */
		{ 100 + 1, 1, ROLE_SERVER },                          /* a FIN was delivered */
		{ 100 + 1, 0, -1 },          { 100 + 1, 2, -1 },
		{ 100 - 1, 0, -1 },          { 100 + 3, 1, -1 },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct tcpdeath death = {
			.bytes_acked = cases[i].acked,
			.bytes_sent = 150,
			.bytes_retrans = 50,
			.data_segs_out = 3,
			.delivered = 3 + 1 + cases[i].delivered,
			.local_port = 40000,
			.remote_port = 80,
			.flags = RECORD_DEATH,
		};
		enum role role = ROLE_SERVER;
		bool decided = role_from_death(&death, &role);

		assert_int_equal(decided, cases[i].role >= 0);
		if (decided)
			assert_int_equal(role, cases[i].role);
	}
}

static void test_death_with_bytes_in_flight(void **state)
{
	(void)state;
	/* Reset while 4344 of 5792 bytes were in flight and 700 waited: nothing of the FIN was sent. */
	struct tcpdeath death = { .bytes_acked = 1448 + 1,
				  .bytes_sent = 5792,
				  .wqueue = 4344 + 700,
				  .notsent_bytes = 700,
				  .remote_port = 80,
				  .flags = RECORD_DEATH };
	int64_t surplus;

	assert_true(role_death_surplus(&death, &surplus));
	assert_int_equal(surplus, 1);
	death.bytes_acked = 1448;
	assert_true(role_death_surplus(&death, &surplus));
	assert_int_equal(surplus, 0);
}

static void test_death_that_does_not_say(void **state)
{
	(void)state;
	static const uint8_t needed[] = { TCPDEATH_INFO, TCPDEATH_SENT, TCPDEATH_NOTSENT };
	struct tcpdeath death = { .remote_port = 80, .flags = RECORD_DEATH };
	enum role role;

	assert_true(role_from_death(&death, &role));
	for (size_t i = 0; i < COUNT(needed); i++) {
		death.flags = (uint8_t)(RECORD_DEATH & ~needed[i]);
		assert_false(role_from_death(&death, &role));
	}
	death.flags = RECORD_DEATH;
	death.remote_port = 0; /* wiped */
	assert_false(role_from_death(&death, &role));
	death.remote_port = 80;
	death.bytes_acked = 1;
	death.delivered = 2;
	assert_true(role_from_death(&death, &role));
	death.flags &= (uint8_t)~TCPDEATH_DELIVERED;
	assert_false(role_from_death(&death, &role));
}

static void test_ports(void **state)
{
	(void)state;
	static const struct {
		struct role_ports range;
		uint16_t local, remote;
		enum role role;
		enum role_evidence evidence;
	} cases[] = {
		{ { 32768, 60999 }, 40000, 80, ROLE_CLIENT, ROLE_BY_PORT_RANGE },
		{ { 32768, 60999 }, 80, 40000, ROLE_SERVER, ROLE_BY_PORT_RANGE },
		{ { 32768, 60999 }, 32768, 32767, ROLE_CLIENT, ROLE_BY_PORT_RANGE },
		{ { 32768, 60999 }, 61000, 60999, ROLE_SERVER, ROLE_BY_PORT_RANGE },
		{ { 32768, 60999 }, 40000, 50001, ROLE_CLIENT, ROLE_BY_PORT_PARITY },
		{ { 32768, 60999 }, 40001, 50000, ROLE_SERVER, ROLE_BY_PORT_PARITY },
		{ { 32769, 60999 }, 40001, 50000, ROLE_CLIENT, ROLE_BY_PORT_PARITY },
		{ { 32769, 60999 }, 50000, 40001, ROLE_SERVER, ROLE_BY_PORT_PARITY },
		{ { 32768, 60999 }, 40000, 50000, ROLE_SERVER, ROLE_BY_PORT_ORDER },
		{ { 32768, 60999 }, 50001, 40001, ROLE_CLIENT, ROLE_BY_PORT_ORDER },
		{ { 32768, 60999 }, 22, 1000, ROLE_SERVER, ROLE_BY_PORT_ORDER },
		{ { 32768, 60999 }, 1001, 22, ROLE_CLIENT, ROLE_BY_PORT_ORDER },
		{ { 32768, 60999 }, 40000, 40000, ROLE_CLIENT, ROLE_BY_PORT_ORDER },
		{ { 1, 65535 }, 65535, 2, ROLE_CLIENT, ROLE_BY_PORT_PARITY },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct role_guess guess =
			role_from_ports(cases[i].local, cases[i].remote, cases[i].range);

		assert_int_equal(guess.role, cases[i].role);
		assert_int_equal(guess.evidence, cases[i].evidence);
		assert_false(guess.sure);
	}
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(role_name(ROLE_SERVER), "server");
	assert_string_equal(role_name(ROLE_CLIENT), "client");
	for (unsigned int i = 0; i < ROLE_EVIDENCE_COUNT; i++)
		assert_non_null(role_evidence_name(i));
	assert_string_equal(role_evidence_name(ROLE_BY_HANDSHAKE), "handshake");
	assert_string_equal(role_evidence_name(ROLE_EVIDENCE_COUNT), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_handshake_tells_both_ends),
		cmocka_unit_test(test_sure_only_when_quiet),
		cmocka_unit_test(test_states_that_tell_nothing),
		cmocka_unit_test(test_what_must_be_known),
		cmocka_unit_test(test_queue_that_cannot_belong),
		cmocka_unit_test(test_local_drops_are_hopeless),
		cmocka_unit_test(test_state_tells),
		cmocka_unit_test(test_accept_queue),
		cmocka_unit_test(test_death),
		cmocka_unit_test(test_death_with_bytes_in_flight),
		cmocka_unit_test(test_death_that_does_not_say),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
