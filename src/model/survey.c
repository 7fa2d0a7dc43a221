/*
 * survey: from live tables to one immutable snapshot. Knows no kernel and no text.
 */
#include "tcphealth/model/survey.h"

#include "tcphealth/base/escape.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NS_MAX   256u
#define TEXT_MAX 256u /* bytes of a name, with the NUL */

/* A name as a label shows it: two that look the same there must be the same here. */
static char *copy_text(struct snapshot *snapshot, const char *text)
{
	char clean[TEXT_MAX];
	size_t size = escape_clean(clean, sizeof(clean), text, strlen(text)) + 1;
	char *copy = snapshot_alloc(snapshot, size, 1);

	if (copy != NULL)
		memcpy(copy, clean, size);
	return copy;
}

static int compare_pairs(const void *a, const void *b)
{
	const struct snapshot_pair *x = a, *y = b;
	/* Port 0 is `unknown`: behind the numbers, before `other`. */
	uint32_t x_port = x->port - 1, y_port = y->port - 1;

	if (x->port == LEDGER_PORT_UNKNOWN || x->port == LEDGER_PORT_OTHER)
		x_port = x->port == LEDGER_PORT_UNKNOWN ? UINT32_MAX - 1 : UINT32_MAX;
	if (y->port == LEDGER_PORT_UNKNOWN || y->port == LEDGER_PORT_OTHER)
		y_port = y->port == LEDGER_PORT_UNKNOWN ? UINT32_MAX - 1 : UINT32_MAX;
	if (x->role != y->role)
		return x->role < y->role ? -1 : 1;
	return (x_port > y_port) - (x_port < y_port);
}

static void fill_pair(struct snapshot_pair *to, struct ledger *ledger,
		      const struct ledger_pair *pair)
{
	const struct portview *view = ledger_pair_view(ledger, pair);

	to->port = pair->port;
	to->role = (enum role)pair->role;
	if (view != NULL)
		to->view = *view;
	memcpy(to->counter, pair->counter, sizeof(to->counter));
}

static size_t count_published(const struct ledger_pair *pairs, size_t n)
{
	size_t count = 0;

	for (size_t i = 0; i < n; i++)
		count += pairs[i].published;
	return count;
}

/* `other` appears with its first port, and stays, as its counters must not vanish. */
static int fill_pairs(struct snapshot *snapshot, struct snapshot_ns *to, struct ledger *ledger)
{
	size_t n, used = 0;
	const struct ledger_pair *pairs = ledger_pairs(ledger, &n);
	struct snapshot_pair other[ROLE_COUNT] = {
		[ROLE_SERVER] = { .port = LEDGER_PORT_OTHER, .role = ROLE_SERVER },
		[ROLE_CLIENT] = { .port = LEDGER_PORT_OTHER, .role = ROLE_CLIENT },
	};

	to->pairs = snapshot_alloc(snapshot, count_published(pairs, n) + ROLE_COUNT,
				   sizeof(*to->pairs));
	if (to->pairs == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const struct portview *view = ledger_pair_view(ledger, &pairs[i]);

		if (pairs[i].published) {
			fill_pair(&to->pairs[used++], ledger, &pairs[i]);
		} else if (view != NULL || pairs[i].pinned) {
			if (view != NULL)
				portview_merge(&other[pairs[i].role].view, view);
			to->folded[pairs[i].role]++;
		}
	}
	for (int role = 0; role < ROLE_COUNT; role++) {
		const uint64_t *counters = ledger_other(ledger, (enum role)role);

		if (counters == NULL)
			continue;
		memcpy(other[role].counter, counters, sizeof(other[role].counter));
		to->pairs[used++] = other[role];
	}
	to->pair_count = used;
	qsort(to->pairs, used, sizeof(*to->pairs), compare_pairs);
	return 0;
}

static bool has_series(struct ledger *ledger, uint16_t port)
{
	const struct ledger_pair *pair = ledger_pair(ledger, ROLE_SERVER, port);

	return pair != NULL && pair->published;
}

static void fold_listener(struct listener_port *into, const struct listener_port *row)
{
	into->sockets += row->sockets;
	into->queue_length += row->queue_length;
	into->queue_limit += row->queue_limit;
	into->backlog_known |= row->backlog_known;
	if (row->saturation > into->saturation)
		into->saturation = row->saturation;
}

