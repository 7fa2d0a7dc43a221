/*
 * Destroy notices: recorded ones (tests/helpers/record_netlink.c), made ones, and the kernel's
 * own of connections in a network namespace of the test's own.
 */
#include "tcphealth/source/events.h"
#include "tcphealth/source/tcpsock.h"

#include "helpers/loopback.h"
#include "tcphealth/base/address.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define FIXTURES          "tests/fixtures/netlink/"
#define RING              16384
#define BIG_BUFFER        (64u << 20)
#define WAIT_MS           10000
#define EVENT_INFO_OFFSET (sizeof(struct nlmsghdr) + sizeof(struct inet_diag_msg))

#define ALL_FLAGS                                                                                  \
	(TCPDEATH_INFO | TCPDEATH_DELIVERED | TCPDEATH_SENT | TCPDEATH_REMOTE | TCPDEATH_MIN_RTT | \
	 TCPDEATH_NOTSENT)

/* --- recorded and made messages --- */

static size_t read_fixture(unsigned int number, uint8_t ret_data[1024])
{
	char path[256];
	FILE *file;
	size_t len;

	snprintf(path, sizeof(path), FIXTURES "destroy.%u.bin", number);
	file = fopen(path, "rb");
	assert_non_null(file);
	len = fread(ret_data, 1, 1024, file);
	fclose(file);
	assert_int_equal(len, 380);
	return len;
}

static void parses_recorded_events(void **state)
{
	static const struct tcpdeath rows[] = {
		/* both ends of an orderly close */
		{ .id = 90,
		  .local_port = 6001,
		  .remote_port = 5001,
		  .bytes_acked = 7,
		  .bytes_received = 8,
		  .bytes_sent = 5,
		  .segs_out = 6,
		  .segs_in = 4,
		  .delivered = 3,
		  .data_segs_out = 1,
		  .min_rtt_us = 4,
		  .flags = ALL_FLAGS },
		{ .id = 96,
		  .local_port = 5001,
		  .remote_port = 6001,
		  .bytes_acked = 8,
		  .bytes_received = 6,
		  .bytes_sent = 7,
		  .segs_out = 3,
		  .segs_in = 6,
		  .delivered = 3,
		  .data_segs_out = 1,
		  .min_rtt_us = 2,
		  .flags = ALL_FLAGS },
		/* of IPv6: wiped by SO_LINGER 0, and its peer, which got the reset */
		{ .id = 89,
		  .local_port = 6002,
		  .wqueue = 65466,
		  .notsent_bytes = 65466,
		  .min_rtt_us = 12,
		  .flags = ALL_FLAGS | TCPDEATH_IPV6 },
		{ .id = 94,
		  .local_port = 5002,
		  .remote_port = 6002,
		  .segs_in = 3,
		  .delivered = 1,
		  .min_rtt_us = 51,
		  .flags = ALL_FLAGS | TCPDEATH_IPV6 },
		/* of IPv6: a child not accepted, and its listener */
		{ .id = 95,
		  .local_port = 5003,
		  .wqueue = 65538,
		  .notsent_bytes = 65538,
		  .min_rtt_us = 4,
		  .flags = ALL_FLAGS | TCPDEATH_IPV6 },
		{ .id = 87,
		  .local_port = 5003,
		  .min_rtt_us = UINT32_MAX,
		  .flags = (ALL_FLAGS & ~TCPDEATH_REMOTE) | TCPDEATH_IPV6 },
	};
	struct in6_addr lo4 = address_v4(htonl(INADDR_LOOPBACK));
	struct in6_addr remotes[] = {
		lo4, lo4, in6addr_loopback, in6addr_loopback, lo4, in6addr_any
	};
	uint8_t data[1024] __attribute__((aligned(8)));

	(void)state;
	for (unsigned int i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t len = read_fixture(i, data);
		struct tcpdeath want = rows[i], got;

		assert_true(events_parse(data, len, &got));
		want.tuple_hash = got.tuple_hash;
		want.remote = remotes[i];
		assert_memory_equal(&got, &want, sizeof(want));
	}
}

