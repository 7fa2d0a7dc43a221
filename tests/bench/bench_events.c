/*
 * bench_events: whether every short connection is counted, and what one costs.
 *
 *   bench_events RATE SECONDS BUFFER
 *
 * In a namespace of its own a child makes RATE connections a second over loopback, both ends here, each closed at once. This process
 * reads the kernel's events with BUFFER bytes of receive buffer (0: what is given without a privilege), counts them, and takes a full
 * sample each second. Each connection has two ends, so that twice their number must be counted as closed. Prints a row of a Markdown table.
 */
#include "bench.h"

#include "tcphealth/app/feed.h"
#include "tcphealth/base/clock.h"
#include "tcphealth/source/sockevents.h"

#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#define PORT        20000
#define BATCH       256u
#define QUIET_STEPS 5 /* of 100 ms without an event: the last has come */

struct meter {
	struct sockevents *events;
	struct census *census;
	struct feed *feed;
	uint64_t sample_ns; /* CPU time spent in samples */
	uint64_t taken;
};

static void connect_once(int listener, const struct sockaddr_in *to)
{
	const struct linger reset = { .l_onoff = 1 };
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), server;

	if (client < 0 || connect(client, (const struct sockaddr *)to, sizeof(*to)) < 0)
		bench_die("connect");
	server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (server < 0)
		bench_die("accept");
	(void)setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(client);
	close(server);
}

/* Paced by the clock: a slice of work each millisecond. Writes how many it made. */
static void generate(uint64_t rate, uint64_t seconds, int out)
{
	const struct sockaddr_in addr = { .sin_family = AF_INET,
					  .sin_port = htons(PORT),
					  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint64_t start = clock_mono_ns(), end = start + seconds * 1000000000u, now, made = 0;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (listener < 0 || bind(listener, (const struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    listen(listener, 128) < 0)
		bench_die("listen");
	while ((now = clock_mono_ns()) < end) {
		const struct timespec step = { .tv_nsec = 500000 };
		uint64_t due = (now - start) / 1000 * rate / 1000000;

		while (made < due && (made % 64 != 0 || clock_mono_ns() < end)) {
			connect_once(listener, &addr);
			made++;
		}
		(void)nanosleep(&step, NULL);
	}
	_exit(write(out, &made, sizeof(made)) == sizeof(made) ? 0 : 1);
}

static uint64_t drain(struct meter *m)
{
	struct tcpdeath deaths[BATCH];
	uint64_t before = m->taken;
	size_t n;

	do {
		n = sockevents_take(m->events, deaths, BATCH);
		for (size_t i = 0; i < n; i++) {
			if (census_event(m->census, &deaths[i]) < 0)
				bench_die("census_event");
		}
		m->taken += n;
	} while (n == BATCH);
	return m->taken - before;
}

static void drain_from_sample(void *arg)
{
	(void)drain(arg);
}

static void sample(struct meter *m)
{
	struct census_sample s = { .now_ms = clock_mono_ms(),
				   .clock = clock_mono_coarse_ms,
				   .events = true,
				   .drain = drain_from_sample,
				   .drain_arg = m };
	uint64_t t0 = clock_thread_cpu_ns();
	struct feed_result result;

	netsysctl_defaults(&s.sysctl);
	if (feed_sample(m->feed, m->census, &s, &result) < 0)
		bench_die("sample");
	m->sample_ns += clock_thread_cpu_ns() - t0;
	census_drained(m->census);
}

/* The ledger's whole memory of closed connections, whoever has series. */
static uint64_t closed(const struct meter *m)
{
	struct ledger *ledger = census_ledger(m->census);
	size_t n;
	const struct ledger_pair *pairs = ledger_pairs(ledger, &n);
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += pairs[i].counter[LEDGER_CLOSED] + pairs[i].fresh[LEDGER_CLOSED];
	return sum;
}

static uint64_t process_cpu_ns(void)
{
	struct timespec t = { 0 };

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Until the generator has ended and nothing more comes. */
static void follow(struct meter *m, pid_t generator)
{
	uint64_t next_ms = clock_mono_ms() + 1000;
	int quiet = 0;
	bool ended = false;

	while (quiet < QUIET_STEPS) {
		struct pollfd p = { .fd = sockevents_fd(m->events), .events = POLLIN };

		(void)poll(&p, 1, 100);
		ended = ended || waitpid(generator, NULL, WNOHANG) == generator;
		quiet = drain(m) == 0 && ended ? quiet + 1 : 0;
		if (clock_mono_ms() >= next_ms) {
			sample(m);
			next_ms += 1000;
		}
	}
}

int main(int argc, char *argv[])
{
	struct census_config config = { .keep_ms = 3600000 };
	struct meter m = { 0 };
	struct sockevents_stats stats;
	uint64_t rate = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
	uint64_t seconds = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
	uint64_t made = 0, cpu;
	int out[2];
	pid_t pid;

	if (argc != 4 || rate < 1 || rate > 1000000 || seconds < 1 || seconds > 600) {
		(void)fprintf(stderr, "usage: bench_events RATE SECONDS BUFFER\n");
		return 2;
	}
	if (unshare(CLONE_NEWNET) < 0)
		bench_die("unshare");
	bench_loopback_up();
	m.feed = feed_new(OPTIONS_SOURCE_NETLINK, "/proc");
	m.census = census_new(&config);
	if (m.feed == NULL || m.census == NULL || pipe2(out, O_CLOEXEC) < 0)
		bench_die("setup");
	if (sockevents_start((uint32_t)strtoul(argv[3], NULL, 10), &m.events) < 0)
		bench_die("sockevents");
	sample(&m);
	pid = fork();
	if (pid < 0)
		bench_die("fork");
	if (pid == 0)
		generate(rate, seconds, out[1]);
	m.sample_ns = 0;
	cpu = process_cpu_ns();
	follow(&m, pid);
	cpu = process_cpu_ns() - cpu - m.sample_ns;
	if (read(out[0], &made, sizeof(made)) != sizeof(made))
		bench_die("generator");
	stats = sockevents_stats(m.events);
	printf("| %llu | %llu | %u | %llu | %llu | %lld | %llu in %llu | %.2f |\n",
	       (unsigned long long)(made / seconds), (unsigned long long)made,
	       stats.rcvbuf_bytes / 1024, (unsigned long long)stats.received,
	       (unsigned long long)closed(&m), (long long)(2 * made - closed(&m)),
	       (unsigned long long)stats.lost, (unsigned long long)stats.overruns,
	       stats.received != 0 ? (double)cpu / 1e3 / (double)stats.received : 0.0);
	sockevents_stop(m.events);
	census_free(m.census);
	feed_free(m.feed);
	return 0;
}
