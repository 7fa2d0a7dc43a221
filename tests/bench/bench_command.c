/*
 * bench_command: what other programs pay for the same sockets, beside a raw drain of them.
 *
 *   bench_command PID ROUNDS NAME once COMMAND... [-- IDLE COMMAND...]
 *   bench_command PID ROUNDS NAME serve PORT PATH COMMAND...
 *   bench_command PID ROUNDS NAME sampler PORT PATH COMMAND...
 *
 * Enters the namespace of PID and takes turns with the raw drain. Prints a row of a Markdown table.
 *
 *   once     runs COMMAND and takes its CPU time, its start included; "-- IDLE COMMAND..." at the end is the same
 *            program with nothing to read, whose CPU time is taken off, for programs that in use go on running
 *   serve    starts COMMAND, asks it for PATH each round, and takes what its processor clock moved
 *   sampler  starts this exporter and takes what it says it has spent from one full sample to the next, with all it does
 *            with a sample
 */
#include "bench.h"

#include "http.h"
#include "tcphealth/base/clock.h"

#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

struct usage {
	double ms;
	double mb; /* resident at most */
};

#define SAMPLE_WAIT_STEPS 6000 /* of 10 ms */

static struct usage run_once(char *const *command)
{
	struct rusage usage;
	int status;
	pid_t pid = fork();

	if (pid < 0)
		bench_die("fork");
	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
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
	bench_figure("cpu_ms", m.median);
	bench_figure("ratio", r.median);
	bench_figure("mb", mb);
}

/* What follows "--", which is replaced by the end of what stands before; NULL if there is none. */
static char **split(char **command)
{
	do {
		command++;
	} while (*command != NULL && strcmp(*command, "--") != 0);
	if (*command == NULL)
		return NULL;
	*command = NULL;
	return command + 1;
}

static void measure_once(const char *name, size_t rounds, char **command)
{
	static double ms[BENCH_ROUNDS_MAX], ratio[BENCH_ROUNDS_MAX];
	char **idle = split(command);
	int fd = bench_diag_open();
	double mb = 0;

	(void)drain_ms(fd);
	for (size_t i = 0; i < rounds; i++) {
		double raw = drain_ms(fd);
		struct usage usage = run_once(command);

		ms[i] = usage.ms - (idle != NULL ? run_once(idle).ms : 0);
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

/* Of the page that was asked for last; 0 while it is not there: nothing has been sampled yet. */
static double value_of(const struct http_server *server, const char *series)
{
	const char *at = strstr(server->answer, series);

	return at != NULL ? strtod(at + strlen(series), NULL) : 0;
}

/* The page of a sample is made before its cost is known: two pages in a row tell what the first one's sample cost. */
struct spent {
	double at;     /* when the last sample ended */
	double cpu_ms; /* of all samples before it */
};

static struct spent ask(struct http_server *server)
{
	(void)http_get(server);
	return (struct spent){
		value_of(server, "\ntcphealth_last_sample_timestamp_seconds{tier=\"full\"} "),
		value_of(server, "\ntcphealth_sample_cpu_seconds_total ") * 1e3,
	};
}

static struct spent wait_sample(struct http_server *server, double after)
{
	const struct timespec step = { .tv_nsec = 10000000 };

	for (int i = 0; i < SAMPLE_WAIT_STEPS; i++) {
		struct spent spent = ask(server);

		if (spent.at > after)
			return spent;
		(void)nanosleep(&step, NULL);
	}
	(void)fprintf(stderr, "no new sample\n");
	exit(1);
}

/* The sampling thread runs at nice 19: on a busy machine we would wait for it for ever. What it spends is the same. */
static void hurry(const struct http_server *server)
{
	char path[64];
	struct dirent *task;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", server->pid);
	dir = opendir(path);
	if (dir == NULL)
		bench_die(path);
	while ((task = readdir(dir)) != NULL) {
		id_t id = (id_t)strtoul(task->d_name, NULL, 10);

		if (id != 0)
			(void)setpriority(PRIO_PROCESS, id, getpriority(PRIO_PROCESS, 0));
	}
	(void)closedir(dir);
}

static void measure_sampler(const char *name, size_t rounds, char *const *args)
{
	static double ms[BENCH_ROUNDS_MAX], ratio[BENCH_ROUNDS_MAX];
	struct http_server server;
	struct spent before;
	int fd = bench_diag_open();

	http_start(&server, args);
	hurry(&server);
	before = wait_sample(&server, wait_sample(&server, 0).at);
	for (size_t i = 0; i < rounds; i++) {
		double raw = drain_ms(fd);
		struct spent now = wait_sample(&server, before.at);

		ms[i] = now.cpu_ms - before.cpu_ms;
		ratio[i] = ms[i] / raw;
		before = now;
	}
	print(name, ms, ratio, rounds, http_memory_mb(&server));
	http_stop(&server);
}

enum { ONCE, SERVE, SAMPLER, MODES };

int main(int argc, char *argv[])
{
	static const char *const names[MODES] = { "once", "serve", "sampler" };
	int mode = 0;

	while (argc > 4 && mode < MODES && strcmp(argv[4], names[mode]) != 0)
		mode++;
	if (argc < 6 || mode == MODES || (mode != ONCE && argc < 8)) {
		(void)fprintf(stderr, "usage: bench_command PID ROUNDS NAME once COMMAND... [-- "
				      "IDLE COMMAND...]\n"
				      "       bench_command PID ROUNDS NAME serve|sampler PORT "
				      "PATH COMMAND...\n");
		return 2;
	}
	bench_enter(argv[1]);
	if (mode == ONCE)
		measure_once(argv[3], bench_rounds(argv[2], 0), argv + 5);
	else if (mode == SERVE)
		measure_server(argv[3], bench_rounds(argv[2], 0), argv + 5);
	else
		measure_sampler(argv[3], bench_rounds(argv[2], 0), argv + 5);
	return 0;
}
