/*
 * bare: the least that can serve a page, as a control: one thread, one connection at a time, nothing looked at.
 *
 *   bare PORT BYTES
 */
#include "bench.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#define HEAD_MAX 128

/* False at the end of the connection. */
static int answer(int fd, const char *page, size_t len)
{
	char request[4096];

	if (recv(fd, request, sizeof(request), 0) <= 0)
		return 0;
	while (len > 0) {
		ssize_t sent = send(fd, page, len, MSG_NOSIGNAL);

		if (sent <= 0)
			return 0;
		page += sent;
		len -= (size_t)sent;
	}
	return 1;
}

int main(int argc, char *argv[])
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	size_t bytes = argc == 3 ? strtoul(argv[2], NULL, 10) : 0, head;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char *page;

	if (bytes < 1 || bytes > 100u << 20) {
		(void)fprintf(stderr, "usage: bare PORT BYTES\n");
		return 2;
	}
	addr.sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10));
	page = malloc(HEAD_MAX + bytes);
	if (page == NULL || listener < 0 ||
	    bind(listener, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(listener, 16) < 0)
		bench_die("bare");
	head = (size_t)snprintf(page, HEAD_MAX, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n",
				bytes);
	memset(page + head, 'x', bytes);
	for (;;) {
		int on = 1, fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			bench_die("accept");
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		while (answer(fd, page, head + bytes))
			;
		close(fd);
	}
}
