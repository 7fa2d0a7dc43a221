/*
 * html: the markup of the page. Judges nothing itself (html-rows.c) and words nothing (words.c).
 */
#include "tcphealth/render/html.h"

#include "html-internal.h"

#include "tcphealth/base/escape.h"

#include <string.h>
#include <time.h>

struct html {
	const struct html_input *input;
	const struct html_rows *rows;
	struct buf *out;
	struct buf words; /* plain text, not escaped yet */
};

/* -- text -------------------------------------------------------------------------------------- */

#define NBSP "\xc2\xa0"

static const char *const entities[128] = {
	['&'] = "&amp;", ['<'] = "&lt;", ['>'] = "&gt;", ['"'] = "&quot;", ['\''] = "&#39;",
};

static const struct escape escape = { .ascii = entities };

static void put_escaped(struct buf *out, const char *text, size_t len)
{
	const char *end = text + len;
	struct escape_piece piece;

	while (escape_next(&escape, &text, end, &piece))
		buf_put(out, piece.text, piece.len);
}

static void put_text(struct html *html, const char *text)
{
	put_escaped(html->out, text, strlen(text));
}

static void put_raw(struct html *html, const char *markup)
{
	buf_puts(html->out, markup);
}

/* Writes what `put` says between two pieces of markup; nothing if it says nothing. */
static void put_words(struct html *html, const char *before,
		      void (*put)(struct buf *buf, const struct finding *finding),
		      const struct finding *finding, const char *after)
{
	buf_reset(&html->words);
	put(&html->words, finding);
	if (html->words.err != 0 && html->out->err == 0)
		html->out->err = html->words.err;
	if (html->words.err != 0 || html->words.len == 0)
		return;
	put_raw(html, before);
	put_escaped(html->out, html->words.data, html->words.len);
	put_raw(html, after);
}

/* Characters that a query needs not escape. */
#define PLAIN "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~"

/* -- cells ------------------------------------------------------------------------------------- */

/* The script sorts by `n`. */
static void open_cell(struct html *html, const char *class, uint64_t n)
{
	buf_printf(html->out, "<td class=\"%s\" data-n=\"%llu\">", class, (unsigned long long)n);
}

static void close_cell(struct html *html)
{
	put_raw(html, "</td>\n");
}

static void put_port_name(struct html *html, uint32_t port)
{
	const char *name = ledger_port_name(port);

	if (name != NULL)
		put_raw(html, name);
	else
		buf_put_u64(html->out, port);
}

/* A query names one port. */
static bool has_link(const struct html *html, const struct html_row *row)
{
	return html->input->connections && ledger_port_name(row->pair->port) == NULL;
}

/* As a value in a query. */
static void put_value(struct html *html, const char *text)
{
	for (; *text != '\0'; text++) {
		if (strchr(PLAIN, *text) != NULL)
			buf_putc(html->out, *text);
		else
			buf_printf(html->out, "%%%02X", (unsigned char)*text);
	}
}

/* Of two namespaces or more, which one. */
static void put_netns(struct html *html, const struct html_row *row)
{
	if (html->input->snapshot->ns_count < 2)
		return;
	put_raw(html, "&amp;netns=");
	if (row->ns->name != NULL)
		put_value(html, row->ns->name);
}

static void open_link(struct html *html, const struct html_row *row, const char *reason)
{
	buf_printf(html->out, "<a href=\"./api/v1/connections?port=%lu&amp;role=%s",
		   (unsigned long)row->pair->port, role_name(row->pair->role));
	put_netns(html, row);
	if (reason != NULL)
		buf_printf(html->out, "&amp;reason=%s", reason);
	put_raw(html, "\">");
}

static void put_port(struct html *html, const struct html_row *row)
{
	buf_printf(html->out, "<th scope=\"row\" class=\"port\" data-n=\"%lu\">",
		   (unsigned long)row->pair->port);
	if (has_link(html, row))
		open_link(html, row, NULL);
	put_port_name(html, row->pair->port);
	if (has_link(html, row))
		put_raw(html, "</a>");
	put_raw(html, "</th>\n");
}

#define UNITS_SHOWN 2

