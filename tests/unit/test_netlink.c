/*
 * The dump: recorded datagrams (tests/helpers/record_netlink.c), made ones, and the kernel itself
 * with sockets in a network namespace of the test's own.
 */
#include "../../src/source/netlink-internal.h"
#include "helpers/loopback.h"
#include "tcphealth/base/address.h"
#include "tcphealth/base/clock.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FIXTURES "tests/fixtures/netlink/"
#define SEQ      1
#define SOCKS    4096

#define INFO_ALL                                                                                   \
	(TCPSOCK_INFO | TCPSOCK_BYTES | TCPSOCK_SEGS | TCPSOCK_NOTSENT | TCPSOCK_MIN_RTT |         \
	 TCPSOCK_DATA_SEGS | TCPSOCK_DELIVERED | TCPSOCK_SENT | TCPSOCK_SND_WND |                  \
	 TCPSOCK_RTO_TIME | TCPSOCK_RWND_LIMITED | TCPSOCK_PROBES)
#define PLAIN (TCPSOCK_COOKIE | TCPSOCK_CGROUP)
#define FULL  (PLAIN | TCPSOCK_DROPS | INFO_ALL)
#define TALKS (FULL | TCPSOCK_TIMESTAMPS)
#define MINI  (TCPSOCK_COOKIE | TCPSOCK_MINI)

/* Records as they came; `err` is what take() answers with when `stop_at` have come. */
struct taken {
	struct tcpsock socks[SOCKS];
	size_t count;
	size_t stop_at;
	int err;
	uint64_t read_ms; /* of the last */
};

static struct taken taken;

static int take(void *arg, const struct tcpsock *socks, size_t count, uint64_t read_ms)
{
	struct taken *to = arg;

	assert_true(to->count + count <= SOCKS);
	assert_true(read_ms >= to->read_ms);
	to->read_ms = read_ms;
	for (size_t i = 0; i < count; i++) {
		to->socks[to->count++] = socks[i];
		if (to->stop_at && to->count >= to->stop_at)
			return to->err;
	}
	return 0;
}

static struct taken *take_anew(void)
{
	memset(&taken, 0, sizeof(taken));
	return &taken;
}

static const struct tcpsock *find(const struct taken *in, unsigned int local_port,
				  unsigned int remote_port)
{
	for (size_t i = 0; i < in->count; i++) {
		if (in->socks[i].local_port == local_port &&
		    in->socks[i].remote_port == remote_port)
			return &in->socks[i];
	}
	return NULL;
}

/* One datagram of the answer to the request SEQ. */
static int walk(const void *data, size_t len, struct taken *to, struct source_skipped *skipped)
{
	struct netlink_walk answer = { .seq = SEQ, .skipped = skipped, .take_fn = take, .arg = to };

	return netlink_walk_datagram(&answer, data, len);
}

/* --- recorded datagrams --- */

static size_t read_fixture(const char *name, unsigned int number, uint8_t *ret_data, size_t size)
{
	char path[256];
	FILE *file;
	size_t len;

	snprintf(path, sizeof(path), FIXTURES "%s.%u.bin", name, number);
	file = fopen(path, "rb");
	assert_non_null(file);
	len = fread(ret_data, 1, size, file);
	fclose(file);
	assert_true(len > 0 && len < size);
	return len;
}

/* All datagrams of a recorded dump; the end must come with the last of `datagrams`. */
static void replay(const char *name, unsigned int datagrams, struct taken *to)
{
	static uint8_t data[32768] __attribute__((aligned(8)));
	struct source_skipped skipped = { 0 };

	for (unsigned int i = 0; i < datagrams; i++) {
		size_t len = read_fixture(name, i, data, sizeof(data));

		assert_int_equal(walk(data, len, to, &skipped), i == datagrams - 1);
	}
	assert_int_equal(skipped.forged + skipped.malformed, 0);
}

struct expected {
	const char *local;
	uint16_t local_port;
	const char *remote;
	uint16_t remote_port;
	uint8_t state;
	uint32_t known;
	uint32_t rqueue, wqueue;
	bool held; /* has an inode */
	uint64_t acked, received, sent;
	uint32_t segs_out, segs_in, min_rtt_us, delivered, snd_wnd, unacked;
};

static const struct expected recorded[] = {
	{ "127.0.0.1", 5001, "0.0.0.0", 0, TCP_STATE_LISTEN, FULL | TCPSOCK_BACKLOG, 0, 7, true, 0,
	  0, 0, 0, 0, 0, 0, 0, 0 },
	{ "::1", 5002, "::", 0, TCP_STATE_LISTEN, FULL | TCPSOCK_BACKLOG, 0, 8, true, 0, 0, 0, 0, 0,
	  0, 0, 0, 0 },
	{ "::", 5003, "::", 0, TCP_STATE_LISTEN, FULL | TCPSOCK_BACKLOG, 1, 9, true, 0, 0, 0, 0, 0,
	  0, 0, 0, 1 },
	{ "127.0.0.1", 5005, "0.0.0.0", 0, TCP_STATE_LISTEN, FULL | TCPSOCK_BACKLOG, 0, 10, true, 0,
	  0, 0, 0, 0, 0, 0, 0, 0 },
	{ "127.0.0.1", 6001, "127.0.0.1", 5001, TCP_STATE_ESTABLISHED, TALKS, 7, 0, true, 6, 7, 5,
	  4, 3, 4, 2, 65536, 0 },
	{ "127.0.0.1", 5001, "127.0.0.1", 6001, TCP_STATE_ESTABLISHED, TALKS, 0, 0, true, 7, 5, 7,
	  2, 4, 2, 2, 65536, 0 },
	{ "::1", 6002, "::1", 5002, TCP_STATE_ESTABLISHED, TALKS, 0, 0, true, 1, 0, 0, 2, 1, 12, 1,
	  65464, 0 },
	{ "::1", 5002, "::1", 6002, TCP_STATE_ESTABLISHED, TALKS, 0, 0, true, 0, 0, 0, 0, 2, 51, 1,
	  65536, 0 },
	{ "127.0.0.1", 6003, "127.0.0.1", 5003, TCP_STATE_ESTABLISHED, TALKS, 0, 0, true, 1, 0, 0,
	  2, 1, 4, 1, 65483, 0 },
	{ "127.0.0.1", 5003, "127.0.0.1", 6003, TCP_STATE_ESTABLISHED, TALKS, 0, 0, false, 0, 0, 0,
	  0, 2, 4, 1, 65536, 0 },
	{ "127.0.0.1", 6004, "127.0.0.1", 5001, TCP_STATE_TIME_WAIT, MINI, 0, 0, false, 0, 0, 0, 0,
	  0, 0, 0, 0, 0 },
	{ "127.0.0.1", 5005, "127.0.0.1", 6005, TCP_STATE_SYN_RECV, MINI, 0, 0, false, 0, 0, 0, 0,
	  0, 0, 0, 0, 0 },
	{ "127.0.0.1", 6005, "127.0.0.1", 5005, TCP_STATE_ESTABLISHED, TALKS, 0, 0, true, 1, 0, 0,
	  2, 1, 2, 1, 65483, 0 },
};
#define RECORDED (sizeof(recorded) / sizeof(recorded[0]))

