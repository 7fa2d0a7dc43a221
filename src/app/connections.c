/*
 * connections: a question about connections, and the sockets that answer it. Knows no HTTP and no threads.
 */
#include "tcphealth/app/connections.h"

#include "tcphealth/base/number.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECTION_STATES                                                                          \
	(TCP_STATES_ALL & ~TCP_STATE_BIT(TCP_STATE_LISTEN) & ~TCP_STATE_BIT(TCP_STATE_NONE))

static int parse_port(const char *text, struct connections_query *query, struct buf *why)
{
	uint64_t value = 0;

	if (strcmp(text, "unknown") != 0 &&
	    (number_parse(text, UINT16_MAX, &value) || value == 0)) {
		buf_puts(why, "port: a number from 1 to 65535, or unknown");
		return -EINVAL;
	}
	query->has_port = true;
	query->port = (uint16_t)value;
	return 0;
}

static int parse_role(const char *text, struct connections_query *query, struct buf *why)
{
	query->has_role = true;
	query->role = strcmp(text, "client") == 0 ? ROLE_CLIENT : ROLE_SERVER;
	if (strcmp(text, role_name(query->role)) == 0)
		return 0;
	buf_puts(why, "role: server or client");
	return -EINVAL;
}

static int parse_state(const char *text, struct connections_query *query, struct buf *why)
{
	for (unsigned int state = 1; state < TCP_STATE_COUNT; state++) {
		if ((CONNECTION_STATES & TCP_STATE_BIT(state)) != 0 &&
		    strcmp(text, tcp_state_name(state)) == 0) {
			query->has_state = true;
			query->states = TCP_STATE_BIT(state);
			return 0;
		}
	}
	buf_puts(why, "state: one of");
	for (unsigned int state = 1; state < TCP_STATE_COUNT; state++) {
		if ((CONNECTION_STATES & TCP_STATE_BIT(state)) != 0)
			buf_printf(why, " %s", tcp_state_name(state));
	}
	return -EINVAL;
}

static int parse_reason(const char *text, struct connections_query *query, struct buf *why)
{
	if (strcmp(text, "any") == 0) {
		query->stale_only = true;
		return 0;
	}
	for (int reason = 1; reason < STALE_REASONS; reason++) {
		if (strcmp(text, stale_reason_name((enum stale_reason)reason)) == 0) {
			query->has_reason = true;
			query->reason = (enum stale_reason)reason;
			return 0;
		}
	}
	buf_puts(why, "reason: any, or one of");
	for (int reason = 1; reason < STALE_REASONS; reason++)
		buf_printf(why, " %s", stale_reason_name((enum stale_reason)reason));
	return -EINVAL;
}

static int parse_limit(const char *text, struct connections_query *query, struct buf *why)
{
	uint64_t value;

	if (number_parse(text, CONNECTIONS_LIMIT_MAX, &value) || value == 0) {
		buf_printf(why, "limit: a number from 1 to %d", CONNECTIONS_LIMIT_MAX);
		return -EINVAL;
	}
	query->limit = (size_t)value;
	return 0;
}

static int parse_holders(const char *text, struct connections_query *query, struct buf *why)
{
	query->holders = strcmp(text, "1") == 0;
	if (query->holders || strcmp(text, "0") == 0)
		return 0;
	buf_puts(why, "holders: 0 or 1");
	return -EINVAL;
}

static int parse_keepalive(const char *text, struct connections_query *query, struct buf *why)
{
	query->has_keepalive = true;
	for (unsigned int i = 0; i < KEEPALIVES; i++) {
		if (strcmp(text, keepalive_name(i)) == 0) {
			query->keepalive = (enum keepalive)i;
			return 0;
		}
	}
	buf_puts(why, "keepalive: on, off or unknown");
	return -EINVAL;
}

static int parse_name(const char *key, const char *text, char *dst, size_t size, struct buf *why)
{
	size_t len = strlen(text);

	if (len < size) {
		memcpy(dst, text, len + 1);
		return 0;
	}
	buf_printf(why, "%s: a name of at most %zu bytes", key, size - 1);
	return -EINVAL;
}

static int parse_netns(const char *text, struct connections_query *query, struct buf *why)
{
	query->has_netns = true;
	return parse_name("netns", text, query->netns, sizeof(query->netns), why);
}

static int parse_unit(const char *text, struct connections_query *query, struct buf *why)
{
	query->has_unit = true;
	return parse_name("unit", text, query->unit, sizeof(query->unit), why);
}

