/*
 * routes: which path answers what.
 *
 * One table: the metrics, the HTML page and its files, health, the API. Knows the formats
 * of pages and how a client chooses one; must not know libmicrohttpd, nor how a page is
 * made.
 */
#pragma once

#include "tcphealth/app/api.h"
#include "tcphealth/app/options.h"
#include "tcphealth/app/publisher.h"
#include "tcphealth/render/html.h"
#include "tcphealth/render/pageslot.h"
#include "tcphealth/web/httpd.h"

#define ROUTES_COUNT (6 + HTML_ASSETS)

/* Must not move once it is filled: the table points to it. */
struct routes {
	struct httpd_route table[ROUTES_COUNT];
	struct pageslot *pages;
	struct publisher *publisher;
};

/* Fills the table. Everything is borrowed for the life of the table. */
void routes_init(struct routes *routes, const struct options *options, struct pageslot *pages,
		 struct publisher *publisher, struct api *api);
