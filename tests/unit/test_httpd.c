/* httpd: a real server on loopback, asked by raw sockets. */
#include "helpers/loopback.h"
#include "tcphealth/base/clock.h"
#include "tcphealth/render/page.h"
#include "tcphealth/web/httpd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_MS 5000 /* nothing here takes that long but on a broken server */
#define BIG_PAGE  ((size_t)5 * 1024 * 1024)

/* Of the page: a worker may still answer with the one before. */
static pthread_mutex_t page_lock = PTHREAD_MUTEX_INITIALIZER;

struct server {
	struct httpd_route routes[7];
	struct page *page;
	struct httpd *httpd;
	unsigned int port;
};

struct server_options {
	const char *listen; /* "127.0.0.1:0" */
	unsigned int max_requests, timeout_s;
};

struct reply {
	struct buf raw;
	int status; /* 0: no reply */
	const char *body;
	size_t body_len;
};

static void put_page(struct server *server, const char *unit, size_t times)
{
	struct buf buf;

	buf_init(&buf, 0);
	for (size_t i = 0; i < times; i++)
		buf_puts(&buf, unit);
	struct page *page = page_new(&buf, 0);
	assert_non_null(page);
	pthread_mutex_lock(&page_lock);
	page_unref(server->page);
	server->page = page;
	pthread_mutex_unlock(&page_lock);
	buf_done(&buf);
}

static atomic_uint released;

static void release_page(void *page)
{
	page_unref(page);
	atomic_fetch_add(&released, 1);
}

/* The page, which may be another one before it is sent. */
static void answer_page(void *arg, const struct httpd_request *request, struct httpd_answer *answer)
{
	const struct server *server = arg;
	struct page *page;

	(void)request;
	pthread_mutex_lock(&page_lock);
	page = page_ref(server->page);
	pthread_mutex_unlock(&page_lock);
	answer->negotiated = true;
	if (page)
		answer->bytes =
			(struct httpd_bytes){ page_data(page), page_len(page), release_page, page };
}

static void answer_static(void *arg, const struct httpd_request *request,
			  struct httpd_answer *answer)
{
	(void)request;
	answer->type = "text/html; charset=utf-8";
	answer->policy = "default-src 'none'";
	answer->bytes.data = arg;
	answer->bytes.len = strlen(arg);
}

static void answer_text(void *arg, const struct httpd_request *request, struct httpd_answer *answer)
{
	(void)request;
	buf_puts(&answer->text, arg);
}

static void answer_teapot(void *arg, const struct httpd_request *request,
			  struct httpd_answer *answer)
{
	(void)arg;
	(void)request;
	answer->status = 418;
	answer->name = "X-Pot";
	answer->value = "short";
}

static void answer_broken(void *arg, const struct httpd_request *request,
			  struct httpd_answer *answer)
{
	(void)arg;
	(void)request;
	buf_puts(&answer->text, "this should not be sent");
	answer->text.err = -ENOMEM;
}

/* What the route was told, a line each. */
static void answer_echo(void *arg, const struct httpd_request *request, struct httpd_answer *answer)
{
	const char *values[] = { request->arg(request, "a"), request->arg(request, "b[]"),
				 request->accept, request->accept_encoding };

	(void)arg;
	for (size_t i = 0; i < 4; i++)
		buf_printf(&answer->text, "%s\n", values[i] ? values[i] : "NULL");
	buf_puts(&answer->text, request->local ? "local\n" : "remote\n");
}

static struct httpd_config config_of(struct server *server, struct server_options options)
{
	static char document[] = "<!DOCTYPE html>", healthy[] = "healthy\n", shadow[] = "second\n";
	const struct httpd_route routes[] = {
		{ "/metrics", answer_page, server, true },
		{ "/", answer_static, document, true },
		{ "/-/healthy", answer_text, healthy, false },
		{ "/-/healthy", answer_text, shadow, false },
		{ "/teapot", answer_teapot, NULL, false },
		{ "/broken", answer_broken, NULL, false },
		{ "/echo", answer_echo, NULL, false },
	};

