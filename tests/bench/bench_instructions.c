/*
 * bench_instructions: full samples of sockets that are made up, for callgrind to count the instructions of.
 *
 *   bench_instructions POPULATION SAMPLES
 *
 * Gives a census SAMPLES full samples, 15 s apart by a clock of its own, of some 5,000 sockets in the datagrams that Linux 6.18
 * would send. Makes the dumps of SAMPLES_MAX samples, however many it takes: two runs differ in samples alone. Without the
 * kernel, and the same in each run. Prints how many sockets a sample has.
 *
 *   quiet   one listener and the connections that it accepted, none of which has sent anything for a while
 *   mixed   both ends of connections over loopback in the states of tests/bench/socks.c; every second of those in ESTABLISHED
 *           exchanges data between two samples
 */
#include "sample.h"

#include <arpa/inet.h>
#include <linux/tcp.h>
#include <stdbool.h>

#define SOCKETS     5000u
#define SAMPLES_MAX 16u
#define INTERVAL_MS 15000u
#define BEGIN_MS    86400000u

#define LOOPBACK 0x7f000001u
#define PORTS    64u

/* TIME_WAIT and SYN_RECV: no full socket. */
struct mini {
	struct nlmsghdr header;
	struct inet_diag_msg msg;
	struct nlattr mark_attr;
	uint32_t mark;
};

struct full {
	struct nlmsghdr header;
	struct inet_diag_msg msg;
	struct nlattr shutdown_attr;
	uint8_t shutdown[4];
	struct nlattr mark_attr;
	uint32_t mark;
	struct nlattr cgroup_attr;
	uint32_t cgroup[2];
	struct nlattr sockopt_attr;
	uint8_t sockopt[4];
	struct nlattr info_attr;
	union {
		struct tcp_info field;
		uint8_t whole[280];
	} info;
};
_Static_assert(sizeof(struct mini) == 96 && sizeof(struct full) == 408, "as the kernel sends them");

/* One end of a connection. */
struct end {
	uint8_t family;
	uint8_t state;
	bool opener, keepalive, retransmits;
	uint16_t local_port, remote_port;
	uint32_t local[4], remote[4];
	uint32_t cookie;
	uint32_t quiet_ms; /* since when nothing came or went */
	uint32_t sent;     /* bytes and segments either way */
};

/* The dump of one sample on its way into datagrams. */
struct writer {
	struct bench_dump *dump;
	unsigned int sample;
	size_t used; /* of the datagram that is being filled */
};

static void flush(struct writer *w)
{
	if (w->used > 0)
		(void)bench_dump_add(w->dump, w->used);
	w->used = 0;
}

static void send_record(struct writer *w, const void *record, size_t len)
{
	if (w->used + len > BENCH_DATAGRAM)
		flush(w);
	memcpy(bench_dump_room(w->dump) + w->used, record, len);
	w->used += len;
}

static struct nlmsghdr header_of(size_t len)
{
	return (struct nlmsghdr){ (uint32_t)len, TCPDIAG_GETSOCK, NLM_F_MULTI, 1, 0 };
}

static struct nlattr attr(uint16_t type, size_t size)
{
	return (struct nlattr){ (uint16_t)(sizeof(struct nlattr) + size), type };
}

static struct inet_diag_msg msg_of(const struct end *end)
{
	struct inet_diag_msg msg = { .idiag_family = end->family, .idiag_state = end->state };

	msg.id.idiag_sport = htons(end->local_port);
	msg.id.idiag_dport = htons(end->remote_port);
	memcpy(msg.id.idiag_src, end->local, sizeof(msg.id.idiag_src));
	memcpy(msg.id.idiag_dst, end->remote, sizeof(msg.id.idiag_dst));
	msg.id.idiag_cookie[0] = end->cookie;
	return msg;
}

static void send_mini(struct writer *w, const struct end *end)
{
	struct mini r = { header_of(sizeof(r)), msg_of(end), attr(INET_DIAG_MARK, sizeof(r.mark)),
			  0 };

	r.msg.idiag_timer =
		end->state == TCP_STATE_TIME_WAIT ? TCP_TIMER_TIME_WAIT : TCP_TIMER_RETRANSMIT;
	r.msg.idiag_expires = 20000;
	send_record(w, &r, sizeof(r));
}

