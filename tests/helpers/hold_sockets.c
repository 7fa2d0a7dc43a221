/*
 * hold_sockets: many TCP connections, both ends here, held still until standard input ends.
 *
 *   hold_sockets CONNECTIONS FIRST-PORT PORTS
 *
 * Over loopback, IPv4 and IPv6 by turns, spread over the ports. Of seven connections, one is half-closed by
 * its client and one by its server. Prints "ready" when all are made and at rest.
 */
#include "helpers/loopback.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>

#define BACKLOG 128
#define SHARE   2000u

static void need(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

static unsigned int number(const char *text, unsigned int max)
{
	unsigned long value = strtoul(text, NULL, 10);

	if (value >= 1 && value <= max)
		return (unsigned int)value;
	(void)fprintf(stderr, "not a number from 1 to %u: %s\n", max, text);
	exit(2);
}

static int connect_to(const char *address, uint16_t port)
{
	struct sockaddr_storage addr;
	socklen_t len = loopback_address(address, port, &addr);
	int fd = socket(addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	need(fd >= 0, "socket");
	need(connect(fd, (struct sockaddr *)&addr, len) == 0, "connect");
	return fd;
}

/* A descriptor is at rest when the FIN of the other end has come in. */
static void half_close(int fd, int other)
{
	struct pollfd poll_fd = { .fd = other, .events = POLLRDHUP };

	need(shutdown(fd, SHUT_WR) == 0, "shutdown");
	need(poll(&poll_fd, 1, 5000) == 1, "poll");
}

static void make_connection(unsigned int i, int listener, uint16_t port)
{
	int client = connect_to(i & 1 ? "::1" : "127.0.0.1", port);
	int server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	need(server >= 0, "accept");
	if (i % 7 == 1)
		half_close(client, server);
	if (i % 7 == 4)
		half_close(server, client);
}

static void wait_for_end(void)
{
	char byte;

	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
}

/* A process of its own for a share, as descriptors are limited; one after the other, as listeners are shared. */
static void hold_share(const int *listeners, unsigned int first, unsigned int ports,
		       unsigned int from, unsigned int to)
{
	int ready[2];
	char byte;

	need(pipe(ready) == 0, "pipe");
	switch (fork()) {
	case -1:
		need(false, "fork");
		break;
	case 0:
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		for (unsigned int i = from; i < to; i++)
			make_connection(i, listeners[i % ports], (uint16_t)(first + i % ports));
		need(write(ready[1], "", 1) == 1, "write");
		wait_for_end();
		exit(0);
	default:
		close(ready[1]);
		need(read(ready[0], &byte, 1) == 1, "no connections");
		close(ready[0]);
	}
}

int main(int argc, char *argv[])
{
	unsigned int connections, first, ports;
	int *listeners;

	if (argc != 4) {
		(void)fputs("usage: hold_sockets CONNECTIONS FIRST-PORT PORTS\n", stderr);
		return 2;
	}
	connections = number(argv[1], 1000000);
	first = number(argv[2], 65535);
	ports = number(argv[3], 65536 - first);
	listeners = calloc(ports, sizeof(*listeners));
	need(listeners != NULL, "calloc");
	for (unsigned int p = 0; p < ports; p++) {
		listeners[p] = loopback_listen("::", (uint16_t)(first + p), BACKLOG);
		need(listeners[p] >= 0, "listen");
	}
	for (unsigned int i = 0; i < connections; i += SHARE)
		hold_share(listeners, first, ports, i,
			   connections - i < SHARE ? connections : i + SHARE);
	(void)puts("ready");
	(void)fflush(stdout);
	wait_for_end();
	free(listeners);
	return 0;
}
