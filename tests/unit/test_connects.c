/*
 * connects: each way to fail as the kernel shows it (docs/kernel.md), and the counters that settle what it leaves open.
 */
#include "tcphealth/model/connects.h"

#include "helpers/records.h"
#include "tcphealth/base/address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SYN_LIMIT    10          /* the kernel's defaults: 6 retries after 4 linear ones */
#define PEER         0xc0000201u /* 192.0.2.1 */

/* An event as it is shown: kept, or wiped by tcp_disconnect(). */
#define KEPT(syns, ...)                                                                            \
	{                                                                                          \
		.remote_port = 80, .segs_out = (syns), .wqueue = 1, .flags = RECORD_DEATH,         \
		__VA_ARGS__                                                                        \
	}
#define WIPED(...)                                                                                 \
	{                                                                                          \
		.wqueue = 2, .notsent_bytes = 2, .flags = RECORD_DEATH, __VA_ARGS__                \
	}
#define UNSENT(...)                                                                                \
	{                                                                                          \
		.flags = RECORD_DEATH, __VA_ARGS__                                                 \
	}
#define UNSENT6(...)                                                                               \
	{                                                                                          \
		.flags = RECORD_DEATH | TCPDEATH_IPV6, __VA_ARGS__                                 \
	}

static struct connects_attempt attempt_of(struct tcpdeath death)
{
	death.remote = address_v4(htonl(PEER));
	return connects_attempt_of(&death);
}

struct rule_case {
	const char *what;
	struct tcpdeath death;
	struct connects_budget budget;
	bool full;
	enum connects_failure failure;
	struct connects_budget left;
};

#define FAILS    .attempt_fails = 1
#define ICMP     .locked_icmps = 1, .locked_icmps_fresh = 1
#define OLD_ICMP .locked_icmps = 1
#define TIMER    .timeouts = 1
#define ON_DATA  .aborts_on_data = 1

static const struct rule_case rule_cases[] = {
	{ "RST, kept", KEPT(1, .segs_in = 1), { FAILS }, false, CONNECTS_REFUSED, { 0 } },
	{ "RST, blocking", WIPED(), { FAILS }, false, CONNECTS_REFUSED, { 0 } },
	{ "SYN lost, then RST, kept",
	  KEPT(2, .segs_in = 1, .retransmits = 1, .total_retrans = 1),
	  { FAILS },
	  false,
	  CONNECTS_REFUSED,
	  { 0 } },
	{ "SYN lost, then RST, blocking",
	  WIPED(.retransmits = 1),
	  { FAILS },
	  false,
	  CONNECTS_REFUSED,
	  { 0 } },
	{ "a held one whose RST was counted long ago",
	  KEPT(1, .segs_in = 1),
	  { 0 },
	  false,
	  CONNECTS_REFUSED,
	  { 0 } },
	{ "ICMP from afar, kept", KEPT(1), { FAILS }, false, CONNECTS_REFUSED, { 0 } },
	{ "ICMP from afar, blocking", WIPED(), { FAILS }, false, CONNECTS_REFUSED, { 0 } },
	{ "ICMP from here, kept", KEPT(1), { ICMP }, false, CONNECTS_REFUSED, { 0 } },
	{ "ICMP from here, blocking: the second one ends it",
	  WIPED(.retransmits = 1),
	  { FAILS, OLD_ICMP },
	  false,
	  CONNECTS_REFUSED,
	  { 0 } },
	{ "ICMP from here, IPv6, kept",
	  KEPT(2, .retransmits = 1, .total_retrans = 1),
	  { FAILS, OLD_ICMP },
	  false,
	  CONNECTS_REFUSED,
	  { OLD_ICMP } },
	{ "SYN timeout, kept",
	  KEPT(11, .retransmits = 10, .total_retrans = 10),
	  { FAILS, TIMER },
	  false,
	  CONNECTS_TIMEOUT,
	  { 0 } },
	{ "SYN timeout, blocking",
	  WIPED(.retransmits = 10),
	  { FAILS, TIMER },
	  false,
	  CONNECTS_TIMEOUT,
	  { 0 } },
	{ "TCP_USER_TIMEOUT, kept",
	  KEPT(4, .retransmits = 3, .total_retrans = 3),
	  { FAILS, TIMER },
	  false,
	  CONNECTS_TIMEOUT,
	  { 0 } },
	{ "TCP_SYNCNT, blocking",
	  WIPED(.retransmits = 2),
	  { FAILS, TIMER },
	  false,
	  CONNECTS_TIMEOUT,
	  { 0 } },
	{ "no neighbour, kept",
	  KEPT(1, .retransmits = 3),
	  { FAILS },
	  false,
	  CONNECTS_UNREACHABLE,
	  { 0 } },
	{ "no neighbour, at the limit",
	  KEPT(1, .retransmits = 10),
	  { FAILS, TIMER },
	  false,
	  CONNECTS_UNREACHABLE,
	  { 0 } },
	{ "closed by the program", KEPT(1), { 0 }, false, CONNECTS_ABANDONED, { 0 } },
	{ "closed by the program after three SYNs",
	  KEPT(3, .retransmits = 2, .total_retrans = 2),
	  { 0 },
	  false,
	  CONNECTS_TIMEOUT,
	  { 0 } },
	{ "closed with SO_LINGER 0", WIPED(), { ON_DATA }, false, CONNECTS_ABANDONED, { 0 } },
	{ "a wiped one that no counter explains", WIPED(), { 0 }, false, CONNECTS_REFUSED, { 0 } },
	{ "challenge ACKs, and the program gives up",
	  KEPT(4, .segs_in = 3, .retransmits = 3, .total_retrans = 3),
	  { 0 },
	  false,
	  CONNECTS_TIMEOUT,
	  { 0 } },
	{ "EADDRNOTAVAIL", UNSENT(), { FAILS }, false, CONNECTS_NO_LOCAL_PORT, { FAILS } },
	{ "EADDRNOTAVAIL, bound",
	  UNSENT(.local_port = 50000),
	  { 0 },
	  false,
	  CONNECTS_NO_LOCAL_PORT,
	  { 0 } },
	{ "EADDRNOTAVAIL, IPv6", UNSENT6(), { 0 }, true, CONNECTS_NO_LOCAL_PORT, { 0 } },
	{ "no route, IPv6",
	  UNSENT6(),
	  { FAILS, ICMP, TIMER, ON_DATA },
	  false,
	  CONNECTS_NO_ROUTE,
	  { FAILS, ICMP, TIMER, ON_DATA } },
	{ "no route, IPv6, bound",
	  UNSENT6(.local_port = 50000),
	  { 0 },
	  false,
	  CONNECTS_NO_ROUTE,
	  { 0 } },
};

