/*
 * ports-json: the walk over the table of metrics for one pair. Must not know what a metric means.
 */
#include "tcphealth/render/ports-json.h"

#include "families-internal.h"

#include <stdio.h>
#include <string.h>

#define KEY_SIZE 64

static void put_units(struct json *json, const struct snapshot_ns *ns,
		      const struct snapshot_pair *pair)
{
	json_open(json, "stale_units", '[');
	for (size_t i = 0; i < ns->unit_count; i++) {
		const struct snapshot_unit *unit = &ns->units[i];

		if (unit->port != pair->port || unit->role != pair->role)
			continue;
		json_open(json, NULL, '{');
		json_text(json, "unit", unit->unit);
		json_text(json, "reason", stale_reason_name(unit->reason));
		json_u64(json, "connections", unit->all.sockets);
		json_u64(json, "oldest_seconds", unit->all.oldest_ms / 1000);
		json_close(json, '}');
	}
	json_close(json, ']');
}

/* Infinity becomes null: never. */
static void put_number(struct json *json, const char *key, const struct families_number *number)
{
	if (number->whole)
		json_u64(json, key, number->n);
	else
		json_double(json, key, number->x);
}

/* The key of a value: its name, or `pattern` with the name in place of the star. */
static const char *make_key(const char *pattern, const char *star, const char *name,
			    char dst[KEY_SIZE])
{
	if (star == NULL)
		return name;
	(void)snprintf(dst, KEY_SIZE, "%.*s%s%s", (int)(star - pattern), pattern, name, star + 1);
	return dst;
}

static void put_values(struct json *json, const struct families_row *row, const void *record,
		       const struct snapshot_ns *ns)
{
	const struct families_values *values = row->values;
	const char *star = strchr(row->json, '*');
	char key[KEY_SIZE];

	if (star == NULL)
		json_open(json, row->json, '{');
	for (size_t i = 0; i < values->count; i++) {
		unsigned int which = values->which[i];
		struct families_number number = families_read(row, record, which);

		if (!families_knows_value(ns, values, which) || (values->sparse && number.zero))
			continue;
		put_number(json, make_key(row->json, star, values->name(which), key), &number);
	}
	if (star == NULL)
		json_close(json, '}');
}

static void put_row(struct json *json, const struct families_row *row, const void *record,
		    const struct snapshot_ns *ns)
{
	struct families_number number;

	if (row->values != NULL) {
		put_values(json, row, record, ns);
		return;
	}
	number = families_read(row, record, 0);
	put_number(json, row->json, &number);
}

void ports_json_port(struct json *json, uint32_t port)
{
	const char *name = ledger_port_name(port);

	if (name != NULL)
		json_text(json, "port", name);
	else
		json_u64(json, "port", port);
}

void ports_json_pair(struct json *json, const struct snapshot_ns *ns,
		     const struct snapshot_pair *pair)
{
	const struct snapshot_listener *listener = snapshot_listener_of(ns, pair);
	const struct families_row *row;

	json_open(json, NULL, '{');
	if (ns->name != NULL)
		json_text(json, "netns", ns->name);
	json_text(json, "role", role_name(pair->role));
	ports_json_port(json, pair->port);
	for (size_t i = 0; (row = families_row(i)) != NULL; i++) {
		const void *record =
			families_record(row, pair, listener != NULL ? &listener->row : NULL);

		if (row->json != NULL && record != NULL && families_knows(ns, row->needs))
			put_row(json, row, record, ns);
	}
	put_units(json, ns, pair);
	json_close(json, '}');
}
