/*
 * bench_sample: what a sample costs beside a raw drain of the same sockets.
 *
 *   bench_sample PID [ROUNDS]
 *
 * Enters the network namespace of PID (a socks fixture) and takes turns: one inet_diag dump with tcp_info whose headers are
 * walked and thrown away; a full sample of the real program's modules (both dumps, roles, ages, reasons, counters); a sample of
 * the states tier alone, and a raw drain of these. CPU time of this thread, kernel included. Then the same memory is
 * shown an empty namespace. Prints a row of a Markdown table: medians, with the quartiles of the ratios.
 */
#include "sample.h"

#include "tcphealth/app/chooser.h"
#include "tcphealth/base/clock.h"

static enum tier sample(struct chooser *chooser, struct census *census, enum tier tier)
{
	struct netsysctl sysctl;
	struct netstat netstat = { 0 };
	struct sample sample = {
		.tier = tier, .now_ms = clock_mono_ms(), .sysctl = &sysctl, .netstat = &netstat
	};
	uint32_t can;

	netsysctl_defaults(&sysctl);
	if (chooser_sample(chooser, &sample, census, &can) < 0 ||
	    chooser_source(chooser) != &source_netlink) {
		(void)fprintf(stderr, "sample failed\n");
		exit(1);
	}
	return sample.tier;
}

/* Resident memory when all sockets have gone. */
static double shrink(struct census *census)
{
	struct chooser *chooser = chooser_new(SOURCE_netlink, "/proc");

	if (chooser == NULL || unshare(CLONE_NEWNET) < 0)
		bench_die("empty namespace");
	for (int i = 0; i < 4; i++)
		(void)sample(chooser, census, TIER_FULL);
	chooser_free(chooser);
	return bench_status_mb("VmRSS:");
}

int main(int argc, char *argv[])
{
	static double raw[BENCH_ROUNDS_MAX], full[BENCH_ROUNDS_MAX], ratio[BENCH_ROUNDS_MAX],
		tick[BENCH_ROUNDS_MAX], floor[BENCH_ROUNDS_MAX];
	size_t rounds = bench_rounds(argc > 2 ? argv[2] : NULL, 21);
	uint64_t sockets = 0;
	double resident, shrunk;
	int fd;

	if (argc < 2) {
		(void)fprintf(stderr, "usage: bench_sample PID [ROUNDS]\n");
		return 2;
	}
	bench_enter(argv[1]);
	struct chooser *chooser = chooser_new(SOURCE_netlink, "/proc");
	struct census *census = bench_census();

	fd = bench_diag_open();
	if (chooser == NULL)
		bench_die("setup");
	for (size_t i = 0; i < rounds + 2; i++) { /* two rounds to warm up */
		uint64_t t0 = clock_thread_cpu_ns(), t1, t2, t3, t4;

		sockets = bench_raw_drain(fd);
		t1 = clock_thread_cpu_ns();
		(void)sample(chooser, census, TIER_FULL);
		t2 = clock_thread_cpu_ns();
		if (sample(chooser, census, TIER_STATES) != TIER_STATES)
			bench_die("tier");
		t3 = clock_thread_cpu_ns();
		(void)bench_raw_drain_of(fd, BENCH_STATES);
		t4 = clock_thread_cpu_ns();
		if (i < 2)
			continue;
		raw[i - 2] = (double)(t1 - t0) / 1e6;
		full[i - 2] = (double)(t2 - t1) / 1e6;
		ratio[i - 2] = (double)(t2 - t1) / (double)(t1 - t0);
		tick[i - 2] = (double)(t3 - t2) / (double)(t1 - t0);
		floor[i - 2] = (double)(t4 - t3) / (double)(t1 - t0);
	}
	struct bench_spread r = bench_spread_of(raw, rounds), f = bench_spread_of(full, rounds),
			    q = bench_spread_of(ratio, rounds), t = bench_spread_of(tick, rounds),
			    o = bench_spread_of(floor, rounds);

	resident = bench_status_mb("VmRSS:");
	shrunk = shrink(census);
	printf("| %llu | %.2f | %.2f | %.3f (%.3f–%.3f) | %.3f (%.3f–%.3f) | %.3f | %.1f | %.1f "
	       "|\n",
	       (unsigned long long)sockets, r.median, f.median, q.median, q.min, q.max, t.median,
	       t.min, t.max, o.median, resident, shrunk);
	bench_figure("ratio", q.median);
	bench_figure("states", t.median);
	bench_figure("states_raw", o.median);
	bench_figure("raw_ns", r.median * 1e6 / (double)sockets);
	bench_figure("mb", resident);
	bench_figure("mb_gone", shrunk);
	census_free(census);
	chooser_free(chooser);
	return 0;
}
