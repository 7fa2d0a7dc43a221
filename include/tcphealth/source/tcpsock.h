/*
 * tcpsock: one TCP socket as the kernel showed it, a plain value.
 *
 * Every source fills this record, and everything downstream reads only this record. It knows no
 * netlink, no text and no history. A field that a source cannot fill is not in `known`, and
 * is 0.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

/* As include/net/tcp_states.h. 12 is TCP_NEW_SYN_RECV, which user space never sees. */
enum tcp_state {
	TCP_STATE_NONE = 0,
	TCP_STATE_ESTABLISHED = 1,
	TCP_STATE_SYN_SENT = 2,
	TCP_STATE_SYN_RECV = 3,
	TCP_STATE_FIN_WAIT1 = 4,
	TCP_STATE_FIN_WAIT2 = 5,
	TCP_STATE_TIME_WAIT = 6,
	TCP_STATE_CLOSE = 7,
	TCP_STATE_CLOSE_WAIT = 8,
	TCP_STATE_LAST_ACK = 9,
	TCP_STATE_LISTEN = 10,
	TCP_STATE_CLOSING = 11,
};
#define TCP_STATE_COUNT 12

#define TCP_STATE_BIT(state) (UINT32_C(1) << (state))
#define TCP_STATES_ALL       UINT32_C(0xfff)

/* A state as a label ("close_wait"), or "unknown". */
const char *tcp_state_name(unsigned int state);

/* idiag_timer. Newer kernels add values, which say nothing about keepalive. */
enum tcp_timer {
	TCP_TIMER_NONE = 0,
	/* Retransmission, RACK or tail-loss probe; the SYN-ACK timer of a request. */
	TCP_TIMER_RETRANSMIT = 1,
	/* Keepalive, or the fin timeout of a full orphan in FIN_WAIT2 (inode 0). */
	TCP_TIMER_KEEPALIVE = 2,
	TCP_TIMER_TIME_WAIT = 3,
	/* Zero-window probe, or data that this host could not send. */
	TCP_TIMER_PROBE = 4,
	TCP_TIMER_DELACK = 5,
};

/* INET_DIAG_SHUTDOWN: directions that have ended, also by a FIN of the peer. */
enum tcpsock_shutdown {
	TCPSOCK_SHUT_RECEIVE = 1,
	TCPSOCK_SHUT_SEND = 2,
};

/*
 * What a record knows. A field of tcp_info is known if the kernel's attribute is long enough to
 * hold it: behind each flag stands that length in bytes, and the first Linux with it.
 */
enum tcpsock_known {
	/* `id` is the kernel's cookie, and no hash of 4-tuple and inode. */
	TCPSOCK_COOKIE = 1 << 0,
	/*
	 * TIME_WAIT, orphan FIN_WAIT2 or SYN_RECV without a full socket: no inode, no tcp_info.
	 */
	TCPSOCK_MINI = 1 << 1,
	/* info_state to total_retrans (104). */
	TCPSOCK_INFO = 1 << 2,
	TCPSOCK_BYTES = 1 << 3,     /* bytes_acked, bytes_received (136, 4.1) */
	TCPSOCK_SEGS = 1 << 4,      /* segs_out, segs_in (144, 4.2) */
	TCPSOCK_NOTSENT = 1 << 5,   /* notsent_bytes (148, 4.6) */
	TCPSOCK_MIN_RTT = 1 << 6,   /* min_rtt_us (152, 4.6) */
	TCPSOCK_DATA_SEGS = 1 << 7, /* data_segs_in, data_segs_out (160, 4.6) */
	TCPSOCK_DELIVERED = 1 << 8, /* delivered (196, 4.18) */
	TCPSOCK_SENT = 1 << 9,      /* bytes_sent, bytes_retrans (216, 4.19) */
	TCPSOCK_SND_WND = 1 << 10,  /* snd_wnd (232, 5.4) */
	/* total_rto_recoveries, total_rto_time_ms (248, 6.7) */
	TCPSOCK_RTO_TIME = 1 << 11,
	TCPSOCK_CGROUP = 1 << 12, /* cgroup_id (Linux 5.9) */
	TCPSOCK_DROPS = 1 << 13,  /* drops (SKMEMINFO) */
	/* LISTEN: wqueue is the backlog, rqueue the length of the accept queue. */
	TCPSOCK_BACKLOG = 1 << 14,
	/* probes: in tcp_info, and in /proc for full sockets. */
	TCPSOCK_PROBES = 1 << 15,
	/* A Fast Open child still in SYN_RECV (TCPI_OPT_TFO_CHILD). */
	TCPSOCK_FASTOPEN = 1 << 16,
	TCPSOCK_RWND_LIMITED = 1 << 17, /* rwnd_limited_us (184, 4.10) */
	TCPSOCK_TIMESTAMPS = 1 << 18,   /* with TCPSOCK_INFO: both ends send timestamps */
	TCPSOCK_BIND_NO_PORT = 1 << 19, /* connect() chose the local port, not bind() (5.14) */
	TCPSOCK_TRANSPARENT = 1 << 20,  /* IP_TRANSPARENT: takes what TPROXY diverts (5.14) */
};

