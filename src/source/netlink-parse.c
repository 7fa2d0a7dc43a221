/*
 * netlink-parse: the inet_diag message format.
 *
 * Turns bytes of a dump into struct tcpsock; pure but for the caller's function. Must not know sockets
 * or requests. Lengths are checked here and not by libmnl: version 1.0.4 takes an
 * nlmsg_len of 2^31 and more for valid.
 *
 * This is the hot path of a sample with a million sockets: one pass over the attributes, no lookups.
 */
#include "netlink-internal.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <string.h>
#include <sys/socket.h>

/*
 * struct tcp_info by byte offset (include/uapi/linux/tcp.h). It only ever grows at its end, so these hold for
 * every kernel, while the header this was compiled with knows neither the longest nor the shortest form.
 */
enum tcp_info_offset {
	TCP_INFO_STATE = 0,            /* u8 */
	TCP_INFO_RETRANSMITS = 2,      /* u8 */
	TCP_INFO_PROBES = 3,           /* u8 */
	TCP_INFO_BACKOFF = 4,          /* u8 */
	TCP_INFO_OPTIONS = 5,          /* u8 */
	TCP_INFO_RTO = 8,              /* u32, microseconds */
	TCP_INFO_SND_MSS = 16,         /* u32 */
	TCP_INFO_UNACKED = 24,         /* u32 */
	TCP_INFO_LAST_DATA_SENT = 44,  /* u32, milliseconds */
	TCP_INFO_LAST_DATA_RECV = 52,  /* u32, milliseconds */
	TCP_INFO_LAST_ACK_RECV = 56,   /* u32, milliseconds */
	TCP_INFO_RTT = 68,             /* u32, microseconds */
	TCP_INFO_TOTAL_RETRANS = 100,  /* u32 */
	TCP_INFO_BYTES_ACKED = 120,    /* u64 */
	TCP_INFO_BYTES_RECEIVED = 128, /* u64 */
	TCP_INFO_SEGS_OUT = 136,       /* u32 */
	TCP_INFO_SEGS_IN = 140,        /* u32 */
	TCP_INFO_NOTSENT_BYTES = 144,  /* u32 */
	TCP_INFO_MIN_RTT = 148,        /* u32, microseconds */
	TCP_INFO_DATA_SEGS_IN = 152,   /* u32 */
	TCP_INFO_DATA_SEGS_OUT = 156,  /* u32 */
	TCP_INFO_RWND_LIMITED = 176,   /* u64, microseconds */
	TCP_INFO_DELIVERED = 192,      /* u32 */
	TCP_INFO_BYTES_SENT = 200,     /* u64 */
	TCP_INFO_BYTES_RETRANS = 208,  /* u64 */
	TCP_INFO_SND_WND = 228,        /* u32 */
	TCP_INFO_RTO_RECOVERIES = 242, /* u16 */
	TCP_INFO_TOTAL_RTO_TIME = 244, /* u32, milliseconds */
};

/* The length from which on all is there that a record can hold. */
#define TCP_INFO_WHOLE 248

/* Where the fields begin that tcp_info fills; all behind them are of it too. */
#define INFO_PART offsetof(struct tcpsock, rto_us)

/* i386 aligns 64 bits to four bytes: there it is shorter. */
_Static_assert((sizeof(struct tcpsock) == 208 && INFO_PART == 96) || _Alignof(struct tcpsock) == 4,
	       "a new field must be set in read_fixed_part(), or belong to tcp_info");

/* tcpi_options: timestamps, and a Fast Open child before its handshake ended, which is younger than many a linux/tcp.h. */
#define TCP_INFO_OPT_TIMESTAMPS 0x01
#define TCP_INFO_OPT_TFO_CHILD  0x80

/* Where sk_drops is in INET_DIAG_SKMEMINFO (include/uapi/linux/sock_diag.h: SK_MEMINFO_DROPS). */
#define SKMEMINFO_DROPS_OFFSET 32

/* The largest errno the kernel passes (include/linux/err.h). */
#define KERNEL_MAX_ERRNO 4095

/* Netlink aligns to 4 bytes only, so anything wider must not be read in place. */
static inline uint16_t load16(const uint8_t *from)
{
	uint16_t value;

	memcpy(&value, from, sizeof(value));
	return value;
}

static inline uint32_t load32(const uint8_t *from)
{
	uint32_t value;

	memcpy(&value, from, sizeof(value));
	return value;
}

static inline uint64_t load64(const uint8_t *from)
{
	uint64_t value;

	memcpy(&value, from, sizeof(value));
	return value;
}

static inline size_t align4(size_t len)
{
	return (len + 3) & ~(size_t)3;
}

/* Below, `known` travels in a register: a bit set in the record each time costs a store and its reload. */

