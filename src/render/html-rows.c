/*
 * html-rows: what the page says of each pair, and which comes first. Must not know markup.
 */
#include "html-internal.h"

#include "tcphealth/base/portset.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define QUEUE_FILLING   0.5
#define LOCAL_PORTS_FEW 0.8

static bool is_port(uint32_t port)
{
	return ledger_port_name(port) == NULL;
}

/* Of the fullest listener; 0 if unknown. */
static double saturation_of(const struct html_row *row)
{
	const struct snapshot_listener *listener = row->listener;

	return listener != NULL && listener->row.backlog_known ? listener->row.saturation : 0;
}

/* The listener on this host that they were connected to is gone. */
static bool lost_its_server(const struct html_row *row)
{
	for (size_t i = 0; i < row->ns->listener_count; i++)
		if (row->ns->listeners[i].port == row->pair->port)
			return row->ns->listeners[i].row.sockets == 0;
	return false;
}

static bool is_troubled(const struct html_row *row)
{
	return row->pair->role == ROLE_CLIENT && is_port(row->pair->port) && lost_its_server(row);
}

/* -- findings ---------------------------------------------------------------------------------- */

struct findings {
	const struct html_row *row;
	struct finding *list;
	size_t count;
};

static struct finding *add(struct findings *to, unsigned int kind, uint64_t count)
{
	const struct snapshot_pair *pair = to->row->pair;
	struct finding *finding = &to->list[to->count++];

	*finding = (struct finding){
		.kind = kind,
		.role = pair->role,
		.port_known = is_port(pair->port),
		.port = is_port(pair->port) ? (uint16_t)pair->port : 0,
		.count = count,
		.netns = to->row->ns->name,
	};
	return finding;
}

static void add_unit(struct finding *finding, const char *unit)
{
	if (unit[0] == '\0')
		return;
	if (finding->units < FINDING_UNITS)
		finding->unit[finding->units] = unit;
	finding->units++;
}

static bool is_about(const struct snapshot_unit *unit, const struct snapshot_pair *pair,
		     unsigned int reason)
{
	return unit->port == pair->port && unit->role == pair->role && unit->reason == reason;
}

static void add_form(struct findings *to, unsigned int reason, unsigned int form, uint64_t count)
{
	const struct snapshot_ns *ns = to->row->ns;
	struct finding *finding = add(to, reason, count);

	finding->form = form;
	finding->troubled = is_troubled(to->row);
	for (size_t i = 0; i < ns->unit_count; i++) {
		const struct stale_group *group = &ns->units[i].form[form];

		if (!is_about(&ns->units[i], to->row->pair, reason) || group->sockets == 0)
			continue;
		add_unit(finding, ns->units[i].unit);
		if (group->oldest_ms > finding->age_ms)
			finding->age_ms = group->oldest_ms;
	}
}

/* One for each form that some connections have. Those that no unit's row counts are taken for the form that their role tells. */
static void add_stale(struct findings *to, unsigned int reason)
{
	const struct snapshot_pair *pair = to->row->pair;
	const struct snapshot_ns *ns = to->row->ns;
	uint64_t count[STALE_FORMS] = { 0 }, rest = pair->view.stale[reason];

	for (size_t i = 0; i < ns->unit_count && rest > 0; i++) {
		for (int form = 0; form < STALE_FORMS; form++) {
			if (!is_about(&ns->units[i], pair, reason))
				continue;
			count[form] += ns->units[i].form[form].sockets;
			rest -= ns->units[i].form[form].sockets;
		}
	}
	count[stale_form(reason, pair->role, NULL)] += rest;
	for (unsigned int form = 0; form < STALE_FORMS; form++) {
		if (count[form] > 0)
			add_form(to, reason, form, count[form]);
	}
}

/* The worst first. Of those that are as bad, what counts connections comes last if it is harmless, and else first, most of them first. */
static int compare_findings(const void *left, const void *right)
{
	const struct finding *a = left, *b = right;
	enum finding_level level = words_level(a);
	int order = (words_level(b) > level) - (words_level(b) < level);

	if (order == 0 && level == LEVEL_WATCH)
		order = (a->kind < STALE_REASONS) - (b->kind < STALE_REASONS);
	if (order == 0 && a->kind < STALE_REASONS && b->kind < STALE_REASONS)
		order = (b->count > a->count) - (b->count < a->count);
	if (order == 0)
		order = (a->kind > b->kind) - (a->kind < b->kind);
	return order != 0 ? order : (a->form > b->form) - (a->form < b->form);
}