/*
 * Addresses are IPv6, with IPv4 as v4-mapped (::ffff:a.b.c.d) whatever family the socket has: a
 * v4 connection of a dual-stack socket is IPv4, and 0.0.0.0 is ::ffff:0.0.0.0. Ports are in host
 * byte order, queues in bytes (LISTEN: connections), `uid` is of the reader's user namespace.
 */
struct tcpsock {
	/* Unique in its namespace and source as long as the socket lives; never 0. */
	uint64_t id;
	struct in6_addr local;
	struct in6_addr remote;
	uint16_t local_port;
	uint16_t remote_port;
	uint8_t state; /* enum tcp_state: idiag_state */
	/* enum tcp_state of tcp_info, which is read under the socket's lock; else as `state`. */
	uint8_t info_state;
	uint8_t timer; /* enum tcp_timer, or more */
	/* Retransmissions or probes by `timer` (idiag_retrans). */
	uint8_t timer_retransmits;
	/* LISTEN on ::, does not take IPv4; 0 if unknown. */
	uint8_t v6only;
	uint8_t retransmits; /* timeouts in a row, unanswered */
	uint8_t probes;      /* unanswered keepalive or window probes */
	uint8_t backoff;
	uint8_t shutdown; /* enum tcpsock_shutdown; 0 if unknown */
	uint32_t known;   /* enum tcpsock_known */
	/* Until `timer` fires. Older kernels show values above 2^31 when overdue: those are 0. */
	uint32_t expires_ms;
	uint32_t rqueue;
	uint32_t wqueue;
	uint32_t uid;
	/* 0: orphan, mini, not accepted yet. */
	uint32_t inode;
	uint32_t drops;     /* wraps */
	uint64_t cgroup_id; /* 0 if unknown */
	/* The rest is of tcp_info. */
	uint32_t rto_us;
	uint32_t snd_mss;
	/* Segments in flight; LISTEN: accept queue. */
	uint32_t unacked;
	/* Since then; all three are garbage in SYN_SENT. */
	uint32_t last_data_sent_ms;
	uint32_t last_data_recv_ms;
	uint32_t last_ack_recv_ms;
	uint32_t total_retrans;
	uint32_t segs_out;
	uint32_t segs_in;
	uint32_t notsent_bytes;
	uint32_t rtt_us; /* smoothed */
	uint32_t min_rtt_us;
	uint32_t data_segs_in;
	uint32_t data_segs_out;
	uint32_t delivered;
	uint32_t snd_wnd;
	/*
	 * How often it has recovered from timeouts, and for how long, the present recovery
	 * included.
	 */
	uint32_t total_rto_recoveries;
	uint32_t total_rto_time_ms;
	uint64_t bytes_acked;
	uint64_t bytes_received;
	uint64_t bytes_sent;
	uint64_t bytes_retrans;
	/* How long it had data to send while the peer's window had no room. */
	uint64_t rwnd_limited_us;
};

/* True if all of `bits` are known. */
static inline bool tcpsock_knows(const struct tcpsock *sock, uint32_t bits)
{
	return (sock->known & bits) == bits;
}

/*
 * Bytes of data that a program could read. Behind them in the queue, the peer's FIN counts as one
 * byte until a read takes it; an empty queue has none (net/ipv4/tcp_diag.c: rcv_nxt -
 * copied_seq).
 */
static inline uint32_t tcpsock_unread(const struct tcpsock *sock)
{
	bool has_fin = sock->state == TCP_STATE_CLOSE_WAIT || sock->state == TCP_STATE_LAST_ACK ||
		       sock->state == TCP_STATE_CLOSING;

	return has_fin && sock->rqueue != 0 ? sock->rqueue - 1 : sock->rqueue;
}

/* The same for both records of an end (full socket and mini); another in each process. */
uint64_t tcptuple_hash(const struct in6_addr *local, uint16_t local_port,
		       const struct in6_addr *remote, uint16_t remote_port);