static void test_rule(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rule_cases); i++) {
		const struct rule_case *c = &rule_cases[i];
		struct connects_attempt attempt = attempt_of(c->death);
		struct connects_budget budget = c->budget;
		enum connects_failure failure =
			connects_decide(&attempt, &budget, SYN_LIMIT, c->full);

		if (failure != c->failure)
			fail_msg("%s: %s", c->what, connects_failure_name(failure));
		if (memcmp(&budget, &c->left, sizeof(budget)) != 0)
			fail_msg("%s: another budget is left", c->what);
	}
}

/* -- a sample's worth -------------------------------------------------------------------------- */

struct scene {
	struct connects *connects;
	struct netstat growth;
	struct netsysctl sysctl;
	uint64_t now_ms;
	uint64_t count[CONNECTS_FAILURES];
	uint16_t full_port; /* towards PEER; 0: none */
	uint16_t last_port;
};

static bool is_full(void *arg, const struct in6_addr *remote, uint16_t *ret_port)
{
	struct scene *s = arg;
	struct in6_addr peer = address_v4(htonl(PEER));

	if (s->full_port == 0 || memcmp(remote, &peer, sizeof(peer)) != 0)
		return false;
	*ret_port = s->full_port;
	return true;
}

static int note(void *arg, const struct connects_attempt *attempt, enum connects_failure failure)
{
	struct scene *s = arg;

	s->count[failure]++;
	s->last_port = attempt->port;
	return 0;
}

static void open_scene(struct scene *s)
{
	*s = (struct scene){ .connects = connects_new(), .now_ms = 1000000 };
	assert_non_null(s->connects);
	netsysctl_defaults(&s->sysctl);
	s->sysctl.value[NETSYSCTL_SYN_LINEAR] = 4;
}

static void attempt(struct scene *s, struct tcpdeath death)
{
	struct connects_attempt failed = attempt_of(death);

	assert_int_equal(connects_add(s->connects, &failed), 0);
}

static void settle(struct scene *s)
{
	assert_int_equal(
		connects_settle(s->connects, &s->growth, &s->sysctl, s->now_ms, is_full, note, s),
		0);
	s->growth = (struct netstat){ 0 };
}

