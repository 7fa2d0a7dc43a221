/*
 * tcpsock: names of states.
 *
 * Owns what can be said of a record by itself; must not know where records come from.
 */
#include "tcphealth/source/tcpsock.h"

#include "tcphealth/base/hash.h"

static const char *const state_names[TCP_STATE_COUNT] = {
	[TCP_STATE_NONE] = "unknown",          [TCP_STATE_ESTABLISHED] = "established",
	[TCP_STATE_SYN_SENT] = "syn_sent",     [TCP_STATE_SYN_RECV] = "syn_recv",
	[TCP_STATE_FIN_WAIT1] = "fin_wait1",   [TCP_STATE_FIN_WAIT2] = "fin_wait2",
	[TCP_STATE_TIME_WAIT] = "time_wait",   [TCP_STATE_CLOSE] = "close",
	[TCP_STATE_CLOSE_WAIT] = "close_wait", [TCP_STATE_LAST_ACK] = "last_ack",
	[TCP_STATE_LISTEN] = "listen",         [TCP_STATE_CLOSING] = "closing",
};

const char *tcp_state_name(unsigned int state)
{
	return state < TCP_STATE_COUNT ? state_names[state] : state_names[TCP_STATE_NONE];
}

uint64_t tcptuple_hash(const struct in6_addr *local, uint16_t local_port,
		       const struct in6_addr *remote, uint16_t remote_port)
{
	uint64_t h = hash_mix_address(hash_mix_address(hash_seed, local), remote);

	return hash_mix(h, (uint64_t)local_port << 16 | remote_port);
}
