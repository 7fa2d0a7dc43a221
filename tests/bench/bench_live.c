/*
 * bench_live: whether samples disturb the traffic beside them.
 *
 *   bench_live PID ROUNDS SLICE_MS rr|connects
 *
 * In the namespace of PID, both ends of the traffic on the first processor: requests of 64 bytes and their echo over one
 * connection, or connections made, used once and closed. On the second processor, in turn: nothing, a spin, full samples
 * without a pause at nice 19. Ratios to nothing of the same round; the spin is the control, for it takes no lock and touches
 * no memory. Prints rows of a Markdown table.
 */
#include "bench.h"

#include "tcphealth/app/chooser.h"
#include "tcphealth/base/clock.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#define LATENCIES_MAX (1u << 21)
#define MESSAGE       64

enum disturber { NOTHING, SPIN, SAMPLES };
#define DISTURBERS 3

struct result {
	double rate, p50, p99;
};

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		bench_die("sched_setaffinity");
}

static void sample_for_ever(void)
{
	struct census_config config = { .keep_ms = 3600000 };
	struct chooser *chooser = chooser_new(SOURCE_netlink, "/proc");
	struct census *census = census_new(&config);
	struct netsysctl sysctl;
	struct netstat netstat;

	(void)setpriority(PRIO_PROCESS, 0, 19);
	if (chooser == NULL || census == NULL)
		_exit(1);
	netsysctl_defaults(&sysctl);
	for (;;) {
		struct sample sample = { .now_ms = clock_mono_ms(),
					 .sysctl = &sysctl,
					 .netstat = &netstat };
		uint32_t can;

		if (chooser_sample(chooser, &sample, census, &can) < 0)
			_exit(1);
	}
}

static pid_t disturb(enum disturber what)
{
	pid_t pid = what != NOTHING ? fork() : 0;

	if (pid < 0)
		bench_die("fork");
	if (what == NOTHING || pid > 0)
		return pid;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	pin(1);
	if (what == SAMPLES)
		sample_for_ever();
	for (volatile uint64_t i = 0;; i++)
		;
}

static void serve(int listener, bool once)
{
	char message[MESSAGE];

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		int on = 1, fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		ssize_t n;

		if (fd < 0)
			_exit(1);
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		while ((n = recv(fd, message, sizeof(message), 0)) > 0) {
			if (send(fd, message, (size_t)n, MSG_NOSIGNAL) != n || once)
				break;
		}
		close(fd);
	}
}

static int dial(const struct sockaddr_in *to)
{
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0)
		bench_die("connect");
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

static void exchange(int fd)
{
	char message[MESSAGE] = { 0 };

	if (send(fd, message, sizeof(message), MSG_NOSIGNAL) != MESSAGE ||
	    recv(fd, message, sizeof(message), MSG_WAITALL) != MESSAGE)
		bench_die("exchange");
}

static void connect_and_exchange(const struct sockaddr_in *to)
{
	const struct linger reset = { .l_onoff = 1 };
	int fd = dial(to);

	exchange(fd);
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(fd);
}

static struct result slice(const struct sockaddr_in *to, int fd, uint64_t slice_ns)
{
	static double latency[LATENCIES_MAX];
	uint64_t start = clock_mono_ns(), then = start, now;
	size_t n = 0;

	do {
		if (fd >= 0)
			exchange(fd);
		else
			connect_and_exchange(to);
		now = clock_mono_ns();
		latency[n++] = (double)(now - then) / 1e3;
		then = now;
	} while (now - start < slice_ns && n < LATENCIES_MAX);
	qsort(latency, n, sizeof(double), bench_compare);
	return (struct result){ (double)n * 1e9 / (double)(now - start), latency[n / 2],
				latency[n * 99 / 100] };
}

static void print(enum disturber what, double (*of)[BENCH_ROUNDS_MAX],
		  double (*ratio)[BENCH_ROUNDS_MAX], size_t rounds)
{
	static const char *const names[DISTURBERS] = { "nothing", "a spin", "full samples" };
	static const char *const keys[DISTURBERS] = { "nothing", "spin", "samples" };
	static const char *const figures[] = { "rate", "p50", "p99" };
	char key[64];

	printf("| %s |", names[what]);
	for (int i = 0; i < 3; i++) {
		struct bench_spread v = bench_spread_of(of[i], rounds),
				    q = bench_spread_of(ratio[i], rounds);

		printf(" %.*f | %.3f (%.3f–%.3f) |", i == 0 ? 0 : 1, v.median, q.median, q.min,
		       q.max);
		(void)snprintf(key, sizeof(key), "%s.%s", keys[what], figures[i]);
		bench_figure(key, v.median);
		(void)snprintf(key, sizeof(key), "%s.%s_ratio", keys[what], figures[i]);
		bench_figure(key, q.median);
		(void)snprintf(key, sizeof(key), "%s.%s_high", keys[what], figures[i]);
		bench_figure(key, v.max);
	}
	printf("\n");
}

/* Binds to a port of the kernel's choice, which goes into `addr`. */
static int listen_at(struct sockaddr_in *addr)
{
	socklen_t len = sizeof(*addr);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (listener < 0 || bind(listener, (const struct sockaddr *)addr, sizeof(*addr)) < 0 ||
	    listen(listener, 128) < 0 || getsockname(listener, (struct sockaddr *)addr, &len) < 0)
		bench_die("listen");
	return listener;
}

static struct result beside(enum disturber what, const struct sockaddr_in *to, int fd,
			    uint64_t slice_ns)
{
	const struct timespec settle = { .tv_nsec = 50000000 };
	pid_t pid = disturb(what);
	struct result r;

	(void)nanosleep(&settle, NULL);
	r = slice(to, fd, slice_ns);
	if (pid > 0) {
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
	}
	return r;
}

static void measure(const struct sockaddr_in *to, int fd, uint64_t slice_ns, size_t rounds)
{
	static double value[DISTURBERS][3][BENCH_ROUNDS_MAX],
		ratio[DISTURBERS][3][BENCH_ROUNDS_MAX];

	for (size_t i = 0; i < rounds; i++) {
		for (int what = 0; what < DISTURBERS; what++) {
			struct result r = beside((enum disturber)what, to, fd, slice_ns);

			value[what][0][i] = r.rate;
			value[what][1][i] = r.p50;
			value[what][2][i] = r.p99;
			for (int k = 0; k < 3; k++)
				ratio[what][k][i] = value[what][k][i] / value[NOTHING][k][i];
		}
	}
	for (int what = 0; what < DISTURBERS; what++)
		print((enum disturber)what, value[what], ratio[what], rounds);
}

int main(int argc, char *argv[])
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	bool connects = argc == 5 && strcmp(argv[4], "connects") == 0;
	uint64_t slice_ns = argc == 5 ? strtoull(argv[3], NULL, 10) * 1000000 : 0;
	int listener;
	pid_t server;

	if (slice_ns == 0 || (!connects && strcmp(argv[4], "rr") != 0)) {
		(void)fprintf(stderr, "usage: bench_live PID ROUNDS SLICE_MS rr|connects\n");
		return 2;
	}
	bench_enter(argv[1]);
	listener = listen_at(&addr);
	pin(0);
	server = fork();
	if (server < 0)
		bench_die("fork");
	if (server == 0)
		serve(listener, connects);
	measure(&addr, connects ? -1 : dial(&addr), slice_ns, bench_rounds(argv[2], 0));
	(void)kill(server, SIGKILL);
	(void)waitpid(server, NULL, 0);
	return 0;
}
