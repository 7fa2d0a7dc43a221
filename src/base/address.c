/*
 * address: see the header. Owns which addresses mean the host itself.
 */
#include "tcphealth/base/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

const char *address_text(const struct in6_addr *addr, char dst[ADDRESS_LEN])
{
	const char *text;

	if (IN6_IS_ADDR_V4MAPPED(addr))
		text = inet_ntop(AF_INET, &addr->s6_addr[12], dst, ADDRESS_LEN);
	else
		text = inet_ntop(AF_INET6, addr, dst, ADDRESS_LEN);
	if (!text)
		dst[0] = '\0';
	return dst;
}

const char *address_endpoint_text(const struct in6_addr *addr, uint16_t port,
				  char dst[ADDRESS_ENDPOINT_LEN])
{
	char text[ADDRESS_LEN];

	(void)snprintf(dst, ADDRESS_ENDPOINT_LEN, IN6_IS_ADDR_V4MAPPED(addr) ? "%s:%u" : "[%s]:%u",
		       address_text(addr, text), port);
	return dst;
}

struct in6_addr address_v4(uint32_t addr_be)
{
	struct in6_addr addr = { .s6_addr = { [10] = 0xff, [11] = 0xff } };

	memcpy(&addr.s6_addr[12], &addr_be, sizeof(addr_be));
	return addr;
}

bool address_of(const struct sockaddr *from, struct in6_addr *ret_addr)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	if (from->sa_family == AF_INET6) {
		memcpy(&v6, from, sizeof(v6));
		*ret_addr = v6.sin6_addr;
		return true;
	}
	if (from->sa_family != AF_INET)
		return false;
	memcpy(&v4, from, sizeof(v4));
	*ret_addr = address_v4(v4.sin_addr.s_addr);
	return true;
}

bool address_is_any(const struct in6_addr *addr)
{
	if (IN6_IS_ADDR_V4MAPPED(addr))
		return addr->s6_addr32[3] == 0;
	return IN6_IS_ADDR_UNSPECIFIED(addr);
}

bool address_is_loopback(const struct in6_addr *addr)
{
	if (IN6_IS_ADDR_V4MAPPED(addr))
		return addr->s6_addr[12] == 127;
	return IN6_IS_ADDR_LOOPBACK(addr);
}
