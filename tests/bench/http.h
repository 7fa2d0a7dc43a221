/*
 * http: a server under test as a child of this process, and one connection to it that is kept alive.
 */
#pragma once

#include "bench.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#define HTTP_ANSWER_MAX (8u << 20)
#define HTTP_WAIT_STEPS 600 /* of 50 ms: the first sample of a million sockets takes its time */

struct http_server {
	const char *path;
	uint16_t port;
	pid_t pid;
	int fd;
	clockid_t clock;
	const char *answer; /* the last one, head and body; until any server is asked again */
};

static inline int http_connect(uint16_t port)
{
	const struct sockaddr_in to = { .sin_family = AF_INET,
					.sin_port = htons(port),
					.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		bench_die("socket");
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* Where the answer in `buf` ends, or 0 while it is not whole. Chunks end with an empty one. */
static inline size_t http_end(const char *buf, size_t have)
{
	const char *head_end = strstr(buf, "\r\n\r\n"), *field = buf;
	size_t head_len, want;

	if (head_end == NULL)
		return 0;
	head_len = (size_t)(head_end + 4 - buf);
	while (field < head_end && strncasecmp(field, "\r\nContent-Length:", 17) != 0)
		field++;
	if (field == head_end)
		return memcmp(buf + have - 5, "0\r\n\r\n", 5) == 0 ? have : 0;
	want = head_len + strtoul(field + 17, NULL, 10);
	return have >= want ? want : 0;
}

/* One request and its whole answer: its bytes, or -1 where the server does not answer (yet). */
static inline ssize_t http_try(struct http_server *server)
{
	static char buf[HTTP_ANSWER_MAX];
	char request[256];
	size_t have = 0;
	int len = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n",
			   server->path);

	if (server->fd < 0)
		server->fd = http_connect(server->port);
	if (server->fd < 0)
		return -1;
	/* What came of it recv() tells. */
	(void)send(server->fd, request, (size_t)len, MSG_NOSIGNAL);
	do {
		ssize_t got = recv(server->fd, buf + have, sizeof(buf) - 1 - have, 0);

		if (got <= 0)
			break;
		have += (size_t)got;
		buf[have] = '\0';
	} while (http_end(buf, have) == 0);
	server->answer = buf;
	if (have >= 12 && strncmp(buf, "HTTP/1.1 200", 12) == 0 && http_end(buf, have) != 0)
		return (ssize_t)http_end(buf, have);
	close(server->fd);
	server->fd = -1;
	return -1;
}

/* A server may have ended a connection on which nothing was asked for long: then another. */
static inline size_t http_get(struct http_server *server)
{
	ssize_t len = http_try(server);

	if (len < 0)
		len = http_try(server);
	if (len < 0) {
		(void)fprintf(stderr, "the server on port %u does not answer\n", server->port);
		(void)kill(server->pid, SIGTERM);
		exit(1);
	}
	return (size_t)len;
}

/* `args`: PORT PATH COMMAND..., NULL at the end. Returns when it answers. */
static inline void http_start(struct http_server *server, char *const *args)
{
	const struct timespec step = { .tv_nsec = 50000000 };

	*server = (struct http_server){ .port = (uint16_t)strtoul(args[0], NULL, 10),
					.path = args[1],
					.fd = -1 };
	server->pid = fork();
	if (server->pid < 0)
		bench_die("fork");
	if (server->pid == 0) {
		int null = open("/dev/null", O_RDWR);

		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)dup2(null, 1);
		(void)dup2(null, 2);
		execvp(args[2], args + 2);
		_exit(127);
	}
	if (clock_getcpuclockid(server->pid, &server->clock) != 0)
		bench_die("clock of the server");
	for (int i = 0; i < HTTP_WAIT_STEPS; i++) {
		if (http_try(server) >= 0)
			return;
		if (waitpid(server->pid, NULL, WNOHANG) == server->pid)
			break;
		(void)nanosleep(&step, NULL);
	}
	(void)fprintf(stderr, "%s does not serve\n", args[2]);
	(void)kill(server->pid, SIGKILL);
	exit(1);
}

static inline uint64_t http_cpu_ns(const struct http_server *server)
{
	struct timespec t = { 0 };

	(void)clock_gettime(server->clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline double http_memory_mb(const struct http_server *server)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/status", server->pid);
	return bench_status_of_mb(path, "VmRSS:");
}

static inline void http_stop(struct http_server *server)
{
	if (server->fd >= 0)
		close(server->fd);
	(void)kill(server->pid, SIGTERM);
	(void)waitpid(server->pid, NULL, 0);
}
