/* localports: shares of a small range, which a model of the kernel's choice fills. */
#include "tcphealth/model/localports.h"

#include "helpers/records.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define LOW   40000u
#define COUNT 64u
#define PEERS 10u

/* A socket of the model: its peer is its remote port. */
struct end {
	uint16_t offset, peer;
	bool bound;
	uint8_t state;
	uint32_t expires_ms;
};

struct world {
	struct localports *ports;
	struct netsysctl sysctl;
	struct portset reserved;
	const char *local;
	uint32_t flags;
	struct end ends[1024];
	size_t count;
	double ratio[PEERS];
};

static void open_world(struct world *w)
{
	memset(w, 0, sizeof(*w));
	w->ports = localports_new();
	assert_non_null(w->ports);
	netsysctl_defaults(&w->sysctl);
	w->sysctl.value[NETSYSCTL_PORT_LOW] = LOW;
	w->sysctl.value[NETSYSCTL_PORT_HIGH] = LOW + COUNT - 1;
	w->sysctl.known = UINT32_C(1) << NETSYSCTL_PORT_LOW;
	w->local = "192.0.2.1";
	w->flags = TCPSOCK_TIMESTAMPS;
}

static int note(void *arg, uint16_t remote_port, double ratio)
{
	struct world *w = arg;

	assert_in_range(remote_port, 100, 100 + PEERS - 1);
	assert_true(ratio >= 0 && ratio <= 1);
	if (ratio > w->ratio[remote_port - 100])
		w->ratio[remote_port - 100] = ratio;
	return 0;
}

static void add(struct world *w, const struct end *end)
{
	struct tcpsock sock =
		record_full(1 + end->offset, end->state, (uint16_t)(LOW + end->offset),
			    (uint16_t)(100 + end->peer));

	sock.local = record_addr(w->local);
	sock.remote = record_addr("198.51.100.1");
	sock.known |= w->flags;
	sock.expires_ms = end->expires_ms;
	assert_int_equal(localports_add(w->ports, &sock), 0);
}

static void sample(struct world *w)
{
	memset(w->ratio, 0, sizeof(w->ratio));
	assert_int_equal(localports_begin(w->ports, &w->sysctl, &w->reserved), 0);
	for (size_t i = 0; i < w->count; i++)
		add(w, &w->ends[i]);
	assert_int_equal(localports_end(w->ports, note, w), 0);
}

static bool is_free(const struct world *w, uint16_t offset, uint16_t peer, bool bind)
{
	for (size_t i = 0; i < w->count; i++) {
		const struct end *end = &w->ends[i];

		if (end->offset == offset && (bind || end->bound || end->peer == peer))
			return false;
	}
	return !portset_has(&w->reserved, (uint16_t)(LOW + offset));
}

/* Even offsets first, or after bind() odd ones. False where there is no port. */
static bool take(struct world *w, uint16_t peer, bool bind)
{
	for (uint16_t i = 0; i < COUNT; i++) {
		uint16_t offset = (uint16_t)(i * 2 % COUNT + (i >= COUNT / 2));

		if (bind)
			offset ^= 1;
		if (!is_free(w, offset, peer, bind))
			continue;
		w->ends[w->count++] = (struct end){ .offset = offset,
						    .peer = peer,
						    .bound = bind,
						    .state = TCP_STATE_ESTABLISHED };
		return true;
	}
	return false;
}

/* Those at even offsets, or at odd ones, are gone. */
static void drop(struct world *w, unsigned int odd)
{
	size_t kept = 0;

	for (size_t i = 0; i < w->count; i++) {
		if ((w->ends[i].offset & 1u) != odd)
			w->ends[kept++] = w->ends[i];
	}
	w->count = kept;
}

static void wait_all(struct world *w, uint32_t expires_ms)
{
	for (size_t i = 0; i < w->count; i++) {
		w->ends[i].state = TCP_STATE_TIME_WAIT;
		w->ends[i].expires_ms = expires_ms;
	}
}

