/*
 * bench_events: whether every short connection is counted, what one costs, and what is known after some were missed.
 *
 *   bench_events RATE SECONDS with|without|BYTES [STOPPED_MS]
 *
 * In a namespace of its own children make RATE connections a second over loopback, both ends here, each closed at once. This
 * process does what the program does: reads the kernel's events, counts them, and takes a full sample each second; with or
 * without CAP_NET_ADMIN, which decides how large a receive buffer the kernel gives, or with a buffer of so many BYTES: what
 * it gives without is between 208 KiB and 8 MiB, by its version. Each connection has two ends: twice
 * their number must be counted as closed, or announced as lost. With STOPPED_MS this process gets no processor for so
 * long, as may be on a host that is overloaded, and the buffer has to hold what comes.
 *
 * Beside them another child holds connections that are older than the first sample and closes half of them meanwhile, so
 * that ends are lost that only a dump can tell. Afterwards what is counted must agree with the table again. Prints a
 * row of a Markdown table.
 */
#include "bench.h"

#include "tcphealth/app/chooser.h"
#include "tcphealth/app/eventfeed.h"
#include "tcphealth/base/clock.h"

#include <linux/capability.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define GENERATORS    2
#define PORT          700 /* the first generator's; the holder's is one below */
#define HELD          1000
#define QUIET_STEPS   5 /* of 100 ms without an event: the last has come */
#define SETTLE        4 /* samples after it; what was missed is told by the second */
#define PAIRS_MAX     64
#define NANO          UINT64_C(1000000000)
#define KEPT_COUNTERS (sizeof(((struct ledger_pair *)NULL)->counter) / sizeof(uint64_t))

/* What a pair had counted, to see that it never falls. */
struct kept {
	uint32_t key;
	uint64_t counter[KEPT_COUNTERS];
};

struct meter {
	struct eventfeed events;
	struct census *census;
	struct chooser *chooser;
	struct netsysctl sysctl;
	struct netstat netstat;
	struct kept kept[PAIRS_MAX];
	size_t kept_count;
	uint64_t falls;     /* counters seen lower than before */
	uint64_t sample_ns; /* CPU time spent in samples */
};

struct child {
	pid_t pid;
	int fd; /* for words of eight bytes, both ways */
};

