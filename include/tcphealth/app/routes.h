/*
 * routes: what is served at which path.
 *
 * One table: metrics, the page for people and its files, health, the API. Knows pages, their formats and how a client chooses
 * among them; must not know libmicrohttpd, nor how a page came to be.
 */
#ifndef TCPHEALTH_APP_ROUTES_H
#define TCPHEALTH_APP_ROUTES_H

#include "tcphealth/app/api.h"
#include "tcphealth/app/collector.h"
#include "tcphealth/app/options.h"
#include "tcphealth/render/html.h"
#include "tcphealth/render/page.h"
#include "tcphealth/web/httpd.h"

#include <stddef.h>

#define ROUTES_COUNT (6 + HTML_ASSETS)

/* Does not move once it is filled: the table points into it. */
struct routes {
	struct httpd_route table[ROUTES_COUNT];
	struct pageslot *pages;
	struct collector *collector;
};

/* Borrows everything, as long as the table is used. */
void routes_init(struct routes *routes, const struct options *options, struct pageslot *pages,
		 struct collector *collector, struct api *api);

#endif
