/*
 * api: who may ask for connections, how often, and the answers as JSON.
 */
#include "tcphealth/app/api.h"

#include "tcphealth/app/connections.h"
#include "tcphealth/base/clock.h"
#include "tcphealth/render/json.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define ASK_WAIT_MS       2000u
#define HOLDERS_BUDGET_MS 700u /* the end of the program may wait for it */
#define ASK_PAUSE_MS      1000u
#define PORTS_LIMIT       1024u
#define JSON_TYPE         "application/json; charset=utf-8"

struct api {
	const struct options *options;
	struct collector *collector;
	pthread_mutex_t slow_lane; /* held while one question is answered */
	uint64_t asked_ms;         /* under slow_lane: when the last question was taken; 0: never */
};

static void refuse(struct httpd_answer *answer, unsigned int status, const char *why)
{
	struct json j;

	answer->status = status;
	buf_reset(&answer->text);
	json_init(&j, &answer->text);
	json_open(&j, NULL, '{');
	json_text(&j, "error", why);
	json_close(&j, '}');
	json_end(&j);
}

static void refuse_later(struct httpd_answer *answer, unsigned int status, const char *why)
{
	refuse(answer, status, why);
	answer->name = "Retry-After";
	answer->value = "1";
}

static bool may_ask(const struct api *api, const struct httpd_request *request)
{
	switch (api->options->connections) {
	case OPTIONS_CONNECTIONS_ALL:
		return true;
	case OPTIONS_CONNECTIONS_LOOPBACK:
		return request->local;
	case OPTIONS_CONNECTIONS_NONE:
		break;
	}
	return false;
}

static const char *query_arg(void *arg, const char *key)
{
	const struct httpd_request *const *request = arg;

	return (*request)->arg(*request, key);
}

/* False, and the answer says why, if the words of the query are off. */
static bool parse(const struct httpd_request *request, struct connections_query *ret_query,
		  struct httpd_answer *answer)
{
	struct buf why;
	bool ok;

	buf_init(&why, 1024);
	ok = connections_parse(query_arg, &request, ret_query, &why) == 0;
	buf_putc(&why, '\0');
	if (!ok)
		refuse(answer, 400, why.err == 0 ? why.data : "bad query");
	buf_done(&why);
	return ok;
}

static void find_connections(struct api *api, const struct connections_query *question,
			     struct httpd_answer *answer)
{
	struct connections_holders holders = { 0 };
	struct connections_result result;
	int r = collector_ask(api->collector, question, ASK_WAIT_MS, &result);

	if (r == -ETIMEDOUT || r == -EBUSY) {
		refuse_later(answer, 503, "a sample is under way, ask again");
		return;
	}
	if (r < 0) {
		refuse_later(answer, 503, strerror(-r));
		return;
	}
	if (question->holders)
		r = connections_find_holders(&result, api->options->path_procfs, HOLDERS_BUDGET_MS,
					     &holders);
	if (r < 0)
		refuse(answer, 500, strerror(-r));
	else
		connections_render_json(&result, question->holders ? &holders : NULL,
					&answer->text);
	connections_holders_done(&holders);
	connections_done(&result);
}

void api_connections(void *arg, const struct httpd_request *request, struct httpd_answer *answer)
{
	struct api *api = arg;
	struct connections_query question;
	uint64_t now_ms;

	answer->type = JSON_TYPE;
	if (!may_ask(api, request)) {
		refuse(answer, 403,
		       "connections are shown to clients on this host only (--web.connections)");
		return;
	}
	if (!parse(request, &question, answer))
		return;
	if (pthread_mutex_trylock(&api->slow_lane) != 0) {
		refuse_later(answer, 429, "another question is being answered");
		return;
	}
	now_ms = clock_mono_ms(); /* not before the lock: never earlier than asked_ms */
	if (api->asked_ms != 0 && now_ms - api->asked_ms < ASK_PAUSE_MS) {
		refuse_later(answer, 429, "one question a second");
	} else {
		api->asked_ms = now_ms;
		find_connections(api, &question, answer);
	}
	pthread_mutex_unlock(&api->slow_lane);
}

