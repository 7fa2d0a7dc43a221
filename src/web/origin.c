/* origin: see the header. */
#include "tcphealth/web/origin.h"

#include "tcphealth/base/address.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

bool origin_is_loopback(const struct sockaddr *peer)
{
	struct in6_addr addr;

	return address_of(peer, &addr) && address_is_loopback(&addr);
}

static bool is_interface_address(const struct in6_addr *addr)
{
	struct ifaddrs *list, *i;
	struct in6_addr own;
	bool found = false;

	if (getifaddrs(&list) < 0)
		return false;
	for (i = list; i != NULL && !found; i = i->ifa_next)
		found = i->ifa_addr != NULL && address_of(i->ifa_addr, &own) &&
			memcmp(&own, addr, sizeof(own)) == 0;
	freeifaddrs(list);
	return found;
}

/* Copies HOST of "HOST", "HOST:PORT", "[V6]" or "[V6]:PORT". False for anything else. */
static bool split_host(const char *host, char *dst, size_t size)
{
	const char *begin = host[0] == '[' ? host + 1 : host;
	size_t len = host[0] == '[' ? strcspn(begin, "]") : strcspn(begin, ":");
	const char *rest = begin + len;

	if (host[0] == '[' && *rest++ != ']')
		return false;
	if (*rest == ':' && strspn(rest + 1, "0123456789") == strlen(rest + 1))
		rest += strlen(rest);
	if (*rest != '\0' || len == 0 || len >= size)
		return false;
	memcpy(dst, begin, len);
	dst[len] = '\0';
	return true;
}

bool origin_host_is_own(const char *host)
{
	char name[INET6_ADDRSTRLEN + 16];
	struct in6_addr addr;
	struct in_addr v4;

	if (host == NULL || !split_host(host, name, sizeof(name)))
		return false;
	if (strcasecmp(name, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, name, &v4) == 1)
		addr = address_v4(v4.s_addr);
	else if (inet_pton(AF_INET6, name, &addr) != 1)
		return false;
	return address_is_loopback(&addr) || is_interface_address(&addr);
}

bool origin_is_proxy_header(const char *name)
{
	return strcasecmp(name, "Forwarded") == 0 || strncasecmp(name, "X-Forwarded-", 12) == 0 ||
	       strcasecmp(name, "X-Real-IP") == 0 || strcasecmp(name, "Via") == 0;
}