static void check_addresses(const struct tcpsock *sock, const struct expected *want)
{
	char text[ADDRESS_LEN];

	assert_string_equal(address_text(&sock->local, text), want->local);
	assert_string_equal(address_text(&sock->remote, text), want->remote);
	assert_int_equal(sock->state, want->state);
	assert_int_equal(sock->info_state, want->state);
	assert_int_equal(sock->rqueue, want->rqueue);
	assert_int_equal(sock->wqueue, want->wqueue);
	assert_int_equal(sock->inode != 0, want->held);
	assert_true(sock->id >= 85 && sock->id <= 97);
}

static void check_info(const struct tcpsock *sock, const struct expected *want)
{
	assert_int_equal(sock->known, want->known);
	assert_int_equal(sock->bytes_acked, want->acked);
	assert_int_equal(sock->bytes_received, want->received);
	assert_int_equal(sock->bytes_sent, want->sent);
	assert_int_equal(sock->segs_out, want->segs_out);
	assert_int_equal(sock->segs_in, want->segs_in);
	assert_int_equal(sock->min_rtt_us, want->min_rtt_us);
	assert_int_equal(sock->delivered, want->delivered);
	assert_int_equal(sock->snd_wnd, want->snd_wnd);
	assert_int_equal(sock->unacked, want->unacked);
	assert_int_equal(sock->cgroup_id, want->known & TCPSOCK_CGROUP ? 1 : 0);
	assert_int_equal(sock->drops, want->local_port == 5005 && want->remote_port == 0);
}

static void parses_recorded_dumps(void **state)
{
	struct taken *to = take_anew();

	(void)state;
	replay("legacy", 3, to);
	assert_int_equal(to->count, RECORDED);
	for (size_t i = 0; i < RECORDED; i++) {
		const struct expected *want = &recorded[i];
		const struct tcpsock *sock = find(to, want->local_port, want->remote_port);

		assert_non_null(sock);
		check_addresses(sock, want);
		check_info(sock, want);
	}
	assert_int_equal(find(to, 5002, 0)->v6only, 1);
	assert_int_equal(find(to, 5003, 0)->v6only, 0);
	assert_int_equal(find(to, 6004, 5001)->timer, TCP_TIMER_TIME_WAIT);
	assert_int_equal(find(to, 6004, 5001)->expires_ms, 60000);
	assert_int_equal(find(to, 5005, 6005)->timer, TCP_TIMER_RETRANSMIT);
	assert_int_equal(find(to, 5005, 6005)->expires_ms, 1000);
	assert_int_equal(find(to, 6001, 5001)->rto_us, 204000);
	assert_int_equal(find(to, 6001, 5001)->snd_mss, 32768);
}

static void parses_recorded_dump_without_extensions(void **state)
{
	struct taken *to = take_anew();

	(void)state;
	replay("plain", 2, to);
	assert_int_equal(to->count, RECORDED);
	for (size_t i = 0; i < RECORDED; i++) {
		const struct expected *want = &recorded[i];
		const struct tcpsock *sock = find(to, want->local_port, want->remote_port);

		assert_non_null(sock);
		check_addresses(sock, want);
		assert_int_equal(sock->known,
				 want->known & (PLAIN | TCPSOCK_MINI | TCPSOCK_BACKLOG));
	}
}

static void recorded_v2_dumps_are_the_legacy_one(void **state)
{
	struct taken *to = take_anew();
	struct taken *legacy;

	(void)state;
	replay("legacy", 3, to);
	legacy = malloc(sizeof(*legacy));
	assert_non_null(legacy);
	*legacy = *to;
	to = take_anew();
	replay("inet", 2, to);
	assert_int_equal(to->count, 8);
	replay("inet6", 2, to);
	assert_int_equal(to->count, legacy->count);
	for (size_t i = 0; i < to->count; i++) {
		const struct tcpsock *sock = &to->socks[i];
		const struct tcpsock *other = find(legacy, sock->local_port, sock->remote_port);

		assert_non_null(other);
		assert_int_equal(sock->id, other->id);
		assert_int_equal(sock->known, other->known);
		assert_int_equal(sock->bytes_acked, other->bytes_acked);
		assert_memory_equal(&sock->local, &other->local, sizeof(sock->local));
	}
	free(legacy);
}

/* --- made messages --- */

struct made {
	uint8_t bytes[4096] __attribute__((aligned(8)));
	size_t len;
};

static struct inet_diag_msg base_record(uint8_t state)
{
	struct inet_diag_msg msg = { .idiag_family = AF_INET, .idiag_state = state };

	msg.id.idiag_sport = htons(80);
	msg.id.idiag_dport = htons(40000);
	msg.id.idiag_src[0] = inet_addr("192.0.2.1");
	msg.id.idiag_dst[0] = inet_addr("192.0.2.2");
	msg.id.idiag_cookie[0] = 7;
	msg.id.idiag_cookie[1] = 1;
	return msg;
}

static void put_bytes(struct made *made, const void *bytes, size_t len)
{
	assert_true(made->len + len <= sizeof(made->bytes));
	memcpy(made->bytes + made->len, bytes, len);
	made->len = (made->len + len + 3) & ~(size_t)3;
}

static void put_attr(struct made *made, uint16_t type, const void *value, size_t len)
{
	struct nlattr attr = { .nla_len = (uint16_t)(sizeof(attr) + len), .nla_type = type };

	put_bytes(made, &attr, sizeof(attr));
	put_bytes(made, value, len);
}

/*
 * tcp_info in which byte i is i, so that each field's value
 * tells its place; the state and options as given.
 */
static void fill_info(uint8_t info[512], uint8_t state, uint8_t options)
{
	for (unsigned int i = 0; i < 512; i++)
		info[i] = (uint8_t)i;
	info[0] = state;
	info[5] = options;
}