static void add_listener_units(struct finding *finding, const struct html_row *row)
{
	for (size_t i = 0; i < row->ns->listener_unit_count; i++)
		if (row->ns->listener_units[i].port == row->pair->port)
			add_unit(finding, row->ns->listener_units[i].unit);
}

static void add_queue(struct findings *to)
{
	double ratio = saturation_of(to->row);
	struct finding *finding;

	if (ratio < QUEUE_FILLING)
		return;
	finding = add(to, ratio >= 1 ? FINDING_QUEUE_FULL : FINDING_QUEUE_FILLING,
		      to->row->listener->row.queue_length);
	finding->limit = to->row->listener->row.queue_limit;
	finding->ratio = ratio;
	add_listener_units(finding, to->row);
}

static void add_local_ports(struct findings *to)
{
	const struct snapshot_pair *pair = to->row->pair;

	if (pair->role == ROLE_CLIENT && pair->view.ephemeral_ratio >= LOCAL_PORTS_FEW)
		add(to, FINDING_LOCAL_PORTS, 1)->ratio = pair->view.ephemeral_ratio;
}

static void add_notes(struct findings *to)
{
	static const unsigned int kinds[CONNECTS_FAILURES] = {
		[CONNECTS_REFUSED] = FINDING_REFUSED,
		[CONNECTS_UNREACHABLE] = FINDING_UNREACHABLE,
		[CONNECTS_TIMEOUT] = FINDING_TIMED_OUT,
		[CONNECTS_NO_LOCAL_PORT] = FINDING_NO_LOCAL_PORT,
	};
	const uint64_t *counter = to->row->pair->counter;

	for (unsigned int i = 0; i < CONNECTS_FAILURES; i++) {
		if (kinds[i] != 0 && counter[LEDGER_FAILED + i] > 0)
			add(to, kinds[i], counter[LEDGER_FAILED + i]);
	}
	if (counter[LEDGER_LISTEN_DROPS] > 0)
		add(to, FINDING_DROPS, counter[LEDGER_LISTEN_DROPS]);
}

bool html_row_lost_listener(const struct html_row *row)
{
	return row->pair->role == ROLE_SERVER && is_port(row->pair->port) && row->sockets > 0 &&
	       (row->listener == NULL || row->listener->row.sockets == 0);
}

/* Of a row of which there is nothing else to say. */
static enum finding_kind quiet_kind(const struct html_row *row)
{
	if (row->sockets == 0)
		return FINDING_UNUSED;
	/* Where none was ever seen, a proxy may take what is meant for others. */
	if (html_row_lost_listener(row) && row->listener != NULL)
		return FINDING_NO_LISTENER;
	return (row->ns->can & SOURCE_INFO) ? FINDING_QUIET : FINDING_UNKNOWN;
}

size_t html_row_findings(const struct html_row *row, struct finding ret_findings[HTML_FINDINGS_MAX])
{
	struct findings findings = { .row = row, .list = ret_findings };

	for (unsigned int reason = STALE_NONE + 1; reason < STALE_REASONS; reason++)
		add_stale(&findings, reason);
	add_queue(&findings);
	add_local_ports(&findings);
	add_notes(&findings);
	if (findings.count == 0)
		add(&findings, quiet_kind(row), row->sockets);
	qsort(findings.list, findings.count, sizeof(*findings.list), compare_findings);
	return findings.count;
}

/* -- rows -------------------------------------------------------------------------------------- */

static void judge(struct html_row *row)
{
	struct finding findings[HTML_FINDINGS_MAX];
	size_t n = html_row_findings(row, findings);

	row->level = words_level(&findings[0]);
	for (size_t i = 0; i < n; i++) {
		if (findings[i].age_ms > row->oldest_ms)
			row->oldest_ms = findings[i].age_ms;
		if (words_level(&findings[i]) == LEVEL_STALE)
			row->harmful += findings[i].count;
	}
}

