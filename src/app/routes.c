/* routes: see the header. */
#include "tcphealth/app/routes.h"

#include "tcphealth/render/expo.h"
#include "tcphealth/web/accept.h"

#include <stdint.h>

#define GZIP_MIN 1024u /* bytes; less is not worth it */
#define HTML_POLICY                                                                                \
	"default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "                \
	"connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

static void release_page(void *page)
{
	page_unref(page);
}

/* Sends gzip if the client accepts it and the page is large enough. */
static void answer_page(const struct routes *routes, enum page_kind kind, const char *type,
			const struct httpd_request *request, struct httpd_answer *answer)
{
	struct page *page = pageslot_get(routes->pages, kind);
	const char *gzip = NULL;

	if (!page) {
		answer->status = 503;
		answer->name = "Retry-After";
		answer->value = "5";
		buf_puts(&answer->text, "No sample has been taken yet.\n");
		return;
	}
	if (kind != PAGE_HTML)
		pageslot_serve(routes->pages, page);
	answer->type = type;
	answer->negotiated = true;
	answer->bytes = (struct httpd_bytes){ page_data(page), page_len(page), release_page, page };
	if (answer->bytes.len > GZIP_MIN && accept_gzip(request->accept_encoding))
		gzip = page_gzip(page, &answer->bytes.len);
	if (gzip) {
		answer->bytes.data = gzip;
		answer->name = "Content-Encoding";
		answer->value = "gzip";
	}
}

static void answer_metrics(void *arg, const struct httpd_request *request,
			   struct httpd_answer *answer)
{
	static const struct accept_offer offers[EXPO_FORMATS] = {
		[EXPO_TEXT] = { "text", "plain", "0.0.4" },
		[EXPO_OPENMETRICS] = { "application", "openmetrics-text", "1.0.0" },
	};
	static const enum page_kind kinds[EXPO_FORMATS] = {
		[EXPO_TEXT] = PAGE_METRICS_TEXT,
		[EXPO_OPENMETRICS] = PAGE_METRICS_OPENMETRICS,
	};
	enum expo_format format =
		(enum expo_format)accept_best(request->accept, offers, EXPO_FORMATS);

	if (request->arg(request, "collect[]")) {
		answer->status = 400;
		buf_puts(&answer->text,
			 "collect[] is not supported: every scrape returns all metrics.\n");
		return;
	}
	answer_page(arg, kinds[format], expo_content_type(format), request, answer);
}

static void answer_home(void *arg, const struct httpd_request *request, struct httpd_answer *answer)
{
	answer->policy = HTML_POLICY;
	answer_page(arg, PAGE_HTML, "text/html; charset=utf-8", request, answer);
}

static void answer_healthy(void *arg, const struct httpd_request *request,
			   struct httpd_answer *answer)
{
	(void)arg;
	(void)request;
	buf_puts(&answer->text, "tcphealth_exporter is healthy.\n");
}

static void answer_ready(void *arg, const struct httpd_request *request,
			 struct httpd_answer *answer)
{
	const struct routes *routes = arg;

	(void)request;
	if (publisher_ready(routes->publisher, &answer->text))
		buf_puts(&answer->text, "tcphealth_exporter is ready.");
	else
		answer->status = 503;
	buf_putc(&answer->text, '\n');
}

static void answer_asset(void *arg, const struct httpd_request *request,
			 struct httpd_answer *answer)
{
	const struct html_asset *asset = arg;

	(void)request;
	answer->type = asset->content_type;
	answer->bytes.data = asset->data;
	answer->bytes.len = (size_t)(asset->end - asset->data);
}

void routes_init(struct routes *routes, const struct options *options, struct pageslot *pages,
		 struct publisher *publisher, struct api *api)
{
	*routes = (struct routes){
		.table = {
			/* After the assets: a row too many does not compile. */
			[HTML_ASSETS] = { options->telemetry_path, answer_metrics, routes, true },
			{ "/", answer_home, routes, true },
			{ "/-/healthy", answer_healthy, NULL, false },
			{ "/-/ready", answer_ready, routes, false },
			{ "/api/v1/ports", api_ports, api, true },
			{ "/api/v1/connections", api_connections, api, true },
		},
		.pages = pages,
		.publisher = publisher,
	};
	for (size_t i = 0; i < HTML_ASSETS; i++)
		routes->table[i] = (struct httpd_route){
			.path = html_assets[i].path,
			.fn = answer_asset,
			/* answer_asset() only reads it. */
			.arg = (void *)(uintptr_t)&html_assets[i],
		};
}