static void put_role(struct html *html, const struct html_row *row)
{
	size_t shown = 0;

	put_raw(html, "<td class=\"role\">");
	put_raw(html, role_name(row->pair->role));
	if (row->ns->name != NULL) {
		put_raw(html, " <span class=\"netns\">in ");
		put_text(html, row->ns->name);
		put_raw(html, "</span>");
	}
	for (size_t i = 0; row->pair->role == ROLE_SERVER && i < row->ns->listener_unit_count;
	     i++) {
		const struct snapshot_listener_unit *unit = &row->ns->listener_units[i];

		if (unit->port != row->pair->port || unit->port == LEDGER_PORT_OTHER ||
		    unit->unit[0] == '\0' || shown++ >= UNITS_SHOWN)
			continue;
		put_raw(html, " <span class=\"unit\">");
		put_text(html, unit->unit);
		put_raw(html, "</span>");
	}
	if (shown > UNITS_SHOWN)
		buf_printf(html->out, " <span class=\"unit\">and %zu more</span>",
			   shown - UNITS_SHOWN);
	close_cell(html);
}

static void put_finding(struct html *html, const struct html_row *row,
			const struct finding *finding, bool lost_listener)
{
	enum finding_level level = words_level(finding);

	buf_printf(html->out, "<p class=\"said\"><span class=\"tag %s\">%s</span> ",
		   words_level_name(level), words_level_name(level));
	put_words(html, "", words_put_verdict, finding, "");
	if (lost_listener && row->stale > 0)
		put_raw(html, "; nobody listens on this port any more");
	put_raw(html, "</p>\n");
	put_words(html, "<p class=\"next\">", words_put_next, finding, "</p>\n");
	put_words(html, "<p class=\"run\"><code>", words_put_look, finding, "</code></p>\n");
	put_words(html, "<p class=\"run\"><code>", words_put_restart, finding, "</code></p>\n");
}

/* The worst finding is shown; the others unfold. */
static void put_verdict(struct html *html, const struct html_row *row)
{
	struct finding findings[HTML_FINDINGS_MAX];
	size_t n = html_row_findings(row, findings);

	open_cell(html, "verdict", html->rows->count - (size_t)(row - html->rows->rows));
	put_finding(html, row, &findings[0], html_row_lost_listener(row));
	if (n > 1) {
		put_raw(html, "<details><summary>and ");
		words_put_count(html->out, n - 1, "more finding");
		put_raw(html, "</summary>\n");
		for (size_t i = 1; i < n; i++)
			put_finding(html, row, &findings[i], false);
		put_raw(html, "</details>\n");
	}
	close_cell(html);
}

static void put_stale(struct html *html, const struct html_row *row)
{
	const uint32_t *stale = row->pair->view.stale;
	const char *separator = "";

	open_cell(html, "stale", row->stale);
	for (unsigned int reason = STALE_NONE + 1; reason < STALE_REASONS; reason++) {
		const char *name = stale_reason_name(reason);

		if (stale[reason] == 0)
			continue;
		put_raw(html, separator);
		if (has_link(html, row))
			open_link(html, row, name);
		buf_printf(html->out, "%lu" NBSP "%s", (unsigned long)stale[reason], name);
		if (has_link(html, row))
			put_raw(html, "</a>");
		separator = ", ";
	}
	close_cell(html);
}

static void put_oldest(struct html *html, const struct html_row *row)
{
	open_cell(html, "oldest", row->oldest_ms);
	if (row->oldest_ms > 0)
		words_put_age(html->out, row->oldest_ms);
	close_cell(html);
}

static void put_established(struct html *html, const struct html_row *row)
{
	uint64_t n = row->pair->view.state[TCP_STATE_ESTABLISHED];

	open_cell(html, "est", n);
	buf_put_u64(html->out, n);
	close_cell(html);
}

/* One part of "4 close_wait, 1 closing"; nothing if `n` is 0. */
static void put_item(struct html *html, const char **separator, uint64_t n, const char *name)
{
	if (n == 0)
		return;
	buf_printf(html->out, "%s%llu" NBSP "%s", *separator, (unsigned long long)n, name);
	*separator = ", ";
}

static void put_other_states(struct html *html, const struct html_row *row)
{
	const uint32_t *state = row->pair->view.state;
	const char *separator = "";

	open_cell(html, "other", row->sockets - state[TCP_STATE_ESTABLISHED]);
	for (unsigned int i = 0; i < TCP_STATE_COUNT; i++)
		if (i != TCP_STATE_ESTABLISHED)
			put_item(html, &separator, state[i], tcp_state_name(i));
	close_cell(html);
}

/*
 * How many connections would notice that their peer has vanished, and how long that takes at
 * worst.
 */