static void fill_row(struct html_row *row, const struct snapshot_ns *ns,
		     const struct snapshot_pair *pair)
{
	*row = (struct html_row){ .ns = ns, .pair = pair };
	row->listener = snapshot_listener_of(ns, pair);
	for (unsigned int i = 0; i < TCP_STATE_COUNT; i++)
		row->sockets += pair->view.state[i];
	for (unsigned int i = STALE_NONE + 1; i < STALE_REASONS; i++)
		row->stale += pair->view.stale[i];
	for (unsigned int i = 0; i < CONNECTS_FAILURES; i++) {
		if (connects_failure_alarms(i))
			row->failed += pair->counter[LEDGER_FAILED + i];
	}
	judge(row);
}

/* `unknown` and `other` always have series, but a row only if there is something to say. */
static bool is_worth_a_row(const struct html_row *row)
{
	return is_port(row->pair->port) || row->sockets > 0 || row->level > LEVEL_FINE;
}

static int compare_u64(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int compare_saturation(const struct html_row *a, const struct html_row *b)
{
	double x = saturation_of(a), y = saturation_of(b);

	return (x > y) - (x < y);
}

/* Negative: `a` is worse. The last comparisons keep the order the same in each sample. */
static int compare_rows(const void *left, const void *right)
{
	const struct html_row *a = left, *b = right;
	int order = (b->level > a->level) - (b->level < a->level);

	if (order == 0)
		order = compare_u64(b->harmful, a->harmful);
	if (order == 0)
		order = compare_u64(b->stale, a->stale);
	if (order == 0 && a->level >= LEVEL_WATCH)
		order = compare_saturation(b, a);
	if (order == 0)
		order = compare_u64(b->failed, a->failed);
	if (order == 0)
		order = compare_u64(b->sockets, a->sockets);
	if (order == 0)
		order = compare_u64(a->pair->port, b->pair->port);
	if (order == 0)
		order = (int)a->pair->role - (int)b->pair->role;
	return order != 0 ? order : (a->ns > b->ns) - (a->ns < b->ns);
}

/* A port counts once, though it may have a pair in each role. */
static size_t count_harmful_ports(const struct snapshot_ns *ns, const struct html_row *rows,
				  size_t count)
{
	struct portset seen = { { 0 } };
	size_t ports = 0;

	for (size_t i = 0; i < count; i++) {
		uint32_t port = rows[i].pair->port;

		if (rows[i].ns != ns || rows[i].harmful == 0)
			continue;
		if (is_port(port) && portset_has(&seen, (uint16_t)port))
			continue;
		if (is_port(port))
			portset_add(&seen, (uint16_t)port);
		ports++;
	}
	return ports;
}

static void sum_up(const struct snapshot *snapshot, struct html_rows *rows)
{
	for (size_t i = 0; i < rows->count; i++) {
		const struct html_row *row = &rows->rows[i];

		rows->stale += row->stale;
		rows->harmful += row->harmful;
		rows->full_queues += saturation_of(row) >= 1;
	}
	for (size_t i = 0; rows->harmful > 0 && i < snapshot->ns_count; i++)
		rows->harmful_ports +=
			count_harmful_ports(&snapshot->ns[i], rows->rows, rows->count);
	if (rows->count > 0)
		rows->level = rows->rows[0].level;
}

int html_rows_collect(const struct snapshot *snapshot, struct html_rows *ret_rows)
{
	size_t max = 0;

	*ret_rows = (struct html_rows){ 0 };
	for (size_t i = 0; i < snapshot->ns_count; i++)
		max += snapshot->ns[i].pair_count;
	if (max == 0)
		return 0;
	ret_rows->rows = calloc(max, sizeof(*ret_rows->rows));
	if (ret_rows->rows == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < snapshot->ns_count; i++) {
		for (size_t k = 0; k < snapshot->ns[i].pair_count; k++) {
			struct html_row *row = &ret_rows->rows[ret_rows->count];

			fill_row(row, &snapshot->ns[i], &snapshot->ns[i].pairs[k]);
			ret_rows->count += is_worth_a_row(row);
		}
	}
	qsort(ret_rows->rows, ret_rows->count, sizeof(*ret_rows->rows), compare_rows);
	sum_up(snapshot, ret_rows);
	return 0;
}

void html_rows_done(struct html_rows *rows)
{
	free(rows->rows);
	*rows = (struct html_rows){ 0 };
}
