/*
 * bench_sample: what a full sample costs beside a raw drain of the same sockets.
 *
 *   bench_sample PID [ROUNDS]
 *
 * Enters the network namespace of PID (a socks fixture) and takes turns: one inet_diag dump with tcp_info whose headers are
 * walked and thrown away, then a sample of the real program's modules (both dumps, roles, ages, reasons, counters). CPU
 * time of this thread, kernel included. Prints median and spread of each and of the ratio, as a row of a Markdown table.
 */
#include "tcphealth/app/feed.h"
#include "tcphealth/base/clock.h"
#include "tcphealth/model/survey.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROUNDS_MAX 200

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t raw_drain(int fd)
{
	static char buf[32768] __attribute__((aligned(64)));
	struct {
		struct nlmsghdr header;
		struct inet_diag_req request;
	} message = {
		{ sizeof(message), TCPDIAG_GETSOCK, NLM_F_REQUEST | NLM_F_DUMP, 1, 0 },
		{ .idiag_family = AF_INET, .idiag_ext = 1 << (INET_DIAG_INFO - 1), .idiag_states = 0xfff },
	};
	uint64_t sockets = 0;

	if (send(fd, &message, sizeof(message), 0) < 0)
		die("send");
	for (;;) {
		ssize_t len = recv(fd, buf, sizeof(buf), 0);

		if (len <= 0)
			die("recv");
		for (size_t at = 0; at < (size_t)len;) {
			const struct nlmsghdr *h = (const void *)(buf + at);

			at += NLMSG_ALIGN(h->nlmsg_len);
			if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR)
				return sockets;
			sockets++;
		}
	}
}

static void sample(struct feed *feed, struct census *census)
{
	struct census_sample s = { .now_ms = clock_mono_ms(), .events = true };
	struct feed_result result;

	netsysctl_defaults(&s.sysctl);
	if (feed_sample(feed, census, &s, &result) < 0 || result.source != HEALTH_SOURCE_NETLINK) {
		(void)fprintf(stderr, "sample failed\n");
		exit(1);
	}
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

struct spread {
	double min, median, max;
};

static struct spread spread_of(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), compare);
	return (struct spread){ v[0], v[n / 2], v[n - 1] };
}

static uint64_t resident_kib(void)
{
	unsigned long long kib = 0;
	char line[256];
	FILE *f = fopen("/proc/self/status", "re");

	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		if (sscanf(line, "VmRSS: %llu", &kib) == 1)
			break;
	}
	if (f != NULL)
		(void)fclose(f);
	return kib;
}

int main(int argc, char *argv[])
{
	static double raw[ROUNDS_MAX], full[ROUNDS_MAX], ratio[ROUNDS_MAX];
	struct census_config config = { .keep_ms = 3600000 };
	size_t rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 21;
	char path[64];
	uint64_t sockets = 0;
	int fd;

	if (argc < 2 || rounds < 1 || rounds > ROUNDS_MAX) {
		(void)fprintf(stderr, "usage: bench_sample PID [ROUNDS]\n");
		return 2;
	}
	(void)snprintf(path, sizeof(path), "/proc/%s/ns/net", argv[1]);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
		die(path);
	for (int i = 0; i < STALE_REASONS; i++)
		config.thresholds.ms[i] = 60000;
	config.thresholds.keepalive_probes = 2;
	struct feed *feed = feed_new(OPTIONS_SOURCE_NETLINK, "/proc");
	struct census *census = census_new(&config);

	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	if (feed == NULL || census == NULL || fd < 0)
		die("setup");
	for (size_t i = 0; i < rounds + 2; i++) { /* two rounds to warm up */
		uint64_t t0 = clock_thread_cpu_ns(), t1, t2;

		sockets = raw_drain(fd);
		t1 = clock_thread_cpu_ns();
		sample(feed, census);
		t2 = clock_thread_cpu_ns();
		if (i < 2)
			continue;
		raw[i - 2] = (double)(t1 - t0) / 1e6;
		full[i - 2] = (double)(t2 - t1) / 1e6;
		ratio[i - 2] = (double)(t2 - t1) / (double)(t1 - t0);
	}
	struct spread r = spread_of(raw, rounds), f = spread_of(full, rounds), q = spread_of(ratio, rounds);

	printf("| %llu | %.2f (%.2f–%.2f) | %.2f (%.2f–%.2f) | %.3f (%.3f–%.3f) | %.1f |\n",
	       (unsigned long long)sockets, r.median, r.min, r.max, f.median, f.min, f.max, q.median, q.min,
	       q.max, (double)resident_kib() / 1024);
	census_free(census);
	feed_free(feed);
	return 0;
}