/* A port's listeners have series while its server pair has. */
static int fill_listeners(struct snapshot *snapshot, struct snapshot_ns *to, struct census *census)
{
	size_t n, used = 0;
	const struct listener_port *rows = listeners_ports(census_listeners(census), &n);
	struct snapshot_listener other = { .port = LEDGER_PORT_OTHER };
	bool folded = false;

	to->listeners = snapshot_alloc(snapshot, n + 1, sizeof(*to->listeners));
	if (to->listeners == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		if (!rows[i].kept)
			continue;
		if (has_series(census_ledger(census), rows[i].port)) {
			to->listeners[used++] = (struct snapshot_listener){ rows[i].port, rows[i] };
		} else {
			fold_listener(&other.row, &rows[i]);
			folded = true;
		}
	}
	if (folded)
		to->listeners[used++] = other;
	to->listener_count = used;
	return 0;
}

static uint32_t shown_port(struct ledger *ledger, enum role role, uint16_t port)
{
	const struct ledger_pair *pair = ledger_pair(ledger, role, port);

	return pair != NULL && pair->published ? port : LEDGER_PORT_OTHER;
}

static bool same_unit(const struct snapshot_unit *a, const struct snapshot_unit *b)
{
	return a->port == b->port && a->role == b->role && a->reason == b->reason &&
	       strcmp(a->unit, b->unit) == 0;
}

static void add_unit(struct snapshot_unit *into, const struct snapshot_unit *from)
{
	if (into->peer_port == 0 || from->all.oldest_ms > into->all.oldest_ms) {
		into->peer = from->peer;
		into->peer_port = from->peer_port;
	}
	stale_group_add(&into->all, &from->all);
	for (int i = 0; i < STALE_FORMS; i++)
		stale_group_add(&into->form[i], &from->form[i]);
}

/* Several cgroups may have the same name, and several ports are `other`: each is one series. */
static void merge_unit(struct snapshot_ns *to, const struct snapshot_unit *unit)
{
	for (size_t i = 0; i < to->unit_count; i++) {
		struct snapshot_unit *u = &to->units[i];

		if (!same_unit(u, unit))
			continue;
		add_unit(u, unit);
		return;
	}
	to->units[to->unit_count++] = *unit;
}

static int compare_units(const void *a, const void *b)
{
	const struct snapshot_unit *x = a, *y = b;

	if (x->role != y->role)
		return x->role < y->role ? -1 : 1;
	if (x->port != y->port)
		return x->port < y->port ? -1 : 1;
	if (x->reason != y->reason)
		return x->reason < y->reason ? -1 : 1;
	return strcmp(x->unit, y->unit);
}

static int fill_unit(struct snapshot *snapshot, struct snapshot_ns *to, const struct survey *survey,
		     struct census *census, const struct tally_cgroup *cgroup)
{
	struct snapshot_unit unit = {
		.port = shown_port(census_ledger(census), (enum role)cgroup->role, cgroup->port),
		.role = (enum role)cgroup->role,
		.reason = (enum stale_reason)cgroup->reason,
		.all = stale_group_all(cgroup->form),
		.peer = cgroup->peer,
		.peer_port = cgroup->peer_port,
	};

	memcpy(unit.form, cgroup->form, sizeof(unit.form));
	if (unit.all.sockets == 0)
		return 0;
	unit.unit =
		copy_text(snapshot, units_name(survey->units, cgroup->cgroup_id, survey->now_ms));
	if (unit.unit == NULL)
		return -ENOMEM;
	merge_unit(to, &unit);
	return 0;
}

static int fill_units(struct snapshot *snapshot, struct snapshot_ns *to,
		      const struct survey *survey, struct census *census)
{
	const struct tally_cgroup *cgroups[TIERS];
	size_t count[TIERS], all = 0;
	int r = 0;

	for (int i = 0; i < TIERS; i++) {
		cgroups[i] = census_cgroups(census, (enum tier)i, &count[i]);
		all += count[i];
	}
	to->units = snapshot_alloc(snapshot, all, sizeof(*to->units));
	if (to->units == NULL)
		return -ENOMEM;
	for (int i = 0; i < TIERS; i++) {
		for (size_t k = 0; k < count[i] && r == 0; k++)
			r = fill_unit(snapshot, to, survey, census, &cgroups[i][k]);
	}
	qsort(to->units, to->unit_count, sizeof(*to->units), compare_units);
	return r;
}