static void fill_info(struct tcp_info *info, const struct end *end)
{
	bool fin_acked = end->state == TCP_STATE_FIN_WAIT2;

	info->tcpi_state = end->state;
	info->tcpi_rto = 204000;
	info->tcpi_snd_mss = 1448;
	info->tcpi_last_data_sent = info->tcpi_last_data_recv = info->tcpi_last_ack_recv =
		end->quiet_ms;
	/* The opener's SYN was acknowledged as well. */
	info->tcpi_bytes_acked = (uint64_t)end->sent + end->opener + fin_acked;
	info->tcpi_bytes_received = info->tcpi_bytes_sent = end->sent;
	info->tcpi_segs_out = info->tcpi_segs_in = 2 + end->sent / 100;
	info->tcpi_data_segs_out = info->tcpi_data_segs_in = info->tcpi_delivered = end->sent / 100;
	info->tcpi_min_rtt = 40;
	info->tcpi_snd_wnd = 65536;
}

static void send_full(struct writer *w, const struct end *end)
{
	struct full r = { .header = header_of(sizeof(r)),
			  .msg = msg_of(end),
			  .shutdown_attr = attr(INET_DIAG_SHUTDOWN, 1),
			  .mark_attr = attr(INET_DIAG_MARK, sizeof(r.mark)),
			  .cgroup_attr = attr(INET_DIAG_CGROUP_ID, sizeof(r.cgroup)),
			  .cgroup = { 4711 },
			  .sockopt_attr = attr(INET_DIAG_SOCKOPT, 2),
			  .info_attr = attr(INET_DIAG_INFO, sizeof(r.info)) };

	r.msg.idiag_inode = 100000 + end->cookie;
	r.msg.idiag_uid = 1000;
	if (end->keepalive) {
		r.msg.idiag_timer = TCP_TIMER_KEEPALIVE;
		r.msg.idiag_expires = 7200000 - end->quiet_ms;
	}
	fill_info(&r.info.field, end);
	if (end->retransmits) {
		r.msg.idiag_timer = TCP_TIMER_RETRANSMIT;
		r.msg.idiag_expires = 60000;
		r.msg.idiag_retrans = r.info.field.tcpi_retransmits = r.info.field.tcpi_backoff = 8;
		r.info.field.tcpi_unacked = 1;
		r.info.field.tcpi_total_retrans = 8;
		r.msg.idiag_wqueue = 1;
	}
	send_record(w, &r, sizeof(r));
}

static void send_listener(struct writer *w, bool v6, uint16_t port, uint32_t cookie)
{
	send_full(w, &(struct end){ .family = v6 ? AF_INET6 : AF_INET,
				    .state = TCP_STATE_LISTEN,
				    .local_port = port,
				    .cookie = cookie });
}

static void quiet(struct writer *w)
{
	send_listener(w, false, 443, 1);
	for (uint32_t n = 0; n < SOCKETS; n++)
		send_full(w, &(struct end){ .family = AF_INET,
					    .state = TCP_STATE_ESTABLISHED,
					    .local_port = 443,
					    .remote_port = (uint16_t)(32768 + n),
					    .local = { htonl(0x0a000001) },
					    .remote = { htonl(0x0a000100 + n % 200) },
					    .cookie = 2 + n,
					    .keepalive = n % 10 < 3,
					    .sent = 1000,
					    .quiet_ms = 1000 + w->sample * INTERVAL_MS });
}

/* An address of loopback as a socket of the family shows it: IPv4 to a dual-stack one is mapped. */
static void put_address(uint32_t to[4], bool v6, bool mapped, uint32_t v4)
{
	memset(to, 0, 4 * sizeof(to[0]));
	if (v6) {
		to[3] = htonl(1);
	} else if (mapped) {
		to[2] = htonl(0xffff);
		to[3] = htonl(v4);
	} else {
		to[0] = htonl(v4);
	}
}