static void render_states(struct json *j, const struct portview *view)
{
	json_open(j, "connections", '{');
	for (unsigned int state = 1; state < TCP_STATE_COUNT; state++) {
		if (state != TCP_STATE_LISTEN)
			json_u64(j, tcp_state_name(state), view->state[state]);
	}
	json_close(j, '}');
}

static void render_stale(struct json *j, const struct portview *view, uint32_t can)
{
	json_open(j, "stale", '{');
	for (unsigned int reason = STALE_NONE + 1; reason < STALE_REASONS; reason++) {
		if ((stale_rule(reason)->needs & ~can) == 0)
			json_u64(j, stale_reason_name(reason), view->stale[reason]);
	}
	json_close(j, '}');
}

static void render_ages(struct json *j, const struct portview *view)
{
	json_open(j, "oldest_state_age_seconds", '{');
	for (unsigned int state = 1; state < TCP_STATE_COUNT; state++) {
		if (view->oldest_ms[state] != 0)
			json_u64(j, tcp_state_name(state), view->oldest_ms[state] / 1000);
	}
	json_close(j, '}');
}

static void render_keepalive(struct json *j, const struct portview *view)
{
	json_open(j, "keepalive", '{');
	json_u64(j, "on", view->keepalive[KEEPALIVE_ON]);
	json_u64(j, "off", view->keepalive[KEEPALIVE_OFF]);
	json_u64(j, "unknown", view->keepalive[KEEPALIVE_UNKNOWN]);
	json_close(j, '}');
	/* JSON has no infinity: null is never. */
	json_double(j, "peer_loss_detection_seconds",
		    view->peak[TALLY_LOSS] == PORTVIEW_NEVER
			    ? (double)INFINITY
			    : (double)view->peak[TALLY_LOSS] / 1e3);
	json_u64(j, "unanswered_keepalive_probes", view->sum[TALLY_PROBES]);
}

static void render_counters(struct json *j, const struct snapshot_pair *pair, uint32_t can)
{
	static const char *const names[LEDGER_COUNTERS] = {
		[LEDGER_RETRANSMITTED_SEGMENTS] = "retransmitted_segments_total",
		[LEDGER_SENT_SEGMENTS] = "sent_segments_total",
		[LEDGER_SENT_BYTES] = "sent_bytes_total",
		[LEDGER_RECEIVED_BYTES] = "received_bytes_total",
		[LEDGER_OPENED] = "opened_connections_total",
		[LEDGER_CLOSED] = "closed_connections_total",
		[LEDGER_FAILED_REFUSED] = "failed_connects_refused_total",
		[LEDGER_FAILED_TIMEOUT] = "failed_connects_timeout_total",
		[LEDGER_FAILED_OTHER] = "failed_connects_other_total",
	};

	if (!(can & SOURCE_INFO))
		return;
	for (int i = 0; i < LEDGER_COUNTERS; i++) {
		bool failed = i >= LEDGER_FAILED_REFUSED;

		if (!failed || (pair->role == ROLE_CLIENT && can & SOURCE_EVENTS))
			json_u64(j, names[i], pair->counter[i]);
	}
}

static void render_port(struct json *j, uint32_t port)
{
	if (port == LEDGER_PORT_UNKNOWN)
		json_text(j, "port", "unknown");
	else if (port == LEDGER_PORT_OTHER)
		json_text(j, "port", "other");
	else
		json_u64(j, "port", port);
}

static void render_units(struct json *j, const struct snapshot_ns *ns,
			 const struct snapshot_pair *pair)
{
	json_open(j, "stale_units", '[');
	for (size_t i = 0; i < ns->unit_count; i++) {
		const struct snapshot_unit *u = &ns->units[i];

		if (u->port != pair->port || u->role != pair->role)
			continue;
		json_open(j, NULL, '{');
		json_text(j, "unit", u->unit);
		json_text(j, "reason", stale_reason_name(u->reason));
		json_u64(j, "connections", u->sockets);
		json_u64(j, "oldest_seconds", u->oldest_ms / 1000);
		json_close(j, '}');
	}
	json_close(j, ']');
}

