/*
 * families: the walk over the metrics' table.
 *
 * Owns the order of the groups, which rows a page has, and the labels all rows share. Must not know what a
 * metric means: that is in the rows of families-*.c.
 */
#include "families-internal.h"

#include <stdio.h>
#include <string.h>

static const struct families_group *const groups[] = {
	&families_connections, &families_ports,   &families_kernel,
	&families_exporter,    &families_process,
};
#define GROUPS (sizeof(groups) / sizeof(groups[0]))

static const char *special_port(uint32_t port)
{
	if (port == LEDGER_PORT_UNKNOWN)
		return "unknown";
	return port == LEDGER_PORT_OTHER ? "other" : NULL;
}

void families_label_port(const struct families_walk *walk, uint32_t port)
{
	const char *special = special_port(port);

	if (special)
		expo_label(walk->expo, "port", special);
	else
		expo_label_u64(walk->expo, "port", port);
}

static void label_netns(const struct families_walk *walk)
{
	if (walk->ns && walk->ns->name)
		expo_label(walk->expo, "netns", walk->ns->name);
}

void families_u64(const struct families_walk *walk, uint64_t value)
{
	label_netns(walk);
	expo_u64(walk->expo, value);
}

void families_double(const struct families_walk *walk, double value)
{
	label_netns(walk);
	expo_double(walk->expo, value);
}

static char *put_digits(char *to, uint32_t number)
{
	char digits[10];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	memcpy(to, digits + at, sizeof(digits) - at);
	return to + sizeof(digits) - at;
}

/* Called for each pair in each family: whole buffers are copied, which costs less than to measure them. */
static void make_pair_labels(struct families_walk *walk, const struct snapshot_pair *pair)
{
	const struct families_role *role = &walk->roles[pair->role];
	const char *special = special_port(pair->port);
	char *to = walk->labels.text;

	memcpy(to, role->text, sizeof(role->text));
	to += role->len;
	to = special ? stpcpy(to, special) : put_digits(to, pair->port);
	*to++ = '"';
	walk->labels.len = (size_t)(to - walk->labels.text);
	walk->port_at = role->port_at;
}

static void make_role_texts(struct families_walk *walk)
{
	for (unsigned int i = 0; i < ROLE_COUNT; i++) {
		struct families_role *role = &walk->roles[i];
		size_t size = sizeof(role->text);

		role->port_at = (size_t)snprintf(role->text, size, "role=\"%s\",", role_name(i));
		role->len = role->port_at;
		role->len += (size_t)snprintf(role->text + role->len, size - role->len, "port=\"");
	}
}

static void walk_pairs(struct families_walk *walk)
{
	for (size_t i = 0; i < walk->ns->pair_count; i++) {
		make_pair_labels(walk, &walk->ns->pairs[i]);
		walk->row->pair(walk, &walk->ns->pairs[i]);
	}
}

/* What follows a pair's labels: ,state="established" or nothing. */
struct tail {
	struct expo_piece piece;
	unsigned int which;
};

static void make_tail(const struct families_values *values, size_t i, struct tail *ret_tail)
{
	ret_tail->which = values->which[i];
	int len = snprintf(ret_tail->piece.text, sizeof(ret_tail->piece.text), ",%s=\"%s\"",
			   values->label, values->name(ret_tail->which));
	ret_tail->piece.len = (size_t)len;
}

static size_t make_tails(const struct families_walk *walk, struct tail *tails)
{
	const struct families_values *values = walk->row->values;
	size_t count = 0;

	if (!values) {
		tails[0] = (struct tail){ .which = walk->row->which };
		return 1;
	}
	for (size_t i = 0; i < values->count; i++)
		if (families_knows(walk, values->needs[i]))
			make_tail(values, i, &tails[count++]);
	return count;
}

static void put_value(const struct families_walk *walk, const struct expo_piece *tail,
		      uint64_t value)
{
	if (!walk->ns->name) {
		expo_labelled_u64(walk->expo, &walk->labels, tail, value);
		return;
	}
	expo_label_raw(walk->expo, walk->labels.text, walk->labels.len);
	if (tail->len != 0)
		expo_label_raw(walk->expo, tail->text + 1, tail->len - 1); /* it writes the comma */
	families_u64(walk, value);
}

/* Most lines of a page come from here: their labels are copied in two pieces. */
static void walk_values(struct families_walk *walk)
{
	struct tail tails[FAMILIES_VALUES_MAX];
	size_t count = make_tails(walk, tails);

	for (size_t i = 0; i < walk->ns->pair_count; i++) {
		const struct snapshot_pair *pair = &walk->ns->pairs[i];

		make_pair_labels(walk, pair);
		for (size_t j = 0; j < count; j++)
			put_value(walk, &tails[j].piece, walk->row->value(pair, tails[j].which));
	}
}

static void walk_ns(struct families_walk *walk)
{
	if (!families_knows(walk, walk->row->needs))
		return;
	if (walk->row->ns)
		walk->row->ns(walk);
	if (walk->row->pair)
		walk_pairs(walk);
	if (walk->row->value)
		walk_values(walk);
	for (size_t i = 0; walk->row->listener && i < walk->ns->listener_count; i++)
		walk->row->listener(walk, &walk->ns->listeners[i]);
}

static void walk_snapshot(struct families_walk *walk)
{
	const struct snapshot *snapshot = walk->input->snapshot;

	for (size_t i = 0; snapshot && i < snapshot->ns_count; i++) {
		walk->ns = &snapshot->ns[i];
		walk_ns(walk);
	}
}

static void walk_row(struct families_walk *walk, const struct families_row *row)
{
	walk->row = row;
	walk->ns = NULL;
	expo_family(walk->expo, &row->family);
	if (row->page)
		row->page(walk);
	else
		walk_snapshot(walk);
}

void families_render(const struct families_input *input, struct expo *expo)
{
	struct families_walk walk = { .input = input, .expo = expo };

	make_role_texts(&walk);
	for (size_t i = 0; i < GROUPS; i++) {
		for (size_t j = 0; j < groups[i]->count; j++) {
			const struct families_row *row = &groups[i]->rows[j];

			if (input->once && row->family.type == EXPO_COUNTER &&
			    !groups[i]->counters_once)
				continue;
			walk_row(&walk, row);
		}
	}
	expo_end(expo);
}

static const struct families_row *row_at(size_t i)
{
	for (size_t group = 0; group < GROUPS; group++) {
		if (i < groups[group]->count)
			return &groups[group]->rows[i];
		i -= groups[group]->count;
	}
	return NULL;
}

const struct expo_family *families_at(size_t i)
{
	const struct families_row *row = row_at(i);

	return row ? &row->family : NULL;
}

const char *families_labels_at(size_t i)
{
	const struct families_row *row = row_at(i);

	if (!row)
		return NULL;
	return row->labels ? row->labels : "";
}

uint32_t families_needs_at(size_t i)
{
	const struct families_row *row = row_at(i);

	return row ? row->needs : 0;
}
