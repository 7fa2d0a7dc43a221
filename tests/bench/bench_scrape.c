/*
 * bench_scrape: what serving a page costs, of two servers in turn.
 *
 *   bench_scrape PID ROUNDS NAME PORT PATH COMMAND... -- NAME PORT PATH COMMAND...
 *
 * Starts both in the namespace of PID and asks each for its page over one connection, 200 times a turn. Prints a row of a
 * Markdown table for each: bytes, requests a second, latency, CPU time of the server a request, memory; then the ratio.
 */
#include "bench.h"

#include "http.h"
#include "tcphealth/base/clock.h"

#define TURN  200
#define SIDES 2

struct side {
	const char *name;
	struct http_server server;
	size_t bytes;
	size_t count;
	double cpu_us[BENCH_ROUNDS_MAX];
	double rate[BENCH_ROUNDS_MAX];
	double latency_us[BENCH_ROUNDS_MAX * TURN];
};

static void take_turn(struct side *side, size_t round)
{
	uint64_t cpu0 = http_cpu_ns(&side->server), start = clock_mono_ns(), then = start;

	for (int i = 0; i < TURN; i++) {
		uint64_t now;

		side->bytes = http_get(&side->server);
		now = clock_mono_ns();
		side->latency_us[side->count++] = (double)(now - then) / 1e3;
		then = now;
	}
	side->cpu_us[round] = (double)(http_cpu_ns(&side->server) - cpu0) / 1e3 / TURN;
	side->rate[round] = TURN * 1e9 / (double)(then - start);
}

static void print(struct side *side, size_t rounds)
{
	struct bench_spread cpu = bench_spread_of(side->cpu_us, rounds),
			    rate = bench_spread_of(side->rate, rounds);

	qsort(side->latency_us, side->count, sizeof(double), bench_compare);
	printf("| %s | %.1f | %.0f | %.0f | %.0f | %.1f (%.1f–%.1f) | %.1f |\n", side->name,
	       (double)side->bytes / 1000, rate.median, side->latency_us[side->count / 2],
	       side->latency_us[side->count * 99 / 100], cpu.median, cpu.min, cpu.max,
	       http_memory_mb(&side->server));
}

int main(int argc, char *argv[])
{
	static struct side sides[SIDES];
	static double ratio[BENCH_ROUNDS_MAX];
	struct bench_spread r;
	size_t rounds;
	int second = 7; /* after NAME PORT PATH COMMAND at the earliest */

	while (second < argc && strcmp(argv[second], "--") != 0)
		second++;
	if (second + 4 >= argc) {
		(void)fprintf(stderr, "usage: bench_scrape PID ROUNDS NAME PORT PATH COMMAND... -- "
				      "NAME PORT PATH COMMAND...\n");
		return 2;
	}
	bench_enter(argv[1]);
	rounds = bench_rounds(argv[2], 0);
	argv[second] = NULL;
	sides[0].name = argv[3];
	sides[1].name = argv[second + 1];
	http_start(&sides[0].server, argv + 4);
	http_start(&sides[1].server, argv + second + 2);
	for (size_t i = 0; i < rounds; i++) {
		for (int s = 0; s < SIDES; s++)
			take_turn(&sides[s], i);
		ratio[i] = sides[1].cpu_us[i] * (double)sides[0].bytes /
			   (sides[0].cpu_us[i] * (double)sides[1].bytes);
	}
	for (int s = 0; s < SIDES; s++) {
		print(&sides[s], rounds);
		http_stop(&sides[s].server);
	}
	r = bench_spread_of(ratio, rounds);
	printf("\nCPU time a byte, %s / %s: %.0f (%.0f–%.0f)\n", sides[1].name, sides[0].name,
	       r.median, r.min, r.max);
	return 0;
}