int connections_parse(connections_arg_fn fn, void *arg, struct connections_query *ret_query,
		      struct buf *why)
{
	static const struct {
		const char *key;
		int (*parse)(const char *text, struct connections_query *query, struct buf *why);
	} keys[] = {
		{ "port", parse_port },           { "role", parse_role },
		{ "state", parse_state },         { "reason", parse_reason },
		{ "netns", parse_netns },         { "unit", parse_unit },
		{ "keepalive", parse_keepalive }, { "limit", parse_limit },
		{ "holders", parse_holders },
	};

	*ret_query = (struct connections_query){ .states = CONNECTION_STATES,
						 .limit = CONNECTIONS_LIMIT };
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const char *value = fn(arg, keys[i].key);

		if (value != NULL && keys[i].parse(value, ret_query, why) < 0)
			return -EINVAL;
	}
	return 0;
}

static bool matches(const struct connections_query *query, const struct connections_row *row)
{
	if (query->has_role && row->place.role != query->role)
		return false;
	if (query->has_port && row->place.port != query->port)
		return false;
	if (query->stale_only && row->look.reason == STALE_NONE)
		return false;
	if (query->has_keepalive &&
	    (row->sock.state != TCP_STATE_ESTABLISHED || row->look.keepalive != query->keepalive))
		return false;
	return !query->has_reason || row->look.reason == query->reason;
}

/* Longer stuck comes first, then longer in its state. */
static int compare_rows(const void *a, const void *b)
{
	const struct look *x = &((const struct connections_row *)a)->look;
	const struct look *y = &((const struct connections_row *)b)->look;

	if (x->stale_ms != y->stale_ms)
		return x->stale_ms < y->stale_ms ? 1 : -1;
	return (x->age_ms < y->age_ms) - (x->age_ms > y->age_ms);
}

/*
 * While it is taken the rows are a heap with the one that would be shown last on top: a host has a million sockets, and the
 * collector has no time to look through all rows for each.
 */
static void rise(struct connections_row *rows, size_t at, const struct connections_row *row)
{
	for (; at > 0 && compare_rows(&rows[(at - 1) / 2], row) < 0; at = (at - 1) / 2)
		rows[at] = rows[(at - 1) / 2];
	rows[at] = *row;
}

static void sink(struct connections_row *rows, size_t count, const struct connections_row *row)
{
	size_t at = 0;

	for (;;) {
		size_t child = 2 * at + 1;

		if (child + 1 < count && compare_rows(&rows[child], &rows[child + 1]) < 0)
			child++;
		if (child >= count || compare_rows(&rows[child], row) <= 0)
			break;
		rows[at] = rows[child];
		at = child;
	}
	rows[at] = *row;
}

/* The rows of one namespace on their way into a result. */
struct taking {
	struct connections_result *result;
	const struct connections_query *query;
	const struct connections_place *place;
	uint64_t now_ms;
	/* The dump by remote port that follows the one by local port. */
	bool second;
};

/* Asked last: it may have to walk the cgroups. */
static bool is_of_unit(const struct taking *t, struct connections_row *row)
{
	if (!t->query->has_unit)
		return true;
	units_find(t->result->units, row->sock.cgroup_id, t->now_ms, &row->unit);
	return strcmp(row->unit.name, t->query->unit) == 0;
}

static void find_inodes(const struct taking *t, struct connections_row *row)
{
	const struct tcpsock *sock = &row->sock;
	struct role_guess guess;

	if (sock->inode != 0)
		row->inodes[row->inode_count++] = sock->inode;
	else if (role_from_state(sock, &guess) && guess.evidence == ROLE_BY_ACCEPT_QUEUE)
		row->inode_count =
			listeners_queueing(census_listeners(t->place->census), &sock->local,
					   sock->local_port, row->inodes, CONNECTIONS_INODES);
}

static void take_row(const struct taking *t, const struct tcpsock *sock)
{
	struct connections_result *result = t->result;
	struct connections_row row = { .sock = *sock };

	/* One with the port on both sides came in the first dump. */
	if (t->second && sock->local_port == t->query->port)
		return;
	census_look(t->place->census, sock, t->now_ms, &row.place, &row.look);
	if (!matches(t->query, &row) || !is_of_unit(t, &row))
		return;
	(void)snprintf(row.netns, sizeof(row.netns), "%s", t->place->netns);
	find_inodes(t, &row);
	result->matched++;
	if (result->count < result->limit)
		rise(result->rows, result->count++, &row);
	else if (compare_rows(&row, &result->rows[0]) < 0)
		sink(result->rows, result->count, &row);
}