static void expect(struct scene *s, uint64_t refused, uint64_t timeout, uint64_t abandoned)
{
	assert_int_equal(s->count[CONNECTS_REFUSED], refused);
	assert_int_equal(s->count[CONNECTS_TIMEOUT], timeout);
	assert_int_equal(s->count[CONNECTS_ABANDONED], abandoned);
	memset(s->count, 0, sizeof(s->count));
}

/* The reset came last, yet its share of the counter is its own. */
static void test_certain_ones_come_first(void **state)
{
	(void)state;
	struct scene s;

	open_scene(&s);
	attempt(&s, (struct tcpdeath)KEPT(1));
	attempt(&s, (struct tcpdeath)KEPT(1, .segs_in = 1));
	s.growth.value[NETSTAT_ATTEMPT_FAILS] = 1;
	settle(&s);
	expect(&s, 1, 0, 1);
	attempt(&s, (struct tcpdeath)KEPT(1));
	attempt(&s, (struct tcpdeath)WIPED());
	s.growth.value[NETSTAT_ATTEMPT_FAILS] = 1;
	settle(&s);
	expect(&s, 1, 0, 1);
	attempt(&s, (struct tcpdeath)KEPT(2, .retransmits = 1, .total_retrans = 1));
	attempt(&s, (struct tcpdeath)WIPED(.retransmits = 10));
	s.growth.value[NETSTAT_ATTEMPT_FAILS] = s.growth.value[NETSTAT_ABORT_ON_TIMEOUT] = 1;
	settle(&s);
	expect(&s, 0, 2, 0);
	connects_free(s.connects);
}

static void test_resets_of_half_open_handshakes_are_none(void **state)
{
	(void)state;
	struct scene s;

	open_scene(&s);
	attempt(&s, (struct tcpdeath)KEPT(1));
	s.growth.value[NETSTAT_ATTEMPT_FAILS] = 5;
	s.growth.value[NETSTAT_EMBRYONIC_RSTS] = 5;
	settle(&s);
	expect(&s, 0, 0, 1);
	attempt(&s, (struct tcpdeath)KEPT(1));
	s.growth.value[NETSTAT_EMBRYONIC_RSTS] = 3; /* tcp_abort_on_overflow: that alone */
	settle(&s);
	expect(&s, 0, 0, 1);
	connects_free(s.connects);
}

/* How long a counter is there for an event that comes late: one sample, two, or until it comes. */
static void test_how_long_budgets_live(void **state)
{
	(void)state;
	struct scene s;

	open_scene(&s);
	s.growth.value[NETSTAT_ATTEMPT_FAILS] = s.growth.value[NETSTAT_ABORT_ON_DATA] = 1;
	settle(&s);
	attempt(&s, (struct tcpdeath)KEPT(1));
	attempt(&s, (struct tcpdeath)WIPED());
	settle(&s);
	expect(&s, 1, 0, 1);

	s.growth.value[NETSTAT_LOCK_DROPPED_ICMPS] = 2;
	settle(&s);
	attempt(&s, (struct tcpdeath)KEPT(1));
	settle(&s);
	expect(&s, 1, 0, 0);
	attempt(&s, (struct tcpdeath)KEPT(1));
	settle(&s);
	expect(&s, 0, 0, 1);

	s.growth.value[NETSTAT_ABORT_ON_TIMEOUT] = 1;
	for (int i = 0; i < 5; i++)
		settle(&s);
	attempt(&s, (struct tcpdeath)WIPED(.retransmits = 3));
	attempt(&s, (struct tcpdeath)WIPED(.retransmits = 3));
	settle(&s);
	expect(&s, 1, 1, 0);
	connects_free(s.connects);
}

static void test_no_local_port_tells_the_port(void **state)
{
	(void)state;
	struct scene s;

	open_scene(&s);
	s.full_port = 5432;
	attempt(&s, (struct tcpdeath)UNSENT6());
	settle(&s);
	assert_int_equal(s.count[CONNECTS_NO_LOCAL_PORT], 1);
	assert_int_equal(s.last_port, 5432);
	s.full_port = 0;
	attempt(&s, (struct tcpdeath)UNSENT(.local_port = 0));
	settle(&s);
	assert_int_equal(s.count[CONNECTS_NO_LOCAL_PORT], 2);
	assert_int_equal(s.last_port, 0);
	connects_free(s.connects);
}

static void test_limit_follows_the_settings(void **state)
{
	(void)state;
	struct scene s;

	open_scene(&s);
	s.sysctl.value[NETSYSCTL_SYN_RETRIES] = 1;
	s.sysctl.value[NETSYSCTL_SYN_LINEAR] = 0;
	attempt(&s, (struct tcpdeath)WIPED(.retransmits = 1));
	settle(&s);
	expect(&s, 0, 1, 0);
	connects_free(s.connects);
}

