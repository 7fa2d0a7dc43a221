/*
 * bench_command: what other programs pay for the same sockets, beside a raw drain of them.
 *
 *   bench_command PID ROUNDS NAME once COMMAND...
 *   bench_command PID ROUNDS NAME serve PORT PATH COMMAND...
 *
 * Enters the namespace of PID and takes turns with the raw drain. `once` runs COMMAND and takes its CPU time, its start
 * included. `serve` starts COMMAND, asks it for PATH each round, and takes what its processor clock moved.
 * Prints a row of a Markdown table.
 */
#include "bench.h"

#include "http.h"
#include "tcphealth/base/clock.h"

#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

struct usage {
	double ms;
	double mb; /* resident at most */
};

static struct usage run_once(char *const *command)
{
	struct rusage usage;
	int status;
	pid_t pid = fork();

	if (pid < 0)
		bench_die("fork");
	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		(void)dup2(null, 0);
		(void)dup2(null, 1);
		(void)dup2(null, 2);
		execvp(command[0], command);
		_exit(127);
	}
	if (wait4(pid, &status, 0, &usage) != pid || !WIFEXITED(status) ||
	    WEXITSTATUS(status) != 0) {
		(void)fprintf(stderr, "%s failed\n", command[0]);
		exit(1);
	}
	return (struct usage){
		.ms = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e3 +
		      (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e3,
		.mb = (double)usage.ru_maxrss / 1024,
	};
}

static double drain_ms(int fd)
{
	uint64_t t0 = clock_thread_cpu_ns();

	(void)bench_raw_drain(fd);
	return (double)(clock_thread_cpu_ns() - t0) / 1e6;
}

static void print(const char *name, double *ms, double *ratio, size_t rounds, double mb)
{
	struct bench_spread m = bench_spread_of(ms, rounds), r = bench_spread_of(ratio, rounds);

	printf("| %s | %.2f | %.2f (%.2f–%.2f) | %.1f |\n", name, m.median, r.median, r.min, r.max,
	       mb);
}

static void measure_once(const char *name, size_t rounds, char *const *command)
{
	static double ms[BENCH_ROUNDS_MAX], ratio[BENCH_ROUNDS_MAX];
	int fd = bench_diag_open();
	double mb = 0;

	(void)drain_ms(fd);
	for (size_t i = 0; i < rounds; i++) {
		double raw = drain_ms(fd);
		struct usage usage = run_once(command);

		ms[i] = usage.ms;
		ratio[i] = ms[i] / raw;
		mb = usage.mb > mb ? usage.mb : mb;
	}
	print(name, ms, ratio, rounds, mb);
}

static void measure_server(const char *name, size_t rounds, char *const *args)
{
	static double ms[BENCH_ROUNDS_MAX], ratio[BENCH_ROUNDS_MAX];
	struct http_server server;
	int fd = bench_diag_open();

	http_start(&server, args);
	(void)http_get(&server);
	for (size_t i = 0; i < rounds; i++) {
		double raw = drain_ms(fd);
		uint64_t t0 = http_cpu_ns(&server);

		(void)http_get(&server);
		ms[i] = (double)(http_cpu_ns(&server) - t0) / 1e6;
		ratio[i] = ms[i] / raw;
	}
	print(name, ms, ratio, rounds, http_memory_mb(&server));
	http_stop(&server);
}

int main(int argc, char *argv[])
{
	bool serve = argc > 4 && strcmp(argv[4], "serve") == 0;

	if (argc < (serve ? 8 : 6)) {
		(void)fprintf(stderr,
			      "usage: bench_command PID ROUNDS NAME once COMMAND...\n"
			      "       bench_command PID ROUNDS NAME serve PORT PATH COMMAND...\n");
		return 2;
	}
	bench_enter(argv[1]);
	if (serve)
		measure_server(argv[3], bench_rounds(argv[2], 0), argv + 5);
	else
		measure_once(argv[3], bench_rounds(argv[2], 0), argv + 5);
	return 0;
}
