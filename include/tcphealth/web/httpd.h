/*
 * httpd: serves routes over HTTP with libmicrohttpd.
 *
 * Owns the listening sockets and libmicrohttpd's threads. Knows HTTP and who may ask; must not know which routes there are,
 * nor what they answer.
 */
#ifndef TCPHEALTH_WEB_HTTPD_H
#define TCPHEALTH_WEB_HTTPD_H

#include "tcphealth/base/buf.h"
#include "tcphealth/web/error.h"

#include <stdbool.h>
#include <stddef.h>

#define HTTPD_LISTENERS_MAX 16

struct httpd;

/* What a route is asked. Valid during the call. */
struct httpd_request {
	/* The decoded value of a key of the query string, the first of several; "" without a value; NULL if it is not there. */
	const char *(*arg)(const struct httpd_request *request, const char *key);
	/* The headers Accept and Accept-Encoding; NULL: not sent. */
	const char *accept, *accept_encoding;
	/* The client is on this host, not behind a proxy, and calls this host by its own name. */
	bool local;
};

/* Finished bytes, sent from where they are. */
struct httpd_bytes {
	const char *data; /* NULL: none */
	size_t len;
	/* Called once they are sent, or never will be; NULL: they outlive the server. */
	void (*release)(void *owner);
	void *owner;
};

/* What a route answers: status 200 and plain text, unless it says otherwise. All but `text` is static or belongs to `bytes`. */
struct httpd_answer {
	unsigned int status;
	const char *type; /* Content-Type */
	/* Content-Security-Policy where the web configuration sets none; NULL: none. */
	const char *policy;
	/* One header more; NULL: none. */
	const char *name, *value;
	/* The answer depends on Accept and Accept-Encoding (Vary). */
	bool negotiated;
	/* The body: these bytes if there are any, else what was written to `text`, which is ready for use. */
	struct httpd_bytes bytes;
	struct buf text;
};

/* Called on a serving thread, and may take a second or two: the others go on serving. */
typedef void (*httpd_fn)(void *arg, const struct httpd_request *request,
			 struct httpd_answer *answer);

struct httpd_route {
	const char *path;
	httpd_fn fn;
	void *arg;
	/* Counts for `max_requests` until its answer is sent. */
	bool limited;
};

/* Everything is borrowed: routes while the server lives, the rest during httpd_start(). */
struct httpd_config {
	/* The first one with the path of a request answers it. */
	const struct httpd_route *routes;
	size_t route_count;
	/* "ADDR:PORT": ":10793" (all addresses), "127.0.0.1:1", "[::1]:1", "host:1". */
	const char *const *listen;
	size_t listen_count; /* 1 to HTTPD_LISTENERS_MAX */
	/* Listening TCP sockets to take over in place of `listen`, also on failure; NULL: none. */
	const int *sockets;
	size_t socket_count; /* likewise */
	/* A file of exporter-toolkit's format: TLS, users, headers. NULL or "": none. */
	const char *web_config;
	/* Limited requests at the same time; more get 503. 0: no limit. */
	unsigned int max_requests;
	/* Inactivity of a connection, and the wall-clock bound of a whole request; 0: 10 s. */
	unsigned int timeout_s;
};

/*
 * Binds every address (with SO_REUSEADDR, never SO_REUSEPORT), then serves. 0 and *ret_httpd, or -errno and *ret_error.
 * ":PORT" and "[::]:PORT" take IPv6 and IPv4 where the host has IPv6, else IPv4.
 */
int httpd_start(const struct httpd_config *config, struct httpd **ret_httpd,
		struct web_error *ret_error);

/*
 * Reads the web configuration and the files it names anew, which happens by itself, too, within a second of a change and
 * the next request. 0, -ENOENT without a configuration, or -errno and *ret_error: then the old one stays. Any thread.
 */
int httpd_reload(struct httpd *httpd, struct web_error *ret_error);

/* The file of a web configuration as httpd_start() would take it, certificates and all: 0, or -errno and *ret_error. */
int httpd_check(const char *web_config, struct web_error *ret_error);

/* Closes the listening sockets at once, ends the connections and joins the threads. */
void httpd_stop(struct httpd *httpd);

bool httpd_has_tls(const struct httpd *httpd);

/* Version of libmicrohttpd in use: "0.9.75". Static text. */
const char *httpd_version(void);

/* The port that the i-th listening address got (":0" asks the kernel); 0 if there is none. */
unsigned int httpd_port(const struct httpd *httpd, size_t i);

/* Sends listening sockets to the deaf: closes only them; running requests go on until httpd_stop(). No password is checked from now on. */
void httpd_quiesce(struct httpd *httpd);

/*
 * After httpd_quiesce(): waits until no thread is busy with a password, which nothing can interrupt. False if one still is after `wait_ms`:
 * httpd_stop() would have to wait for it.
 */
bool httpd_settle(struct httpd *httpd, unsigned int wait_ms);

#endif
