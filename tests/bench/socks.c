/*
 * socks: holds a population of TCP sockets in a network namespace of its own, for benchmarks.
 *
 *   socks SOCKETS [PORTS]
 *
 * Pairs over loopback, both ends counted. A quarter of the ports is on IPv6, and every second connection of those comes as
 * IPv4 to a dual-stack listener. 30 % have keepalive, half have exchanged data, 5 % are half-closed, 2 % are in TIME_WAIT,
 * which lasts a minute: so many are made anew each second. Of each 120 one has a deaf peer: data unanswered, FIN_WAIT1,
 * LAST_ACK, CLOSING; of each 1000 one is a handshake that hangs.
 *
 * Prints "pid PID sockets N" when all stand and holds them until standard input ends. Needs root. Worker processes hold the
 * descriptors, as many as RLIMIT_NOFILE asks for; they end with this one.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BASE_PORT    20000
#define PORTS_MAX    1024
#define SERVER_ADDRS 4

#define PAIRS_PER_TIME_WAIT 50
#define TIME_WAIT_TENTHS    600 /* how long it lasts (TCP_TIMEWAIT_LEN), in tenths of a second */

struct plan {
	long pairs;
	int ports;
	int listeners[PORTS_MAX];
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		die(path);
	close(fd);
}

static void bring_up_loopback(void)
{
	struct ifreq ifr = { .ifr_name = "lo" };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &ifr) < 0)
		die("lo");
	ifr.ifr_flags |= IFF_UP;
	if (ioctl(fd, SIOCSIFFLAGS, &ifr) < 0)
		die("lo up");
	close(fd);
	write_file("/proc/sys/net/ipv4/ip_local_port_range", "32768 65535");
	write_file("/proc/sys/net/core/somaxconn", "4096");
	/* What hangs shall do so for the whole benchmark. */
	write_file("/proc/sys/net/ipv4/tcp_retries2", "100");
	write_file("/proc/sys/net/ipv4/tcp_syn_retries", "100");
	write_file("/proc/sys/net/ipv4/tcp_synack_retries", "100");
}

static bool port_is_v6(int i)
{
	return i % 4 == 3;
}

static socklen_t address(struct sockaddr_storage *ss, bool v6, uint32_t host, int port)
{
	*ss = (struct sockaddr_storage){ 0 };
	if (v6) {
		struct sockaddr_in6 *a = (struct sockaddr_in6 *)ss;

		a->sin6_family = AF_INET6;
		a->sin6_addr = in6addr_loopback;
		a->sin6_port = htons((uint16_t)port);
		return sizeof(*a);
	}
	struct sockaddr_in *a = (struct sockaddr_in *)ss;

	a->sin_family = AF_INET;
	a->sin_addr.s_addr = htonl(host);
	a->sin_port = htons((uint16_t)port);
	return sizeof(*a);
}

static int listen_on(int i)
{
	struct sockaddr_storage ss = { 0 };
	int fd = socket(port_is_v6(i) ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = address(&ss, false, INADDR_ANY, BASE_PORT + i);

	if (port_is_v6(i)) {
		struct sockaddr_in6 any = { .sin6_family = AF_INET6,
					    .sin6_port = htons((uint16_t)(BASE_PORT + i)) };

		memcpy(&ss, &any, sizeof(any));
		len = sizeof(any);
	}
	if (fd < 0 || bind(fd, (struct sockaddr *)&ss, len) < 0 || listen(fd, 4096) < 0)
		die("listen");
	return fd;
}

/* From now on nothing that is sent to this socket arrives. */
static void deafen(int fd)
{
	struct sock_filter drop = { .code = BPF_RET | BPF_K, .k = 0 };
	struct sock_fprog program = { .len = 1, .filter = &drop };

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0)
		die("SO_ATTACH_FILTER");
}

