/*
 * bench: what the benchmarks share: namespaces, clocks, spreads, and the raw drain that everything is measured against.
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <net/if.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define BENCH_ROUNDS_MAX 256

static inline void bench_die(const char *what)
{
	perror(what);
	exit(1);
}

/* The network namespace of process `pid`; of our own making if that is 0. */
static inline void bench_enter(const char *pid)
{
	char path[64];
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%s/ns/net", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
		bench_die(path);
	close(fd);
}

static inline void bench_loopback_up(void)
{
	struct ifreq ifr = { .ifr_name = "lo" };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &ifr) < 0)
		bench_die("lo");
	ifr.ifr_flags |= IFF_UP;
	if (ioctl(fd, SIOCSIFFLAGS, &ifr) < 0)
		bench_die("lo up");
	close(fd);
}

static inline int bench_diag_open(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

	if (fd < 0)
		bench_die("NETLINK_SOCK_DIAG");
	return fd;
}

/* One datagram's records counted; true at the end of the dump. */
static inline int bench_walk_headers(const char *buf, size_t len, uint64_t *sockets)
{
	for (size_t at = 0; at < len;) {
		const struct nlmsghdr *h = (const void *)(buf + at);

		at += NLMSG_ALIGN(h->nlmsg_len);
		if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR)
			return 1;
		++*sockets;
	}
	return 0;
}

#define BENCH_ALL_STATES 0xfffu
#define BENCH_STATES     (BENCH_ALL_STATES & ~(1u << 1)) /* all but ESTABLISHED */

static inline void bench_request_dump(int fd, uint32_t states)
{
	struct {
		struct nlmsghdr header;
		struct inet_diag_req request;
	} message = {
		{ sizeof(message), TCPDIAG_GETSOCK, NLM_F_REQUEST | NLM_F_DUMP, 1, 0 },
		{ .idiag_family = AF_INET,
		  .idiag_ext = 1 << (INET_DIAG_INFO - 1),
		  .idiag_states = states },
	};

	if (send(fd, &message, sizeof(message), 0) < 0)
		bench_die("send");
}

/* One dump of the TCP sockets in these states, with tcp_info, whose headers are walked and thrown away. Returns how many. */
static inline uint64_t bench_raw_drain_of(int fd, uint32_t states)
{
	static char buf[32768] __attribute__((aligned(64)));
	uint64_t sockets = 0;

	bench_request_dump(fd, states);
	for (;;) {
		ssize_t len = recv(fd, buf, sizeof(buf), 0);

		if (len <= 0)
			bench_die("recv");
		if (bench_walk_headers(buf, (size_t)len, &sockets))
			return sockets;
	}
}

/* The yardstick: all of them. */
static inline uint64_t bench_raw_drain(int fd)
{
	return bench_raw_drain_of(fd, BENCH_ALL_STATES);
}

struct bench_spread {
	double min, median, max;
};

static inline int bench_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The middle and the quartiles: a shared machine's extremes say nothing. Sorts `v`. */
static inline struct bench_spread bench_spread_of(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), bench_compare);
	return (struct bench_spread){ v[n / 4], v[n / 2], v[n - 1 - n / 4] };
}

/*
 * A figure of this run for those who judge it, beside the table for people: a line `NAME VALUE` at the end of the file
 * BENCH_FIGURES, NAME behind what BENCH_PREFIX says. Nothing where there is no such file.
 */
static inline void bench_figure(const char *name, double value)
{
	const char *path = getenv("BENCH_FIGURES"), *prefix = getenv("BENCH_PREFIX");
	FILE *f = path != NULL ? fopen(path, "ae") : NULL;

	if (path == NULL)
		return;
	if (f == NULL)
		bench_die(path);
	(void)fprintf(f, "%s%s %.6g\n", prefix != NULL ? prefix : "", name, value);
	(void)fclose(f);
}

static inline double bench_status_of_mb(const char *path, const char *field)
{
	unsigned long long kib = 0;
	char line[256];
	size_t len = strlen(field);
	FILE *f = fopen(path, "re");

	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		if (strncmp(line, field, len) == 0 && sscanf(line + len, " %llu", &kib) == 1)
			break;
	}
	if (f != NULL)
		(void)fclose(f);
	return (double)kib / 1024;
}

static inline double bench_status_mb(const char *field)
{
	return bench_status_of_mb("/proc/self/status", field);
}

static inline size_t bench_rounds(const char *text, size_t otherwise)
{
	size_t rounds = text != NULL ? strtoul(text, NULL, 10) : otherwise;

	if (rounds < 1 || rounds > BENCH_ROUNDS_MAX) {
		(void)fprintf(stderr, "rounds: 1 to %d\n", BENCH_ROUNDS_MAX);
		exit(2);
	}
	return rounds;
}