/* The states of a connection: most by far are quiet or busy, and of each 120 one has a deaf peer. */
static void put_states(uint32_t n, struct end *client, struct end *server)
{
	static const uint8_t deaf[4][2] = { { TCP_STATE_ESTABLISHED, TCP_STATE_ESTABLISHED },
					    { TCP_STATE_FIN_WAIT1, TCP_STATE_ESTABLISHED },
					    { TCP_STATE_FIN_WAIT2, TCP_STATE_LAST_ACK },
					    { TCP_STATE_CLOSING, TCP_STATE_FIN_WAIT1 } };

	client->state = server->state = TCP_STATE_ESTABLISHED;
	if (n % 20 == 19) {
		client->state = TCP_STATE_CLOSE_WAIT;
		server->state = TCP_STATE_FIN_WAIT2;
	}
	if (n % 120 == 7) {
		client->state = deaf[n / 120 % 4][0];
		server->state = deaf[n / 120 % 4][1];
		client->retransmits = client->state != TCP_STATE_FIN_WAIT2;
		server->retransmits = server->state != TCP_STATE_ESTABLISHED;
		client->keepalive = false;
	}
}

static void send_pair(struct writer *w, uint32_t n)
{
	uint32_t i = n % PORTS, ip = LOOPBACK + n % 4, from = 0x7f010001u + n % 64;
	bool dual = i % 4 == 3, v6 = dual && n / PORTS % 2 == 0;
	bool busy = n % 2 == 0;
	struct end client = { .family = v6 ? AF_INET6 : AF_INET,
			      .opener = true,
			      .keepalive = n % 10 < 3,
			      .local_port = (uint16_t)(32768 + n),
			      .remote_port = (uint16_t)(20000 + i),
			      .cookie = 100 + 2 * n,
			      .quiet_ms = busy ? 100 : 600000 + w->sample * INTERVAL_MS,
			      .sent = busy ? 1000 * (w->sample + 1) : 0 };
	struct end server = client;

	put_address(client.local, v6, false, from);
	put_address(client.remote, v6, false, ip);
	put_address(server.local, v6, dual, ip);
	put_address(server.remote, v6, dual, from);
	server.family = dual ? AF_INET6 : AF_INET;
	server.local_port = client.remote_port;
	server.remote_port = client.local_port;
	server.opener = server.keepalive = false;
	server.cookie++;
	put_states(n, &client, &server);
	if (n % 50 == 49) {
		/* It lasts a minute; by then the next has its place. */
		server.state = TCP_STATE_TIME_WAIT;
		server.cookie += 1000000 * (1 + (w->sample + n / 50) * INTERVAL_MS / 60000);
		send_mini(w, &server);
		return;
	}
	if (n % 1000 == 13) {
		client.state = TCP_STATE_SYN_SENT;
		server.state = TCP_STATE_SYN_RECV;
		client.retransmits = true;
		client.keepalive = false;
		send_full(w, &client);
		send_mini(w, &server);
		return;
	}
	send_full(w, &client);
	send_full(w, &server);
}

static void mixed(struct writer *w)
{
	for (uint32_t i = 0; i < PORTS; i++)
		send_listener(w, i % 4 == 3, (uint16_t)(20000 + i), 1 + i);
	for (uint32_t n = 0; n < SOCKETS / 2; n++)
		send_pair(w, n);
}

static void make_dump(struct bench_dump *dump, bool is_quiet, unsigned int sample)
{
	struct writer w = { .dump = dump, .sample = sample };

	dump->len = dump->count = 0;
	dump->sockets = 0;
	if (is_quiet)
		quiet(&w);
	else
		mixed(&w);
	flush(&w);
}

int main(int argc, char *argv[])
{
	unsigned long samples = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
	bool is_quiet = argc == 3 && strcmp(argv[1], "quiet") == 0;
	struct census *census = bench_census();
	struct bench_dump dump = { 0 };

	if (samples < 1 || samples > SAMPLES_MAX || (!is_quiet && strcmp(argv[1], "mixed") != 0)) {
		(void)fprintf(stderr, "usage: bench_instructions quiet|mixed SAMPLES, at most %u\n",
			      SAMPLES_MAX);
		return 2;
	}
	for (unsigned int k = 0; k < SAMPLES_MAX; k++) {
		make_dump(&dump, is_quiet, k);
		if (k < samples)
			bench_sample(&dump, census, BEGIN_MS + k * (uint64_t)INTERVAL_MS);
	}
	printf("%llu\n", (unsigned long long)dump.sockets);
	census_free(census);
	free(dump.bytes);
	free(dump.datagrams);
	return 0;
}