static void put_keepalive(struct html *html, const struct html_row *row)
{
	const struct portview *view = &row->pair->view;
	uint64_t on = view->keepalive[KEEPALIVE_ON], unknown = view->keepalive[KEEPALIVE_UNKNOWN];
	uint64_t all = on + unknown + view->keepalive[KEEPALIVE_OFF];

	open_cell(html, "keepalive", view->keepalive[KEEPALIVE_OFF]);
	if (all > 0)
		buf_printf(html->out, "%llu of %llu", (unsigned long long)on,
			   (unsigned long long)all);
	if (on < all)
		put_raw(html, " would notice a dead peer");
	if (unknown > 0)
		buf_printf(html->out, ", %llu unknown", (unsigned long long)unknown);
	if (all > 0 && on == all && view->peak[TALLY_LOSS] > 0 &&
	    view->peak[TALLY_LOSS] != PORTVIEW_NEVER) {
		put_raw(html, " <span class=\"within\">within ");
		words_put_age(html->out, view->peak[TALLY_LOSS]);
		put_raw(html, "</span>");
	}
	close_cell(html);
}

static void put_queue(struct html *html, const struct html_row *row)
{
	const struct listener_port *queue = row->listener != NULL ? &row->listener->row : NULL;

	if (queue == NULL || queue->sockets == 0) {
		put_raw(html, "<td class=\"queue\">");
		put_raw(html, html_row_lost_listener(row) ? "nobody listens" : "");
		close_cell(html);
		return;
	}
	open_cell(html, "queue", queue->queue_length);
	buf_put_u64(html->out, queue->queue_length);
	if (queue->backlog_known)
		buf_printf(html->out, NBSP "of" NBSP "%llu",
			   (unsigned long long)queue->queue_limit);
	if (row->pair->counter[LEDGER_LISTEN_DROPS] > 0)
		buf_printf(html->out, ", %llu" NBSP "dropped",
			   (unsigned long long)row->pair->counter[LEDGER_LISTEN_DROPS]);
	close_cell(html);
}

static void put_failed(struct html *html, const struct html_row *row)
{
	const uint64_t *failed = &row->pair->counter[LEDGER_FAILED];
	const char *separator = "";
	uint64_t all = 0;

	for (unsigned int i = 0; i < CONNECTS_FAILURES; i++)
		all += failed[i];
	open_cell(html, "failed", all);
	for (unsigned int i = 0; i < CONNECTS_FAILURES; i++)
		put_item(html, &separator, failed[i], connects_failure_words(i));
	close_cell(html);
}

/* -- the table --------------------------------------------------------------------------------- */

struct column {
	const char *class;
	const char *title;
	void (*put)(struct html *html, const struct html_row *row);
};

static const struct column columns[] = {
	{ "port", "Port", put_port },
	{ "role", "Role", put_role },
	{ "verdict", "Verdict and what to do", put_verdict },
	{ "stale", "Stale", put_stale },
	{ "oldest", "Oldest", put_oldest },
	{ "est", "Established", put_established },
	{ "other", "Other states", put_other_states },
	{ "keepalive", "Keepalive", put_keepalive },
	{ "queue", "Listen queue", put_queue },
	{ "failed", "Failed connects", put_failed },
};
#define COLUMNS (sizeof(columns) / sizeof(columns[0]))

static void put_head(struct html *html)
{
	put_raw(html, "<thead>\n<tr>\n");
	for (size_t i = 0; i < COLUMNS; i++)
		buf_printf(html->out, "<th scope=\"col\" class=\"%s\">%s</th>\n", columns[i].class,
			   columns[i].title);
	put_raw(html, "</tr>\n</thead>\n");
}

/* By its key the script finds a row again in the next sample. */
static void put_row(struct html *html, const struct html_row *row)
{
	buf_printf(html->out, "<tr class=\"%s\" data-key=\"%s/", words_level_name(row->level),
		   role_name(row->pair->role));
	put_port_name(html, row->pair->port);
	if (row->ns->name != NULL) {
		put_raw(html, "/");
		put_text(html, row->ns->name);
	}
	put_raw(html, "\">\n");
	for (size_t i = 0; i < COLUMNS; i++)
		columns[i].put(html, row);
	put_raw(html, "</tr>\n");
}

static void put_controls(struct html *html)
{
	put_raw(html,
		"<div id=\"controls\" role=\"search\" hidden>\n"
		"<label for=\"filter\">Filter</label>\n"
		"<input id=\"filter\" type=\"search\" placeholder=\"port, unit, state, word\" "
		"autocomplete=\"off\" spellcheck=\"false\">\n"
		"<button id=\"pause\" type=\"button\" aria-pressed=\"false\">Pause</button>\n"
		"<p id=\"status\" role=\"status\"></p>\n"
		"</div>\n");
}