static void hashes_the_tuple_of_the_record(void **state)
{
	struct in6_addr lo4 = address_v4(htonl(INADDR_LOOPBACK));
	uint8_t data[1024] __attribute__((aligned(8)));
	struct tcpdeath one, two;

	(void)state;
	assert_true(events_parse(data, read_fixture(0, data), &one));
	assert_true(events_parse(data, read_fixture(1, data), &two));
	assert_int_equal(one.tuple_hash, (uint32_t)tcptuple_hash(&lo4, 6001, &lo4, 5001));
	assert_int_equal(two.tuple_hash, (uint32_t)tcptuple_hash(&lo4, 5001, &lo4, 6001));
	assert_int_not_equal(one.tuple_hash, two.tuple_hash);
}

/* Neighbouring ports and addresses must not share a hash more often than chance has it. */
static void hash_spreads(void **state)
{
	enum { PORTS = 16384 };
	static uint32_t seen[PORTS];
	struct in6_addr lo4 = address_v4(htonl(INADDR_LOOPBACK));
	unsigned int buckets = 0;

	(void)state;
	for (unsigned int i = 0; i < PORTS; i++) {
		struct in6_addr remote = address_v4(htonl(0x0a000000u + i / 128));

		seen[tcptuple_hash(&lo4, 443, &remote, (uint16_t)(30000 + i % 128)) % PORTS]++;
	}
	for (unsigned int i = 0; i < PORTS; i++)
		buckets += seen[i] != 0;
	/* 1 - 1/e of them, 10,357, for a random function. */
	assert_in_range(buckets, 10100, 10600);
}

/* A message whose tcp_info has `info_len` bytes, cut out of a recorded one. */
static size_t shorten_info(uint8_t *data, size_t info_len)
{
	struct nlmsghdr *header = (struct nlmsghdr *)(void *)data;
	/* INET_DIAG_PROTOCOL comes first: 8 bytes. */
	struct nlattr *attr = (struct nlattr *)(void *)(data + EVENT_INFO_OFFSET + 8);

	assert_int_equal(attr->nla_type, INET_DIAG_INFO);
	attr->nla_len = (uint16_t)(sizeof(*attr) + info_len);
	header->nlmsg_len = (uint32_t)(EVENT_INFO_OFFSET + 8 + attr->nla_len);
	return header->nlmsg_len;
}

static void flags_tell_what_was_long_enough(void **state)
{
	static const struct {
		size_t len;
		unsigned int flag;
	} steps[] = {
		{ 144, TCPDEATH_INFO },      { 148, TCPDEATH_NOTSENT }, { 152, TCPDEATH_MIN_RTT },
		{ 196, TCPDEATH_DELIVERED }, { 216, TCPDEATH_SENT },
	};
	uint8_t data[1024] __attribute__((aligned(8)));

	(void)state;
	for (size_t len = 0; len <= 280; len += 4) {
		unsigned int want = TCPDEATH_REMOTE;
		struct tcpdeath death;

		read_fixture(0, data);
		for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
			want |= len >= steps[i].len ? steps[i].flag : 0;
		assert_true(events_parse(data, shorten_info(data, len), &death));
		assert_int_equal(death.flags, want);
		assert_int_equal(death.delivered, len >= 196 ? 3 : 0);
		assert_int_equal(death.bytes_acked, len >= 136 ? 7 : 0);
	}
}

static void survives_every_truncation(void **state)
{
	uint8_t data[1024] __attribute__((aligned(8)));
	size_t whole = read_fixture(0, data);

	(void)state;
	for (size_t len = 0; len <= whole; len++) {
		uint8_t *copy = malloc(len ? len : 1);
		uint32_t claimed = (uint32_t)len;
		struct tcpdeath death;

		assert_non_null(copy);
		memcpy(copy, data, len);
		assert_int_equal(events_parse(copy, len, &death), len == whole);
		/* Cut with a header that knows of it. */
		if (len >= sizeof(claimed)) {
			memcpy(copy, &claimed, sizeof(claimed));
			assert_int_equal(events_parse(copy, len, &death), len >= EVENT_INFO_OFFSET);
		}
		free(copy);
	}
}