static int compare_listener_units(const void *a, const void *b)
{
	const struct snapshot_listener_unit *x = a, *y = b;

	if (x->port != y->port)
		return x->port < y->port ? -1 : 1;
	return strcmp(x->unit, y->unit);
}

/* Each port and unit once, however many listeners share them. */
static void drop_equal_units(struct snapshot_ns *to)
{
	size_t kept = 0;

	qsort(to->listener_units, to->listener_unit_count, sizeof(*to->listener_units),
	      compare_listener_units);
	for (size_t i = 0; i < to->listener_unit_count; i++) {
		if (kept != 0 && compare_listener_units(&to->listener_units[kept - 1],
							&to->listener_units[i]) == 0)
			continue;
		to->listener_units[kept++] = to->listener_units[i];
	}
	to->listener_unit_count = kept;
}

static int fill_listener_units(struct snapshot *snapshot, struct snapshot_ns *to,
			       const struct survey *survey, struct census *census)
{
	size_t n;
	const struct listener *sockets = listeners_all(census_listeners(census), &n);

	to->listener_units = snapshot_alloc(snapshot, n, sizeof(*to->listener_units));
	if (to->listener_units == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct snapshot_listener_unit *unit = &to->listener_units[to->listener_unit_count];

		if (!sockets[i].alive || sockets[i].cgroup_id == 0)
			continue;
		unit->port = shown_port(census_ledger(census), ROLE_SERVER, sockets[i].port);
		unit->unit = copy_text(
			snapshot, units_name(survey->units, sockets[i].cgroup_id, survey->now_ms));
		if (unit->unit == NULL)
			return -ENOMEM;
		to->listener_unit_count++;
	}
	drop_equal_units(to);
	return 0;
}

static int fill_ns(struct snapshot *snapshot, struct snapshot_ns *to, const struct survey *survey,
		   const struct survey_ns *from)
{
	int r;

	if (from->name != NULL) {
		to->name = copy_text(snapshot, from->name);
		if (to->name == NULL)
			return -ENOMEM;
	}
	to->can = from->can & survey->ns[0].can;
	to->timestamp = from->timestamp;
	to->netstat = *from->netstat;
	to->sysctl = *from->sysctl;
	for (int i = 0; i < ROLE_EVIDENCE_COUNT; i++)
		to->evidence[i] = census_evidence(from->census, (enum role_evidence)i);
	snapshot->sockets += census_sockets(from->census);
	r = fill_pairs(snapshot, to, census_ledger(from->census));
	if (r == 0)
		r = fill_listeners(snapshot, to, from->census);
	if (r == 0)
		r = fill_units(snapshot, to, survey, from->census);
	if (r == 0)
		r = fill_listener_units(snapshot, to, survey, from->census);
	return r;
}

static int arbitrate(const struct survey *survey)
{
	struct ledger *ledgers[NS_MAX];

	if (survey->ns_count > NS_MAX)
		return -EINVAL;
	for (size_t i = 0; i < survey->ns_count; i++)
		ledgers[i] = census_ledger(survey->ns[i].census);
	return ledger_arbitrate(ledgers, survey->ns_count, survey->ports_max, survey->now_ms,
				survey->keep_ms, survey->served_ms);
}

int survey_take(const struct survey *survey, struct snapshot **ret_snapshot)
{
	struct snapshot *snapshot;
	int r = arbitrate(survey);

	if (r < 0)
		return r;
	snapshot = snapshot_new(survey->ns_count);
	if (snapshot == NULL)
		return -ENOMEM;
	snapshot->now_ms = survey->now_ms;
	snapshot->timestamp = survey->timestamp;
	snapshot->states_timestamp = survey->states_timestamp;
	snapshot->thresholds = *survey->thresholds;
	for (size_t i = 0; i < survey->ns_count && r == 0; i++)
		r = fill_ns(snapshot, &snapshot->ns[i], survey, &survey->ns[i]);
	if (r < 0) {
		snapshot_unref(snapshot);
		return r;
	}
	*ret_snapshot = snapshot;
	return 0;
}