/* What later kernels appended to the 104 bytes of Linux 2.6: the first piece that is not whole ends it. */
static inline uint32_t read_info_growth(const uint8_t *info, size_t len, struct tcpsock *sock)
{
	uint32_t known = 0;

	if (len < 136)
		return known;
	known |= TCPSOCK_BYTES;
	sock->bytes_acked = load64(info + TCP_INFO_BYTES_ACKED);
	sock->bytes_received = load64(info + TCP_INFO_BYTES_RECEIVED);
	if (len < 144)
		return known;
	known |= TCPSOCK_SEGS;
	sock->segs_out = load32(info + TCP_INFO_SEGS_OUT);
	sock->segs_in = load32(info + TCP_INFO_SEGS_IN);
	if (len < 148)
		return known;
	known |= TCPSOCK_NOTSENT;
	sock->notsent_bytes = load32(info + TCP_INFO_NOTSENT_BYTES);
	if (len < 152)
		return known;
	known |= TCPSOCK_MIN_RTT;
	sock->min_rtt_us = load32(info + TCP_INFO_MIN_RTT);
	if (len < 160)
		return known;
	known |= TCPSOCK_DATA_SEGS;
	sock->data_segs_in = load32(info + TCP_INFO_DATA_SEGS_IN);
	sock->data_segs_out = load32(info + TCP_INFO_DATA_SEGS_OUT);
	if (len < 184)
		return known;
	known |= TCPSOCK_RWND_LIMITED;
	sock->rwnd_limited_us = load64(info + TCP_INFO_RWND_LIMITED);
	if (len < 196)
		return known;
	known |= TCPSOCK_DELIVERED;
	sock->delivered = load32(info + TCP_INFO_DELIVERED);
	if (len < 216)
		return known;
	known |= TCPSOCK_SENT;
	sock->bytes_sent = load64(info + TCP_INFO_BYTES_SENT);
	sock->bytes_retrans = load64(info + TCP_INFO_BYTES_RETRANS);
	if (len < 232)
		return known;
	known |= TCPSOCK_SND_WND;
	sock->snd_wnd = load32(info + TCP_INFO_SND_WND);
	if (len < TCP_INFO_WHOLE)
		return known;
	known |= TCPSOCK_RTO_TIME;
	sock->total_rto_recoveries = load16(info + TCP_INFO_RTO_RECOVERIES);
	sock->total_rto_time_ms = load32(info + TCP_INFO_TOTAL_RTO_TIME);
	return known;
}

/* Everything from rto_us on is of tcp_info, and zeroed only where it will not all be written. */
static inline uint32_t read_info(const uint8_t *info, size_t len, struct tcpsock *sock)
{
	uint32_t known = TCPSOCK_INFO | TCPSOCK_PROBES;
	uint8_t state;

	if (len < TCP_INFO_WHOLE)
		memset((uint8_t *)sock + INFO_PART, 0, sizeof(*sock) - INFO_PART);
	if (len < 104)
		return 0;
	state = info[TCP_INFO_STATE];
	if (state > TCP_STATE_NONE && state < TCP_STATE_COUNT)
		sock->info_state = state;
	if (sock->state == TCP_STATE_SYN_RECV && (info[TCP_INFO_OPTIONS] & TCP_INFO_OPT_TFO_CHILD))
		known |= TCPSOCK_FASTOPEN;
	known |= (info[TCP_INFO_OPTIONS] & TCP_INFO_OPT_TIMESTAMPS) * TCPSOCK_TIMESTAMPS;
	sock->retransmits = info[TCP_INFO_RETRANSMITS];
	sock->probes = info[TCP_INFO_PROBES];
	sock->backoff = info[TCP_INFO_BACKOFF];
	sock->rto_us = load32(info + TCP_INFO_RTO);
	sock->snd_mss = load32(info + TCP_INFO_SND_MSS);
	sock->unacked = load32(info + TCP_INFO_UNACKED);
	sock->last_data_sent_ms = load32(info + TCP_INFO_LAST_DATA_SENT);
	sock->last_data_recv_ms = load32(info + TCP_INFO_LAST_DATA_RECV);
	sock->last_ack_recv_ms = load32(info + TCP_INFO_LAST_ACK_RECV);
	sock->rtt_us = load32(info + TCP_INFO_RTT);
	sock->total_retrans = load32(info + TCP_INFO_TOTAL_RETRANS);
	/* For what all newer kernels send the compiler leaves every check out. */
	return known | (len >= TCP_INFO_WHOLE ? read_info_growth(info, TCP_INFO_WHOLE, sock)
					      : read_info_growth(info, len, sock));
}

/* Of struct nlattr. */
#define ATTR_HEADER 4u

/* What the attributes of a record brought besides the fields they filled. */
struct attributes {
	/* NULL, or tcp_info of info_len bytes. */
	const uint8_t *info;
	size_t info_len;
	uint32_t known;
	/* An attribute that only a full socket has. */
	bool full;
};

