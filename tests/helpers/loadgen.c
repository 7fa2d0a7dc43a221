/*
 * loadgen: TCP connections of known number and size, both ends in this process; the integration tests count them.
 *
 *   loadgen ADDRESS PORT COUNT BATCH CLIENT_BYTES SERVER_BYTES HOW [SECONDS]
 *
 * Opens COUNT connections to a listener of its own, BATCH at a time. On each the client sends CLIENT_BYTES, the
 * server SERVER_BYTES, and everything is read. With SECONDS it begins anew until they are over. HOW they end:
 *
 *   orderly   the client half-closes, the server closes, the client sees that and closes: each FIN has been
 *             received by a socket that was still open
 *   close     the client closes at once: the server's FIN finds only what the kernel keeps of it
 *   reset     the client closes with SO_LINGER 0
 *
 * Prints how many connections there were.
 */
#include "helpers/loopback.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define BATCH_MAX 512
#define BYTES_MAX 16384 /* fits any window and buffer: no write waits for a read */

enum ending { ENDING_ORDERLY, ENDING_CLOSE, ENDING_RESET };

struct load {
	struct sockaddr_storage addr;
	socklen_t addr_len;
	int listener;
	size_t count, batch;
	size_t client_bytes, server_bytes;
	enum ending ending;
	int clients[BATCH_MAX];
	int servers[BATCH_MAX];
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static size_t number(const char *text, size_t max)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (end == text || *end != '\0' || value > max) {
		fprintf(stderr, "loadgen: %s is not a number up to %zu\n", text, max);
		exit(2);
	}
	return value;
}

static enum ending ending_of(const char *text)
{
	static const char *const names[] = { "orderly", "close", "reset" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(text, names[i]) == 0)
			return (enum ending)i;
	}
	fprintf(stderr, "loadgen: %s is no way to end\n", text);
	exit(2);
}

static void write_bytes(int fd, size_t size)
{
	static const char bytes[BYTES_MAX];

	if (size != 0 && send(fd, bytes, size, MSG_NOSIGNAL) != (ssize_t)size)
		die("send");
}

static void read_bytes(int fd, size_t size)
{
	char bytes[BYTES_MAX];

	if (size != 0 && recv(fd, bytes, size, MSG_WAITALL) != (ssize_t)size)
		die("recv");
}

static void read_end(int fd)
{
	char byte;

	if (recv(fd, &byte, 1, 0) != 0)
		die("recv at the end");
}

static void open_connection(struct load *load, size_t i)
{
	load->clients[i] = socket(load->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (load->clients[i] < 0)
		die("socket");
	if (connect(load->clients[i], (const struct sockaddr *)&load->addr, load->addr_len))
		die("connect");
	load->servers[i] = accept4(load->listener, NULL, NULL, SOCK_CLOEXEC);
	if (load->servers[i] < 0)
		die("accept");
}

static void end_connection(const struct load *load, int client, int server)
{
	const struct linger reset = { .l_onoff = 1, .l_linger = 0 };

	if (load->ending == ENDING_ORDERLY) {
		shutdown(client, SHUT_WR);
		read_end(server);
		close(server);
		read_end(client);
		close(client);
		return;
	}
	if (load->ending == ENDING_RESET)
		setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(client);
	if (load->ending == ENDING_CLOSE)
		read_end(server);
	close(server);
}

static void run_batch(struct load *load, size_t size)
{
	for (size_t i = 0; i < size; i++)
		open_connection(load, i);
	for (size_t i = 0; i < size; i++) {
		write_bytes(load->clients[i], load->client_bytes);
		write_bytes(load->servers[i], load->server_bytes);
	}
	for (size_t i = 0; i < size; i++) {
		read_bytes(load->servers[i], load->client_bytes);
		read_bytes(load->clients[i], load->server_bytes);
		end_connection(load, load->clients[i], load->servers[i]);
	}
}

static void run_once(struct load *load)
{
	for (size_t done = 0; done < load->count; done += load->batch) {
		size_t left = load->count - done;

		run_batch(load, left < load->batch ? left : load->batch);
	}
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void listen_at(struct load *load)
{
	const int on = 1;

	load->listener = socket(load->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (load->listener < 0)
		die("socket");
	setsockopt(load->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(load->listener, (const struct sockaddr *)&load->addr, load->addr_len))
		die("bind");
	if (listen(load->listener, BATCH_MAX))
		die("listen");
}

int main(int argc, char **argv)
{
	static struct load load;
	size_t made = 0;
	int64_t until_ms;

	if (argc != 8 && argc != 9) {
		fputs("usage: loadgen ADDRESS PORT COUNT BATCH CLIENT_BYTES SERVER_BYTES HOW "
		      "[SECONDS]\n",
		      stderr);
		return 2;
	}
	load.addr_len =
		loopback_address(argv[1], (uint16_t)number(argv[2], UINT16_MAX), &load.addr);
	load.count = number(argv[3], 10000000);
	load.batch = number(argv[4], BATCH_MAX);
	load.client_bytes = number(argv[5], BYTES_MAX);
	load.server_bytes = number(argv[6], BYTES_MAX);
	load.ending = ending_of(argv[7]);
	until_ms = now_ms() + (argc == 9 ? (int64_t)number(argv[8], 3600) * 1000 : 0);
	listen_at(&load);
	do {
		run_once(&load);
		made += load.count;
	} while (now_ms() < until_ms);
	printf("%zu\n", made);
	return 0;
}