static struct made made_record(const struct inet_diag_msg *msg)
{
	struct made made = { .len = 0 };

	put_bytes(&made, msg, sizeof(*msg));
	return made;
}

static uint64_t info_u64(unsigned int offset)
{
	uint8_t bytes[8];
	uint64_t value;

	for (unsigned int i = 0; i < 8; i++)
		bytes[i] = (uint8_t)(offset + i);
	memcpy(&value, bytes, sizeof(value));
	return value;
}

static uint32_t info_u32(unsigned int offset)
{
	uint64_t wide = info_u64(offset);
	uint32_t value;

	memcpy(&value, &wide, sizeof(value));
	return value;
}

/* Where each field lies in tcp_info, and the bit that says it was there. */
static void check_info_fields(const struct tcpsock *sock)
{
	const struct {
		uint32_t bit;
		uint64_t value, want;
	} rows[] = {
		{ TCPSOCK_INFO, sock->retransmits, 2 },
		{ TCPSOCK_PROBES, sock->probes, 3 },
		{ TCPSOCK_INFO, sock->backoff, 4 },
		{ TCPSOCK_INFO, sock->rto_us, info_u32(8) },
		{ TCPSOCK_INFO, sock->snd_mss, info_u32(16) },
		{ TCPSOCK_INFO, sock->unacked, info_u32(24) },
		{ TCPSOCK_INFO, sock->last_data_sent_ms, info_u32(44) },
		{ TCPSOCK_INFO, sock->last_data_recv_ms, info_u32(52) },
		{ TCPSOCK_INFO, sock->last_ack_recv_ms, info_u32(56) },
		{ TCPSOCK_INFO, sock->rtt_us, info_u32(68) },
		{ TCPSOCK_INFO, sock->total_retrans, info_u32(100) },
		{ TCPSOCK_BYTES, sock->bytes_acked, info_u64(120) },
		{ TCPSOCK_BYTES, sock->bytes_received, info_u64(128) },
		{ TCPSOCK_SEGS, sock->segs_out, info_u32(136) },
		{ TCPSOCK_SEGS, sock->segs_in, info_u32(140) },
		{ TCPSOCK_NOTSENT, sock->notsent_bytes, info_u32(144) },
		{ TCPSOCK_MIN_RTT, sock->min_rtt_us, info_u32(148) },
		{ TCPSOCK_DATA_SEGS, sock->data_segs_in, info_u32(152) },
		{ TCPSOCK_DATA_SEGS, sock->data_segs_out, info_u32(156) },
		{ TCPSOCK_RWND_LIMITED, sock->rwnd_limited_us, info_u64(176) },
		{ TCPSOCK_DELIVERED, sock->delivered, info_u32(192) },
		{ TCPSOCK_SENT, sock->bytes_sent, info_u64(200) },
		{ TCPSOCK_SENT, sock->bytes_retrans, info_u64(208) },
		{ TCPSOCK_SND_WND, sock->snd_wnd, info_u32(228) },
		{ TCPSOCK_RTO_TIME, sock->total_rto_recoveries, info_u64(242) & 0xffff },
		{ TCPSOCK_RTO_TIME, sock->total_rto_time_ms, info_u32(244) },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(rows[i].value, sock->known & rows[i].bit ? rows[i].want : 0);
}

static void knows_what_tcp_info_is_long_enough_for(void **state)
{
	static const struct {
		size_t len;
		uint32_t bit; /* what this length adds */
	} steps[] = {
		{ 104, TCPSOCK_INFO | TCPSOCK_PROBES },
		{ 136, TCPSOCK_BYTES },
		{ 144, TCPSOCK_SEGS },
		{ 148, TCPSOCK_NOTSENT },
		{ 152, TCPSOCK_MIN_RTT },
		{ 160, TCPSOCK_DATA_SEGS },
		{ 184, TCPSOCK_RWND_LIMITED },
		{ 196, TCPSOCK_DELIVERED },
		{ 216, TCPSOCK_SENT },
		{ 232, TCPSOCK_SND_WND },
		{ 248, TCPSOCK_RTO_TIME },
	};
	const struct inet_diag_msg msg = base_record(TCP_STATE_ESTABLISHED);
	uint8_t info[512];

	(void)state;
	fill_info(info, TCP_STATE_CLOSE_WAIT, 0);
	for (size_t len = 0; len <= 300; len++) {
		struct made made = made_record(&msg);
		uint32_t known = TCPSOCK_COOKIE;
		struct tcpsock sock;

		for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
			if (len >= steps[i].len)
				known |= steps[i].bit;
		}
		put_attr(&made, INET_DIAG_INFO, info, len);
		assert_true(netlink_parse(made.bytes, made.len, &sock));
		assert_int_equal(sock.known, known);
		assert_int_equal(sock.info_state,
				 len >= 104 ? TCP_STATE_CLOSE_WAIT : TCP_STATE_ESTABLISHED);
		check_info_fields(&sock);
	}
}

