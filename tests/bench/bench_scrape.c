/*
 * bench_scrape: what serving a page costs, of several servers in turn.
 *
 *   bench_scrape PID ROUNDS NAME PORT PATH COMMAND... [-- NAME PORT PATH COMMAND...]...
 *
 * Starts all in the namespace of PID and asks each for its page over one connection that is kept, 200 times a turn. Prints
 * a row of a Markdown table for each: bytes, requests a second, latency, CPU time of the server a request, memory; then how
 * many times the CPU time of the first each other takes, a request and a byte. What stands before the colon in a NAME is
 * what its figures are called.
 */
#include "bench.h"

#include "http.h"
#include "tcphealth/base/clock.h"

#define TURN      200
#define SIDES_MAX 4

struct side {
	const char *name;
	struct http_server server;
	size_t bytes;
	size_t count;
	double cpu_us[BENCH_ROUNDS_MAX];
	double rate[BENCH_ROUNDS_MAX];
	double ratio[BENCH_ROUNDS_MAX];
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

static void figure(const struct side *side, const char *what, double value)
{
	char name[128];

	(void)snprintf(name, sizeof(name), "%.*s.%s", (int)strcspn(side->name, ":"), side->name,
		       what);
	bench_figure(name, value);
}

static void print(struct side *side, size_t rounds)
{
	struct bench_spread cpu = bench_spread_of(side->cpu_us, rounds),
			    rate = bench_spread_of(side->rate, rounds);
	double p99;

	qsort(side->latency_us, side->count, sizeof(double), bench_compare);
	p99 = side->latency_us[side->count * 99 / 100];
	printf("| %s | %.1f | %.0f | %.0f | %.0f | %.1f (%.1f–%.1f) | %.1f |\n", side->name,
	       (double)side->bytes / 1000, rate.median, side->latency_us[side->count / 2], p99,
	       cpu.median, cpu.min, cpu.max, http_memory_mb(&side->server));
	figure(side, "p50_us", side->latency_us[side->count / 2]);
	figure(side, "p99_us", p99);
	figure(side, "cpu_us", cpu.median);
}

static void print_ratio(struct side *side, const struct side *first, size_t rounds)
{
	struct bench_spread r = bench_spread_of(side->ratio, rounds);

	printf("\n%s, CPU time to that of %s: %.1f (%.1f–%.1f), a byte %.1f\n", side->name,
	       first->name, r.median, r.min, r.max,
	       r.median * (double)first->bytes / (double)side->bytes);
	figure(side, "ratio", r.median);
}

/* Cuts the arguments at "--" and starts what stands between. Returns how many. */
static int start_all(struct side *sides, char **args)
{
	int n = 0;

	while (*args != NULL && n < SIDES_MAX) {
		char **end = args;

		while (*end != NULL && strcmp(*end, "--") != 0)
			end++;
		if (end - args < 4)
			return 0;
		char **next = *end != NULL ? end + 1 : end;
		*end = NULL;
		sides[n].name = args[0];
		http_start(&sides[n++].server, args + 1);
		args = next;
	}
	return n;
}

int main(int argc, char *argv[])
{
	static struct side sides[SIDES_MAX];
	size_t rounds;
	int n;

	if (argc >= 7)
		bench_enter(argv[1]);
	n = argc >= 7 ? start_all(sides, argv + 3) : 0;
	if (n == 0) {
		(void)fprintf(stderr, "usage: bench_scrape PID ROUNDS NAME PORT PATH COMMAND... "
				      "[-- NAME PORT PATH COMMAND...]...\n");
		return 2;
	}
	rounds = bench_rounds(argv[2], 0);
	for (size_t i = 0; i < rounds; i++) {
		for (int s = 0; s < n; s++) {
			take_turn(&sides[s], i);
			sides[s].ratio[i] = sides[s].cpu_us[i] / sides[0].cpu_us[i];
		}
	}
	for (int s = 0; s < n; s++)
		print(&sides[s], rounds);
	for (int s = 1; s < n; s++)
		print_ratio(&sides[s], &sides[0], rounds);
	for (int s = 0; s < n; s++)
		http_stop(&sides[s].server);
	return 0;
}
