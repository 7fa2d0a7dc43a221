/*
 * httpd-internal: what httpd.c, request.c and answer.c share. No other file sees a type of
 * libmicrohttpd.
 */
#pragma once

#include "tcphealth/base/log.h"
#include "tcphealth/base/loglimit.h"
#include "tcphealth/web/auth.h"
#include "tcphealth/web/gate.h"
#include "tcphealth/web/guard.h"
#include "tcphealth/web/httpd.h"
#include "tcphealth/web/ratelimit.h"

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

#define TEXT_TYPE "text/plain; charset=utf-8"

struct httpd {
	const struct httpd_route *routes;
	size_t route_count;
	unsigned int max_requests, timeout_s;
	/* Once there is a gate, it owns them. */
	int listeners[HTTPD_LISTENERS_MAX];
	unsigned int ports[HTTPD_LISTENERS_MAX];
	size_t listener_count;
	struct gate *gate;
	struct guard *guard; /* NULL: no web configuration */
	struct auth *auth;
	struct MHD_Daemon *daemon;
	atomic_uint answering; /* limited requests under way */
	atomic_bool ending;
	pthread_mutex_t rate_lock;
	struct ratelimit rate; /* under rate_lock */
	pthread_mutex_t log_lock;
	struct loglimit log_limit; /* under log_lock */
	/*
	 * A request is marked with the address of one: seen before, or counted in
	 * `answering`. Or else with its verdict, from when it waits for one.
	 */
	char known, counted;
};

struct request {
	/* First, so that a pointer to it is one to the request. */
	struct httpd_request asked;
	struct httpd *httpd;
	const struct webconfig *config; /* NULL: none */
	struct MHD_Connection *connection;
	void **mark;
};

/* -- httpd.c: the server -- */

/* Logs a line with one detail, unless there were too many lately. */
void httpd_log(struct httpd *httpd, enum log_level level, const char *msg, const char *key,
	       const char *value);

/* Logs how many lines were held back, once a minute or at the end (`final`). */
void httpd_log_overdue(struct httpd *httpd, bool final);

/* Reads the web configuration again if it has changed. */
void httpd_renew(struct httpd *httpd);

/* The descriptor of a connection, or -1. */
int httpd_fd(struct MHD_Connection *connection);

/* -- request.c: one request, from its headers to the end of its answer -- */

/* libmicrohttpd calls it after the headers, and again after the whole request. */
enum MHD_Result request_handle(void *httpd, struct MHD_Connection *connection, const char *url,
			       const char *method, const char *version, const char *upload,
			       size_t *upload_size, void **mark);

/* libmicrohttpd calls it when the answer was sent, or cannot be. */
void request_completed(void *httpd, struct MHD_Connection *connection, void **mark,
		       enum MHD_RequestTerminationCode code);

/* -- answer.c: one answer. MHD_NO ends the connection -- */

/* Sends the answer of a route, and releases its body. */
enum MHD_Result answer_send(struct request *request, struct httpd_answer *answer);

/* Sends a line of httpd itself, with one more header (or NULL). */
enum MHD_Result answer_line(struct request *request, unsigned int status, const char *name,
			    const char *value, const char *line);

/* The same, with Retry-After. */
enum MHD_Result answer_later(struct request *request, unsigned int status, const char *line);