	memcpy(server->routes, routes, sizeof(routes));
	return (struct httpd_config){
		.routes = server->routes,
		.route_count = sizeof(routes) / sizeof(*routes),
		.max_requests = options.max_requests,
		.timeout_s = options.timeout_s ? options.timeout_s : 10,
	};
}

static struct server *server_start(struct server_options options)
{
	struct server *server = calloc(1, sizeof(*server));
	const char *listen[] = { options.listen ? options.listen : "127.0.0.1:0" };
	struct web_error error;
	struct httpd_config config;

	assert_non_null(server);
	config = config_of(server, options);
	config.listen = listen;
	config.listen_count = 1;
	if (httpd_start(&config, &server->httpd, &error))
		fail_msg("%s", error.text);
	server->port = httpd_port(server->httpd, 0);
	assert_int_not_equal(server->port, 0);
	return server;
}

static struct server *server_with_page(struct server_options options)
{
	struct server *server = server_start(options);

	put_page(server, "metric 1\n", 1000);
	return server;
}

static void server_stop(struct server *server)
{
	httpd_stop(server->httpd);
	page_unref(server->page);
	free(server);
}

/* From `source` (an IPv4 address) or any; -1 if refused. */
static int try_connect(unsigned int port, const char *source)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	if (source) {
		assert_int_equal(inet_pton(AF_INET, source, &addr.sin_addr), 1);
		assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	}
	addr.sin_port = htons((uint16_t)port);
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0)
		return fd;
	close(fd);
	return -1;
}

static int connect_from(unsigned int port, const char *source)
{
	int fd = try_connect(port, source);

	assert_true(fd >= 0);
	return fd;
}

static int connect_v6(unsigned int port)
{
	struct sockaddr_in6 addr = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	addr.sin6_port = htons((uint16_t)port);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

static void send_all(int fd, const char *text)
{
	size_t len = strlen(text);

	assert_int_equal(send(fd, text, len, MSG_NOSIGNAL), len);
}

static bool readable(int fd, int timeout_ms)
{
	struct pollfd polled = { .fd = fd, .events = POLLIN };

	return poll(&polled, 1, timeout_ms) == 1;
}

/* Reads to the end of the connection (or its reset) and closes it. */
static struct reply read_reply(int fd)
{
	struct reply reply = { .status = 0 };
	char chunk[65536];
	ssize_t got;

	buf_init(&reply.raw, 0);
	do {
		if (!readable(fd, ANSWER_MS))
			fail_msg("no answer, and the connection stays open");
		got = read(fd, chunk, sizeof(chunk));
		if (got > 0)
			buf_put(&reply.raw, chunk, (size_t)got);
	} while (got > 0);
	close(fd);
	buf_putc(&reply.raw, '\0');
	sscanf(reply.raw.data, "HTTP/1.%*1[01] %d ", &reply.status);
	char *end = strstr(reply.raw.data, "\r\n\r\n");
	if (end) {
		end[2] = '\0';
		reply.body = end + 4;
		reply.body_len = reply.raw.len - 1 - (size_t)(reply.body - reply.raw.data);
	}
	return reply;
}

static struct reply ask_raw(unsigned int port, const char *request)
{
	int fd = connect_from(port, NULL);

	send_all(fd, request);
	return read_reply(fd);
}

/* `headers`: none or more lines with their "\r\n". */
static struct reply ask(unsigned int port, const char *method, const char *path,
			const char *headers)
{
	char request[4096];

	snprintf(request, sizeof(request),
		 "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n", method, path, headers);
	return ask_raw(port, request);
}

/* The value of a header, or NULL; valid until the next call. */
static const char *header_of(const struct reply *reply, const char *name)
{
	static char value[512];
	char pattern[64];

	snprintf(pattern, sizeof(pattern), "\r\n%s: ", name);
	const char *at = strstr(reply->raw.data, pattern);
	if (!at)
		return NULL;
	snprintf(value, sizeof(value), "%s", at + strlen(pattern));
	value[strcspn(value, "\r")] = '\0';
	return value;
}

static void assert_header(const struct reply *reply, const char *name, const char *expected)
{
	const char *value = header_of(reply, name);

	assert_non_null(value);
	assert_string_equal(value, expected);
}

static void reply_done(struct reply *reply)
{
	buf_done(&reply->raw);
}

static int status_of(unsigned int port, const char *path)
{
	struct reply reply = ask(port, "GET", path, "");
	int status = reply.status;

	reply_done(&reply);
	return status;
}

static void test_routes(void **state)
{
	static const struct {
		const char *path;
		int status;
		const char *type, *body; /* how it begins */
	} cases[] = {
		{ "/metrics", 200, "text/plain; charset=utf-8", "metric 1\n" },
		{ "/metrics?x=y", 200, "text/plain; charset=utf-8", "metric 1\n" },
		{ "/", 200, "text/html; charset=utf-8", "<!DOCTYPE html>" },
		{ "/-/healthy", 200, "text/plain; charset=utf-8", "healthy\n" },
		{ "/teapot", 418, "text/plain; charset=utf-8", "" },
		{ "/broken", 500, "text/plain; charset=utf-8", "Out of memory.\n" },
		{ "/nope", 404, "text/plain; charset=utf-8", "404" },
		{ "/metrics/", 404, "text/plain; charset=utf-8", "404" },
		{ "//metrics", 404, "text/plain; charset=utf-8", "404" },
		{ "/Metrics", 404, "text/plain; charset=utf-8", "404" },
		{ "/-/healthy/..", 404, "text/plain; charset=utf-8", "404" },
	};
	struct server *server = server_with_page((struct server_options){ 0 });

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct reply reply = ask(server->port, "GET", cases[i].path, "");
		assert_int_equal(reply.status, cases[i].status);
		assert_header(&reply, "Content-Type", cases[i].type);
		assert_header(&reply, "Cache-Control", "no-store");
		assert_header(&reply, "X-Content-Type-Options", "nosniff");
		assert_int_equal(strncmp(reply.body, cases[i].body, strlen(cases[i].body)), 0);
		assert_int_equal(atoi(header_of(&reply, "Content-Length")), reply.body_len);
		reply_done(&reply);
	}
	server_stop(server);
}