static int listen_on(uint16_t port)
{
	const struct sockaddr_in addr = { .sin_family = AF_INET,
					  .sin_port = htons(port),
					  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (listener < 0 || bind(listener, (const struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    listen(listener, 128) < 0)
		bench_die("listen");
	return listener;
}

static void connect_to(int listener, int *ret_client, int *ret_server)
{
	struct sockaddr_in to;
	socklen_t len = sizeof(to);
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (client < 0 || getsockname(listener, (struct sockaddr *)&to, &len) < 0 ||
	    connect(client, (const struct sockaddr *)&to, len) < 0)
		bench_die("connect");
	*ret_server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (*ret_server < 0)
		bench_die("accept");
	*ret_client = client;
}

/*
 * A reset, which leaves no TIME_WAIT: of these the kernel holds no more than it has ports for, and one whose event was lost
 * counts as closed when it has gone.
 */
static void close_both(int client, int server)
{
	const struct linger reset = { .l_onoff = 1 };

	(void)setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(client);
	close(server);
}

static void connect_once(int listener)
{
	int client, server;

	connect_to(listener, &client, &server);
	close_both(client, server);
}

static void say(int fd, uint64_t what)
{
	if (write(fd, &what, sizeof(what)) != sizeof(what))
		bench_die("to another process of this benchmark");
}

static uint64_t hear(int fd)
{
	uint64_t what;

	if (read(fd, &what, sizeof(what)) != sizeof(what))
		bench_die("from another process of this benchmark");
	return what;
}

/* Paced by the clock: a slice of work each millisecond. Says how many it made. */
static void generate(uint16_t port, uint64_t rate, uint64_t seconds, int fd)
{
	const struct timespec step = { .tv_nsec = 500000 };
	int listener = listen_on(port);
	uint64_t start = clock_mono_ns(), end = start + seconds * NANO, now, made = 0;

	while ((now = clock_mono_ns()) < end) {
		uint64_t due = (now - start) / 1000 * rate / 1000000;

		while (made < due && (made % 64 != 0 || clock_mono_ns() < end)) {
			connect_once(listener);
			made++;
		}
		(void)nanosleep(&step, NULL);
	}
	say(fd, made);
	_exit(0);
}

/* Says that they stand, closes every second one when told to begin, and holds the rest until it is killed. */
static void hold(uint64_t seconds, int fd)
{
	const struct timespec step = { .tv_nsec = (long)(NANO / HELD) };
	static int ends[HELD][2];
	int listener = listen_on(PORT - 1);

	for (int i = 0; i < HELD; i++)
		connect_to(listener, &ends[i][0], &ends[i][1]);
	say(fd, HELD);
	(void)hear(fd);
	for (int i = 1; i < HELD; i += 2) {
		for (uint64_t k = 0; k < seconds; k++)
			(void)nanosleep(&step, NULL);
		close_both(ends[i][0], ends[i][1]);
	}
	say(fd, HELD / 2);
	for (;;)
		pause();
}

/* 0 in the child, which ends with this process; `child` is then the other's. */
static pid_t spawn(struct child *child)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		bench_die("socketpair");
	child->pid = fork();
	if (child->pid < 0)
		bench_die("fork");
	child->fd = fds[child->pid == 0];
	close(fds[child->pid != 0]);
	if (child->pid == 0)
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	return child->pid;
}

static void start_generators(struct child *children, uint64_t rate, uint64_t seconds)
{
	for (int i = 0; i < GENERATORS; i++) {
		if (spawn(&children[i]) == 0)
			generate((uint16_t)(PORT + i), rate / GENERATORS, seconds, children[i].fd);
	}
}

static void start_holder(struct child *child, uint64_t seconds)
{
	if (spawn(child) == 0)
		hold(seconds, child->fd);
	(void)hear(child->fd);
}

/* Stops this process, all threads of it, half-way. */
static void start_jailer(struct child *child, uint64_t seconds, uint64_t stopped_ms)
{
	const struct timespec before = { .tv_sec = (time_t)seconds / 2 };
	const struct timespec stopped = { (time_t)(stopped_ms / 1000),
					  (long)(stopped_ms % 1000 * 1000000) };
	pid_t prisoner = getpid();

	if (stopped_ms == 0 || spawn(child) != 0)
		return;
	(void)nanosleep(&before, NULL);
	(void)kill(prisoner, SIGSTOP);
	(void)nanosleep(&stopped, NULL);
	(void)kill(prisoner, SIGCONT);
	_exit(0);
}

static struct kept *kept_of(struct meter *m, const struct ledger_pair *pair)
{
	uint32_t key = (uint32_t)pair->role << 16 | pair->port;
	size_t i = 0;

	while (i < m->kept_count && m->kept[i].key != key)
		i++;
	if (i == PAIRS_MAX)
		return NULL;
	if (i == m->kept_count)
		m->kept[m->kept_count++] = (struct kept){ .key = key };
	return &m->kept[i];
}

static void look_for_falls(struct meter *m)
{
	size_t n;
	const struct ledger_pair *pairs = ledger_pairs(census_ledger(m->census), &n);

	for (size_t i = 0; i < n; i++) {
		struct kept *kept = kept_of(m, &pairs[i]);

		for (size_t k = 0; kept != NULL && k < KEPT_COUNTERS; k++) {
			uint64_t now = pairs[i].counter[k] + pairs[i].fresh[k];

			m->falls += now < kept->counter[k];
			kept->counter[k] = now;
		}
	}
}

static void sample(struct meter *m)
{
	struct sample sample = { .now_ms = clock_mono_ms(),
				 .events = &m->events,
				 .sysctl = &m->sysctl,
				 .netstat = &m->netstat };
	uint64_t t0 = clock_thread_cpu_ns();
	uint32_t can;

	if (chooser_sample(m->chooser, &sample, m->census, &can) < 0)
		bench_die("sample");
	m->sample_ns += clock_thread_cpu_ns() - t0;
	look_for_falls(m);
}

/* The ledger's whole memory, whoever has series. */
static uint64_t counted(const struct meter *m, enum ledger_counter counter)
{
	size_t n;
	const struct ledger_pair *pairs = ledger_pairs(census_ledger(m->census), &n);
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += pairs[i].counter[counter] + pairs[i].fresh[counter];
	return sum;
}

static uint64_t shown_established(const struct meter *m)
{
	const struct ledger *ledger = census_ledger(m->census);
	size_t n;
	const struct ledger_pair *pairs = ledger_pairs(ledger, &n);
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++) {
		const struct portview *view = ledger_pair_view(ledger, &pairs[i]);

		sum += view != NULL ? view->state[TCP_STATE_ESTABLISHED] : 0;
	}
	return sum;
}

static uint64_t process_cpu_ns(void)
{
	struct timespec t = { 0 };

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * NANO + (uint64_t)t.tv_nsec;
}

/* Until `end_ms` is over and nothing more comes, as the collector does between its samples. */
static void follow(struct meter *m, uint64_t end_ms)
{
	uint64_t next_ms = clock_mono_ms() + 1000, before = 0;
	int quiet = 0;

	while (quiet < QUIET_STEPS) {
		struct pollfd p = { .fd = eventfeed_fd(&m->events), .events = POLLIN };
		uint64_t received;

		if (poll(&p, 1, 100) > 0)
			eventfeed_drain(&m->events, m->census);
		received = eventfeed_stats(&m->events).received;
		quiet = received == before && clock_mono_ms() > end_ms ? quiet + 1 : 0;
		before = received;
		if (clock_mono_ms() >= next_ms) {
			sample(m);
			next_ms += 1000;
		}
	}
	eventfeed_drain(&m->events, m->census);
}

/* Without it the kernel gives no more than net.core.rmem_max. */
static void drop_privilege(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &header, data) < 0)
		bench_die("capget");
	data[0].effective &= ~(1u << CAP_NET_ADMIN);
	if (syscall(SYS_capset, &header, data) < 0)
		bench_die("capset");
}