static void tells_minis_and_fast_open_apart(void **state)
{
	enum { NOTHING, SHUTDOWN, INFO, OPTIONS };
	static const struct {
		uint8_t state, timer, attribute, options;
		uint32_t known;
	} rows[] = {
		{ TCP_STATE_TIME_WAIT, 3, NOTHING, 0, TCPSOCK_MINI },
		{ TCP_STATE_SYN_RECV, 1, NOTHING, 0, TCPSOCK_MINI },
		{ TCP_STATE_SYN_RECV, 1, SHUTDOWN, 0, 0 },
		{ TCP_STATE_SYN_RECV, 1, INFO, 0x80, INFO_ALL | TCPSOCK_FASTOPEN },
		{ TCP_STATE_SYN_RECV, 1, INFO, 0x7e, INFO_ALL },
		{ TCP_STATE_SYN_RECV, 1, INFO, 0x7f, INFO_ALL | TCPSOCK_TIMESTAMPS },
		{ TCP_STATE_ESTABLISHED, 0, INFO, 0x80, INFO_ALL },
		{ TCP_STATE_FIN_WAIT2, 3, NOTHING, 0, TCPSOCK_MINI },
		{ TCP_STATE_FIN_WAIT2, 0, NOTHING, 0, 0 },
		{ TCP_STATE_FIN_WAIT2, 2, SHUTDOWN, 0, 0 },
		{ TCP_STATE_ESTABLISHED, 0, NOTHING, 0, 0 },
		{ TCP_STATE_CLOSE_WAIT, 1, SHUTDOWN, 0, 0 },
		{ TCP_STATE_LISTEN, 0, NOTHING, 0, TCPSOCK_BACKLOG },
		{ TCP_STATE_ESTABLISHED, 0, OPTIONS, 0x01, TCPSOCK_BIND_NO_PORT },
		{ TCP_STATE_ESTABLISHED, 0, OPTIONS, 0x20, TCPSOCK_TRANSPARENT },
		{ TCP_STATE_ESTABLISHED, 0, OPTIONS, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct inet_diag_msg msg = base_record(rows[i].state);
		struct made made;
		struct tcpsock sock;
		uint8_t info[512], both = 3;

		msg.idiag_timer = rows[i].timer;
		made = made_record(&msg);
		fill_info(info, rows[i].state, rows[i].options);
		if (rows[i].attribute == SHUTDOWN)
			put_attr(&made, INET_DIAG_SHUTDOWN, &both, sizeof(both));
		if (rows[i].attribute == INFO)
			put_attr(&made, INET_DIAG_INFO, info, 280);
		if (rows[i].attribute == OPTIONS) {
			const uint8_t options[2] = { rows[i].options & 0xf0,
						     rows[i].options & 0x0f };

			put_attr(&made, INET_DIAG_SOCKOPT, options, sizeof(options));
		}
		assert_true(netlink_parse(made.bytes, made.len, &sock));
		assert_int_equal(sock.known, rows[i].known | TCPSOCK_COOKIE);
		assert_int_equal(sock.shutdown, rows[i].attribute == SHUTDOWN ? both : 0);
	}
}

static void reads_the_fixed_part(void **state)
{
	struct inet_diag_msg msg = base_record(TCP_STATE_LAST_ACK);
	struct tcpsock sock;
	char text[ADDRESS_LEN];

	(void)state;
	msg.idiag_timer = 9;
	msg.idiag_retrans = 5;
	msg.idiag_expires = UINT32_C(0x80000000);
	msg.idiag_rqueue = 11;
	msg.idiag_wqueue = UINT32_MAX;
	msg.idiag_uid = 1000;
	msg.idiag_inode = 4242;
	/* Only the first word belongs to an IPv4 address. */
	msg.id.idiag_src[1] = msg.id.idiag_dst[3] = UINT32_MAX;
	assert_true(netlink_parse(&msg, sizeof(msg), &sock));
	assert_int_equal(sock.id, UINT64_C(0x100000007));
	assert_string_equal(address_text(&sock.local, text), "192.0.2.1");
	assert_string_equal(address_text(&sock.remote, text), "192.0.2.2");
	assert_int_equal(sock.local_port, 80);
	assert_int_equal(sock.remote_port, 40000);
	assert_int_equal(sock.state, TCP_STATE_LAST_ACK);
	assert_int_equal(sock.info_state, TCP_STATE_LAST_ACK);
	assert_int_equal(sock.timer, 9);
	assert_int_equal(sock.timer_retransmits, 5);
	assert_int_equal(sock.expires_ms, UINT32_C(0x80000000));
	assert_int_equal(sock.rqueue, 11);
	assert_int_equal(sock.wqueue, UINT32_MAX);
	assert_int_equal(sock.uid, 1000);
	assert_int_equal(sock.inode, 4242);
	assert_int_equal(sock.known, TCPSOCK_COOKIE);
	msg.idiag_expires = UINT32_C(0x80000001);
	assert_true(netlink_parse(&msg, sizeof(msg), &sock));
	assert_int_equal(sock.expires_ms, 0);
}

static void reads_attributes_with_care(void **state)
{
	const struct inet_diag_msg msg = base_record(TCP_STATE_LISTEN);
	uint32_t memory[9] = { [8] = 77 };
	uint64_t cgroup = UINT64_C(0x1122334455667788);
	uint8_t info[512], one = 1;
	struct made made = made_record(&msg);
	struct tcpsock sock;
	size_t before;

	(void)state;
	put_attr(&made, INET_DIAG_SKMEMINFO, memory, 32);
	put_attr(&made, INET_DIAG_CGROUP_ID, &cgroup, 7);
	put_attr(&made, INET_DIAG_SKV6ONLY, &one, 0);
	assert_true(netlink_parse(made.bytes, made.len, &sock));
	assert_int_equal(sock.known, TCPSOCK_COOKIE | TCPSOCK_BACKLOG);
	assert_int_equal(sock.v6only, 0);
	/* Flags in an attribute's type are not its name. */
	put_attr(&made, INET_DIAG_SKMEMINFO | NLA_F_NESTED, memory, 36);
	put_attr(&made, INET_DIAG_CGROUP_ID | NLA_F_NET_BYTEORDER, &cgroup, 8);
	put_attr(&made, INET_DIAG_SKV6ONLY, &one, 1);
	put_attr(&made, 999, &cgroup, 8);
	assert_true(netlink_parse(made.bytes, made.len, &sock));
	assert_int_equal(sock.known,
			 TCPSOCK_COOKIE | TCPSOCK_BACKLOG | TCPSOCK_DROPS | TCPSOCK_CGROUP);
	assert_int_equal(sock.drops, 77);
	assert_int_equal(sock.cgroup_id, cgroup);
	assert_int_equal(sock.v6only, 1);
	/* A state that is none does not replace the one known. */
	fill_info(info, TCP_STATE_COUNT, 0);
	before = made.len;
	put_attr(&made, INET_DIAG_INFO, info, 280);
	assert_true(netlink_parse(made.bytes, made.len, &sock));
	assert_int_equal(sock.info_state, TCP_STATE_LISTEN);
	/* An attribute that claims more than the message holds, or less than its header, ends the list. */
	((struct nlattr *)(void *)(made.bytes + before))->nla_len = 400;
	assert_true(netlink_parse(made.bytes, made.len, &sock));
	assert_false(tcpsock_knows(&sock, TCPSOCK_INFO));
	((struct nlattr *)(void *)(made.bytes + before))->nla_len = 0;
	assert_true(netlink_parse(made.bytes, made.len, &sock));
	assert_false(tcpsock_knows(&sock, TCPSOCK_INFO));
	assert_true(tcpsock_knows(&sock, TCPSOCK_DROPS | TCPSOCK_CGROUP));
}

static void refuses_what_is_no_tcp_socket(void **state)
{
	static const struct {
		uint8_t family, state;
		uint32_t cookie;
		bool good;
	} rows[] = {
		{ AF_INET, TCP_STATE_ESTABLISHED, 1, true },
		{ AF_INET6, TCP_STATE_CLOSING, 1, true },
		{ AF_UNSPEC, TCP_STATE_ESTABLISHED, 1, false },
		{ AF_UNIX, TCP_STATE_ESTABLISHED, 1, false },
		{ AF_INET, TCP_STATE_NONE, 1, false },
		{ AF_INET, TCP_STATE_COUNT, 1, false },
		{ AF_INET, 255, 1, false },
		{ AF_INET, TCP_STATE_ESTABLISHED, 0, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct inet_diag_msg msg = base_record(rows[i].state);
		struct tcpsock sock;

		msg.idiag_family = rows[i].family;
		msg.id.idiag_cookie[0] = rows[i].cookie;
		msg.id.idiag_cookie[1] = 0;
		assert_int_equal(netlink_parse(&msg, sizeof(msg), &sock), rows[i].good);
	}
}

/* Every prefix of each recorded datagram, in a block of exactly its size, as datagram and as record. */
static void survives_every_truncation(void **state)
{
	static uint8_t data[32768];
	static const char *const names[] = { "legacy", "plain", "inet6" };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		size_t whole = read_fixture(names[i], 0, data, sizeof(data));

		for (size_t len = 0; len < whole; len++) {
			struct taken *to = &taken;
			struct source_skipped skipped = { 0 };
			/* Of this size, so that a sanitizer sees what is read behind it. */
			uint8_t *copy = malloc(len ? len : 1);
			struct tcpsock sock;
			size_t at = 0;
			int end;

			assert_non_null(copy);
			memcpy(copy, data, len);
			to->count = 0;
			end = walk(copy, len, to, &skipped);
			while (at < len && len - at >= 16 &&
			       data[at] + data[at + 1] * 256u <= len - at)
				at += data[at] + data[at + 1] * 256u;
			/* Whole messages or nothing. */
			assert_int_equal(end, at == len ? 0 : -EBADMSG);
			assert_int_equal(skipped.malformed, 0);
			if (len >= 16)
				assert_int_equal(netlink_parse(copy + 16, len - 16, &sock),
						 len - 16 >= sizeof(struct inet_diag_msg));
			free(copy);
		}
	}
}

/* --- made datagrams --- */

static void put_message(struct made *made, uint16_t type, uint32_t seq, const void *payload,
			size_t len)
{
	struct nlmsghdr msg = {
		.nlmsg_len = (uint32_t)(sizeof(msg) + len),
		.nlmsg_type = type,
		.nlmsg_flags = NLM_F_MULTI,
		.nlmsg_seq = seq,
	};

	put_bytes(made, &msg, sizeof(msg));
	put_bytes(made, payload, len);
}

static void put_record(struct made *made, uint16_t type, uint32_t seq)
{
	const struct inet_diag_msg msg = base_record(TCP_STATE_ESTABLISHED);

	put_message(made, type, seq, &msg, sizeof(msg));
}

static void ends_as_the_kernel_says(void **state)
{
	enum { INT_PAYLOAD, ERROR_PAYLOAD, NO_PAYLOAD, SHORT_PAYLOAD };
	static const struct {
		uint16_t type;
		uint8_t payload;
		int value;
		int want;
	} rows[] = {
		{ NLMSG_DONE, INT_PAYLOAD, 0, 1 },
		{ NLMSG_DONE, INT_PAYLOAD, 5, 1 },
		{ NLMSG_DONE, NO_PAYLOAD, 0, 1 },
		{ NLMSG_DONE, SHORT_PAYLOAD, -1, 1 },
		{ NLMSG_DONE, INT_PAYLOAD, -ENOENT, -ENOENT },
		{ NLMSG_DONE, INT_PAYLOAD, -4095, -4095 },
		{ NLMSG_DONE, INT_PAYLOAD, INT32_MIN, -EBADMSG },
		{ NLMSG_ERROR, ERROR_PAYLOAD, -EINVAL, -EINVAL },
		{ NLMSG_ERROR, ERROR_PAYLOAD, -EBUSY, -EBUSY },
		{ NLMSG_ERROR, ERROR_PAYLOAD, 0, 0 },
		{ NLMSG_ERROR, ERROR_PAYLOAD, 1, -EBADMSG },
		{ NLMSG_ERROR, ERROR_PAYLOAD, -4096, -EBADMSG },
		{ NLMSG_ERROR, INT_PAYLOAD, -EINVAL, -EBADMSG },
		{ NLMSG_ERROR, NO_PAYLOAD, 0, -EBADMSG },
		{ NLMSG_NOOP, NO_PAYLOAD, 0, 0 },
		{ NLMSG_OVERRUN, NO_PAYLOAD, 0, -ENOBUFS },
	};
	static const size_t sizes[] = { sizeof(int), sizeof(struct nlmsgerr), 0, 2 };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct nlmsgerr payload = { .error = rows[i].value };
		struct source_skipped skipped = { 0 };
		struct taken *to = take_anew();
		struct made made = { .len = 0 };

		put_record(&made, TCPDIAG_GETSOCK, SEQ);
		put_message(&made, rows[i].type, SEQ, &payload, sizes[rows[i].payload]);
		put_record(&made, TCPDIAG_GETSOCK, SEQ);
		assert_int_equal(walk(made.bytes, made.len, to, &skipped), rows[i].want);
		/* Nothing counts behind an end. */
		assert_int_equal(to->count, rows[i].want == 0 ? 2 : 1);
		assert_int_equal(skipped.malformed, 0);
	}
}

