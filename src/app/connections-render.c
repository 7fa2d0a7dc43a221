/*
 * connections-render: connections and their holders as JSON or as a table. Pure but for the holders' look-up.
 */
#include "tcphealth/app/connections.h"
#include "tcphealth/base/address.h"
#include "tcphealth/base/number.h"
#include "tcphealth/render/json.h"
#include "tcphealth/render/ports-json.h"
#include "tcphealth/render/words.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOLDERS_MAX 4096

static int compare_inodes(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

int connections_find_holders(const struct connections_result *result, const char *procfs,
			     const char *cgroupfs, uint64_t budget_ms,
			     struct connections_holders *ret_holders)
{
	uint32_t *inodes = calloc(result->count + 1, CONNECTIONS_INODES * sizeof(*inodes));
	size_t n = 0;

	*ret_holders = (struct connections_holders){ 0 };
	ret_holders->holders = calloc(HOLDERS_MAX, sizeof(*ret_holders->holders));
	if (inodes == NULL || ret_holders->holders == NULL) {
		free(inodes);
		return -ENOMEM;
	}
	for (size_t i = 0; i < result->count; i++) {
		for (size_t k = 0; k < result->rows[i].inode_count; k++)
			inodes[n++] = result->rows[i].inodes[k];
	}
	qsort(inodes, n, sizeof(*inodes), compare_inodes);
	if (n != 0)
		ret_holders->error =
			holders_find(procfs, cgroupfs, inodes, n, budget_ms, ret_holders->holders,
				     HOLDERS_MAX, &ret_holders->result);
	ret_holders->count = ret_holders->result.count;
	free(inodes);
	return 0;
}

void connections_holders_done(struct connections_holders *holders)
{
	free(holders->holders);
	*holders = (struct connections_holders){ 0 };
}

static bool holds(const struct holder *holder, const struct connections_row *row)
{
	for (size_t i = 0; i < row->inode_count; i++) {
		if (holder->inode == row->inodes[i])
			return true;
	}
	return false;
}

/* The first that holds it, and how many do; NULL: none is known. */
static const struct holder *first_holder(const struct connections_holders *holders,
					 const struct connections_row *row, size_t *ret_count)
{
	const struct holder *first = NULL;

	*ret_count = 0;
	for (size_t i = 0; i < holders->count; i++) {
		if (!holds(&holders->holders[i], row))
			continue;
		if (first == NULL)
			first = &holders->holders[i];
		++*ret_count;
	}
	return first;
}

/* The socket's own; where its cgroup tells none (cgroup v1), that of the process that holds it. */
static const struct unit *unit_of(const struct connections_row *row,
				  const struct connections_holders *holders)
{
	const struct holder *first = NULL;
	size_t n;

	if (row->unit.name[0] == '\0' && holders != NULL)
		first = first_holder(holders, row, &n);
	return first != NULL ? &first->unit : &row->unit;
}

static bool all_have_holders(const struct connections_result *result,
			     const struct connections_holders *holders)
{
	size_t n;

	for (size_t i = 0; i < result->count; i++) {
		if (result->rows[i].inode_count != 0 &&
		    first_holder(holders, &result->rows[i], &n) == NULL)
			return false;
	}
	return true;
}

const char connections_partial_note[] = "some network namespaces are missing: " WORDS_NETNS_MISSING;

const char *connections_holders_note(const struct connections_result *result,
				     const struct connections_holders *holders)
{
	if (all_have_holders(result, holders))
		return "";
	if (holders->error != 0)
		return "the processes of this host cannot be read";
	if (holders->result.timed_out)
		return "there are too many processes to check all of them in time";
	if (holders->result.denied != 0)
		return "processes of other users cannot be seen without CAP_SYS_PTRACE and "
		       "CAP_DAC_READ_SEARCH";
	if (holders->result.truncated)
		return "there are more holders than shown";
	return "some are held by no visible process, but by the kernel or in another PID namespace";
}

static void render_addr(struct json *j, const char *key, const struct in6_addr *addr, uint16_t port)
{
	char text[ADDRESS_LEN];

	json_open(j, key, '{');
	json_text(j, "address", address_text(addr, text));
	json_u64(j, "port", port);
	json_close(j, '}');
}

static const char *timer_name(unsigned int timer)
{
	static const char *const names[] = { "none",      "retransmit", "keepalive",
					     "time_wait", "probe",      "delayed_ack" };

	return timer < sizeof(names) / sizeof(names[0]) ? names[timer] : "other";
}

static void render_timer(struct json *j, const struct tcpsock *sock)
{
	json_open(j, "timer", '{');
	json_text(j, "name", timer_name(sock->timer));
	json_double(j, "expires_seconds", (double)sock->expires_ms / 1e3);
	if (tcpsock_knows(sock, TCPSOCK_PROBES))
		json_u64(j, "unanswered_probes", sock->probes);
	json_close(j, '}');
}

static void render_counters(struct json *j, const struct tcpsock *sock)
{
	if (tcpsock_knows(sock, TCPSOCK_INFO))
		json_u64(j, "retransmitted_segments", sock->total_retrans);
	if (!tcpsock_knows(sock, TCPSOCK_BYTES))
		return;
	json_u64(j, "sent_bytes", sock->bytes_acked);
	json_u64(j, "received_bytes", sock->bytes_received);
}

static void render_look(struct json *j, const struct look *look)
{
	if (look->has_age)
		json_double(j, "state_age_seconds", (double)look->age_ms / 1e3);
	if (look->reason != STALE_NONE) {
		json_text(j, "reason", stale_reason_name(look->reason));
		json_double(j, "stale_seconds", (double)look->stale_ms / 1e3);
		json_text(j, "blame", stale_blame_name(look->blame));
	} else {
		json_null(j, "reason");
	}
}

static void render_unit(struct json *j, const struct unit *unit)
{
	json_text(j, "unit", unit->name);
	if (unit->instance[0] != '\0')
		json_text(j, "unit_instance", unit->instance);
	if (unit->claimed[0] != '\0')
		json_text(j, "unit_claimed", unit->claimed);
}

static void render_holder(struct json *j, const struct holder *h)
{
	json_open(j, NULL, '{');
	json_u64(j, "pid", (uint64_t)h->pid);
	json_text(j, "comm", h->comm);
	json_u64(j, "fd", (uint64_t)h->fd);
	render_unit(j, &h->unit);
	if (h->start_time_seconds > 0)
		json_double(j, "start_time_seconds", h->start_time_seconds);
	json_close(j, '}');
}

static void render_holders(struct json *j, const struct connections_holders *holders,
			   const struct connections_row *row)
{
	json_open(j, "holders", '[');
	for (size_t i = 0; i < holders->count; i++) {
		if (holds(&holders->holders[i], row))
			render_holder(j, &holders->holders[i]);
	}
	json_close(j, ']');
}

static void render_row(struct json *j, const struct connections_row *row,
		       const struct connections_holders *holders)
{
	const struct tcpsock *sock = &row->sock;

	json_open(j, NULL, '{');
	if (row->netns[0] != '\0')
		json_text(j, "netns", row->netns);
	json_text(j, "role", role_name(row->place.role));
	json_text(j, "role_evidence", role_evidence_name(row->place.evidence));
	ports_json_port(j, row->place.port);
	json_text(j, "state", tcp_state_name(sock->state));
	render_addr(j, "local", &sock->local, sock->local_port);
	render_addr(j, "remote", &sock->remote, sock->remote_port);
	render_look(j, &row->look);
	render_timer(j, sock);
	if (sock->state == TCP_STATE_ESTABLISHED)
		json_text(j, "keepalive", keepalive_name(row->look.keepalive));
	json_u64(j, "receive_queue_bytes", tcpsock_unread(sock));
	json_u64(j, "send_queue_bytes", sock->wqueue);
	render_counters(j, sock);
	render_unit(j, unit_of(row, holders));
	if (!tcpsock_knows(sock, TCPSOCK_MINI))
		json_u64(j, "uid", sock->uid);
	if (holders != NULL)
		render_holders(j, holders, row);
	json_close(j, '}');
}

static void render_dead(struct json *j, const struct dead_row *row)
{
	uint64_t port;

	json_open(j, NULL, '{');
	if (row->netns[0] != '\0')
		json_text(j, "netns", row->netns);
	json_text(j, "role", row->role);
	if (number_parse(row->port, UINT16_MAX, &port) == 0)
		json_u64(j, "port", port);
	else
		json_text(j, "port", row->port);
	json_text(j, "unit", row->unit);
	json_u64(j, "connections", row->connections);
	json_u64(j, "oldest_seconds", row->oldest_seconds);
	json_close(j, '}');
}

static void render_failed(struct json *j, const struct connections_failed *failed, uint64_t now_ms)
{
	const struct connects_peer *peer = &failed->peer;
	char text[ADDRESS_LEN];

	json_open(j, NULL, '{');
	json_text(j, "address", address_text(&peer->remote, text));
	ports_json_port(j, peer->port);
	json_text(j, "reason", connects_failure_name(peer->failure));
	json_u64(j, "count", peer->count);
	json_double(j, "first_seconds_ago", (double)(now_ms - peer->first_ms) / 1e3);
	json_double(j, "last_seconds_ago", (double)(now_ms - peer->last_ms) / 1e3);
	render_unit(j, &failed->unit);
	json_close(j, '}');
}

void connections_render_json(const struct connections_result *result,
			     const struct connections_holders *holders, struct buf *buf)
{
	struct json j;

	json_init(&j, buf);
	json_open(&j, NULL, '{');
	json_text(&j, "source", result->source->name);
	json_u64(&j, "matched", result->matched);
	json_u64(&j, "limit", result->limit);
	json_bool(&j, "truncated", result->matched > result->count);
	if (result->unseen)
		json_text(&j, "note",
			  "the kernel no longer lists sockets that were reset or timed out; "
			  "tcphealth_stale_unit_connections counts them by unit");
	if (result->partial)
		json_text(&j, "netns_note", connections_partial_note);
	if (holders != NULL)
		json_text(&j, "holders_note", connections_holders_note(result, holders));
	json_open(&j, "connections", '[');
	for (size_t i = 0; i < result->count; i++)
		render_row(&j, &result->rows[i], holders);
	json_close(&j, ']');
	if (result->dead != NULL) {
		json_open(&j, "dead", '[');
		for (size_t i = 0; i < result->dead->count; i++)
			render_dead(&j, &result->dead->rows[i]);
		json_close(&j, ']');
	}
	json_open(&j, "failed_connects", '[');
	for (size_t i = 0; i < result->failed_count; i++)
		render_failed(&j, &result->failed[i], result->now_ms);
	json_close(&j, ']');
	json_close(&j, '}');
	json_end(&j);
}

/* "3d04h", "2h05m", "3m07s", "42s": two units are enough to read. */
static void format_age(char *dst, size_t size, uint64_t ms)
{
	unsigned long long s = ms / 1000;

	if (s >= 86400)
		(void)snprintf(dst, size, "%llud%02lluh", s / 86400, s % 86400 / 3600);
	else if (s >= 3600)
		(void)snprintf(dst, size, "%lluh%02llum", s / 3600, s % 3600 / 60);
	else if (s >= 60)
		(void)snprintf(dst, size, "%llum%02llus", s / 60, s % 60);
	else
		(void)snprintf(dst, size, "%llus", s);
}

/* The first only where there are connections of other namespaces. */
#define COLUMNS 8
#define CELL    288 /* more than any name has */

struct table_row {
	char cell[COLUMNS][CELL];
};

/* The first holder, and how many more there are. */
static void format_holder(char *dst, size_t size, const struct connections_holders *holders,
			  const struct connections_row *row)
{
	const struct holder *first;
	size_t n;

	first = holders != NULL ? first_holder(holders, row, &n) : NULL;
	if (first == NULL)
		(void)snprintf(dst, size, "-");
	else if (n == 1)
		(void)snprintf(dst, size, "%s/%d", first->comm, (int)first->pid);
	else
		(void)snprintf(dst, size, "%s/%d +%zu", first->comm, (int)first->pid, n - 1);
}

/* What may be stopped: a template is no unit. */
static const char *table_unit(const struct unit *unit)
{
	if (unit->instance[0] != '\0')
		return unit->instance;
	return unit->name[0] != '\0' ? unit->name : "-";
}

static void fill_table_row(struct table_row *to, const struct connections_row *row,
			   const struct connections_holders *holders)
{
	const struct look *look = &row->look;
	const char *port = ledger_port_name(row->place.port);

	(void)snprintf(to->cell[0], CELL, "%s", row->netns[0] != '\0' ? row->netns : "-");
	if (port != NULL)
		(void)snprintf(to->cell[1], CELL, "%s", port);
	else
		(void)snprintf(to->cell[1], CELL, "%u", row->place.port);
	(void)snprintf(to->cell[2], CELL, "%s", role_name(row->place.role));
	(void)snprintf(to->cell[3], CELL, "%s",
		       look->reason != STALE_NONE ? stale_reason_name(look->reason)
						  : tcp_state_name(row->sock.state));
	format_age(to->cell[4], CELL, look->reason != STALE_NONE ? look->stale_ms : look->age_ms);
	(void)address_endpoint_text(&row->sock.remote, row->sock.remote_port, to->cell[5]);
	(void)snprintf(to->cell[6], CELL, "%.*s", CELL - 1, table_unit(unit_of(row, holders)));
	format_holder(to->cell[7], CELL, holders, row);
}

/* The kernel has forgotten their peers. */
static void fill_dead_row(struct table_row *to, const struct dead_row *row)
{
	(void)snprintf(to->cell[0], CELL, "%s", row->netns[0] != '\0' ? row->netns : "-");
	(void)snprintf(to->cell[1], CELL, "%s", row->port);
	(void)snprintf(to->cell[2], CELL, "%s", row->role);
	(void)snprintf(to->cell[3], CELL, "%s", stale_reason_name(STALE_DEAD));
	format_age(to->cell[4], CELL, row->oldest_seconds * 1000);
	(void)snprintf(to->cell[5], CELL, "%llu connection%s", (unsigned long long)row->connections,
		       row->connections != 1 ? "s" : "");
	(void)snprintf(to->cell[6], CELL, "%s", row->unit[0] != '\0' ? row->unit : "-");
	(void)snprintf(to->cell[7], CELL, "-");
}

/* Columns on a terminal, near enough: continuation bytes take none. */
static size_t width_of(const char *text)
{
	size_t n = 0;

	for (; *text != '\0'; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

/* Cut to `width` columns, the cut shown by a tilde. */
static void put_cell(struct buf *buf, const char *text, size_t width, bool pad)
{
	size_t used = 0, all = width_of(text);

	for (; *text != '\0'; text++) {
		bool starts = ((unsigned char)*text & 0xc0) != 0x80;

		if (starts && all > width && used == width - 1)
			break;
		used += starts;
		buf_putc(buf, *text);
	}
	if (all > width) {
		buf_putc(buf, '~');
		used++;
	}
	for (; pad && used < width; used++)
		buf_putc(buf, ' ');
}

static void measure(const struct table_row *rows, size_t count, size_t first,
		    size_t widths[COLUMNS])
{
	for (size_t c = 0; c < COLUMNS; c++) {
		widths[c] = 0;
		for (size_t i = 0; i < count && c >= first; i++) {
			size_t w = width_of(rows[i].cell[c]);

			widths[c] = w > widths[c] ? w : widths[c];
		}
	}
}

/* Takes from the widest of those that can be long, namespace, peer, unit and holder, until the line fits. */
static void shrink(size_t widths[COLUMNS], size_t first, unsigned int width)
{
	static const uint8_t is_long[COLUMNS] = { [0] = 1, [5] = 1, [6] = 1, [7] = 1 };

	for (;;) {
		size_t line = 2 * (COLUMNS - 1 - first), widest = 5;

		for (size_t c = first; c < COLUMNS; c++) {
			line += widths[c];
			widest = is_long[c] && widths[c] > widths[widest] ? c : widest;
		}
		if (line <= width || widths[widest] <= 8)
			return;
		widths[widest]--;
	}
}

static bool all_are_own(const struct connections_result *result)
{
	for (size_t i = 0; i < result->count; i++) {
		if (result->rows[i].netns[0] != '\0')
			return false;
	}
	for (size_t i = 0; result->dead != NULL && i < result->dead->count; i++) {
		if (result->dead->rows[i].netns[0] != '\0')
			return false;
	}
	return true;
}

void connections_render_table(const struct connections_result *result,
			      const struct connections_holders *holders, unsigned int width,
			      struct buf *buf)
{
	static const char *const head[COLUMNS] = { "NETNS", "PORT", "ROLE", "REASON",
						   "FOR",   "PEER", "UNIT", "HELD BY" };
	size_t dead = result->dead != NULL ? result->dead->count : 0;
	size_t count = 1 + result->count + dead;
	struct table_row *rows = calloc(count, sizeof(*rows));
	size_t widths[COLUMNS], first = all_are_own(result);

	if (rows == NULL) {
		buf->err = buf->err != 0 ? buf->err : -ENOMEM;
		return;
	}
	for (size_t c = 0; c < COLUMNS; c++)
		(void)snprintf(rows[0].cell[c], CELL, "%s", head[c]);
	for (size_t i = 0; i < result->count; i++)
		fill_table_row(&rows[i + 1], &result->rows[i], holders);
	for (size_t i = 0; i < dead; i++)
		fill_dead_row(&rows[1 + result->count + i], &result->dead->rows[i]);
	measure(rows, count, first, widths);
	if (width != 0)
		shrink(widths, first, width);
	for (size_t i = 0; i < count; i++) {
		for (size_t c = first; c < COLUMNS; c++) {
			put_cell(buf, rows[i].cell[c], widths[c], c + 1 < COLUMNS);
			buf_puts(buf, c + 1 < COLUMNS ? "  " : "\n");
		}
	}
	free(rows);
}