static void start_events(struct meter *m, const char *buffer)
{
	uint32_t bytes = (uint32_t)strtoul(buffer, NULL, 10);

	eventfeed_init(&m->events, true);
	netsysctl_defaults(&m->sysctl);
	if (strcmp(buffer, "with") != 0)
		drop_privilege();
	if (bytes != 0 && events_start(bytes / 2, &m->events.events) < 0) /* which it doubles */
		bench_die("events");
	eventfeed_tend(&m->events, m->census, clock_mono_ms());
	if (!eventfeed_active(&m->events))
		bench_die("events");
}

static void set_up(struct meter *m, const char *buffer)
{
	static const struct census_config config = { .keep_ms = 3600000 };

	m->chooser = chooser_new(SOURCE_netlink, "/proc");
	m->census = census_new(&config);
	if (m->chooser == NULL || m->census == NULL)
		bench_die("setup");
	start_events(m, buffer);
	sample(m);
	m->sample_ns = 0;
}

static void print(const struct meter *m, uint64_t made, uint64_t seconds, uint64_t cpu_ns)
{
	struct events_stats stats = eventfeed_stats(&m->events);
	uint64_t closed = counted(m, LEDGER_CLOSED), opened = counted(m, LEDGER_OPENED);
	uint64_t established = bench_raw_drain_of(bench_diag_open(), 1u << TCP_ESTABLISHED);
	int64_t missing = (int64_t)(2 * made + HELD) - (int64_t)closed;
	int64_t open = (int64_t)(opened + 2 * HELD) - (int64_t)closed;
	double cpu_us = stats.received ? (double)cpu_ns / 1e3 / (double)stats.received : 0;

	printf("| %llu | %llu | %u | %llu | %llu | %lld | %llu in %llu | %llu, %llu, %lld | %llu | "
	       "%.2f |\n",
	       (unsigned long long)(made / seconds), (unsigned long long)made,
	       m->events.events != NULL ? events_stats(m->events.events).rcvbuf_bytes / 1024 : 0,
	       (unsigned long long)stats.received, (unsigned long long)closed, (long long)missing,
	       (unsigned long long)stats.lost, (unsigned long long)stats.overruns,
	       (unsigned long long)established, (unsigned long long)shown_established(m),
	       (long long)open, (unsigned long long)m->falls, cpu_us);
	bench_figure("rate", (double)made / (double)seconds);
	bench_figure("missing", (double)missing);
	bench_figure("lost", (double)stats.lost);
	bench_figure("disagreement", (double)(established != shown_established(m)) +
					     (double)(open != (int64_t)established) +
					     (double)(m->falls != 0));
	bench_figure("cpu_us", cpu_us);
}

int main(int argc, char *argv[])
{
	static struct meter m;
	struct child holder, jailer, generators[GENERATORS];
	uint64_t rate = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
	uint64_t seconds = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
	uint64_t stopped_ms = argc > 4 ? strtoull(argv[4], NULL, 10) : 0;
	uint64_t made = 0, cpu_ns;

	if (argc < 4 || argc > 5 || stopped_ms > 60000 || rate < GENERATORS || rate > 1000000 ||
	    seconds < 1 || seconds > 600) {
		(void)fprintf(stderr,
			      "usage: bench_events RATE SECONDS with|without|BYTES [STOPPED_MS]\n");
		return 2;
	}
	/* However we were started: the kernel tells of ends from a queue of work, which would fall behind. */
	(void)setpriority(PRIO_PROCESS, 0, 0);
	if (unshare(CLONE_NEWNET) < 0)
		bench_die("unshare");
	bench_loopback_up();
	start_holder(&holder, seconds);
	set_up(&m, argv[3]);
	cpu_ns = process_cpu_ns();
	say(holder.fd, seconds);
	start_generators(generators, rate, seconds);
	start_jailer(&jailer, seconds, stopped_ms);
	follow(&m, clock_mono_ms() + seconds * 1000);
	cpu_ns = process_cpu_ns() - cpu_ns - m.sample_ns;
	for (int i = 0; i < GENERATORS; i++)
		made += hear(generators[i].fd);
	(void)hear(holder.fd);
	for (int i = 0; i < SETTLE; i++)
		sample(&m);
	print(&m, made, seconds, cpu_ns);
	eventfeed_done(&m.events);
	census_free(m.census);
	chooser_free(m.chooser);
	return 0;
}