static void skips_what_is_not_the_answer(void **state)
{
	const struct inet_diag_msg short_of_one = base_record(TCP_STATE_ESTABLISHED);
	struct source_skipped skipped = { 0 };
	struct taken *to = take_anew();
	struct made made = { .len = 0 };
	int error = -ENOENT;

	(void)state;
	put_record(&made, TCPDIAG_GETSOCK, SEQ + 1);
	put_message(&made, NLMSG_DONE, SEQ - 1, &error, sizeof(error));
	put_record(&made, SOCK_DIAG_BY_FAMILY, SEQ);
	put_message(&made, TCPDIAG_GETSOCK, SEQ, &short_of_one, sizeof(short_of_one) - 1);
	put_record(&made, 19, SEQ);
	put_record(&made, TCPDIAG_GETSOCK, SEQ);
	assert_int_equal(walk(made.bytes, made.len, to, &skipped), 0);
	assert_int_equal(to->count, 2);
	assert_int_equal(skipped.malformed, 2);
}

static void refuses_bad_framing(void **state)
{
	static const uint32_t lengths[] = { 0, 15, 89, 4096, 0x7fffffff, 0x80000000, 0xffffffff };

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct source_skipped skipped = { 0 };
		struct taken *to = take_anew();
		struct made made = { .len = 0 };

		put_record(&made, TCPDIAG_GETSOCK, SEQ);
		put_record(&made, TCPDIAG_GETSOCK, SEQ);
		memcpy(made.bytes + made.len / 2, &lengths[i], sizeof(lengths[i]));
		assert_int_equal(walk(made.bytes, made.len, to, &skipped), -EBADMSG);
		assert_int_equal(to->count, 1);
	}
}