/* -- the peers --------------------------------------------------------------------------------- */

static void fail_to(struct scene *s, uint32_t address, uint16_t port, uint64_t cgroup_id)
{
	struct tcpdeath death = KEPT(1, .segs_in = 1);
	struct connects_attempt attempt = attempt_of(death);

	attempt.remote = address_v4(htonl(address));
	attempt.port = port;
	attempt.cgroup_id = cgroup_id;
	assert_int_equal(connects_add(s->connects, &attempt), 0);
}

static const struct connects_peer *peer_to(struct scene *s, uint32_t address, uint16_t port)
{
	struct in6_addr remote = address_v4(htonl(address));
	size_t n;
	const struct connects_peer *peers = connects_peers(s->connects, &n);

	assert_true(n <= CONNECTS_PEERS);
	for (size_t i = 0; i < n; i++) {
		if (peers[i].port == port && memcmp(&peers[i].remote, &remote, sizeof(remote)) == 0)
			return &peers[i];
	}
	return NULL;
}

static void test_peers(void **state)
{
	(void)state;
	struct scene s;
	const struct connects_peer *peer;

	open_scene(&s);
	fail_to(&s, PEER, 80, 7);
	fail_to(&s, PEER, 81, 0);
	settle(&s);
	s.now_ms += 5000;
	fail_to(&s, PEER, 80, 0);
	settle(&s);
	peer = peer_to(&s, PEER, 80);
	assert_int_equal(peer->count, 2);
	assert_int_equal(peer->failure, CONNECTS_REFUSED);
	assert_int_equal(peer->first_ms, s.now_ms - 5000);
	assert_int_equal(peer->last_ms, s.now_ms);
	assert_int_equal(peer->cgroup_id, 7);
	assert_int_equal(peer_to(&s, PEER, 81)->count, 1);
	/* The one that has not failed for longest makes room. */
	for (uint32_t i = 0; i < CONNECTS_PEERS - 1; i++)
		fail_to(&s, PEER + 1 + i, 80, 0);
	settle(&s);
	assert_non_null(peer_to(&s, PEER, 80));
	assert_null(peer_to(&s, PEER, 81));
	connects_free(s.connects);
}

static void step(struct scene *s, uint64_t ms, int failures)
{
	s->now_ms += ms;
	for (int i = 0; i < failures; i++)
		fail_to(s, PEER, 80, 0);
	settle(s);
}

static bool is_told(struct scene *s)
{
	const struct connects_peer *peer = connects_next_told(s->connects, s->now_ms);

	if (peer)
		assert_null(connects_next_told(s->connects, s->now_ms));
	return peer;
}

static void test_told_at_five_a_minute(void **state)
{
	(void)state;
	struct scene s;

	open_scene(&s);
	for (int i = 0; i < 20; i++) {
		step(&s, 16000, 1); /* never five within 60 s */
		assert_false(is_told(&s));
	}
	step(&s, 600000, 3);
	assert_false(is_told(&s));
	step(&s, 59000, 2);
	assert_true(is_told(&s));
	for (int i = 0; i < 59; i++) {
		step(&s, 60000, 9);
		assert_false(is_told(&s));
	}
	step(&s, 60000, 9);
	assert_true(is_told(&s));
	/* It has ended. */
	s.now_ms += 2 * 3600000;
	assert_false(is_told(&s));
	connects_free(s.connects);
}

static void test_what_alarms_nobody_is_not_told(void **state)
{
	(void)state;
	struct scene s;

	open_scene(&s);
	for (int i = 0; i < 20; i++) {
		attempt(&s, (struct tcpdeath)UNSENT6());
		attempt(&s, (struct tcpdeath)KEPT(1));
	}
	settle(&s);
	assert_int_equal(s.count[CONNECTS_NO_ROUTE], 20);
	assert_int_equal(s.count[CONNECTS_ABANDONED], 20);
	assert_false(is_told(&s));
	connects_free(s.connects);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rule),
		cmocka_unit_test(test_certain_ones_come_first),
		cmocka_unit_test(test_resets_of_half_open_handshakes_are_none),
		cmocka_unit_test(test_how_long_budgets_live),
		cmocka_unit_test(test_no_local_port_tells_the_port),
		cmocka_unit_test(test_limit_follows_the_settings),
		cmocka_unit_test(test_peers),
		cmocka_unit_test(test_told_at_five_a_minute),
		cmocka_unit_test(test_what_alarms_nobody_is_not_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