static void close_world(struct world *w)
{
	localports_free(w->ports);
}

static void expect(const struct world *w, unsigned int peer, double ratio)
{
	if (w->ratio[peer] < ratio - 0.001 || w->ratio[peer] > ratio + 0.001)
		fail_msg("peer %u: %f, not %f", peer, w->ratio[peer], ratio);
}

static void test_reserved_and_blocked(void **state)
{
	struct world w;
	unsigned int count = 0;

	(void)state;
	open_world(&w);
	for (uint16_t i = 0; i < 16; i++)
		portset_add(&w.reserved, (uint16_t)(LOW + i));
	portset_add(&w.reserved, 80);
	while (take(&w, 0, false))
		count++;
	assert_int_equal(count, 48);
	sample(&w);
	expect(&w, 0, 1);
	w.count = 12;
	sample(&w);
	expect(&w, 0, 0.25);
	assert_int_equal(localports_begin(w.ports, &w.sysctl, &w.reserved), 0);
	for (uint16_t i = 8; i < 40; i++) {
		localports_block(w.ports, (uint16_t)(LOW + i));
		localports_block(w.ports, (uint16_t)(LOW + i));
	}
	localports_block(w.ports, 80);
	w.ends[0].offset = COUNT - 1;
	add(&w, &w.ends[0]);
	memset(w.ratio, 0, sizeof(w.ratio));
	assert_int_equal(localports_end(w.ports, note, &w), 0);
	expect(&w, 0, 25.0 / 48);
	close_world(&w);
}

static void test_unknown_range(void **state)
{
	struct world w;

	(void)state;
	open_world(&w);
	w.sysctl.known = 0;
	assert_true(take(&w, 0, false));
	sample(&w);
	expect(&w, 0, 0);
	close_world(&w);
}

static void test_time_wait(void **state)
{
	static const struct {
		const char *local;
		uint32_t reuse, expires_ms, flags, timestamps;
		double ratio;
	} cases[] = {
		{ "192.0.2.1", 0, 1000, TCPSOCK_TIMESTAMPS, 1, 0.5 },
		{ "192.0.2.1", 1, 1000, TCPSOCK_TIMESTAMPS, 1, 0 },
		{ "192.0.2.1", 1, 1000, TCPSOCK_TIMESTAMPS, 0, 0.5 },
		{ "192.0.2.1", 1, 59001, TCPSOCK_TIMESTAMPS, 1, 0.5 },
		{ "192.0.2.1", 1, 59000, TCPSOCK_TIMESTAMPS, 1, 0 },
		{ "192.0.2.1", 1, 1000, 0, 1, 0.5 },
		{ "192.0.2.1", 2, 1000, TCPSOCK_TIMESTAMPS, 1, 0.5 },
		{ "127.0.0.1", 2, 1000, TCPSOCK_TIMESTAMPS, 1, 0 },
	};
	struct world w;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		open_world(&w);
		w.local = cases[i].local;
		w.flags = cases[i].flags;
		w.sysctl.value[NETSYSCTL_TW_REUSE] = cases[i].reuse;
		w.sysctl.value[NETSYSCTL_TIMESTAMPS] = cases[i].timestamps;
		for (unsigned int n = 0; n < COUNT / 2; n++)
			assert_true(take(&w, 0, false));
		sample(&w); /* what the peer does about timestamps is seen while they live */
		expect(&w, 0, 0.5);
		wait_all(&w, cases[i].expires_ms);
		sample(&w);
		expect(&w, 0, cases[i].ratio);
		close_world(&w);
	}
}

