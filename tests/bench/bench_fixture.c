/*
 * bench_fixture: what a population consists of.
 *
 *   bench_fixture PID
 *
 * Dumps the sockets in the namespace of PID once and counts them by state, by family, by the timer that runs, by port and by
 * address. Prints a Markdown list.
 */
#include "bench.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>

#define STATES        13
#define TIMER_RETRANS 1
#define TIMER_KEEP    2

struct tally {
	uint64_t state[STATES];
	uint64_t v6, mapped, retransmitting, keepalive, queued;
	bool port[65536];
	bool address[65536]; /* the last two bytes of those of IPv4 */
};

static const char *const names[STATES] = {
	[TCP_ESTABLISHED] = "ESTABLISHED", [TCP_SYN_SENT] = "SYN_SENT",
	[TCP_SYN_RECV] = "SYN_RECV",       [TCP_FIN_WAIT1] = "FIN_WAIT1",
	[TCP_FIN_WAIT2] = "FIN_WAIT2",     [TCP_TIME_WAIT] = "TIME_WAIT",
	[TCP_CLOSE_WAIT] = "CLOSE_WAIT",   [TCP_LAST_ACK] = "LAST_ACK",
	[TCP_LISTEN] = "LISTEN",           [TCP_CLOSING] = "CLOSING",
};

static void count(struct tally *t, const struct inet_diag_msg *m)
{
	static const uint32_t mapped[3] = { 0, 0, 0xffff0000 };
	bool v4 = m->idiag_family == AF_INET;

	if (m->idiag_state < STATES)
		t->state[m->idiag_state]++;
	t->v6 += !v4;
	t->mapped += !v4 && memcmp(m->id.idiag_src, mapped, sizeof(mapped)) == 0;
	t->retransmitting += m->idiag_timer == TIMER_RETRANS && m->idiag_retrans > 0;
	t->keepalive += m->idiag_timer == TIMER_KEEP;
	t->queued += m->idiag_state == TCP_ESTABLISHED && (m->idiag_rqueue || m->idiag_wqueue);
	if (m->idiag_state == TCP_LISTEN)
		t->port[ntohs(m->id.idiag_sport)] = true;
	else if (v4)
		t->address[ntohl(m->id.idiag_src[0]) & 0xffff] = true;
}

static uint64_t number_of(const bool *set)
{
	uint64_t n = 0;

	for (size_t i = 0; i < 65536; i++)
		n += set[i];
	return n;
}

static int take(struct tally *t, const char *buf, size_t len)
{
	for (size_t at = 0; at < len;) {
		const struct nlmsghdr *h = (const void *)(buf + at);

		at += NLMSG_ALIGN(h->nlmsg_len);
		if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR)
			return 1;
		count(t, NLMSG_DATA(h));
	}
	return 0;
}

static void print(const struct tally *t)
{
	unsigned int present = 0;

	for (int i = 1; i < STATES; i++) {
		if (names[i] != NULL)
			printf("%s %llu, ", names[i], (unsigned long long)t->state[i]);
		present += names[i] != NULL && t->state[i] > 0;
	}
	printf("on %llu ports and %llu IPv4 addresses; IPv6 %llu, of these mapped IPv4 %llu; "
	       "retransmitting %llu, "
	       "keepalive timer running %llu, data queued %llu\n",
	       (unsigned long long)number_of(t->port), (unsigned long long)number_of(t->address),
	       (unsigned long long)t->v6, (unsigned long long)t->mapped,
	       (unsigned long long)t->retransmitting, (unsigned long long)t->keepalive,
	       (unsigned long long)t->queued);
	bench_figure("states", present);
}

int main(int argc, char *argv[])
{
	static char buf[32768] __attribute__((aligned(64)));
	static struct tally tally;
	ssize_t len;
	int fd;

	if (argc != 2) {
		(void)fprintf(stderr, "usage: bench_fixture PID\n");
		return 2;
	}
	bench_enter(argv[1]);
	fd = bench_diag_open();
	bench_request_dump(fd, BENCH_ALL_STATES);
	do {
		len = recv(fd, buf, sizeof(buf), 0);
		if (len <= 0)
			bench_die("recv");
	} while (!take(&tally, buf, (size_t)len));
	print(&tally);
	return 0;
}
