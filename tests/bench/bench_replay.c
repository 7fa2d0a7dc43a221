/*
 * bench_replay: what user space does with a record, without the kernel's part.
 *
 *   bench_replay PID [ROUNDS]
 *
 * Records one dump of the namespace of PID, then takes turns over the same bytes: headers walked; records parsed; records given
 * to a census that knows their sockets already. Nanoseconds a socket. The bytes come from memory here and from the kernel's
 * fresh copy in a real sample.
 */
#include "sample.h"

#include "tcphealth/base/clock.h"

#define BYTES_MAX (1u << 30)

static void record(struct bench_dump *dump)
{
	int fd = bench_diag_open();
	ssize_t len;

	bench_request_dump(fd, BENCH_ALL_STATES);
	do {
		len = recv(fd, bench_dump_room(dump), BENCH_DATAGRAM, 0);
		if (len <= 0 || dump->len > BYTES_MAX)
			bench_die("recv");
	} while (!bench_dump_add(dump, (size_t)len));
	close(fd);
}

static int ignore(void *arg, const struct tcpsock *socks, size_t count, uint64_t read_ms)
{
	(void)read_ms;
	for (size_t i = 0; i < count; i++)
		*(uint64_t *)arg += socks[i].id;
	return 0;
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
	size_t rounds = bench_rounds(argc > 2 ? argv[2] : NULL, 41);
	struct bench_dump r = { 0 };
	struct census *census = bench_census();
	uint64_t sink = 0;

	if (argc < 2) {
		(void)fprintf(stderr, "usage: bench_replay PID [ROUNDS]\n");
		return 2;
	}
	bench_enter(argv[1]);
	record(&r);
	for (int i = 0; i < 3; i++)
		bench_sample(&r, census, clock_mono_coarse_ms());
	for (size_t i = 0; i < rounds; i++) {
		double per = 1.0 / (double)r.sockets;
		uint64_t t0 = clock_thread_cpu_ns(), t1, t2, t3;

		for (size_t d = 0; d < r.count; d++)
			(void)bench_walk_headers(r.bytes + r.datagrams[d].at, r.datagrams[d].len,
						 &sink);
		t1 = clock_thread_cpu_ns();
		bench_parse(&r, 0, ignore, &sink);
		t2 = clock_thread_cpu_ns();
		bench_sample(&r, census, clock_mono_coarse_ms());
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