/* The options of a socket that matter. Few sockets have one. */
static const union {
	struct inet_diag_sockopt each;
	uint16_t all;
} socket_options = { .each = { .transparent = 1, .bind_address_no_port = 1 } };

static uint32_t read_options(const struct inet_diag_sockopt *options)
{
	return (options->transparent ? TCPSOCK_TRANSPARENT : 0u) |
	       (options->bind_address_no_port ? TCPSOCK_BIND_NO_PORT : 0u);
}

/* Not a switch: the jump table costs about 5 % of a record's time in this loop. */
static inline void read_attribute(unsigned int type, const uint8_t *value, size_t size,
				  struct tcpsock *sock, struct attributes *found)
{
	if (type == INET_DIAG_INFO) {
		found->full = true;
		found->info = value;
		found->info_len = size;
	} else if (type == INET_DIAG_SHUTDOWN) {
		/* Of every full socket (net/ipv4/inet_diag.c: inet_diag_msg_attrs_fill). */
		found->full = true;
		if (size >= 1)
			sock->shutdown = value[0];
	} else if (type == INET_DIAG_CGROUP_ID && size >= sizeof(uint64_t)) {
		found->known |= TCPSOCK_CGROUP;
		sock->cgroup_id = load64(value);
	} else if (type == INET_DIAG_SOCKOPT && size >= sizeof(struct inet_diag_sockopt)) {
		if (load16(value) & socket_options.all)
			found->known |= read_options((const void *)value);
	} else if (type == INET_DIAG_SKMEMINFO &&
		   size >= SKMEMINFO_DROPS_OFFSET + sizeof(uint32_t)) {
		found->known |= TCPSOCK_DROPS;
		sock->drops = load32(value + SKMEMINFO_DROPS_OFFSET);
	} else if (type == INET_DIAG_SKV6ONLY && size >= 1) {
		sock->v6only = value[0] != 0;
	}
}

static inline struct attributes read_attributes(const uint8_t *from, size_t len,
						struct tcpsock *sock)
{
	struct attributes found = { .info = NULL };
	int left = (int)len; /* below 0 where padding is missing at the end */

	while (left >= (int)ATTR_HEADER) {
		const struct nlattr *attr = (const void *)from;
		/* Too short a length wraps, and is too long as well. */
		unsigned int size = attr->nla_len - ATTR_HEADER, step;

		if (size > (unsigned int)left - ATTR_HEADER)
			break;
		read_attribute(attr->nla_type & (unsigned int)NLA_TYPE_MASK, from + ATTR_HEADER,
			       size, sock, &found);
		step = (size + ATTR_HEADER + 3) & ~3u;
		from += step;
		left -= (int)step;
	}
	return found;
}

/*
 * TIME_WAIT and an orphan's FIN_WAIT2 are struct inet_timewait_sock, which alone shows timer 3;
 * a SYN_RECV without attributes of a full socket is a struct request_sock.
 */
static inline bool is_mini(const struct tcpsock *sock, bool full)
{
	if (sock->state == TCP_STATE_TIME_WAIT)
		return true;
	if (sock->state == TCP_STATE_SYN_RECV)
		return !full;
	return sock->state == TCP_STATE_FIN_WAIT2 && sock->timer == TCP_TIMER_TIME_WAIT;
}

static inline void read_addresses(const struct inet_diag_msg *msg, struct tcpsock *sock)
{
	if (msg->idiag_family == AF_INET) {
		memset(&sock->local, 0, 8);
		memset(&sock->remote, 0, 8);
		sock->local.s6_addr32[2] = htonl(0xffff);
		sock->local.s6_addr32[3] = msg->id.idiag_src[0];
		sock->remote.s6_addr32[2] = htonl(0xffff);
		sock->remote.s6_addr32[3] = msg->id.idiag_dst[0];
	} else {
		memcpy(&sock->local, msg->id.idiag_src, sizeof(sock->local));
		memcpy(&sock->remote, msg->id.idiag_dst, sizeof(sock->remote));
	}
	sock->local_port = ntohs(msg->id.idiag_sport);
	sock->remote_port = ntohs(msg->id.idiag_dport);
}

static inline bool is_tcp_record(const struct inet_diag_msg *msg)
{
	if (msg->idiag_family != AF_INET && msg->idiag_family != AF_INET6)
		return false;
	if (msg->idiag_state == TCP_STATE_NONE || msg->idiag_state >= TCP_STATE_COUNT)
		return false;
	return (msg->id.idiag_cookie[0] | msg->id.idiag_cookie[1]) != 0;
}

