/*
 * bench_replay: what user space does with a record, without the kernel's part.
 *
 *   bench_replay PID [ROUNDS]
 *
 * Records one dump of the namespace of PID, then takes turns over the same bytes: headers walked; records parsed; records given
 * to a census that knows their sockets already. Nanoseconds a socket. The bytes come from memory here and from the kernel's
 * fresh copy in a real sample.
 */
#include "bench.h"

#include "tcphealth/base/clock.h"
#include "tcphealth/model/census.h"
#include "tcphealth/source/netlink.h"

#define BYTES_MAX (1u << 30)

struct recording {
	char *bytes;
	size_t len, cap;
	struct {
		size_t at, len;
	} * datagrams;
	size_t count, room;
	uint64_t sockets;
};

static void *grown(void *array, size_t count, size_t *room, size_t size)
{
	if (count < *room)
		return array;
	*room = *room ? *room * 2 : 64;
	array = reallocarray(array, *room, size);
	if (array == NULL)
		bench_die("memory");
	return array;
}

static void record(struct recording *r)
{
	int fd = bench_diag_open();
	int done = 0;

	bench_request_dump(fd, BENCH_ALL_STATES);
	while (!done) {
		ssize_t len;

		while (r->cap - r->len < 32768)
			r->bytes = grown(r->bytes, r->cap, &r->cap, 1);
		len = recv(fd, r->bytes + r->len, 32768, 0);
		if (len <= 0 || r->len > BYTES_MAX)
			bench_die("recv");
		r->datagrams = grown(r->datagrams, r->count, &r->room, sizeof(*r->datagrams));
		r->datagrams[r->count].at = r->len;
		r->datagrams[r->count++].len = (size_t)len;
		done = bench_walk_headers(r->bytes + r->len, (size_t)len, &r->sockets);
		r->len += ((size_t)len + 63) & ~(size_t)63;
	}
	close(fd);
}

static int ignore(void *arg, const struct tcpsock *sock)
{
	*(uint64_t *)arg += sock->id;
	return 0;
}

static void parse(const struct recording *r, tcpsock_fn fn, void (*arrived)(void *), void *arg)
{
	struct netlink_stats stats = { 0 };

	for (size_t i = 0; i < r->count; i++) {
		int end;

		if (arrived != NULL)
			arrived(arg);
		end = netlink_parse_datagram(r->bytes + r->datagrams[i].at, r->datagrams[i].len, 1,
					      &stats, fn, arg);
		if (end < 0) {
			(void)fprintf(stderr, "parse: %s\n", strerror(-end));
			exit(1);
		}
	}
}

static int count(void *arg, const struct tcpsock *sock)
{
	return sock->state == TCP_STATE_LISTEN ? census_listener(arg, sock)
					       : census_socket(arg, sock);
}

static void sample(const struct recording *r, struct census *census)
{
	struct census_sample s = { .now_ms = clock_mono_ms(),
				   .clock = clock_mono_coarse_ms,
				   .arrivals = true,
				   .events = true };

	netsysctl_defaults(&s.sysctl);
	if (census_begin(census, &s) < 0)
		bench_die("census_begin");
	parse(r, count, census_arrived, census);
	if (census_end(census, NULL, NULL) < 0)
		bench_die("census_end");
}

static double print(const char *what, double *v, size_t rounds)
{
	struct bench_spread s = bench_spread_of(v, rounds);

	printf("| %s | %.1f (%.1f–%.1f) |\n", what, s.median, s.min, s.max);
	return s.median;
}

int main(int argc, char *argv[])
{
	static double walk[BENCH_ROUNDS_MAX], parsed[BENCH_ROUNDS_MAX], counted[BENCH_ROUNDS_MAX];
	struct census_config config = { .keep_ms = 3600000 };
	size_t rounds = bench_rounds(argc > 2 ? argv[2] : NULL, 41);
	struct recording r = { 0 };
	uint64_t sink = 0;

	if (argc < 2) {
		(void)fprintf(stderr, "usage: bench_replay PID [ROUNDS]\n");
		return 2;
	}
	bench_enter(argv[1]);
	record(&r);
	for (int i = 0; i < STALE_REASONS; i++)
		config.thresholds.ms[i] = 60000;
	config.thresholds.ms[STALE_IDLE] =
		7200000; /* as by default: else the fixture's age decides */
	config.thresholds.keepalive_probes = 2;
	struct census *census = census_new(&config);

	if (census == NULL)
		bench_die("census");
	for (int i = 0; i < 3; i++)
		sample(&r, census);
	for (size_t i = 0; i < rounds; i++) {
		double per = 1.0 / (double)r.sockets;
		uint64_t t0 = clock_thread_cpu_ns(), t1, t2, t3;

		for (size_t d = 0; d < r.count; d++)
			(void)bench_walk_headers(r.bytes + r.datagrams[d].at, r.datagrams[d].len,
						 &sink);
		t1 = clock_thread_cpu_ns();
		parse(&r, ignore, NULL, &sink);
		t2 = clock_thread_cpu_ns();
		sample(&r, census);
		t3 = clock_thread_cpu_ns();
		walk[i] = (double)(t1 - t0) * per;
		parsed[i] = (double)(t2 - t1) * per;
		counted[i] = (double)(t3 - t2) * per;
	}
	printf("| %llu sockets | ns a socket |\n| --- | ---: |\n", (unsigned long long)r.sockets);
	bench_figure("walked_ns", print("headers walked", walk, rounds));
	bench_figure("parsed_ns", print("parsed", parsed, rounds));
	bench_figure("counted_ns", print("parsed and counted", counted, rounds));
	census_free(census);
	free(r.bytes);
	free(r.datagrams);
	return sink == 42;
}
