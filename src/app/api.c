/*
 * api: who may ask for connections, how often, and the answers as JSON.
 */
#include "tcphealth/app/api.h"

#include "tcphealth/app/connections.h"
#include "tcphealth/base/clock.h"
#include "tcphealth/render/json.h"
#include "tcphealth/render/ports-json.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define ASK_WAIT_MS       2000u
#define HOLDERS_BUDGET_MS 700u /* the program's end may wait for it */
#define ASK_PAUSE_MS      1000u
#define PORTS_LIMIT       1024u
#define JSON_TYPE         "application/json; charset=utf-8"

struct api {
	const struct options *options;
	struct publisher *publisher;
	struct mailbox *mailbox;
	/* Held while a query is answered. */
	pthread_mutex_t slow_lane;
	/* Under slow_lane: when the last query was taken; 0: never. */
	uint64_t asked_ms;
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

/* False if the query is not valid; then the answer says why. */
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
	int err = mailbox_ask(api->mailbox, question, ASK_WAIT_MS, &result);

	if (err == -ETIMEDOUT || err == -EBUSY) {
		refuse_later(answer, 503, "a sample is in progress, ask again");
		return;
	}
	if (err == -ESRCH) {
		refuse(answer, 404, "netns: none of that name is sampled (--collector.netns)");
		return;
	}
	if (err < 0) {
		refuse_later(answer, 503, strerror(-err));
		return;
	}
	if (question->holders)
		err = connections_find_holders(&result, api->options->path_procfs,
					       api->options->path_cgroupfs, HOLDERS_BUDGET_MS,
					       &holders);
	if (err < 0)
		refuse(answer, 500, strerror(-err));
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
		refuse_later(answer, 429, "another query is being answered");
		return;
	}
	/* With the lock held, so that it is not earlier than asked_ms. */
	now_ms = clock_mono_ms();
	if (api->asked_ms != 0 && now_ms - api->asked_ms < ASK_PAUSE_MS) {
		refuse_later(answer, 429, "only one query a second is answered");
	} else {
		api->asked_ms = now_ms;
		find_connections(api, &question, answer);
	}
	pthread_mutex_unlock(&api->slow_lane);
}

static bool has_state(const struct snapshot_pair *pair, uint32_t states)
{
	for (unsigned int state = 1; state < TCP_STATE_COUNT; state++) {
		if (states & TCP_STATE_BIT(state) && pair->view.state[state] != 0)
			return true;
	}
	return false;
}

static bool has_unit(const struct snapshot_ns *ns, const struct snapshot_pair *pair,
		     const char *name)
{
	for (size_t i = 0; i < ns->unit_count; i++) {
		if (ns->units[i].port == pair->port && ns->units[i].role == pair->role &&
		    strcmp(ns->units[i].unit, name) == 0)
			return true;
	}
	return false;
}

static bool wants(const struct connections_query *question, const struct snapshot_ns *ns,
		  const struct snapshot_pair *pair)
{
	bool stale = false;

	if (question->has_role && pair->role != question->role)
		return false;
	if (question->has_port && pair->port != question->port)
		return false;
	if (question->has_state && !has_state(pair, question->states))
		return false;
	if (!connections_want_netns(question, ns->name != NULL ? ns->name : ""))
		return false;
	if (question->has_unit && !has_unit(ns, pair, question->unit))
		return false;
	if (question->has_keepalive && pair->view.keepalive[question->keepalive] == 0)
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
			if (wants(question, ns, &ns->pairs[i]) && matched++ < question->limit)
				ports_json_pair(&j, ns, &ns->pairs[i]);
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
	if (!request->arg(request, "limit"))
		question.limit = PORTS_LIMIT;
	snapshot = publisher_snapshot(api->publisher, &health);
	if (!snapshot) {
		refuse_later(answer, 503, "no sample has been taken yet");
		return;
	}
	render_ports(snapshot, &question, &answer->text);
	snapshot_unref(snapshot);
}

struct api *api_new(const struct options *options, struct publisher *publisher,
		    struct mailbox *mailbox)
{
	struct api *api = calloc(1, sizeof(*api));

	if (!api)
		return NULL;
	api->options = options;
	api->publisher = publisher;
	api->mailbox = mailbox;
	pthread_mutex_init(&api->slow_lane, NULL);
	return api;
}

void api_free(struct api *api)
{
	if (!api)
		return;
	pthread_mutex_destroy(&api->slow_lane);
	free(api);
}