/* Who binds first shares the ports of its address with all its peers, and takes them from everybody else. */
static void test_bind_first(void **state)
{
	struct in6_addr remote = record_addr("198.51.100.1");
	struct world w;
	uint16_t n = 0, port = 1;

	(void)state;
	open_world(&w);
	while (take(&w, n % 8, true))
		n++;
	assert_int_equal(n, COUNT);
	assert_false(take(&w, 9, false));
	sample(&w);
	for (unsigned int peer = 0; peer < 8; peer++)
		expect(&w, peer, 1);
	assert_true(localports_full(w.ports, &remote, &port));
	assert_int_equal(port, 0); /* which of the eight? */
	w.count = COUNT / 2;
	for (n = 0; n < 16; n++)
		assert_true(take(&w, 9, false));
	sample(&w);
	expect(&w, 0, 0.75);
	expect(&w, 9, 0.75);
	assert_false(localports_full(w.ports, &remote, &port));
	/* In TIME_WAIT no less. */
	w.sysctl.value[NETSYSCTL_TW_REUSE] = 1;
	wait_all(&w, 1000);
	sample(&w);
	expect(&w, 0, 0.75);
	expect(&w, 9, 0.5);
	close_world(&w);
}

/* Odd ports are left of connects that once found no even one. */
static void test_rest_of_a_burst(void **state)
{
	struct world w;

	(void)state;
	open_world(&w);
	for (unsigned int n = 0; n < 60; n++)
		assert_true(take(&w, 0, false));
	sample(&w);
	expect(&w, 0, 60.0 / COUNT);
	drop(&w, 0);
	for (unsigned int n = 0; n < 20; n++)
		assert_true(take(&w, 1, false));
	sample(&w);
	expect(&w, 0, 28.0 / COUNT);
	expect(&w, 1, 20.0 / COUNT);
	close_world(&w);
	/* At first sight, too. */
	open_world(&w);
	for (unsigned int n = 0; n < 60; n++)
		assert_true(take(&w, 0, false));
	drop(&w, 0);
	for (unsigned int n = 0; n < 20; n++)
		assert_true(take(&w, 1, false));
	sample(&w);
	expect(&w, 1, 20.0 / COUNT);
	close_world(&w);
}

/* Many addresses, and then none of them. */
static void test_many_addresses(void **state)
{
	struct world w;
	char text[INET6_ADDRSTRLEN];

	(void)state;
	open_world(&w);
	assert_true(take(&w, 0, false));
	for (int round = 0; round < 3; round++) {
		memset(w.ratio, 0, sizeof(w.ratio));
		assert_int_equal(localports_begin(w.ports, &w.sysctl, NULL), 0);
		for (unsigned int i = 0; i < 40; i++) {
			snprintf(text, sizeof(text), "10.0.%d.%u", round, i);
			w.local = text;
			add(&w, &w.ends[0]);
		}
		assert_int_equal(localports_end(w.ports, note, &w), 0);
		expect(&w, 0, 1.0 / COUNT);
	}
	close_world(&w);
}

/* Neighbours on both sides: the same socket numbers to each, so that a mix-up would count double. */
static void test_pairs_of_addresses_are_kept_apart(void **state)
{
	struct world w;
	char text[INET6_ADDRSTRLEN];

	(void)state;
	open_world(&w);
	assert_int_equal(localports_begin(w.ports, &w.sysctl, NULL), 0);
	for (unsigned int i = 0; i < 2 * 254; i++) {
		struct tcpsock sock = record_full(1 + i, TCP_STATE_ESTABLISHED, LOW, 100);

		sock.local = record_addr(i % 2 == 0 ? "10.0.0.5" : "10.0.0.6");
		snprintf(text, sizeof(text), "10.0.1.%u", 1 + i / 2);
		sock.remote = record_addr(text);
		assert_int_equal(localports_add(w.ports, &sock), 0);
	}
	assert_int_equal(localports_end(w.ports, note, &w), 0);
	expect(&w, 0, 1.0 / COUNT);
	close_world(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reserved_and_blocked),
		cmocka_unit_test(test_unknown_range),
		cmocka_unit_test(test_time_wait),
		cmocka_unit_test(test_bind_first),
		cmocka_unit_test(test_rest_of_a_burst),
		cmocka_unit_test(test_many_addresses),
		cmocka_unit_test(test_pairs_of_addresses_are_kept_apart),
	};

	return cmocka_run_group_tests_name("localports", tests, NULL, NULL);
}