static void reports_an_interrupted_dump(void **state)
{
	struct source_skipped skipped = { 0 };
	struct taken *to = take_anew();
	struct made made = { .len = 0 };

	(void)state;
	put_record(&made, TCPDIAG_GETSOCK, SEQ);
	((struct nlmsghdr *)(void *)made.bytes)->nlmsg_flags |= NLM_F_DUMP_INTR;
	assert_int_equal(walk(made.bytes, made.len, to, &skipped), -EINTR);
}

static void stops_when_the_caller_says_so(void **state)
{
	struct source_skipped skipped = { 0 };
	struct taken *to = take_anew();
	struct made made = { .len = 0 };

	(void)state;
	for (unsigned int i = 0; i < 3; i++)
		put_record(&made, TCPDIAG_GETSOCK, SEQ);
	to->stop_at = 2;
	to->err = -ECANCELED;
	assert_int_equal(walk(made.bytes, made.len, to, &skipped), -ECANCELED);
	assert_int_equal(to->count, 2);
}

static void falls_back_only_where_refused(void **state)
{
	(void)state;
	assert_true(netlink_is_refusal(-EINVAL, 0));
	assert_true(netlink_is_refusal(-EOPNOTSUPP, 0));
	assert_true(netlink_is_refusal(-ENOENT, 0));
	assert_false(netlink_is_refusal(-EINVAL, 1));
	assert_false(netlink_is_refusal(-EPERM, 0));
	assert_false(netlink_is_refusal(-ENOBUFS, 0));
	assert_false(netlink_is_refusal(0, 0));
}

/* --- the kernel --- */

static const struct source_query everything = {
	.states = TCP_STATES_ALL,
	.want = SOURCE_INFO | SOURCE_DROPS,
};

/* A connection between two addresses of "lo". */
struct pair {
	int listener, client, server;
};

static struct pair make_pair(const char *listen_on, const char *from, const char *to, uint16_t port)
{
	struct pair pair = { .listener = loopback_listen(listen_on, port, 5) };

	assert_true(pair.listener >= 0);
	pair.client = loopback_connect(from, (uint16_t)(port + 1000), to, port);
	assert_true(pair.client >= 0);
	pair.server = accept(pair.listener, NULL, NULL);
	assert_true(pair.server >= 0);
	return pair;
}

static void close_pair(struct pair *pair)
{
	loopback_close_hard(pair->client);
	close(pair->server);
	close(pair->listener);
}

static struct netlink *open_diag(void)
{
	static const struct source_place here = { .procfs = "/proc" };
	void *source = NULL;

	if (geteuid() != 0)
		skip();
	assert_int_equal(source_netlink.open(&here, &source), 0);
	return source;
}

static void check_pair(const struct taken *in, const char *address, uint16_t port)
{
	const struct tcpsock *listener = find(in, port, 0);
	const struct tcpsock *client = find(in, port + 1000u, port);
	const struct tcpsock *server = find(in, port, port + 1000u);
	char text[ADDRESS_LEN];

	assert_true(listener && client && server);
	assert_int_equal(listener->state, TCP_STATE_LISTEN);
	assert_int_equal(listener->wqueue, 5);
	assert_true(tcpsock_knows(listener, TCPSOCK_BACKLOG | TCPSOCK_DROPS));
	assert_int_equal(client->state, TCP_STATE_ESTABLISHED);
	assert_int_equal(server->state, TCP_STATE_ESTABLISHED);
	assert_string_equal(address_text(&client->local, text), address);
	assert_string_equal(address_text(&server->local, text), address);
	assert_string_equal(address_text(&server->remote, text), address);
	assert_true(client->inode && server->inode && client->inode != server->inode);
	assert_true(tcpsock_knows(client, TCPSOCK_INFO | TCPSOCK_BYTES | TCPSOCK_SEGS));
	assert_false(tcpsock_knows(client, TCPSOCK_MINI));
}

static void dumps_both_families(void **state)
{
	struct netlink *diag = open_diag();
	struct pair v4 = make_pair("127.0.0.1", "127.0.0.1", "127.0.0.1", 7001);
	struct pair v6 = make_pair("::1", "::1", "::1", 7002);
	struct pair mapped = make_pair("::", "127.0.0.1", "127.0.0.1", 7003);
	unsigned int habits[] = { 0, NETLINK_NO_LEGACY };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct taken *to = take_anew();

		diag->habits = habits[i];
		assert_int_equal(source_netlink.dump(diag, &everything, take, to), 0);
		assert_int_equal(to->count, 9);
		check_pair(to, "127.0.0.1", 7001);
		check_pair(to, "::1", 7002);
		check_pair(to, "127.0.0.1", 7003);
		assert_int_equal(diag->habits, habits[i]);
	}
	assert_int_equal(diag->skipped.malformed, 0);
	assert_int_equal(diag->skipped.forged, 0);
	close_pair(&v4);
	close_pair(&v6);
	close_pair(&mapped);
	source_netlink.close(diag);
}

/* What time alone changes. */
static struct tcpsock timeless(const struct tcpsock *sock)
{
	struct tcpsock copy = *sock;

	copy.expires_ms = 0;
	copy.last_data_sent_ms = copy.last_data_recv_ms = copy.last_ack_recv_ms = 0;
	return copy;
}