static void refuses_what_is_no_event(void **state)
{
	static const struct {
		uint32_t len;
		uint16_t type;
	} rows[] = {
		{ 0, SOCK_DIAG_BY_FAMILY },
		{ 15, SOCK_DIAG_BY_FAMILY },
		{ 16, SOCK_DIAG_BY_FAMILY },
		{ 381, SOCK_DIAG_BY_FAMILY },
		{ 0x80000000, SOCK_DIAG_BY_FAMILY },
		{ UINT32_MAX, SOCK_DIAG_BY_FAMILY },
		{ 380, TCPDIAG_GETSOCK },
		{ 380, NLMSG_DONE },
		{ 380, 21 },
	};
	uint8_t data[1024] __attribute__((aligned(8)));
	struct nlmsghdr *header = (struct nlmsghdr *)(void *)data;
	struct tcpdeath death;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t len = read_fixture(0, data);

		header->nlmsg_len = rows[i].len;
		header->nlmsg_type = rows[i].type;
		assert_false(events_parse(data, len, &death));
	}
}

/* --- the kernel --- */

static struct events *start(uint32_t rcvbuf)
{
	struct events *events = NULL;

	if (geteuid() != 0)
		skip();
	assert_int_equal(events_start(rcvbuf, &events), 0);
	assert_true(events_stats(events).active);
	return events;
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* One connection, closed in order by the server first; makes two events. */
static void connect_once(int listener, uint16_t port)
{
	char byte;
	int client = loopback_connect("127.0.0.1", 0, "127.0.0.1", port);
	int server = accept(listener, NULL, NULL);

	assert_true(client >= 0 && server >= 0);
	close(server);
	assert_int_equal(recv(client, &byte, 1, 0), 0);
	close(client);
}

/*
 * Waits until so many were received or lost; notices are made
 * in a kernel thread, after close(2) has returned.
 */
static struct events_stats await(const struct events *events, uint64_t total)
{
	uint64_t end = now_ms() + WAIT_MS;
	struct events_stats stats = events_stats(events);