static void put_table(struct html *html)
{
	put_controls(html);
	put_raw(html, "<table id=\"ports\">\n<caption>TCP ports by role, worst first</caption>\n");
	put_head(html);
	put_raw(html, "<tbody>\n");
	for (size_t i = 0; i < html->rows->count; i++)
		put_row(html, &html->rows->rows[i]);
	put_raw(html, "</tbody>\n</table>\n");
}

/* -- around the table -------------------------------------------------------------------------- */

/* Every namespace that is wanted, and every reason. */
static bool sees_all(const struct html *html)
{
	const struct health *health = html->input->health;

	return !health->netns.partial && (!health->source || health->source->can & SOURCE_INFO);
}

static void put_headline(struct html *html)
{
	const struct html_rows *rows = html->rows;

	if (html->input->snapshot == NULL) {
		put_raw(html, "No sample yet");
		return;
	}
	if (rows->harmful > 0) {
		words_put_count(html->out, rows->harmful, "stale connection");
		put_raw(html, " on ");
		words_put_count(html->out, rows->harmful_ports, "port");
	} else {
		put_raw(html,
			rows->stale > 0 ? "Only idle connections are stale" : "Nothing is stale");
	}
	if (rows->harmful == 0 && !sees_all(html))
		put_raw(html, ", as far as is known");
	if (rows->full_queues > 0) {
		put_raw(html, ", ");
		words_put_count(html->out, rows->full_queues, "listen queue");
		put_raw(html, " full");
	}
}

static void put_time(struct html *html, double timestamp)
{
	time_t seconds = (time_t)timestamp;
	struct tm tm;
	char text[40];

	if (gmtime_r(&seconds, &tm) == NULL)
		return;
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	buf_printf(html->out, "<time datetime=\"%s\">", text);
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm);
	buf_printf(html->out, "%s</time>", text);
}

static void put_facts(struct html *html)
{
	const struct snapshot *snapshot = html->input->snapshot;
	const struct health *health = html->input->health;

	put_raw(html, "<ul id=\"facts\">\n");
	if (snapshot != NULL) {
		put_raw(html, "<li>Sampled ");
		put_time(html, snapshot->timestamp);
		put_raw(html, "</li>\n<li>");
		words_put_count(html->out, snapshot->sockets, "socket");
		buf_printf(html->out, " in %.1f ms</li>\n", health->duration_seconds * 1000);
	}
	if (health->source != NULL)
		buf_printf(html->out, "<li>Source: %s</li>\n", health->source->name);
	buf_printf(html->out, "<li>Destroy events: %s</li>\n<li>",
		   health->events_active ? "on" : "off");
	words_put_count(html->out, health->errors, "failed sample");
	put_raw(html, "</li>\n</ul>\n");
}

/* A line about what is missing from the page. */
static void put_notice(struct html *html, uint64_t n, const char *noun, const char *text)
{
	if (n == 0)
		return;
	put_raw(html, "<li>");
	words_put_count(html->out, n, noun);
	put_raw(html, text);
	put_raw(html, "</li>\n");
}

static void put_failure(struct html *html)
{
	const struct snapshot *snapshot = html->input->snapshot;

	if (html->input->health->success)
		return;
	if (snapshot == NULL) {
		if (html->input->health->errors > 0)
			put_raw(html, "<li>Sampling fails: see the exporter's log.</li>\n");
		return;
	}
	put_raw(html, "<li>The last sample failed: this page shows the last good one, of ");
	put_time(html, snapshot->timestamp);
	put_raw(html, ".</li>\n");
}

static void put_folded(struct html *html)
{
	const struct snapshot *snapshot = html->input->snapshot;
	uint64_t folded[ROLE_COUNT] = { 0 };

	for (size_t i = 0; snapshot != NULL && i < snapshot->ns_count; i++)
		for (unsigned int role = 0; role < ROLE_COUNT; role++)
			folded[role] += snapshot->ns[i].folded[role];
	put_notice(html, folded[ROLE_SERVER], "server port", " shown as other (--ports.max).");
	put_notice(html, folded[ROLE_CLIENT], "client port", " shown as other (--ports.max).");
}