/* What a route says of its answer, and nothing that it does not say. */
static void test_headers_of_a_route(void **state)
{
	static const struct {
		const char *path, *vary, *policy, *pot;
	} cases[] = {
		{ "/metrics", "Accept, Accept-Encoding", NULL, NULL },
		{ "/", NULL, "default-src 'none'", NULL },
		{ "/-/healthy", NULL, NULL, NULL },
		{ "/teapot", NULL, NULL, "short" },
		{ "/nope", NULL, NULL, NULL },
	};
	struct server *server = server_with_page((struct server_options){ 0 });

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const char *const wanted[][2] = { { "Vary", cases[i].vary },
						  { "Content-Security-Policy", cases[i].policy },
						  { "X-Pot", cases[i].pot } };
		struct reply reply = ask(server->port, "GET", cases[i].path, "");
		for (size_t j = 0; j < 3; j++) {
			if (wanted[j][1])
				assert_header(&reply, wanted[j][0], wanted[j][1]);
			else
				assert_null(header_of(&reply, wanted[j][0]));
		}
		reply_done(&reply);
	}
	server_stop(server);
}

static void test_what_a_route_is_told(void **state)
{
	static const char *const cases[][3] = {
		{ "/echo", "", "NULL\nNULL\nNULL\nNULL\n" },
		{ "/echo?a", "", "\nNULL\nNULL\nNULL\n" },
		{ "/echo?a=1&a=2&b%5B%5D=%2B+x", "", "1\n+ x\nNULL\nNULL\n" },
		{ "/echo?ab=1&c=a", "accept: text/*\r\nAccept-Encoding: gzip\r\n",
		  "NULL\nNULL\ntext/*\ngzip\n" },
	};
	struct server *server = server_start((struct server_options){ 0 });

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct reply reply = ask(server->port, "GET", cases[i][0], cases[i][1]);
		if (strncmp(reply.body, cases[i][2], strlen(cases[i][2])) != 0)
			fail_msg("%s: %s", cases[i][0], reply.body);
		assert_string_equal(reply.body + strlen(cases[i][2]), "remote\n");
		reply_done(&reply);
	}
	server_stop(server);
}

