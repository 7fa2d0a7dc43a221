/*
 * httpd: serves pages over HTTP with libmicrohttpd.
 *
 * Owns the listening sockets and libmicrohttpd's threads. Knows HTTP, routes, pages and who may see them; must not know TCP
 * sockets, metrics or how a page came to be. A request never waits for the kernel's tables.
 */
#ifndef TCPHEALTH_WEB_HTTPD_H
#define TCPHEALTH_WEB_HTTPD_H

#include "tcphealth/base/buf.h"
#include "tcphealth/render/page.h"

#include <stdbool.h>
#include <stddef.h>

struct httpd;

/* Writes why it is not ready (plain text, one line) and returns false, or returns true. Called on serving threads. */
typedef bool (*httpd_ready_fn)(void *arg, struct buf *why);

/* A request to a handler; valid during the call. */
struct httpd_query {
	/* The decoded value of a key of the query string, the first of several; "" without a value; NULL if it is not there. */
	const char *(*value)(const struct httpd_query *query, const char *key);
	bool local; /* the client is on this host, not behind a proxy, and calls this host by its own name */
	void *connection;
};

/* What a handler answers. */
struct httpd_reply {
	unsigned int status;        /* 200 unless changed */
	unsigned int retry_after_s; /* a Retry-After header; 0: none */
	const char *content_type;   /* static text; JSON unless changed */
	struct buf body;
};

/* Called on a serving thread, and may take a second or two: the others go on serving. */
typedef void (*httpd_handler_fn)(void *arg, const struct httpd_query *query,
				 struct httpd_reply *reply);

struct httpd_handler {
	const char *path;
	httpd_handler_fn fn;
	void *arg;
};

/* A file that never changes. */
struct httpd_asset {
	const char *path;
	const char *content_type;
	const char *data;
	size_t len;
};

struct httpd_config {
	const struct httpd_handler *handlers; /* borrowed */
	size_t handler_count;
	const struct httpd_asset *assets; /* borrowed */
	size_t asset_count;
	const char *const *
		listen; /* "ADDR:PORT": ":10793" (all addresses), "127.0.0.1:1", "[::1]:1", "host:1"; borrowed */
	size_t listen_count; /* >= 1 */
	const int *
		sockets; /* listening TCP sockets to take over in place of `listen`, also on failure; NULL: none */
	size_t socket_count;
	const char *
		web_config; /* file of exporter-toolkit's format: TLS, users, headers; NULL or "": none; borrowed */
	const char *telemetry_path; /* "/metrics"; borrowed */
	unsigned int max_requests; /* requests served at the same time; more get 503; 0: no limit */
	unsigned int
		timeout_s; /* inactivity of a connection, and the wall-clock bound of a whole request */
	struct pageslot *pages; /* borrowed */
	httpd_ready_fn ready;
	void *ready_arg;
};

/* Where and why httpd_start() failed: "listen tcp :10793: Address already in use". */
struct httpd_error {
	char text[512];
};

/*
 * Binds every address (with SO_REUSEADDR, never SO_REUSEPORT), then serves. 0 and *ret_httpd, or -errno and *ret_error.
 * ":PORT" and "[::]:PORT" take IPv6 and IPv4 where the host has IPv6, else IPv4.
 */
int httpd_start(const struct httpd_config *config, struct httpd **ret_httpd,
		struct httpd_error *ret_error);

/*
 * Reads the web configuration and the files it names anew, which happens by itself, too, within a second of a change and
 * the next request. 0, -ENOENT without a configuration, or -errno and *ret_error: then the old one stays. Any thread.
 */
int httpd_reload(struct httpd *httpd, struct httpd_error *ret_error);

/* The file of a web configuration as httpd_start() would take it, certificates and all: 0, or -errno and *ret_error. */
int httpd_check(const char *web_config, struct httpd_error *ret_error);

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
