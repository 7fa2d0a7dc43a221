/*
 * sample: what the benchmarks of a sample share: a census, and a dump in memory that it can be given again and again.
 */
#pragma once

#include "bench.h"

#include "tcphealth/base/array.h"
#include "tcphealth/model/census.h"
#include "tcphealth/source/source.h"

#include "../../src/source/netlink-internal.h"

/* What the kernel fills at most. */
#define BENCH_DATAGRAM 32768

/* Datagrams one behind the other. Empty if zeroed, or if len, count and sockets are; free `bytes` and `datagrams`. */
struct bench_dump {
	char *bytes;
	size_t len, cap;
	struct {
		size_t at, len;
	} * datagrams;
	size_t count, room;
	uint64_t sockets;
};

/* Where the next datagram of at most BENCH_DATAGRAM bytes goes, until the next call. */
static inline char *bench_dump_room(struct bench_dump *dump)
{
	while (dump->cap - dump->len < BENCH_DATAGRAM) {
		if (!array_room((void **)&dump->bytes, &dump->cap, dump->cap, 1))
			bench_die("memory");
	}
	return dump->bytes + dump->len;
}

/* The datagram of `len` bytes that was put there. True at the end of the dump. */
static inline int bench_dump_add(struct bench_dump *dump, size_t len)
{
	int done = bench_walk_headers(dump->bytes + dump->len, len, &dump->sockets);

	if (!array_room((void **)&dump->datagrams, &dump->room, dump->count,
			sizeof(*dump->datagrams)))
		bench_die("memory");
	dump->datagrams[dump->count].at = dump->len;
	dump->datagrams[dump->count++].len = len;
	dump->len += (len + 63) & ~(size_t)63;
	return done;
}

/* As the answer to a request, read at `read_ms`. */
static inline void bench_parse(const struct bench_dump *dump, uint64_t read_ms,
			       source_take_fn take_fn, void *arg)
{
	struct source_skipped skipped = { 0 };
	struct netlink_walk walk = {
		.seq = 1, .read_ms = read_ms, .skipped = &skipped, .take_fn = take_fn, .arg = arg
	};

	for (size_t i = 0; i < dump->count; i++) {
		int end = netlink_walk_datagram(&walk, dump->bytes + dump->datagrams[i].at,
						dump->datagrams[i].len);

		if (end < 0) {
			(void)fprintf(stderr, "parse: %s\n", strerror(-end));
			exit(1);
		}
	}
	if (skipped.malformed > 0) {
		(void)fprintf(stderr, "malformed records\n");
		exit(1);
	}
}

static inline struct census *bench_census(void)
{
	struct census_config config = { .keep_ms = 3600000 };
	struct census *census;

	for (int i = 0; i < STALE_REASONS; i++)
		config.thresholds.least[i] = 60000;
	/* As by default: else the fixture's age decides. */
	config.thresholds.least[STALE_IDLE] = 7200000;
	config.thresholds.least[STALE_KEEPALIVE] = 2;
	census = census_new(&config);
	if (census == NULL)
		bench_die("census");
	return census;
}

/* A full sample that finds what the dump has. */
static inline void bench_sample(const struct bench_dump *dump, struct census *census,
				uint64_t now_ms)
{
	struct census_sample s = { .can = SOURCE_COOKIES | SOURCE_EVENTS, .now_ms = now_ms };

	netsysctl_defaults(&s.sysctl);
	s.sysctl.known = UINT32_C(1) << NETSYSCTL_PORT_LOW;
	if (census_begin(census, &s) < 0)
		bench_die("census_begin");
	bench_parse(dump, now_ms, census_take, census);
	if (census_end(census) < 0)
		bench_die("census_end");
}
