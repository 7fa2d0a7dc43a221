/*
 * api: the JSON answers under /api/v1.
 *
 * /api/v1/ports has the figures of /metrics for each port, from the last snapshot.
 * /api/v1/connections lists connections, from a dump of its own: one query at a time, and one a
 * second. Knows who may ask; must not know libmicrohttpd. Its functions run on the threads that
 * serve.
 */
#pragma once

#include "tcphealth/app/mailbox.h"
#include "tcphealth/app/options.h"
#include "tcphealth/app/publisher.h"
#include "tcphealth/web/httpd.h"

struct api;

/* Borrows all three. NULL when out of memory. */
struct api *api_new(const struct options *options, struct publisher *publisher,
		    struct mailbox *mailbox);
void api_free(struct api *api);

/* Answer /api/v1/ports and /api/v1/connections. `arg` is a struct api. */
void api_ports(void *arg, const struct httpd_request *request, struct httpd_answer *answer);
void api_connections(void *arg, const struct httpd_request *request, struct httpd_answer *answer);
