/*
 * listenaddr: parses an address, resolves it, binds and listens. Must not know what is
 * served there.
 */
#include "tcphealth/web/listenaddr.h"

#include "tcphealth/base/number.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORT_DIGITS     5
#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"

static int open_one(const struct addrinfo *info, bool dual)
{
	int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	int on = 1, v6only = !dual, err;

	if (fd < 0)
		return -errno;
	/* Not SO_REUSEPORT: two exporters would share the scrapes without notice. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
	    (info->ai_family != AF_INET6 ||
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only)) == 0) &&
	    bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0)
		return fd;
	err = -errno;
	close(fd);
	return err;
}

/*
 * Binds the first address of a family that can be bound. The last error, or
 * -EAFNOSUPPORT.
 */
static int open_family(const struct addrinfo *list, int family, bool dual)
{
	int fd = -EAFNOSUPPORT;

	for (const struct addrinfo *info = list; info && fd < 0; info = info->ai_next) {
		if (info->ai_family == family)
			fd = open_one(info, dual);
	}
	return fd;
}

/* Without IPv6 the kernel refuses the socket; with IPv6 disabled by sysctl, the address. */
static bool family_is_missing(int err)
{
	return err == -EAFNOSUPPORT || err == -EADDRNOTAVAIL || err == -EPFNOSUPPORT ||
	       err == -EPROTONOSUPPORT;
}

static int resolve(const char *host, const char *port, struct addrinfo **ret, char *ret_why,
		   size_t size)
{
	struct addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
	};
	int err = getaddrinfo(host, port, &hints, ret);
	int saved;

	if (!err)
		return 0;
	saved = err == EAI_SYSTEM ? errno : EADDRNOTAVAIL;
	snprintf(ret_why, size, "%s", err == EAI_SYSTEM ? strerror(saved) : gai_strerror(err));
	return -saved;
}

static int open_all(const struct addrinfo *list, bool any)
{
	int first = any ? AF_INET6 : AF_INET;
	int second = any ? AF_INET : AF_INET6;
	int fd = open_family(list, first, any);

	if (family_is_missing(fd)) {
		int other = open_family(list, second, any);
		if (other != -EAFNOSUPPORT)
			return other;
	}
	return fd;
}

static bool is_of_names(const char *text)
{
	return text[strspn(text, NAME_CHARACTERS)] == '\0';
}

/* The text in brackets: an address, with or without a zone ("fe80::1%eth0", RFC 4007). */
static bool is_ipv6(const char *host)
{
	char address[INET6_ADDRSTRLEN];
	struct in6_addr ignored;
	size_t len = strcspn(host, "%");
	const char *zone = host[len] ? host + len + 1 : "none";

	if (len >= sizeof(address))
		return false;
	memcpy(address, host, len);
	address[len] = '\0';
	return inet_pton(AF_INET6, address, &ignored) == 1 && *zone && strlen(zone) < IF_NAMESIZE &&
	       is_of_names(zone);
}

/* A name or an IPv4 address; empty: all addresses. */
static bool is_host(const char *host)
{
	struct in_addr ignored;

	if (!*host || host[strspn(host, "0123456789.")])
		return is_of_names(host);
	return inet_pton(AF_INET, host, &ignored) == 1;
}

const char *listenaddr_parse(const char *address, struct listenaddr *ret_parts)
{
	bool brackets = address[0] == '[';
	const char *colon = strrchr(address, ':');
	const char *wrong = brackets ? "is not an IPv6 address in brackets" : "is not a host";
	uint64_t port;
	size_t len;

	if (!colon)
		return "has no port";
	if (strlen(colon + 1) > PORT_DIGITS || number_parse(colon + 1, UINT16_MAX, &port))
		return "has no valid port";
	len = (size_t)(colon - address);
	if (brackets && address[len - 1] != ']')
		return wrong;
	address += brackets;
	len -= 2 * (size_t)brackets;
	if (len > LISTENADDR_HOST_MAX)
		return wrong;
	memcpy(ret_parts->host, address, len);
	ret_parts->host[len] = '\0';
	ret_parts->port = colon + 1;
	return (brackets ? is_ipv6 : is_host)(ret_parts->host) ? NULL : wrong;
}

int listenaddr_open(const char *address, char *ret_why, size_t size)
{
	struct listenaddr parts;
	struct addrinfo *list;
	const char *wrong = listenaddr_parse(address, &parts);
	bool any;
	int err, fd;

	if (wrong) {
		snprintf(ret_why, size, "%s", wrong);
		return -EINVAL;
	}
	any = !*parts.host || strcmp(parts.host, "::") == 0;
	err = resolve(any ? NULL : parts.host, parts.port, &list, ret_why, size);
	if (err)
		return err;
	fd = open_all(list, any);
	freeaddrinfo(list);
	if (fd < 0)
		snprintf(ret_why, size, "%s", strerror(-fd));
	return fd;
}

unsigned int listenaddr_port(int fd)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} addr = { 0 };
	socklen_t len = sizeof(addr);

	if (getsockname(fd, &addr.any, &len))
		return 0;
	if (addr.any.sa_family == AF_INET)
		return ntohs(addr.v4.sin_port);
	return addr.any.sa_family == AF_INET6 ? ntohs(addr.v6.sin6_port) : 0;
}