static void render_listeners(struct json *j, const struct snapshot_ns *ns,
			     const struct snapshot_pair *pair)
{
	for (size_t i = 0; i < ns->listener_count; i++) {
		const struct listener_port *row = &ns->listeners[i].row;

		if (ns->listeners[i].port != pair->port)
			continue;
		json_u64(j, "listeners", row->sockets);
		json_u64(j, "listen_queue_length", row->queue_length);
		if (ns->can & SOURCE_BACKLOG)
			json_u64(j, "listen_queue_limit", row->queue_limit);
		if (ns->can & SOURCE_DROPS && row->drops_known)
			json_u64(j, "listen_drops_total", row->drops_total);
	}
}

static void render_pair(struct json *j, const struct snapshot_ns *ns,
			const struct snapshot_pair *pair)
{
	json_open(j, NULL, '{');
	if (ns->name != NULL)
		json_text(j, "netns", ns->name);
	json_text(j, "role", role_name(pair->role));
	render_port(j, pair->port);
	render_states(j, &pair->view);
	render_stale(j, &pair->view, ns->can);
	render_units(j, ns, pair);
	render_ages(j, &pair->view);
	if (ns->can & SOURCE_INFO)
		json_u64(j, "longest_silence_seconds", pair->view.peak[TALLY_SILENCE] / 1000);
	render_keepalive(j, &pair->view);
	json_u64(j, "receive_queue_bytes", pair->view.sum[TALLY_RECEIVE_QUEUE]);
	json_u64(j, "send_queue_bytes", pair->view.sum[TALLY_SEND_QUEUE]);
	if (pair->role == ROLE_SERVER)
		render_listeners(j, ns, pair);
	render_counters(j, pair, ns->can);
	json_close(j, '}');
}

static bool has_state(const struct snapshot_pair *pair, uint32_t states)
{
	for (unsigned int state = 1; state < TCP_STATE_COUNT; state++) {
		if (states & TCP_STATE_BIT(state) && pair->view.state[state] != 0)
			return true;
	}
	return false;
}

static bool wants(const struct connections_query *question, const struct snapshot_pair *pair)
{
	bool stale = false;

	if (question->has_role && pair->role != question->role)
		return false;
	if (question->has_port && pair->port != question->port)
		return false;
	if (question->has_state && !has_state(pair, question->states))
		return false;
	for (int reason = 1; reason < STALE_REASONS; reason++)
		stale |= pair->view.stale[reason] != 0 &&
			 (!question->has_reason || question->reason == (enum stale_reason)reason);
	return stale || !(question->has_reason || question->stale_only);
}

static void render_ports(const struct snapshot *snapshot, const struct connections_query *question,
			 struct buf *buf)
{
	struct json j;
	size_t matched = 0;

	json_init(&j, buf);
	json_open(&j, NULL, '{');
	json_double(&j, "timestamp", snapshot->timestamp);
	json_open(&j, "ports", '[');
	for (size_t n = 0; n < snapshot->ns_count; n++) {
		const struct snapshot_ns *ns = &snapshot->ns[n];

		for (size_t i = 0; i < ns->pair_count; i++) {
			if (wants(question, &ns->pairs[i]) && matched++ < question->limit)
				render_pair(&j, ns, &ns->pairs[i]);
		}
	}
	json_close(&j, ']');
	json_u64(&j, "matched", matched);
	json_u64(&j, "limit", question->limit);
	json_bool(&j, "truncated", matched > question->limit);
	json_close(&j, '}');
	json_end(&j);
}

void api_ports(void *arg, const struct httpd_request *request, struct httpd_answer *answer)
{
	struct api *api = arg;
	struct connections_query question;
	struct snapshot *snapshot;
	struct health health;

	answer->type = JSON_TYPE;
	if (!parse(request, &question, answer))
		return;
	if (request->arg(request, "limit") == NULL)
		question.limit = PORTS_LIMIT;
	snapshot = collector_snapshot(api->collector, &health);
	if (snapshot == NULL) {
		refuse_later(answer, 503, "no sample has been taken yet");
		return;
	}
	render_ports(snapshot, &question, &answer->text);
	snapshot_unref(snapshot);
}

struct api *api_new(const struct options *options, struct collector *collector)
{
	struct api *api = calloc(1, sizeof(*api));

	if (api == NULL)
		return NULL;
	api->options = options;
	api->collector = collector;
	pthread_mutex_init(&api->slow_lane, NULL);
	return api;
}

void api_free(struct api *api)
{
	if (api == NULL)
		return;
	pthread_mutex_destroy(&api->slow_lane);
	free(api);
}