/* The part of the record that every message has; what attributes may bring is 0. */
static inline void read_fixed_part(const struct inet_diag_msg *msg, struct tcpsock *sock)
{
	sock->id = (uint64_t)msg->id.idiag_cookie[1] << 32 | msg->id.idiag_cookie[0];
	read_addresses(msg, sock);
	sock->state = sock->info_state = msg->idiag_state;
	sock->timer = msg->idiag_timer;
	sock->timer_retransmits = msg->idiag_retrans;
	sock->v6only = sock->retransmits = sock->probes = sock->backoff = sock->shutdown = 0;
	sock->expires_ms = msg->idiag_expires > UINT32_C(1) << 31 ? 0 : msg->idiag_expires;
	sock->rqueue = msg->idiag_rqueue;
	sock->wqueue = msg->idiag_wqueue;
	sock->uid = msg->idiag_uid;
	sock->inode = msg->idiag_inode;
	sock->drops = 0;
	sock->cgroup_id = 0;
}

static inline bool parse_record(const void *payload, size_t len, struct tcpsock *sock)
{
	const struct inet_diag_msg *msg = payload;
	struct attributes found;
	uint32_t known = TCPSOCK_COOKIE;

	if (len < sizeof(*msg) || !is_tcp_record(msg))
		return false;
	read_fixed_part(msg, sock);
	found = read_attributes((const uint8_t *)(msg + 1), len - sizeof(*msg), sock);
	known |= found.known | read_info(found.info, found.info_len, sock);
	if (sock->state == TCP_STATE_LISTEN)
		known |= TCPSOCK_BACKLOG;
	if (is_mini(sock, found.full))
		known |= TCPSOCK_MINI;
	sock->known = known;
	return true;
}

/* An errno from the kernel's mouth: only what can be one is passed on. */
static int checked_error(int err)
{
	return err < -KERNEL_MAX_ERRNO || err > 0 ? -EBADMSG : err;
}

/*
 * The end of a dump carries the dump function's result: that is where a kernel without
 * tcp_diag says -ENOENT, in what otherwise looks like an empty table.
 */
static int read_done(const uint8_t *payload, size_t len)
{
	int err;

	if (len < sizeof(err))
		return 1;
	memcpy(&err, payload, sizeof(err));
	return err < 0 ? checked_error(err) : 1;
}

static int read_error(const uint8_t *payload, size_t len)
{
	int err;

	if (len < sizeof(struct nlmsgerr))
		return -EBADMSG;
	memcpy(&err, payload + offsetof(struct nlmsgerr, error), sizeof(err));
	return checked_error(err);
}

static int read_control(const struct nlmsghdr *msg, const uint8_t *payload, size_t len)
{
	switch (msg->nlmsg_type) {
	case NLMSG_DONE:
		return read_done(payload, len);
	case NLMSG_ERROR:
		return read_error(payload, len);
	case NLMSG_OVERRUN:
		return -ENOBUFS;
	default:
		return 0;
	}
}

static inline int read_message(struct netlink_walk *walk, const struct nlmsghdr *msg,
			       struct tcpsock *sock)
{
	const uint8_t *payload = (const uint8_t *)msg + sizeof(*msg);
	size_t len = msg->nlmsg_len - sizeof(*msg);
	int err;

	/* inet_diag never says so; if it ever does, the dump is not whole. */
	if (msg->nlmsg_flags & NLM_F_DUMP_INTR)
		return -EINTR;
	if (msg->nlmsg_type < NLMSG_MIN_TYPE)
		return read_control(msg, payload, len);
	if ((msg->nlmsg_type != TCPDIAG_GETSOCK && msg->nlmsg_type != SOCK_DIAG_BY_FAMILY) ||
	    !parse_record(payload, len, sock)) {
		walk->skipped->malformed++;
		return 0;
	}
	walk->records++;
	/* One by one: by eight or sixteen it takes fewer instructions, and a fifth more time. */
	err = walk->take_fn(walk->arg, sock, 1, walk->read_ms);
	return err < 0 ? err : 0;
}

int netlink_walk_datagram(struct netlink_walk *walk, const void *data, size_t len)
{
	const uint8_t *from = data;
	struct tcpsock sock;

	while (len > 0) {
		const struct nlmsghdr *msg = (const void *)from;
		size_t step;

		if (len < sizeof(*msg) || msg->nlmsg_len < sizeof(*msg) || msg->nlmsg_len > len)
			return -EBADMSG;
		/* Others are late answers to a request that was given up. */
		if (msg->nlmsg_seq == walk->seq) {
			int end = read_message(walk, msg, &sock);

			if (end)
				return end;
		}
		step = align4(msg->nlmsg_len);
		if (step >= len)
			break;
		from += step;
		len -= step;
	}
	return 0;
}

bool netlink_parse(const void *payload, size_t len, struct tcpsock *ret_sock)
{
	return parse_record(payload, len, ret_sock);
}
