/*
 * incidents: rows of a snapshot, matched with those of the snapshot before. Must not know the log.
 */
#include "tcphealth/model/incidents.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A row of the snapshot, without what is harmless. */
struct row {
	const char *netns;
	const struct snapshot_unit *unit;
	struct stale_group group;
};

static struct stale_group harm_of(const struct snapshot_unit *unit)
{
	const struct stale_rule *rule = stale_rule(unit->reason);
	struct stale_group group = { 0 };

	for (int i = 0; i < STALE_FORMS; i++) {
		if (!rule->form[i].harmless)
			stale_group_add(&group, &unit->form[i]);
	}
	return group;
}

static void keep_text(char text[INCIDENT_TEXT], const char *from)
{
	(void)snprintf(text, INCIDENT_TEXT, "%s", from);
}

static bool is_of(const struct incident *incident, const struct row *row, const char *unit)
{
	return incident->port == row->unit->port && incident->role == row->unit->role &&
	       incident->reason == row->unit->reason && strcmp(incident->unit, unit) == 0 &&
	       strcmp(incident->netns, row->netns) == 0;
}

static bool goes_on(const struct incident *incident, uint64_t now_ms)
{
	return incident->end_ms == 0 || now_ms - incident->end_ms < INCIDENTS_AGAIN_MS;
}

static struct incident *find(const struct incidents *incidents, const struct row *row,
			     uint64_t now_ms)
{
	for (size_t i = 0; i < incidents->count; i++) {
		struct incident *incident = &incidents->list[i];

		if (is_of(incident, row, row->unit->unit) && goes_on(incident, now_ms))
			return incident;
	}
	return NULL;
}

/* What was of an unknown unit until now, and of which nothing is left. */
static struct incident *find_nameless(const struct incidents *incidents, const struct row *row)
{
	for (size_t i = 0; i < incidents->count; i++) {
		struct incident *incident = &incidents->list[i];

		if (incident->end_ms == 0 && !incident->seen && is_of(incident, row, ""))
			return incident;
	}
	return NULL;
}

static void see(struct incident *incident, const struct row *row)
{
	incident->seen = true;
	if (incident->end_ms != 0) {
		incident->end_ms = 0;
		incident->again = true;
	}
	incident->sockets = row->group.sockets;
	if (incident->most < incident->sockets)
		incident->most = incident->sockets;
	incident->oldest_ms = row->group.oldest_ms;
	incident->peer = row->unit->peer;
	incident->peer_port = row->unit->peer_port;
}

static size_t count_open(const struct incidents *incidents)
{
	size_t open = 0;

	for (size_t i = 0; i < incidents->count; i++)
		open += incidents->list[i].end_ms == 0;
	return open;
}

static struct incident *add(struct incidents *incidents, const struct row *row, uint64_t now_ms)
{
	struct incident *list, new = {
		.port = row->unit->port,
		.role = row->unit->role,
		.reason = row->unit->reason,
		.begin_ms = now_ms,
	};

	if (count_open(incidents) >= INCIDENTS_OPEN_MAX)
		return NULL;
	list = reallocarray(incidents->list, incidents->count + 1, sizeof(*list));
	if (list == NULL)
		return NULL;
	incidents->list = list;
	keep_text(new.netns, row->netns);
	keep_text(new.unit, row->unit->unit);
	list[incidents->count] = new;
	return &list[incidents->count++];
}

static void see_again(struct incidents *incidents, const struct row *row, uint64_t now_ms)
{
	struct incident *incident = find(incidents, row, now_ms);

	if (incident != NULL)
		see(incident, row);
}

static void see_renamed(struct incidents *incidents, const struct row *row, uint64_t now_ms)
{
	struct incident *incident = NULL;

	if (find(incidents, row, now_ms) == NULL)
		incident = find_nameless(incidents, row);
	if (incident != NULL) {
		keep_text(incident->unit, row->unit->unit);
		see(incident, row);
	}
}

static void see_new(struct incidents *incidents, const struct row *row, uint64_t now_ms)
{
	struct incident *incident = NULL;

	if (find(incidents, row, now_ms) == NULL)
		incident = add(incidents, row, now_ms);
	if (incident != NULL)
		see(incident, row);
}

static void
for_each_row(struct incidents *incidents, const struct snapshot *snapshot, uint64_t now_ms,
	     void (*visit)(struct incidents *incidents, const struct row *row, uint64_t now_ms))
{
	for (size_t i = 0; i < snapshot->ns_count; i++) {
		const struct snapshot_ns *ns = &snapshot->ns[i];

		for (size_t j = 0; j < ns->unit_count; j++) {
			struct row row = { ns->name != NULL ? ns->name : "", &ns->units[j],
					   harm_of(&ns->units[j]) };

			if (row.group.sockets != 0)
				visit(incidents, &row, now_ms);
		}
	}
}

static bool ended_before(const struct incident *a, const struct incident *b)
{
	return a->end_ms != 0 && (b->end_ms == 0 || a->end_ms < b->end_ms);
}

/* Takes out what ended first, where too many have ended. */
static void forget(struct incidents *incidents)
{
	size_t ended = incidents->count - count_open(incidents);

	for (; ended > INCIDENTS_ENDED_MAX; ended--) {
		struct incident *first = incidents->list;

		for (size_t i = 1; i < incidents->count; i++) {
			if (ended_before(&incidents->list[i], first))
				first = &incidents->list[i];
		}
		incidents->count--;
		memmove(first, first + 1,
			(size_t)(&incidents->list[incidents->count] - first) * sizeof(*first));
	}
}

static void end_unseen(struct incidents *incidents, uint64_t now_ms)
{
	for (size_t i = 0; i < incidents->count; i++) {
		struct incident *incident = &incidents->list[i];

		if (!incident->seen && incident->end_ms == 0) {
			incident->end_ms = now_ms;
			incident->sockets = 0;
		}
	}
}

/* The known come first: a new unit takes over a nameless incident only where no nameless row is left. */
void incidents_update(struct incidents *incidents, const struct snapshot *snapshot, uint64_t now_ms)
{
	for (size_t i = 0; i < incidents->count; i++)
		incidents->list[i].seen = false;
	for_each_row(incidents, snapshot, now_ms, see_again);
	for_each_row(incidents, snapshot, now_ms, see_renamed);
	end_unseen(incidents, now_ms);
	for_each_row(incidents, snapshot, now_ms, see_new);
	forget(incidents);
}

void incidents_done(struct incidents *incidents)
{
	free(incidents->list);
	*incidents = (struct incidents){ 0 };
}
