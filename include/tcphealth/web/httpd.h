/*
 * httpd: serves a table of routes over HTTP, with libmicrohttpd.
 *
 * Owns the listeners and libmicrohttpd's threads. Knows HTTP and who may ask; must not
 * know which routes there are, nor what they answer.
 */
#pragma once

#include "tcphealth/base/buf.h"
#include "tcphealth/web/error.h"

#include <stdbool.h>
#include <stddef.h>

#define HTTPD_LISTENERS_MAX 16

struct httpd;

/* What a route sees of a request. Valid during the call. */
struct httpd_request {
	/*
	 * The decoded value of a key in the query string: the first of several, "" if the
	 * key has no value, NULL if the key is missing.
	 */
	const char *(*arg)(const struct httpd_request *request, const char *key);
	/* Headers of these names; NULL: not sent. */
	const char *accept, *accept_encoding;
	/* The client is on this host, not behind a proxy, and used a name of this host. */
	bool local;
};

/* A finished body, sent from where it is. */
struct httpd_bytes {
	const char *data; /* NULL: none */
	size_t len;
	/* Called once the body was sent, or cannot be. NULL: it outlives the server. */
	void (*release)(void *owner);
	void *owner;
};

/*
 * An answer. A route finds it with status 200, plain text and no body. Strings are
 * static.
 */
struct httpd_answer {
	unsigned int status;
	const char *type; /* Content-Type */
	/* Content-Security-Policy, unless the web configuration sets one. NULL: none. */
	const char *policy;
	/* One more header; NULL: none. */
	const char *name, *value;
	/* It depends on Accept and Accept-Encoding, which Vary then says. */
	bool negotiated;
	/* The body: `bytes` if they have data, else what was written to `text`. */
	struct httpd_bytes bytes;
	struct buf text;
};

/* Runs on a serving thread. It may take a second or two: other threads keep serving. */
typedef void (*httpd_fn)(void *arg, const struct httpd_request *request,
			 struct httpd_answer *answer);

struct httpd_route {
	const char *path;
	httpd_fn fn;
	void *arg;
	/* Counts towards `max_requests` until the answer is sent. */
	bool limited;
};

/* Borrowed: the routes for the server's life, all else during httpd_start(). */
struct httpd_config {
	/* The first one with the request's path answers it. */
	const struct httpd_route *routes;
	size_t route_count;
	/* "ADDR:PORT": ":10793" (all addresses), "127.0.0.1:1", "[::1]:1", "host:1". */
	const char *const *listen;
	size_t listen_count; /* 1 to HTTPD_LISTENERS_MAX */
	/*
	 * Listeners to take over instead of opening `listen`, even on failure. NULL:
	 * none.
	 */
	const int *sockets;
	size_t socket_count; /* likewise */
	/* File in exporter-toolkit's format: TLS, users, headers. NULL or "": none. */
	const char *web_config;
	/* Limited requests served at a time; more get 503. 0: no limit. */
	unsigned int max_requests;
	/* How long a connection may be inactive, and a whole request take. 0: 10 s. */
	unsigned int timeout_s;
};

/*
 * Opens every address, as listenaddr_open() does, and serves. 0 and *ret_httpd, or -errno
 * and *ret_error.
 */
int httpd_start(const struct httpd_config *config, struct httpd **ret_httpd,
		struct web_error *ret_error);

/*
 * Reads the web configuration and the files it names again. Otherwise that happens with
 * the first request after a change, at most once a second. 0, -ENOENT without a
 * configuration, or -errno and *ret_error: then the old one stays. Any thread.
 */
int httpd_reload(struct httpd *httpd, struct web_error *ret_error);

/* Whether an older configuration is in use, because the current files are wrong. Any thread. */
bool httpd_reload_failed(const struct httpd *httpd);

/*
 * Checks a web configuration and the certificates it names, as httpd_start() would: 0, or
 * -errno and *ret_error.
 */
int httpd_check(const char *web_config, struct web_error *ret_error);

/* Whether connections are accepted; see gate_is_alive(). */
bool httpd_is_alive(struct httpd *httpd);

/* Closes the listeners, ends the connections and joins the threads. NULL is fine. */
void httpd_stop(struct httpd *httpd);

bool httpd_has_tls(const struct httpd *httpd);

/* The version of libmicrohttpd in use: "0.9.75". Static text. */
const char *httpd_version(void);

/* The port of the i-th listener, which the kernel chose for ":0"; 0 if there is none. */
unsigned int httpd_port(const struct httpd *httpd, size_t i);

/*
 * Closes the listeners. Requests that are under way continue until httpd_stop(), but no
 * password is checked any more. NULL is fine.
 */
void httpd_quiesce(struct httpd *httpd);

/*
 * After httpd_quiesce(): waits at most `wait_ms` for a password that is being checked,
 * which nothing can interrupt. False if the check still runs: httpd_stop() would wait for
 * it.
 */
bool httpd_settle(struct httpd *httpd, unsigned int wait_ms);
