/*
 * records: made sockets, listeners and deaths for tests of the model: what Linux 6.18 would show.
 */
#pragma once

#include "tcphealth/base/address.h"
#include "tcphealth/source/events.h"
#include "tcphealth/source/netstat.h"
#include "tcphealth/source/tcpsock.h"

#include <arpa/inet.h>
#include <assert.h>
#include <string.h>

#define RECORD_FULL                                                                                \
	(TCPSOCK_COOKIE | TCPSOCK_INFO | TCPSOCK_BYTES | TCPSOCK_SEGS | TCPSOCK_NOTSENT |          \
	 TCPSOCK_MIN_RTT | TCPSOCK_DATA_SEGS | TCPSOCK_DELIVERED | TCPSOCK_SENT |                  \
	 TCPSOCK_SND_WND | TCPSOCK_RTO_TIME | TCPSOCK_CGROUP | TCPSOCK_PROBES)

#define RECORD_DEATH                                                                               \
	(TCPDEATH_INFO | TCPDEATH_DELIVERED | TCPDEATH_SENT | TCPDEATH_REMOTE | TCPDEATH_MIN_RTT | \
	 TCPDEATH_NOTSENT)

/* "10.0.0.1" or "fe80::1" as records keep it. */
static inline struct in6_addr record_addr(const char *text)
{
	struct in6_addr addr;
	struct in_addr v4;

	if (inet_pton(AF_INET, text, &v4) == 1)
		return address_v4(v4.s_addr);
	assert(strchr(text, ':') != NULL);
	inet_pton(AF_INET6, text, &addr);
	return addr;
}

/*
 * A full, held and quiet socket from 10.0.0.1:local_port to 192.0.2.7:remote_port that neither sent nor received a byte: what the acceptor
 * looks like. bytes_acked 1 makes it the opener.
 */
static inline struct tcpsock record_full(uint64_t id, enum tcp_state state, uint16_t local_port,
					 uint16_t remote_port)
{
	return (struct tcpsock){
		.id = id,
		.local = record_addr("10.0.0.1"),
		.remote = record_addr("192.0.2.7"),
		.local_port = local_port,
		.remote_port = remote_port,
		.state = (uint8_t)state,
		.info_state = (uint8_t)state,
		.known = RECORD_FULL,
		.inode = (uint32_t)id + 1000,
		.uid = 1000,
		.rto_us = 200000,
		.snd_mss = 1448,
		.snd_wnd = 65535,
		.last_data_sent_ms = 100,
		.last_data_recv_ms = 100,
		.last_ack_recv_ms = 100,
		.segs_out = 1,
		.segs_in = 2,
		.min_rtt_us = 50,
		.delivered = 1,
	};
}

/* A TIME_WAIT, FIN_WAIT2 or SYN_RECV without a full socket. */
static inline struct tcpsock record_mini(uint64_t id, enum tcp_state state, uint16_t local_port,
					 uint16_t remote_port)
{
	return (struct tcpsock){
		.id = id,
		.local = record_addr("10.0.0.1"),
		.remote = record_addr("192.0.2.7"),
		.local_port = local_port,
		.remote_port = remote_port,
		.state = (uint8_t)state,
		.info_state = (uint8_t)state,
		.timer = state == TCP_STATE_SYN_RECV ? TCP_TIMER_RETRANSMIT : TCP_TIMER_TIME_WAIT,
		.expires_ms = state == TCP_STATE_SYN_RECV ? 1000 : 60000,
		.known = TCPSOCK_COOKIE | TCPSOCK_MINI,
	};
}

static inline struct tcpsock record_listener(uint64_t id, const char *addr, uint16_t port)
{
	return (struct tcpsock){
		.id = id,
		.local = record_addr(addr),
		.remote = record_addr("0.0.0.0"),
		.local_port = port,
		.state = TCP_STATE_LISTEN,
		.info_state = TCP_STATE_LISTEN,
		.known = TCPSOCK_COOKIE | TCPSOCK_BACKLOG | TCPSOCK_DROPS,
		.inode = (uint32_t)id + 1000,
		.wqueue = 128,
	};
}

static inline uint32_t record_hash(const struct tcpsock *sock)
{
	return (uint32_t)tcptuple_hash(&sock->local, sock->local_port, &sock->remote,
				       sock->remote_port);
}

/* The destroy event of a socket that looked like `sock` at its end, sent a FIN or not. */
static inline struct tcpdeath record_death(const struct tcpsock *sock, bool fin)
{
	return (struct tcpdeath){
		.id = sock->id,
		.bytes_acked = sock->bytes_acked + (fin ? 1 : 0),
		.bytes_received = sock->bytes_received,
		.bytes_sent = sock->bytes_sent,
		.bytes_retrans = sock->bytes_retrans,
		.total_retrans = sock->total_retrans,
		.segs_out = sock->segs_out + (fin ? 1 : 0),
		.segs_in = sock->segs_in,
		.delivered = sock->data_segs_out + 1 + (fin ? 1 : 0),
		.data_segs_out = sock->data_segs_out,
		.min_rtt_us = sock->min_rtt_us,
		.local_port = sock->local_port,
		.remote_port = sock->remote_port,
		.retransmits = sock->retransmits,
		.flags = RECORD_DEATH,
		.tuple_hash = record_hash(sock),
	};
}

/* What tcp_disconnect() leaves (SO_LINGER 0, a failed blocking connect): local port, min_rtt, a queue of max_window + 2. */
static inline struct tcpdeath record_wiped(uint64_t id, uint16_t local_port, bool established)
{
	uint32_t left = established ? 65162 : 2;

	return (struct tcpdeath){
		.id = id,
		.local_port = local_port,
		.wqueue = left,
		.notsent_bytes = left,
		.min_rtt_us = established ? 50 : UINT32_MAX,
		.flags = RECORD_DEATH,
	};
}