	while (stats.received + stats.lost < total && now_ms() < end) {
		poll(NULL, 0, 1);
		stats = events_stats(events);
	}
	return stats;
}

static bool is_readable(const struct events *events, int timeout_ms)
{
	struct pollfd fd = { .fd = events_fd(events), .events = POLLIN };

	return poll(&fd, 1, timeout_ms) == 1;
}

static void counts_connections_exactly(void **state)
{
	enum { CONNECTIONS = 2000 };
	static struct tcpdeath deaths[2 * CONNECTIONS + 1];
	struct events *events = start(BIG_BUFFER);
	int listener = loopback_listen("127.0.0.1", 7101, 16);
	struct events_stats stats;
	unsigned int servers = 0;

	(void)state;
	for (unsigned int i = 0; i < CONNECTIONS; i++)
		connect_once(listener, 7101);
	stats = await(events, 2 * CONNECTIONS);
	assert_int_equal(stats.received, 2 * CONNECTIONS);
	assert_int_equal(stats.lost + stats.overruns + stats.forged + stats.malformed, 0);
	assert_true(stats.rcvbuf_bytes >= BIG_BUFFER);
	/* 4,000 are more than an eighth of the ring. */
	assert_true(is_readable(events, 0));
	assert_int_equal(events_take(events, deaths, 1), 1);
	assert_true(is_readable(events, 0));
	assert_int_equal(events_take(events, deaths + 1, 2 * CONNECTIONS), 2 * CONNECTIONS - 1);
	assert_false(is_readable(events, 0));
	assert_int_equal(events_take(events, deaths, 1), 0);
	for (unsigned int i = 0; i < 2 * CONNECTIONS; i++) {
		assert_int_equal(deaths[i].flags, ALL_FLAGS);
		assert_true(deaths[i].id != 0 && deaths[i].delivered >= 1);
		assert_true(deaths[i].remote_port != 0);
		servers += deaths[i].local_port == 7101;
	}
	assert_int_equal(servers, CONNECTIONS);
	close(listener);
	events_stop(events);
}

static size_t take_all(struct events *events, uint64_t total)
{
	static struct tcpdeath deaths[1000];
	uint64_t end = now_ms() + WAIT_MS;
	size_t taken = 0;

	while (now_ms() < end && (taken < total || total == 0)) {
		size_t now = events_take(events, deaths, 1000);

		taken += now;
		if (now == 0 && total == 0)
			break;
		if (now == 0)
			poll(NULL, 0, 1);
	}
	return taken;
}

static void a_full_ring_waits_for_the_consumer(void **state)
{
	enum { CONNECTIONS = RING / 2 + 500 };
	struct events *events = start(BIG_BUFFER);
	int listener = loopback_listen("127.0.0.1", 7102, 16);

	(void)state;
	for (unsigned int i = 0; i < CONNECTIONS; i++)
		connect_once(listener, 7102);
	assert_int_equal(await(events, RING).received, RING);
	assert_true(is_readable(events, 0));
	assert_int_equal(take_all(events, 2 * CONNECTIONS), 2 * CONNECTIONS);
	assert_int_equal(events_stats(events).received, 2 * CONNECTIONS);
	assert_int_equal(events_stats(events).lost, 0);
	close(listener);
	events_stop(events);
}

/*
 * With a full ring and a small buffer the kernel must drop;
 * what was got and what was lost is then all there was.
 */
static void counts_what_is_lost(void **state)
{
	enum { CONNECTIONS = RING / 2 + 3000 };
	struct events *events = start(1u << 20);
	int listener = loopback_listen("127.0.0.1", 7103, 16);
	struct events_stats stats;

	(void)state;
	for (unsigned int i = 0; i < CONNECTIONS; i++)
		connect_once(listener, 7103);
	assert_int_equal(await(events, RING + 1000).received, RING);
	take_all(events, RING);
	/* What the kernel still held comes now. */
	for (unsigned int i = 0; i < 100; i++) {
		stats = events_stats(events);
		if (stats.received + stats.lost == 2 * CONNECTIONS)
			break;
		poll(NULL, 0, 10);
		take_all(events, 0);
	}
	stats = await(events, 2 * CONNECTIONS);
	assert_int_equal(stats.received + stats.lost, 2 * CONNECTIONS);
	assert_true(stats.lost >= 1000);
	assert_true(stats.overruns >= 1);
	assert_true(stats.overruns <= stats.lost);
	assert_true(stats.active);
	/* After the overrun it goes on as before. */
	take_all(events, 0);
	connect_once(listener, 7103);
	assert_int_equal(take_all(events, 2), 2);
	close(listener);
	events_stop(events);
}

static void shows_an_abort_as_wiped(void **state)
{
	struct events *events = start(0);
	int listener = loopback_listen("127.0.0.1", 7104, 16);
	int client = loopback_connect("127.0.0.1", 8104, "127.0.0.1", 7104);
	int server = accept(listener, NULL, NULL);
	struct tcpdeath deaths[2];

	(void)state;
	assert_int_equal(send(client, "hello", 5, 0), 5);
	loopback_close_hard(client);
	assert_int_equal(await(events, 1).received, 1);
	close(server);
	assert_int_equal(await(events, 2).received, 2);
	assert_int_equal(events_take(events, deaths, 2), 2);
	assert_int_equal(deaths[0].local_port, 8104);
	assert_int_equal(deaths[0].remote_port, 0);
	assert_int_equal(deaths[0].bytes_acked, 0);
	assert_true(deaths[0].flags & TCPDEATH_REMOTE);
	assert_true(deaths[0].min_rtt_us != UINT32_MAX);
	assert_int_equal(deaths[1].local_port, 7104);
	assert_int_equal(deaths[1].remote_port, 8104);
	close(listener);
	events_stop(events);
}

static void takes_v4_v6_and_mapped_alike(void **state)
{
	static const struct {
		const char *listen_on, *from, *to;
	} rows[] = {
		{ "127.0.0.1", "127.0.0.1", "127.0.0.1" },
		{ "::1", "::1", "::1" },
		{ "::", "127.0.0.1", "127.0.0.1" },
	};
	struct events *events = start(0);

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		uint16_t port = (uint16_t)(7110 + i), from_port = (uint16_t)(port + 1000);
		struct in6_addr addr =
			i == 1 ? in6addr_loopback : address_v4(htonl(INADDR_LOOPBACK));
		int listener = loopback_listen(rows[i].listen_on, port, 16);
		int client = loopback_connect(rows[i].from, from_port, rows[i].to, port);
		int server = accept(listener, NULL, NULL);
		struct tcpdeath deaths[4];
		char byte;

		close(client);
		assert_int_equal(recv(server, &byte, 1, 0), 0);
		close(server);
		assert_int_equal(await(events, 3 * i + 2).received, 3 * i + 2);
		close(listener);
		assert_int_equal(await(events, 3 * i + 3).received, 3 * i + 3);
		assert_int_equal(events_take(events, deaths, 4), 3);
		assert_int_equal(deaths[0].tuple_hash,
				 (uint32_t)tcptuple_hash(&addr, from_port, &addr, port));
		assert_int_equal(deaths[1].tuple_hash,
				 (uint32_t)tcptuple_hash(&addr, port, &addr, from_port));
		assert_int_equal(deaths[2].flags & TCPDEATH_REMOTE, 0);
	}
	events_stop(events);
}