static void put_notices(struct html *html)
{
	const struct health *health = html->input->health;

	put_raw(html, "<ul id=\"notices\">");
	put_failure(html);
	if (health->source != NULL && !(health->source->can & SOURCE_INFO))
		put_raw(html, "<li>Read from /proc: ages count from first sight, and some reasons "
			      "cannot be found.</li>\n");
	else if (!health->events_active)
		put_raw(html, "<li>No destroy events: failed connects, and connections that come "
			      "and go between two samples, are not counted.</li>\n");
	if (health->netns.partial)
		put_raw(html,
			"<li>Some network namespaces are missing: " WORDS_NETNS_MISSING ".</li>\n");
	put_notice(html, health->events_lost, "destroy event", " lost: counters are lower bounds.");
	put_notice(html, health->malformed, "malformed record", " skipped.");
	put_notice(html, health->forged, "forged message", " ignored.");
	put_folded(html);
	put_raw(html, "</ul>\n");
}

static void put_legend(struct html *html)
{
	const struct stale_thresholds *limits = &html->input->snapshot->thresholds;

	put_raw(html, "<details id=\"legend\">\n<summary>What counts as stale</summary>\n<dl>\n");
	for (unsigned int reason = STALE_NONE + 1; reason < STALE_REASONS; reason++) {
		const struct stale_rule *rule = stale_rule(reason);

		buf_printf(html->out, "<div><dt>%s</dt>\n<dd>", stale_reason_name(reason));
		put_text(html, rule->meaning);
		put_raw(html, rule->counts ? ": at least " : ": longer than ");
		if (rule->counts)
			words_put_count(html->out, limits->least[reason], rule->counts);
		else
			words_put_age(html->out, limits->least[reason]);
		put_raw(html, "</dd></div>\n");
	}
	put_raw(html,
		"</dl>\n<p>Server: this host accepted, and the port is local. Client: this host "
		"connected, and the port is remote. Ages are lower bounds. Failed connects and "
		"drops are counted since the exporter started.</p>\n</details>\n");
}

/* Relative, so the page works as well behind a reverse proxy that strips a prefix. */
static void put_link(struct html *html, const char *path, const char *text)
{
	put_raw(html, "<li><a href=\"./");
	put_text(html, path[0] == '/' ? path + 1 : path);
	put_raw(html, "\">");
	put_text(html, text);
	put_raw(html, "</a></li>\n");
}

static void put_footer(struct html *html)
{
	put_raw(html, "<footer>\n<nav aria-label=\"Endpoints\">\n<ul>\n");
	put_link(html, html->input->telemetry_path, "Metrics");
	put_link(html, "/-/healthy", "Healthy");
	put_link(html, "/-/ready", "Ready");
	if (html->input->connections)
		put_link(html, "/api/v1/ports", "Ports as JSON");
	put_raw(html, "</ul>\n</nav>\n<p>tcphealth_exporter ");
	put_text(html, html->input->version);
	put_raw(html, "</p>\n</footer>\n");
}

static void put_header(struct html *html)
{
	buf_printf(html->out, "<header>\n<h1 id=\"headline\" class=\"%s\" aria-live=\"polite\">",
		   words_level_name(html->rows->level));
	put_headline(html);
	put_raw(html, "</h1>\n");
	if (html->input->health != NULL) {
		put_facts(html);
		put_notices(html);
	} else {
		put_raw(html, "<ul id=\"facts\"></ul>\n<ul id=\"notices\"></ul>\n");
	}
	put_raw(html, "</header>\n");
}

static void put_document(struct html *html)
{
	put_raw(html, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
		      "<meta name=\"color-scheme\" content=\"light dark\">\n<title>");
	put_headline(html);
	put_raw(html, " - TCP health</title>\n"
		      "<link rel=\"icon\" type=\"image/svg+xml\" href=\"./icon.svg\">\n"
		      "<link rel=\"stylesheet\" href=\"./style.css\">\n"
		      "<script src=\"./script.js\" defer></script>\n</head>\n");
	buf_printf(html->out, "<body data-interval=\"%llu\">\n",
		   (unsigned long long)html->input->interval_ms);
	put_header(html);
	put_raw(html, "<main>\n");
	if (html->input->snapshot != NULL) {
		put_table(html);
		put_legend(html);
	}
	put_raw(html, "</main>\n");
	put_footer(html);
	put_raw(html, "</body>\n</html>\n");
}

void html_render(const struct html_input *input, struct buf *buf)
{
	struct html_rows rows = { 0 };
	struct html html = { .input = input, .rows = &rows, .out = buf };
	int r = input->snapshot != NULL ? html_rows_collect(input->snapshot, &rows) : 0;

	buf_init(&html.words, 0);
	if (r == 0)
		put_document(&html);
	if (r < 0 && buf->err == 0)
		buf->err = r;
	buf_done(&html.words);
	html_rows_done(&rows);
}
