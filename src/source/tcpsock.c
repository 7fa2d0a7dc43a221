/*
 * tcpsock: names of states and text of addresses.
 *
 * Owns what can be said of a record by itself; must not know where records come from.
 */
#include "tcphealth/source/tcpsock.h"

#include "tcphealth/base/hash.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

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

const char *tcpsock_addr_text(const struct in6_addr *addr, char dst[TCPSOCK_ADDR_LEN])
{
	const char *text;

	if (IN6_IS_ADDR_V4MAPPED(addr))
		text = inet_ntop(AF_INET, &addr->s6_addr[12], dst, TCPSOCK_ADDR_LEN);
	else
		text = inet_ntop(AF_INET6, addr, dst, TCPSOCK_ADDR_LEN);
	if (!text)
		dst[0] = '\0';
	return dst;
}

const char *tcpsock_endpoint_text(const struct in6_addr *addr, uint16_t port,
				  char dst[TCPSOCK_ENDPOINT_LEN])
{
	char text[TCPSOCK_ADDR_LEN];

	(void)snprintf(dst, TCPSOCK_ENDPOINT_LEN, IN6_IS_ADDR_V4MAPPED(addr) ? "%s:%u" : "[%s]:%u",
		       tcpsock_addr_text(addr, text), port);
	return dst;
}

struct in6_addr tcpsock_addr_v4(uint32_t addr_be)
{
	struct in6_addr addr = { .s6_addr = { [10] = 0xff, [11] = 0xff } };

	memcpy(&addr.s6_addr[12], &addr_be, sizeof(addr_be));
	return addr;
}

bool tcpsock_addr_is_any(const struct in6_addr *addr)
{
	if (IN6_IS_ADDR_V4MAPPED(addr))
		return addr->s6_addr32[3] == 0;
	return IN6_IS_ADDR_UNSPECIFIED(addr);
}

bool tcpsock_addr_is_loopback(const struct in6_addr *addr)
{
	if (IN6_IS_ADDR_V4MAPPED(addr))
		return addr->s6_addr[12] == 127;
	return IN6_IS_ADDR_LOOPBACK(addr);
}
