/*
 * families: the walk over the table of metrics.
 *
 * Owns the order of the groups, which rows a page has, the labels they share, and how a figure is
 * read. Must not know what a metric means: the rows in families-*.c do.
 */
#include "families-internal.h"

#include "tcphealth/base/number.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct families_group *const groups[] = {
	&families_connections, &families_ports,   &families_kernel,
	&families_exporter,    &families_process,
};
#define GROUPS (sizeof(groups) / sizeof(groups[0]))

void families_label_port(const struct families_walk *walk, uint32_t port)
{
	const char *name = ledger_port_name(port);

	if (name)
		expo_label(walk->expo, "port", name);
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

#define PORT_ALONE ROLE_COUNT

static void make_head(struct expo_piece *head, const char *role)
{
	int len = role ? snprintf(head->text, sizeof(head->text), "role=\"%s\",port=\"", role)
		       : snprintf(head->text, sizeof(head->text), "port=\"");

	head->len = (size_t)len;
}

static void make_heads(struct families_walk *walk)
{
	for (unsigned int i = 0; i < ROLE_COUNT; i++)
		make_head(&walk->heads[i], role_name(i));
	make_head(&walk->heads[PORT_ALONE], NULL);
}

/* Called for each pair and family. All of the head is copied, which costs less than its length. */
static void make_labels(const struct expo_piece *head, uint32_t port, struct expo_piece *ret_labels)
{
	const char *name = ledger_port_name(port);

	memcpy(ret_labels->text, head->text, sizeof(head->text));
	char *to = ret_labels->text + head->len;
	to = name ? stpcpy(to, name) : number_put(to, port);
	*to++ = '"';
	ret_labels->len = (size_t)(to - ret_labels->text);
}

/* What follows these labels: ,state="established" or nothing. */
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
		tails[0] = (struct tail){ 0 };
		return 1;
	}
	for (size_t i = 0; i < values->count; i++)
		if (families_knows_value(walk->ns, values, values->which[i]))
			make_tail(values, i, &tails[count++]);
	return count;
}

static uint64_t read_whole(const struct families_figure *figure, const void *record,
			   unsigned int which)
{
	const void *at = (const char *)record + figure->offset;

	switch (figure->type) {
	case FAMILIES_BOOL:
		return ((const bool *)at)[which];
	case FAMILIES_U32:
		return ((const uint32_t *)at)[which];
	case FAMILIES_U64:
		return ((const uint64_t *)at)[which];
	}
	return 0;
}

struct families_number families_read(const struct families_row *row, const void *record,
				     unsigned int which)
{
	const void *at = (const char *)record + row->figure.offset;

	if (row->figure.type == FAMILIES_DOUBLE) {
		double x = ((const double *)at)[which];
		return (struct families_number){ .zero = x == 0, .x = x };
	}
	uint64_t n = read_whole(&row->figure, record, which);
	struct families_number number = { .zero = n == 0, .whole = true, .n = n };
	if (row->scale == FAMILIES_WHOLE_SECONDS)
		number.n = n / 1000;
	if (row->scale == FAMILIES_SECONDS) {
		number.whole = false;
		number.x = n == PORTVIEW_NEVER ? (double)INFINITY : (double)n / 1e3;
	}
	return number;
}

const void *families_record(const struct families_row *row, const struct snapshot_pair *pair,
			    const struct listener_port *port)
{
	bool is_client = pair && pair->role == ROLE_CLIENT;

	switch (row->of) {
	case FAMILIES_OF_NONE:
		break;
	case FAMILIES_OF_PAIRS:
		return pair;
	case FAMILIES_OF_CLIENTS:
		return is_client ? pair : NULL;
	case FAMILIES_OF_SERVERS:
		return pair && !is_client ? pair : NULL;
	case FAMILIES_OF_CLIENT_PORTS:
		return is_client && pair->port != LEDGER_PORT_UNKNOWN ? pair : NULL;
	case FAMILIES_OF_LISTENERS:
		return port && (!row->known || row->known(port)) ? port : NULL;
	}
	return NULL;
}

static void put_number(const struct families_walk *walk, const struct families_number *number)
{
	label_netns(walk);
	if (number->whole)
		expo_u64(walk->expo, number->n);
	else
		expo_double(walk->expo, number->x);
}

void families_put(const struct families_walk *walk, const void *record)
{
	struct families_number number = families_read(walk->row, record, 0);

	put_number(walk, &number);
}

static void put_labelled(const struct families_walk *walk, const struct expo_piece *labels,
			 const struct expo_piece *tail, struct families_number number)
{
	if (number.whole && !walk->ns->name) {
		expo_labelled_u64(walk->expo, labels, tail, number.n);
		return;
	}
	expo_label_raw(walk->expo, labels->text, labels->len);
	if (tail->len != 0)
		expo_label_raw(walk->expo, tail->text + 1, tail->len - 1); /* without the comma */
	put_number(walk, &number);
}

/* Most lines of a page come from here. */
static void put_figures(const struct families_walk *walk, const struct expo_piece *head,
			uint32_t port, const void *record, const struct tail *tails, size_t count)
{
	struct expo_piece labels;

	make_labels(head, port, &labels);
	for (size_t i = 0; i < count; i++)
		put_labelled(walk, &labels, &tails[i].piece,
			     families_read(walk->row, record, tails[i].which));
}

static void walk_figures(const struct families_walk *walk)
{
	const struct snapshot_ns *ns = walk->ns;
	bool has_role = walk->row->of == FAMILIES_OF_PAIRS;
	struct tail tails[FAMILIES_VALUES_MAX];
	size_t count = make_tails(walk, tails);

	for (size_t i = 0; i < ns->pair_count; i++) {
		const struct snapshot_pair *pair = &ns->pairs[i];
		const void *record = families_record(walk->row, pair, NULL);
		if (record)
			put_figures(walk, &walk->heads[has_role ? pair->role : PORT_ALONE],
				    pair->port, record, tails, count);
	}
	for (size_t i = 0; i < ns->listener_count; i++) {
		const void *record = families_record(walk->row, NULL, &ns->listeners[i].row);
		if (record)
			put_figures(walk, &walk->heads[PORT_ALONE], ns->listeners[i].port, record,
				    tails, count);
	}
}

static void walk_ns(const struct families_walk *walk)
{
	if (!families_knows(walk->ns, walk->row->needs) ||
	    (walk->ns->sysctl.known & walk->row->settings) != walk->row->settings)
		return;
	if (walk->row->ns)
		walk->row->ns(walk);
	else
		walk_figures(walk);
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

	make_heads(&walk);
	for (size_t i = 0; i < GROUPS; i++) {
		for (size_t j = 0; j < groups[i]->count; j++) {
			const struct families_row *row = &groups[i]->rows[j];

			if (input->once && expo_is_counter(&row->family) &&
			    !groups[i]->counters_once)
				continue;
			walk_row(&walk, row);
		}
	}
	expo_end(expo);
}

const struct families_row *families_row(size_t i)
{
	for (size_t group = 0; group < GROUPS; group++) {
		if (i < groups[group]->count)
			return &groups[group]->rows[i];
		i -= groups[group]->count;
	}
	return NULL;
}
