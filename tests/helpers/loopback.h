/*
 * loopback: TCP sockets in a network namespace of the test's own, so that what a test counts is
 * what it made. Every function returns a descriptor or 0, or -1 with errno.
 */
#pragma once

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* The whole process moves to a new namespace with "lo" up. Needs CAP_SYS_ADMIN. */
static inline int loopback_enter(void)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	int fd, err;

	if (unshare(CLONE_NEWNET))
		return -1;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	err = ioctl(fd, SIOCSIFFLAGS, &request);
	close(fd);
	return err;
}

/* After loopback_enter(): all of 10.0.0.0/8 is this host, too. */
static inline int loopback_add_many(void)
{
	static const char *const values[] = { "10.0.0.1", "255.0.0.0" };
	static const unsigned long requests[] = { SIOCSIFADDR, SIOCSIFNETMASK };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = fd < 0 ? -1 : 0;

	for (int i = 0; !err && i < 2; i++) {
		struct ifreq request = { .ifr_name = "lo:1" };
		struct sockaddr_in addr = { .sin_family = AF_INET };
		inet_pton(AF_INET, values[i], &addr.sin_addr);
		memcpy(&request.ifr_addr, &addr, sizeof(addr));
		err = ioctl(fd, requests[i], &request);
	}
	close(fd);
	return err;
}

/* An address with a colon is IPv6. */
static inline socklen_t loopback_address(const char *text, uint16_t port,
					 struct sockaddr_storage *ret_addr)
{
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)ret_addr;
	struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)ret_addr;

	memset(ret_addr, 0, sizeof(*ret_addr));
	if (strchr(text, ':')) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		inet_pton(AF_INET6, text, &v6->sin6_addr);
		return sizeof(*v6);
	}
	v4->sin_family = AF_INET;
	v4->sin_port = htons(port);
	inet_pton(AF_INET, text, &v4->sin_addr);
	return sizeof(*v4);
}

/* A socket bound to address and port; port 0 leaves it to the kernel. */
static inline int loopback_bound(const char *text, uint16_t port)
{
	struct sockaddr_storage addr;
	socklen_t len = loopback_address(text, port, &addr);
	int fd = socket(addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1, zero = 0;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (addr.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (bind(fd, (struct sockaddr *)&addr, len) == 0)
		return fd;
	close(fd);
	return -1;
}

static inline int loopback_listen(const char *text, uint16_t port, int backlog)
{
	int fd = loopback_bound(text, port);

	if (fd >= 0 && listen(fd, backlog)) {
		close(fd);
		return -1;
	}
	return fd;
}

static inline int loopback_connect(const char *from, uint16_t from_port, const char *to,
				   uint16_t to_port)
{
	struct sockaddr_storage addr;
	socklen_t len = loopback_address(to, to_port, &addr);
	int fd = loopback_bound(from, from_port);

	if (fd >= 0 && connect(fd, (struct sockaddr *)&addr, len)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Closing then sends a reset and leaves no TIME_WAIT. */
static inline int loopback_close_hard(int fd)
{
	struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)))
		return -1;
	return close(fd);
}