/* Nobody but a client on this host that names it, itself and once. */
static void test_who_is_local(void **state)
{
	static const char *const cases[][2] = {
		{ "Host: localhost\r\n", "local\n" },
		{ "Host: 127.0.0.1:1\r\n", "local\n" },
		{ "Host: rebound.example\r\n", "remote\n" },
		{ "Host: localhost\r\nHost: localhost\r\n", "remote\n" },
		{ "Host: localhost\r\nX-Forwarded-For: 127.0.0.1\r\n", "remote\n" },
	};
	struct server *server = server_start((struct server_options){ 0 });
	char request[256];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		snprintf(request, sizeof(request),
			 "GET /echo HTTP/1.1\r\nConnection: close\r\n%s\r\n", cases[i][0]);
		struct reply reply = ask_raw(server->port, request);
		assert_non_null(strstr(reply.body, cases[i][1]));
		reply_done(&reply);
	}
	server_stop(server);
}

/* Once an answer, whether it was wanted, only asked about, or is left unread at the end. */
static void test_bytes_are_let_go_of(void **state)
{
	struct server *server = server_with_page((struct server_options){ 0 });
	unsigned int before = atomic_load(&released);

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct reply reply = ask(server->port, i ? "HEAD" : "GET", "/metrics", "");
		reply_done(&reply);
	}
	int fd = connect_from(server->port, NULL);
	send_all(fd, "GET /metrics HTTP/1.0\r\n\r\n");
	assert_true(readable(fd, ANSWER_MS));
	server_stop(server);
	close(fd);
	assert_int_equal(atomic_load(&released) - before, 3);
}

static void test_head(void **state)
{
	static const char *const paths[] = { "/metrics", "/", "/-/healthy", "/nope" };
	struct server *server = server_with_page((struct server_options){ 0 });

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct reply get = ask(server->port, "GET", paths[i], "");
		struct reply head = ask(server->port, "HEAD", paths[i], "");
		char len[32];
		snprintf(len, sizeof(len), "%zu", get.body_len);
		assert_int_equal(head.status, get.status);
		assert_header(&head, "Content-Length", len);
		assert_int_equal(head.body_len, 0);
		reply_done(&get);
		reply_done(&head);
	}
	server_stop(server);
}

static void test_other_methods(void **state)
{
	static const char *const methods[] = { "POST",  "PUT",  "DELETE",  "OPTIONS", "PATCH",
					       "TRACE", "BREW", "CONNECT", "get" };
	static const char *const paths[] = { "/metrics", "/", "/nope" };
	struct server *server = server_with_page((struct server_options){ 0 });

	(void)state;
	for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++) {
		for (size_t j = 0; j < 3; j++) {
			struct reply reply = ask(server->port, methods[i], paths[j], "");
			assert_int_equal(reply.status, 405);
			assert_header(&reply, "Allow", "GET, HEAD");
			reply_done(&reply);
		}
	}
	server_stop(server);
}

/*
 * Refused at the end of the headers, though none of the body has come, and the connection is
 * closed.
 */
static void test_bodies_are_refused(void **state)
{
	static const struct {
		const char *method, *headers;
		int status;
	} cases[] = {
		{ "GET", "Content-Length: 5\r\n", 413 },
		{ "GET", "Content-Length: 999999999999\r\n", 413 },
		{ "GET", "Transfer-Encoding: chunked\r\n", 413 },
		{ "GET", "Content-Length: 5\r\nExpect: 100-continue\r\n", 413 },
		{ "HEAD", "Content-Length: 1\r\n", 413 },
		{ "POST", "Content-Length: 999999999999\r\n", 405 },
		{ "PUT", "Transfer-Encoding: chunked\r\n", 405 },
		{ "GET", "Content-Length: 0\r\nConnection: close\r\n", 200 },
	};
	struct server *server = server_with_page((struct server_options){ 0 });

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char request[512];
		int fd = connect_from(server->port, NULL);
		snprintf(request, sizeof(request), "%s /metrics HTTP/1.1\r\nHost: x\r\n%s\r\n",
			 cases[i].method, cases[i].headers);
		send_all(fd, request);
		struct reply reply = read_reply(fd);
		assert_int_equal(reply.status, cases[i].status);
		reply_done(&reply);
	}
	server_stop(server);
}