/* A client of 127.1.x.y: addresses enough that ports do not run out. */
static int client_of(long n, bool v6)
{
	struct sockaddr_storage from;
	int one = 1, fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len;

	if (fd < 0)
		die("socket");
	if (!v6) {
		len = address(&from, false, 0x7f010001u + (uint32_t)(n % 64), 0);
		(void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
		if (bind(fd, (struct sockaddr *)&from, len) < 0)
			die("bind");
	}
	if (n % 10 < 3)
		(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	return fd;
}

static int connect_to(long n, int i, bool v6)
{
	struct sockaddr_storage to;
	socklen_t len = address(&to, v6, 0x7f000001u + (uint32_t)(n % SERVER_ADDRS), BASE_PORT + i);
	int fd = client_of(n, v6);

	if (connect(fd, (struct sockaddr *)&to, len) < 0)
		die("connect");
	return fd;
}

/* SYN_SENT here, SYN_RECV there: the client never hears the answer. */
static void hang_handshake(long n, int i)
{
	struct sockaddr_storage to;
	socklen_t len = address(&to, false, 0x7f000001u, BASE_PORT + i);
	int fd = client_of(n, false);

	deafen(fd);
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0 || connect(fd, (struct sockaddr *)&to, len) == 0 ||
	    errno != EINPROGRESS)
		die("connect that shall hang");
}

/* What a connection looks like while the other end is deaf. */
static void trouble(long n, int client, int server)
{
	switch (n / 120 % 4) {
	case 0: /* data unanswered */
		deafen(server);
		if (write(client, "lost", 4) != 4)
			die("write");
		break;
	case 1: /* FIN_WAIT1 */
		deafen(server);
		(void)shutdown(client, SHUT_WR);
		break;
	case 2: /* LAST_ACK */
		(void)shutdown(client, SHUT_WR);
		deafen(client);
		(void)shutdown(server, SHUT_WR);
		break;
	default: /* CLOSING: its own FIN was not heard, the other's was */
		deafen(server);
		(void)shutdown(client, SHUT_WR);
		(void)shutdown(server, SHUT_WR);
		break;
	}
}

static void make_pair(const struct plan *plan, long n)
{
	int i = (int)(n % plan->ports);
	/* One address pair on ::1 has but 28,000 ports towards each port. */
	bool v6 = port_is_v6(i) && n / plan->ports % 2 == 0 && n / plan->ports < 20000;
	int client = connect_to(n, i, v6);
	int server = accept4(plan->listeners[i], NULL, NULL, SOCK_CLOEXEC);
	char byte[8];

	if (server < 0)
		die("accept");
	if (n % 2 == 0 && (write(client, "ping", 4) != 4 || read(server, byte, 4) != 4))
		die("data");
	if (n % 120 == 7)
		trouble(n, client, server);
	if (n % 1000 == 13)
		hang_handshake(n, i);
	if (n % 20 == 19)
		(void)shutdown(server, SHUT_WR);
	if (n % PAIRS_PER_TIME_WAIT == PAIRS_PER_TIME_WAIT - 1) {
		close(client);
		close(server);
	}
}

/* As many as end in TIME_WAIT, evenly. */
static void renew_time_wait(const struct plan *plan)
{
	const struct timespec step = { .tv_nsec = 100000000 };
	long due = 0, n = PAIRS_PER_TIME_WAIT - 1;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		for (due += plan->pairs; due >= PAIRS_PER_TIME_WAIT * TIME_WAIT_TENTHS;
		     due -= PAIRS_PER_TIME_WAIT * TIME_WAIT_TENTHS) {
			make_pair(plan, n);
			n += PAIRS_PER_TIME_WAIT;
		}
		(void)nanosleep(&step, NULL);
	}
}

static void work(const struct plan *plan, long first, long pairs, int ready)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (long n = first; n < first + pairs; n++)
		make_pair(plan, n);
	if (write(ready, "x", 1) != 1)
		die("ready");
	for (;;)
		pause();
}

/* How many pairs one process may hold. */
static long pairs_per_worker(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		die("RLIMIT_NOFILE");
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		die("RLIMIT_NOFILE");
	return limit.rlim_max > 400000 ? 200000
				       : ((long)limit.rlim_max - PORTS_MAX - 64) / 2 * 999 / 1000;
}

/* One worker after the other: they share the listeners, and each accepts what it connected. */
static int hire(const struct plan *plan, long first, long pairs, const int *ready)
{
	const struct timespec step = { .tv_nsec = 20000000 };
	pid_t pid = fork();
	char byte;

	if (pid < 0)
		die("fork");
	if (pid == 0)
		work(plan, first, pairs, ready[1]);
	while (read(ready[0], &byte, 1) != 1) {
		if (waitpid(pid, NULL, WNOHANG) == pid)
			return -1;
		(void)nanosleep(&step, NULL);
	}
	return 0;
}

int main(int argc, char *argv[])
{
	long per_worker = pairs_per_worker();
	struct plan plan = { .pairs = argc > 1 ? strtol(argv[1], NULL, 10) / 2 : 0,
			     .ports = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 64 };
	int ready[2];
	pid_t pid;
	char byte;

	if (plan.pairs < 1 || plan.pairs > 1000000 || plan.ports < 4 || plan.ports > PORTS_MAX) {
		(void)fprintf(stderr, "usage: socks SOCKETS [PORTS]\n");
		return 2;
	}
	if (unshare(CLONE_NEWNET) < 0)
		die("unshare");
	bring_up_loopback();
	for (int i = 0; i < plan.ports; i++)
		plan.listeners[i] = listen_on(i);
	if (pipe2(ready, O_CLOEXEC | O_NONBLOCK) < 0)
		die("pipe");
	for (long first = 0; first < plan.pairs; first += per_worker) {
		long left = plan.pairs - first;

		if (hire(&plan, first, left < per_worker ? left : per_worker, ready) < 0)
			return 1;
	}
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0)
		renew_time_wait(&plan);
	printf("pid %d sockets %ld\n", getpid(), plan.pairs * 2 + plan.ports);
	(void)fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return 0;
}