/* Anyone with CAP_NET_ADMIN in the namespace may send to the group. */
static void skips_forged_events(void **state)
{
	struct events *events = start(0);
	struct sockaddr_nl group = { .nl_family = AF_NETLINK,
				     .nl_groups = 1u << (SKNLGRP_INET_TCP_DESTROY - 1) };
	int forger = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	uint8_t data[1024] __attribute__((aligned(8)));
	size_t len = read_fixture(0, data);
	uint64_t end = now_ms() + WAIT_MS;
	struct tcpdeath death;

	(void)state;
	for (unsigned int i = 0; i < 100; i++) {
		/* The kernel refuses the message as a request, after it gave it to the group. */
		sendto(forger, data, len, 0, (struct sockaddr *)&group, sizeof(group));
	}
	while (events_stats(events).forged < 100 && now_ms() < end)
		poll(NULL, 0, 1);
	assert_int_equal(events_stats(events).forged, 100);
	assert_int_equal(events_stats(events).received, 0);
	assert_int_equal(events_take(events, &death, 1), 0);
	close(forger);
	events_stop(events);
}

static void stops_at_once(void **state)
{
	struct events *events;
	uint64_t begin;
	int before, after;

	(void)state;
	events_stop(NULL);
	events = start(0);
	events_stop(events);
	before = dup(0);
	close(before);
	begin = now_ms();
	for (unsigned int i = 0; i < 20; i++)
		events_stop(start(0));
	assert_true(now_ms() - begin < 2000);
	after = dup(0);
	close(after);
	/* The lowest free descriptor is the same: none was left open. */
	assert_int_equal(before, after);
}

static int enter_namespace(void **state)
{
	(void)state;
	return geteuid() == 0 ? loopback_enter() : 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_recorded_events),
		cmocka_unit_test(hashes_the_tuple_of_the_record),
		cmocka_unit_test(hash_spreads),
		cmocka_unit_test(flags_tell_what_was_long_enough),
		cmocka_unit_test(survives_every_truncation),
		cmocka_unit_test(refuses_what_is_no_event),
		cmocka_unit_test_setup(counts_connections_exactly, enter_namespace),
		cmocka_unit_test_setup(a_full_ring_waits_for_the_consumer, enter_namespace),
		cmocka_unit_test_setup(counts_what_is_lost, enter_namespace),
		cmocka_unit_test_setup(shows_an_abort_as_wiped, enter_namespace),
		cmocka_unit_test_setup(takes_v4_v6_and_mapped_alike, enter_namespace),
		cmocka_unit_test_setup(skips_forged_events, enter_namespace),
		cmocka_unit_test_setup(stops_at_once, enter_namespace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