static void v2_and_legacy_agree(void **state)
{
	struct netlink *diag = open_diag();
	struct pair v4 = make_pair("127.0.0.1", "127.0.0.1", "127.0.0.1", 7011);
	struct pair v6 = make_pair("::", "::1", "::1", 7012);
	struct taken *legacy = malloc(sizeof(*legacy)), *to = take_anew();

	(void)state;
	assert_non_null(legacy);
	assert_int_equal(send(v4.client, "hello", 5, 0), 5);
	assert_int_equal(shutdown(v6.client, SHUT_WR), 0);
	poll(NULL, 0, 100); /* beyond the delayed acknowledgement */
	assert_int_equal(source_netlink.dump(diag, &everything, take, to), 0);
	*legacy = *to;
	to = take_anew();
	diag->habits = NETLINK_NO_LEGACY;
	assert_int_equal(source_netlink.dump(diag, &everything, take, to), 0);
	assert_int_equal(to->count, 6);
	assert_int_equal(to->count, legacy->count);
	for (size_t i = 0; i < to->count; i++) {
		const struct tcpsock *sock = &to->socks[i];
		struct tcpsock one = timeless(sock), two;

		assert_non_null(find(legacy, sock->local_port, sock->remote_port));
		two = timeless(find(legacy, sock->local_port, sock->remote_port));
		assert_memory_equal(&one, &two, sizeof(one));
	}
	assert_int_equal(find(to, 7011, 8011)->rqueue, 5);
	assert_int_equal(find(to, 8012, 7012)->state, TCP_STATE_FIN_WAIT2);
	assert_int_equal(find(to, 7012, 8012)->state, TCP_STATE_CLOSE_WAIT);
	free(legacy);
	close_pair(&v4);
	close_pair(&v6);
	source_netlink.close(diag);
}

static void sees_time_wait_as_mini(void **state)
{
	struct netlink *diag = open_diag();
	struct pair pair = make_pair("127.0.0.1", "127.0.0.1", "127.0.0.1", 7021);
	struct source_query query = { .states = TCP_STATE_BIT(TCP_STATE_TIME_WAIT),
				      .want = SOURCE_INFO };
	struct taken *to = take_anew();
	const struct tcpsock *sock;
	char byte;

	(void)state;
	close(pair.client);
	assert_int_equal(recv(pair.server, &byte, 1, 0), 0);
	close(pair.server);
	for (int tries = 0; tries < 200 && to->count == 0; tries++) {
		to = take_anew();
		assert_int_equal(source_netlink.dump(diag, &query, take, to), 0);
		poll(NULL, 0, to->count ? 0 : 10);
	}
	sock = find(to, 8021, 7021);
	assert_non_null(sock);
	assert_int_equal(sock->state, TCP_STATE_TIME_WAIT);
	assert_int_equal(sock->known, MINI);
	assert_int_equal(sock->timer, TCP_TIMER_TIME_WAIT);
	assert_true(sock->expires_ms > 50000 && sock->expires_ms <= 60000);
	assert_int_equal(sock->inode, 0);
	close(pair.listener);
	source_netlink.close(diag);
}

static void filters_by_port(void **state)
{
	static const struct {
		uint16_t local, remote;
		size_t count;
	} rows[] = {
		{ 7031, 0, 2 },    { 0, 7031, 1 }, { 7032, 8032, 1 },   { 8032, 7032, 1 },
		{ 8031, 7032, 0 }, { 1, 0, 0 },    { 65535, 65535, 0 },
	};
	struct netlink *diag = open_diag();
	struct pair one = make_pair("127.0.0.1", "127.0.0.1", "127.0.0.1", 7031);
	struct pair two = make_pair("::1", "::1", "::1", 7032);

	(void)state;
	for (unsigned int habits = 0; habits <= (NETLINK_NO_LEGACY | NETLINK_NO_EQ); habits++) {
		diag->habits = habits;
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			struct source_query query = everything;
			struct taken *to = take_anew();

			query.local_port = rows[i].local;
			query.remote_port = rows[i].remote;
			assert_int_equal(source_netlink.dump(diag, &query, take, to), 0);
			assert_int_equal(to->count, rows[i].count);
			for (size_t k = 0; k < to->count; k++) {
				if (rows[i].local)
					assert_int_equal(to->socks[k].local_port, rows[i].local);
				if (rows[i].remote)
					assert_int_equal(to->socks[k].remote_port, rows[i].remote);
			}
		}
		assert_int_equal(diag->habits, habits);
	}
	close_pair(&one);
	close_pair(&two);
	source_netlink.close(diag);
}

static void finds_one_connection(void **state)
{
	struct netlink *diag = open_diag();
	struct pair v4 = make_pair("127.0.0.1", "127.0.0.1", "127.0.0.1", 7041);
	struct pair v6 = make_pair("::1", "::1", "::1", 7042);
	struct pair mapped = make_pair("::", "127.0.0.1", "127.0.0.1", 7043);
	struct in6_addr lo4 = address_v4(htonl(INADDR_LOOPBACK)), lo6 = in6addr_loopback;
	const struct {
		const struct in6_addr *addr;
		uint16_t local, remote;
		int want;
	} rows[] = {
		{ &lo4, 7041, 8041, 0 },
		{ &lo4, 8041, 7041, 0 },
		{ &lo6, 7042, 8042, 0 },
		{ &lo6, 8042, 7042, 0 },
		{ &lo4, 7043, 8043, 0 },
		{ &lo4, 8043, 7043, 0 },
		/* The kernel answers with the listener of the port, or with nothing. */
		{ &lo4, 7041, 8099, -ENOENT },
		{ &lo4, 7043, 8099, -ENOENT },
		{ &lo6, 7042, 8099, -ENOENT },
		{ &lo4, 9, 9, -ENOENT },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct tcpsock one = {
			.local = *rows[i].addr,
			.remote = *rows[i].addr,
			.local_port = rows[i].remote,
			.remote_port = rows[i].local,
		};
		struct tcpsock sock = { .id = 0 };

		assert_int_equal(source_netlink.find(diag, &one, &sock), rows[i].want);
		assert_int_equal(sock.id != 0, rows[i].want == 0);
		if (rows[i].want)
			continue;
		assert_int_equal(sock.local_port, rows[i].local);
		assert_int_equal(sock.remote_port, rows[i].remote);
		assert_true(tcpsock_knows(&sock, TCPSOCK_INFO | TCPSOCK_DROPS));
	}
	close_pair(&v4);
	close_pair(&v6);
	close_pair(&mapped);
	source_netlink.close(diag);
}

/* More than the kernel sends ahead, so that a dump given up still runs in the kernel. */
#define MANY 600