static int take_rows(void *arg, const struct tcpsock *socks, size_t count, uint64_t read_ms)
{
	(void)read_ms;
	for (size_t i = 0; i < count; i++)
		take_row(arg, &socks[i]);
	return 0;
}

static int dump(struct taking *t, uint16_t local_port, uint16_t remote_port)
{
	const struct source_query query = { .states = t->query->states,
					    .want = SOURCE_INFO,
					    .local_port = local_port,
					    .remote_port = remote_port };

	return t->place->ops->dump(t->place->source, &query, take_rows, t);
}

/* A socket that was reset or timed out leaves the kernel's table, though its program holds it. */
static bool is_unseen(const struct connections_query *query)
{
	return query->states == TCP_STATE_BIT(TCP_STATE_CLOSE) ||
	       (query->has_reason && stale_rule(query->reason)->where == STALE_GONE);
}

bool connections_want_netns(const struct connections_query *query, const char *netns)
{
	return !query->has_netns || strcmp(query->netns, netns) == 0;
}

int connections_begin(const struct connections_query *query, struct units *units,
		      struct connections_result *ret_result)
{
	*ret_result = (struct connections_result){
		.rows = calloc(query->limit, sizeof(*ret_result->rows)),
		.limit = query->limit,
		.unseen = is_unseen(query),
		.units = units,
	};
	return ret_result->rows != NULL ? 0 : -ENOMEM;
}

/*
 * The source picks what it can: the port is the local one of a server and the remote one of a client. One that cannot pick is read
 * once.
 */
int connections_add(struct connections_result *result, const struct connections_query *query,
		    const struct connections_place *place, uint64_t now_ms)
{
	struct taking t = { .result = result, .query = query, .place = place, .now_ms = now_ms };
	bool server = !query->has_role || query->role == ROLE_SERVER;
	bool client = !query->has_role || query->role == ROLE_CLIENT;
	int r = 0;

	if (place->netns[0] == '\0')
		result->source = place->ops;
	if (!connections_want_netns(query, place->netns))
		return 0;
	result->looked = true;
	if (!query->has_port || query->port == LEDGER_PORT_UNKNOWN ||
	    !(place->ops->can & SOURCE_PORTS))
		return dump(&t, 0, 0);
	if (server)
		r = dump(&t, query->port, 0);
	t.second = server;
	if (client && r == 0)
		r = dump(&t, 0, query->port);
	return r;
}

static int compare_failed(const void *a, const void *b)
{
	const struct connects_peer *x = &((const struct connections_failed *)a)->peer;
	const struct connects_peer *y = &((const struct connections_failed *)b)->peer;

	return (x->last_ms < y->last_ms) - (x->last_ms > y->last_ms);
}

int connections_add_failed(struct connections_result *result, const struct connections_query *query,
			   const struct connects *connects, uint64_t now_ms)
{
	size_t n;
	const struct connects_peer *peers = connects_peers(connects, &n);

	if (query->has_role && query->role == ROLE_SERVER)
		return 0;
	result->failed = calloc(n + 1, sizeof(*result->failed));
	if (result->failed == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct connections_failed *failed = &result->failed[result->failed_count];

		failed->peer = peers[i];
		units_find(result->units, peers[i].cgroup_id, now_ms, &failed->unit);
		if ((!query->has_port || peers[i].port == query->port) &&
		    (!query->has_unit || strcmp(failed->unit.name, query->unit) == 0))
			result->failed_count++;
	}
	qsort(result->failed, result->failed_count, sizeof(*result->failed), compare_failed);
	return 0;
}

void connections_end(struct connections_result *result, uint64_t now_ms)
{
	result->now_ms = now_ms;
	qsort(result->rows, result->count, sizeof(*result->rows), compare_rows);
	for (size_t i = 0; i < result->count; i++)
		units_find(result->units, result->rows[i].sock.cgroup_id, now_ms,
			   &result->rows[i].unit);
}

void connections_done(struct connections_result *result)
{
	free(result->rows);
	free(result->failed);
	result->rows = NULL;
	result->failed = NULL;
	result->count = result->failed_count = 0;
}