static void test_connection_is_kept(void **state)
{
	struct server *server = server_with_page((struct server_options){ 0 });
	int fd = connect_from(server->port, NULL);
	char chunk[4096];

	(void)state;
	for (int i = 0; i < 50; i++) {
		send_all(fd, "GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n");
		assert_true(readable(fd, ANSWER_MS));
		assert_true(read(fd, chunk, sizeof(chunk)) > 0);
	}
	send_all(fd, "GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n"
		     "GET /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	struct reply reply = read_reply(fd);
	assert_non_null(strstr(reply.body, "remote"));
	reply_done(&reply);
	server_stop(server);
}

/* A client with a small window that has asked for a page too large for the socket buffers. */
static int slow_reader(unsigned int port, const char *source)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int small = 4096;

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
	assert_int_equal(inet_pton(AF_INET, source, &addr.sin_addr), 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	addr.sin_port = htons((uint16_t)port);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	send_all(fd, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	assert_true(readable(fd, ANSWER_MS));
	return fd;
}

static void test_page_swapped_under_a_slow_reader(void **state)
{
	/* Under a sanitizer it takes long to make the pages. */
	struct server *server = server_start((struct server_options){ .timeout_s = 100 });

	(void)state;
	put_page(server, "aaaaaaaa", BIG_PAGE / 8);
	int fd = slow_reader(server->port, "127.0.0.1");
	for (int i = 0; i < 20; i++)
		put_page(server, "bbbbbbbb", BIG_PAGE / 8);
	struct reply reply = read_reply(fd);
	assert_int_equal(reply.status, 200);
	assert_int_equal(reply.body_len, BIG_PAGE);
	for (size_t i = 0; i < BIG_PAGE; i++) {
		if (reply.body[i] != 'a')
			fail_msg("byte %zu is of another page", i);
	}
	reply_done(&reply);
	server_stop(server);
}

/* Until a path answers with a status; false after ANSWER_MS. */
static bool comes_to(unsigned int port, const char *path, int status)
{
	uint64_t until = clock_mono_ms() + ANSWER_MS;

	while (clock_mono_ms() < until) {
		if (status_of(port, path) == status)
			return true;
	}
	return false;
}

static void test_max_requests(void **state)
{
	struct server *server = server_start((struct server_options){ .max_requests = 2 });
	int readers[2];

	(void)state;
	put_page(server, "aaaaaaaa", BIG_PAGE / 8);
	for (int i = 0; i < 2; i++)
		readers[i] = slow_reader(server->port, "127.0.0.1");
	struct reply reply = ask(server->port, "GET", "/metrics", "");
	assert_int_equal(reply.status, 503);
	assert_header(&reply, "Retry-After", "1");
	reply_done(&reply);
	assert_int_equal(status_of(server->port, "/-/healthy"), 200);

	struct reply first = read_reply(readers[0]); /* one ends well ... */
	assert_int_equal(first.body_len, BIG_PAGE);
	reply_done(&first);
	assert_true(comes_to(server->port, "/metrics", 200));
	int third = slow_reader(server->port, "127.0.0.1");
	assert_true(comes_to(server->port, "/metrics", 503));
	close(readers[1]); /* ... one goes away */
	assert_true(comes_to(server->port, "/metrics", 200));
	close(third);
	server_stop(server);
}

static void test_several_addresses(void **state)
{
	static const char *const listen[] = { "127.0.0.1:0", "[::1]:0", ":0", "localhost:0" };
	struct server server = { 0 };
	struct httpd_config config = config_of(&server, (struct server_options){ 0 });
	struct httpd *httpd;
	struct web_error error;

	config.listen = listen;
	config.listen_count = 4;
	(void)state;
	assert_int_equal(httpd_start(&config, &httpd, &error), 0);
	for (size_t i = 0; i < 4; i++) {
		if (i != 1)
			assert_int_equal(status_of(httpd_port(httpd, i), "/-/healthy"), 200);
	}
	for (size_t i = 1; i < 3; i++) { /* [::1] and both families on one socket */
		int fd = connect_v6(httpd_port(httpd, i));
		send_all(fd, "GET /-/healthy HTTP/1.0\r\n\r\n");
		struct reply reply = read_reply(fd);
		assert_int_equal(reply.status, 200);
		reply_done(&reply);
	}
	assert_int_equal(httpd_port(httpd, 4), 0);
	httpd_stop(httpd);
}

/* Starts on `address`, which must fail; the error's text is left in `ret_error`. */
static int start_error(const char *address, struct web_error *ret_error)
{
	const char *listen[] = { "127.0.0.1:0", address };
	struct httpd_config config = { .listen = listen, .listen_count = 2 };
	struct httpd *httpd = NULL;
	int err = httpd_start(&config, &httpd, ret_error);

	assert_null(httpd);
	return err;
}

static void test_bad_addresses(void **state)
{
	static const struct {
		const char *address;
		int err;
		const char *why;
	} cases[] = {
		{ "", -EINVAL, "has no port" },
		{ "10793", -EINVAL, "has no port" },
		{ "localhost", -EINVAL, "has no port" },
		{ "127.0.0.1:", -EINVAL, "has no valid port" },
		{ "127.0.0.1:http", -EINVAL, "has no valid port" },
		{ "127.0.0.1:65536", -EINVAL, "has no valid port" },
		{ "127.0.0.1:-1", -EINVAL, "has no valid port" },
		{ "127.0.0.1:000001", -EINVAL, "has no valid port" },
		{ "::1:80", -EINVAL, "is not a host" },
		{ "[::1]", -EINVAL, "has no valid port" },
		{ "[::1:80", -EINVAL, "is not an IPv6 address in brackets" },
		{ "::1]:80", -EINVAL, "is not a host" },
		{ "[::1]x:80", -EINVAL, "is not an IPv6 address in brackets" },
		{ "[", -EINVAL, "has no port" },
		{ "192.0.2.1:0", -EADDRNOTAVAIL, "Cannot assign requested address" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct web_error error;
		char begin[64];
		assert_int_equal(start_error(cases[i].address, &error), cases[i].err);
		snprintf(begin, sizeof(begin), "listen tcp %s: %s", cases[i].address, cases[i].why);
		assert_int_equal(strncmp(error.text, begin, strlen(begin)), 0);
	}
}

static void test_port_in_use(void **state)
{
	struct server *server = server_start((struct server_options){ .listen = ":0" });
	struct web_error error;
	char address[32], expected[128];

	(void)state;
	snprintf(address, sizeof(address), ":%u", server->port);
	snprintf(expected, sizeof(expected), "listen tcp %s: Address already in use", address);
	assert_int_equal(start_error(address, &error), -EADDRINUSE);
	assert_string_equal(error.text, expected);
	assert_int_equal(status_of(server->port, "/-/healthy"), 200);
	server_stop(server);
}

static void close_fds(const int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
}

/* Many addresses: see connect_many(). */
static int enter_network(void **state)
{
	(void)state;
	return geteuid() == 0 && (loopback_enter() || loopback_add_many()) ? -1 : 0;
}

/* `count` connections from 10.0.1.1, 10.0.1.2, ..., ten of each. */
static void connect_many(unsigned int port, int *fds, size_t count)
{
	char source[32];

	if (geteuid() != 0)
		skip();
	for (size_t i = 0; i < count; i++) {
		(void)snprintf(source, sizeof(source), "10.0.1.%zu", 1 + i / 10);
		fds[i] = connect_from(port, source);
	}
}

static size_t count_open(const int *fds, size_t count)
{
	size_t open = 0;

	for (size_t i = 0; i < count; i++)
		open += !readable(fds[i], 0);
	return open;
}

/* Whoever takes all it can get still lets others in, and itself. */
static void test_one_address_cannot_take_all(void **state)
{
	struct server *server = server_with_page((struct server_options){ 0 });
	int idle[300];

	(void)state;
	for (size_t i = 0; i < 300; i++)
		idle[i] = connect_from(server->port, i % 2 ? "127.0.0.1" : "127.0.0.2");
	for (int i = 0; i < 20; i++)
		assert_int_equal(status_of(server->port, "/metrics"), 200);
	assert_in_range(count_open(idle, 300), 1, 16);
	close_fds(idle, 300);
	server_stop(server);
}

static void test_full_house(void **state)
{
	struct server *server = server_with_page((struct server_options){ 0 });
	int idle[300];

	(void)state;
	connect_many(server->port, idle, 300);
	uint64_t start = clock_mono_ms();
	for (int i = 0; i < 20; i++)
		assert_int_equal(status_of(server->port, "/metrics"), 200);
	assert_true(clock_mono_ms() - start < 5000); /* before any deadline */
	assert_in_range(count_open(idle, 300), 200, 239);
	close_fds(idle, 300);
	server_stop(server);
}

/*
 * Writes a byte of `text` (over and over) every 100 ms until the other end closes; how long that
 * took.
 */
static uint64_t drip(int fd, const char *text)
{
	uint64_t start = clock_mono_ms();

	for (size_t i = 0; clock_mono_ms() - start < 10000; i++) {
		if (send(fd, &text[i % strlen(text)], 1, MSG_NOSIGNAL) < 0)
			break;
		if (readable(fd, 100))
			break;
	}
	return clock_mono_ms() - start;
}

static void test_slow_request_ends(void **state)
{
	struct server *server = server_with_page((struct server_options){ .timeout_s = 1 });
	int fd = connect_from(server->port, NULL);
	char chunk[1024];

	(void)state;
	send_all(fd, "GET /metrics HTTP/1.1\r\nX: ");
	uint64_t took = drip(fd, "x");
	assert_in_range(took, 800, 2500);
	close(fd);

	/* The second request of a connection has one timeout for idling more. */
	fd = connect_from(server->port, NULL);
	send_all(fd, "GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_true(readable(fd, ANSWER_MS));
	assert_true(read(fd, chunk, sizeof(chunk)) > 0);
	took = drip(fd,
		    "GET /metrics HTTP/1.1\r\nHost: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
	assert_in_range(took, 1500, 3500);
	close(fd);
	assert_int_equal(status_of(server->port, "/metrics"), 200);
	server_stop(server);
}

/* A client that reads all the time, but would need five seconds: it is never inactive. */
static void test_slow_answer_ends(void **state)
{
	struct server *server = server_start((struct server_options){ .timeout_s = 1 });
	static char unit[65537], chunk[65536];
	size_t total = 0, page = 1000 * sizeof(chunk);
	ssize_t got;

	(void)state;
	memset(unit, 'a', sizeof(chunk));
	put_page(server, unit, 1000);
	int fd = connect_from(server->port, NULL);
	uint64_t start = clock_mono_ms();
	send_all(fd, "GET /metrics HTTP/1.0\r\n\r\n");
	do {
		poll(NULL, 0, 5);
		got = read(fd, chunk, sizeof(chunk));
		total += got > 0 ? (size_t)got : 0;
	} while (got > 0 && total < page);
	assert_true(total < page); /* what the socket buffers held, and no more */
	assert_in_range(clock_mono_ms() - start, 800, 4000);
	close(fd);
	server_stop(server);
}

static uint64_t process_cpu_ms(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
	       (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000;
}

static struct rlimit lower_files(rlim_t files)
{
	struct rlimit before, now;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	now = before;
	now.rlim_cur = files;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
	return before;
}

static void test_out_of_descriptors(void **state)
{
	struct server *server = server_with_page((struct server_options){ 0 });
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_port = htons((uint16_t)server->port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct rlimit before = lower_files(128);
	int filler[128];
	size_t fillers = 0;

	(void)state;
	while (fillers < 128 && (filler[fillers] = dup(fd)) >= 0)
		fillers++;
	assert_true(fillers > 0 && fillers < 128);
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	send_all(fd, "GET /metrics HTTP/1.0\r\n\r\n");
	uint64_t cpu = process_cpu_ms();
	assert_false(readable(fd, 1000));
	assert_true(process_cpu_ms() - cpu < 300);

	close_fds(filler, fillers);
	assert_true(readable(fd, 1000));
	struct reply reply = read_reply(fd);
	assert_int_equal(reply.status, 200);
	reply_done(&reply);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	server_stop(server);
}

static void test_few_descriptors_at_start(void **state)
{
	struct rlimit before = lower_files(64);
	struct server *server = server_with_page((struct server_options){ 0 });
	int idle[50];

	(void)state;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	connect_many(server->port, idle, 50);
	assert_int_equal(status_of(server->port, "/metrics"), 200);
	/* 32 places, though 64 descriptors would do for more. */
	assert_in_range(count_open(idle, 50), 1, 32);
	close_fds(idle, 50);
	server_stop(server);
}

/* With nothing to do it does nothing, also while connections are idle. */
static void test_idle_costs_nothing(void **state)
{
	struct server *server = server_with_page((struct server_options){ 0 });
	int idle[100];

	(void)state;
	connect_many(server->port, idle, 100);
	assert_int_equal(status_of(server->port, "/metrics"), 200);
	uint64_t cpu = process_cpu_ms();
	poll(NULL, 0, 500);
	assert_true(process_cpu_ms() - cpu < 50);
	close_fds(idle, 100);
	server_stop(server);
}

static void test_stop_is_quick(void **state)
{
	struct server *server = server_start((struct server_options){ 0 });
	unsigned int port = server->port;
	int idle[200];

	(void)state;
	put_page(server, "aaaaaaaa", BIG_PAGE / 8);
	connect_many(port, idle, 200);
	int slow = slow_reader(port, "127.0.0.2");
	uint64_t start = clock_mono_ms();
	server_stop(server);
	assert_true(clock_mono_ms() - start < 500);
	assert_int_equal(try_connect(port, NULL), -1);
	close(slow);
	close_fds(idle, 200);
}

static void test_quiesce(void **state)
{
	struct server *server = server_start((struct server_options){ 0 });

	(void)state;
	put_page(server, "aaaaaaaa", BIG_PAGE / 8);
	int fd = slow_reader(server->port, "127.0.0.1");
	httpd_quiesce(server->httpd);
	httpd_quiesce(server->httpd);
	assert_int_equal(try_connect(server->port, NULL), -1);
	struct reply reply = read_reply(fd);
	assert_int_equal(reply.body_len, BIG_PAGE);
	reply_done(&reply);
	server_stop(server);
	httpd_quiesce(NULL);
	httpd_stop(NULL);
}

/* Takes the port over at once, although connections of the one before are in TIME_WAIT. */
static void test_restart_on_the_same_port(void **state)
{
	struct server *server = server_with_page((struct server_options){ 0 });
	char address[32];

	(void)state;
	assert_int_equal(status_of(server->port, "/metrics"), 200);
	snprintf(address, sizeof(address), "127.0.0.1:%u", server->port);
	server_stop(server);
	server = server_with_page((struct server_options){ .listen = address });
	assert_int_equal(status_of(server->port, "/metrics"), 200);
	server_stop(server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_routes),
		cmocka_unit_test(test_headers_of_a_route),
		cmocka_unit_test(test_what_a_route_is_told),
		cmocka_unit_test(test_who_is_local),
		cmocka_unit_test(test_bytes_are_let_go_of),
		cmocka_unit_test(test_head),
		cmocka_unit_test(test_other_methods),
		cmocka_unit_test(test_bodies_are_refused),
		cmocka_unit_test(test_connection_is_kept),
		cmocka_unit_test(test_page_swapped_under_a_slow_reader),
		cmocka_unit_test(test_max_requests),
		cmocka_unit_test(test_several_addresses),
		cmocka_unit_test(test_bad_addresses),
		cmocka_unit_test(test_port_in_use),
		cmocka_unit_test(test_one_address_cannot_take_all),
		cmocka_unit_test_setup(test_full_house, enter_network),
		cmocka_unit_test(test_slow_request_ends),
		cmocka_unit_test(test_slow_answer_ends),
		cmocka_unit_test(test_out_of_descriptors),
		cmocka_unit_test_setup(test_few_descriptors_at_start, enter_network),
		cmocka_unit_test_setup(test_idle_costs_nothing, enter_network),
		cmocka_unit_test_setup(test_stop_is_quick, enter_network),
		cmocka_unit_test(test_quiesce),
		cmocka_unit_test(test_restart_on_the_same_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