static void recovers_from_a_dump_given_up(void **state)
{
	static int fds[MANY];
	static const unsigned int habits[] = { 0, NETLINK_NO_LEGACY };
	/* -EBUSY is also what the kernel says of a socket with an unfinished dump. */
	static const int errors[] = { -ECANCELED, -EBUSY, -EINVAL, -ENOENT };
	struct netlink *diag = open_diag();
	struct in6_addr lo4 = address_v4(htonl(INADDR_LOOPBACK));
	struct pair pair = make_pair("127.0.0.1", "127.0.0.1", "127.0.0.1", 7051);
	const struct tcpsock one = {
		.local = lo4, .remote = lo4, .local_port = 8051, .remote_port = 7051
	};
	struct tcpsock sock;

	(void)state;
	for (unsigned int i = 0; i < MANY; i++) {
		fds[i] = loopback_listen("127.0.0.1", (uint16_t)(20000 + i), 1);
		assert_true(fds[i] >= 0);
	}
	for (unsigned int i = 0; i < 8; i++) {
		struct taken *to = take_anew();

		diag->habits = habits[i % 2];
		to->stop_at = 3;
		to->err = errors[i / 2];
		assert_int_equal(source_netlink.dump(diag, &everything, take, to), errors[i / 2]);
		assert_int_equal(to->count, 3);
		assert_int_equal(diag->habits, habits[i % 2]);
		if (i % 3 == 0)
			assert_int_equal(source_netlink.find(diag, &one, &sock), 0);
		to = take_anew();
		assert_int_equal(source_netlink.dump(diag, &everything, take, to), 0);
		assert_int_equal(to->count, MANY + 3);
	}
	for (unsigned int i = 0; i < MANY; i++)
		close(fds[i]);
	close_pair(&pair);
	source_netlink.close(diag);
}

static void skips_forged_messages(void **state)
{
	struct netlink *diag = open_diag();
	struct taken *to = take_anew();
	struct sockaddr_nl to_diag;
	socklen_t len = sizeof(to_diag);
	struct made made = { .len = 0 };
	int forger = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG), none = 0;

	(void)state;
	/* The first dump's sequence number is no secret. */
	put_record(&made, TCPDIAG_GETSOCK, 1);
	put_message(&made, NLMSG_DONE, 1, &none, sizeof(none));
	assert_int_equal(
		getsockname(mnl_socket_get_fd(diag->nl), (struct sockaddr *)&to_diag, &len), 0);
	assert_int_equal(sendto(forger, made.bytes, made.len, 0, (struct sockaddr *)&to_diag, len),
			 (ssize_t)made.len);
	assert_int_equal(source_netlink.dump(diag, &everything, take, to), 0);
	assert_int_equal(diag->skipped.forged, 1);
	for (size_t i = 0; i < to->count; i++)
		assert_true(to->socks[i].local_port != 80);
	close(forger);
	source_netlink.close(diag);
}

/* The socket's namespace is the one it was opened in, after an error too. */
static void stays_in_its_namespace(void **state)
{
	struct netlink *diag = open_diag();
	struct pair pair = make_pair("127.0.0.1", "127.0.0.1", "127.0.0.1", 7061);
	struct source_query query = everything;
	struct taken *to = take_anew();

	(void)state;
	query.local_port = 7061;
	assert_int_equal(loopback_enter(), 0);
	to->stop_at = 1;
	to->err = -ECANCELED;
	assert_int_equal(source_netlink.dump(diag, &query, take, to), -ECANCELED);
	to = take_anew();
	assert_int_equal(source_netlink.dump(diag, &query, take, to), 0);
	assert_int_equal(to->count, 2);
	close_pair(&pair);
	source_netlink.close(diag);
}

static void tells_when_it_read(void **state)
{
	struct netlink *diag = open_diag();
	struct pair pair = make_pair("127.0.0.1", "127.0.0.1", "127.0.0.1", 7063);
	struct taken *to = take_anew();
	uint64_t before_ms = clock_mono_ms();

	(void)state;
	assert_int_equal(source_netlink.dump(diag, &everything, take, to), 0);
	assert_true(to->count >= 2);
	assert_in_range(to->read_ms, before_ms, clock_mono_coarse_ms());
	close_pair(&pair);
	source_netlink.close(diag);
}

/* In the place of the C library's. */
static size_t yields;

int sched_yield(void)
{
	yields++;
	return 0;
}

/* A record of a listener has between 100 and 500 bytes. */
static void yields_between_batches(void **state)
{
	const struct source_query query = { .states = TCP_STATE_BIT(TCP_STATE_LISTEN),
					    .want = SOURCE_INFO };
	struct netlink *diag = open_diag();
	size_t records = 0;
	int fds[200];

	(void)state;
	for (int i = 0; i < 200; i++)
		fds[i] = loopback_listen("127.0.0.1", (uint16_t)(30000 + i), 1);
	yields = 0;
	while (records * 100 < 2 * NETLINK_BATCH) {
		struct taken *to = take_anew();

		assert_int_equal(source_netlink.dump(diag, &query, take, to), 0);
		assert_true(to->count >= 200);
		records += to->count;
		assert_in_range(yields, records * 100 / NETLINK_BATCH,
				records * 500 / NETLINK_BATCH);
	}
	for (int i = 0; i < 200; i++)
		close(fds[i]);
	source_netlink.close(diag);
}

static int enter_namespace(void **state)
{
	(void)state;
	return geteuid() == 0 ? loopback_enter() : 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_recorded_dumps),
		cmocka_unit_test(parses_recorded_dump_without_extensions),
		cmocka_unit_test(recorded_v2_dumps_are_the_legacy_one),
		cmocka_unit_test(knows_what_tcp_info_is_long_enough_for),
		cmocka_unit_test(tells_minis_and_fast_open_apart),
		cmocka_unit_test(reads_the_fixed_part),
		cmocka_unit_test(reads_attributes_with_care),
		cmocka_unit_test(refuses_what_is_no_tcp_socket),
		cmocka_unit_test(survives_every_truncation),
		cmocka_unit_test(ends_as_the_kernel_says),
		cmocka_unit_test(skips_what_is_not_the_answer),
		cmocka_unit_test(refuses_bad_framing),
		cmocka_unit_test(reports_an_interrupted_dump),
		cmocka_unit_test(stops_when_the_caller_says_so),
		cmocka_unit_test(falls_back_only_where_refused),
		cmocka_unit_test_setup(dumps_both_families, enter_namespace),
		cmocka_unit_test_setup(v2_and_legacy_agree, enter_namespace),
		cmocka_unit_test_setup(sees_time_wait_as_mini, enter_namespace),
		cmocka_unit_test_setup(filters_by_port, enter_namespace),
		cmocka_unit_test_setup(finds_one_connection, enter_namespace),
		cmocka_unit_test_setup(recovers_from_a_dump_given_up, enter_namespace),
		cmocka_unit_test_setup(skips_forged_messages, enter_namespace),
		cmocka_unit_test_setup(tells_when_it_read, enter_namespace),
		cmocka_unit_test_setup(yields_between_batches, enter_namespace),
		cmocka_unit_test_setup(stays_in_its_namespace, enter_namespace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
