/*
 * connections: lists the connections behind a figure.
 *
 * A query (port, role, state, reason, limit), the connections of a fresh dump that match it, and
 * their rendering. Must not know HTTP or threads. Rows are taken on the collector's thread and
 * rendered on another.
 */
#pragma once

#include "tcphealth/app/dead.h"
#include "tcphealth/base/buf.h"
#include "tcphealth/model/census.h"
#include "tcphealth/source/holders.h"
#include "tcphealth/source/netns.h"
#include "tcphealth/source/source.h"
#include "tcphealth/source/units.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Rows, unless the query asks for more. */
#define CONNECTIONS_LIMIT     100
#define CONNECTIONS_LIMIT_MAX 1000

struct connections_query {
	bool has_port, has_role, has_state, has_reason, has_keepalive, has_netns, has_unit;
	bool stale_only; /* reason=any */
	bool holders;
	uint16_t port; /* 0: unknown */
	enum role role;
	enum stale_reason reason;
	enum keepalive keepalive;
	char netns[NETNS_LABEL_LEN]; /* "": the own */
	char unit[UNIT_NAME_MAX];
	uint32_t states; /* TCP_STATE_BIT() mask, never LISTEN */
	size_t limit;
};

/* One word of a query string: its value, or NULL. */
typedef const char *(*connections_arg_fn)(void *arg, const char *key);

/* 0, or -EINVAL and one line of what is allowed in `why`. */
int connections_parse(connections_arg_fn fn, void *arg, struct connections_query *ret_query,
		      struct buf *why);

/* Listeners that share a port, of those that may have a connection in their queue. */
#define CONNECTIONS_INODES 8

/* Whether those of this namespace are asked for. */
bool connections_want_netns(const struct connections_query *query, const char *netns);

struct connections_row {
	char netns[NETNS_LABEL_LEN]; /* "": the own namespace */
	struct tcpsock sock;
	/* Inodes of descriptors that hold it: its own, or in an accept queue the listener's. */
	uint32_t inodes[CONNECTIONS_INODES];
	size_t inode_count;
	struct census_place place;
	struct look look;
	struct unit unit;
};

/* A peer of failed connects, and the unit that was last seen connecting. */
struct connections_failed {
	struct connects_peer peer;
	struct unit unit;
};

/* Rows are ordered by how long they have been stale, then by age. */
struct connections_result {
	struct connections_row *rows;
	size_t count;
	size_t limit;
	/* Connections that matched, shown or not. */
	uint64_t matched;
	/* The query is for sockets that no dump shows, those in CLOSE. */
	bool unseen;
	/* A namespace that was asked for has been looked at, and one or more could not be. */
	bool looked, partial;
	/* The peers of failed connects of the own namespace that match by port, role and unit, the latest first. */
	struct connections_failed *failed;
	size_t failed_count;
	/* Monotonic: when it was complete. */
	uint64_t now_ms;
	struct units *units;             /* borrowed; may be NULL */
	const struct source_ops *source; /* of the own namespace */
	/* What a running exporter adds; borrowed. NULL: nothing is known. */
	const struct dead *dead;
};

/* A namespace to take them from. */
struct connections_place {
	const char *netns; /* "": the own */
	const struct source_ops *ops;
	void *source;
	const struct census *census;
};

/*
 * Takes the connections that match: connections_begin(), then for each namespace connections_add(),
 * which dumps, for the own one connections_add_failed() as well, then connections_end(), which sorts
 * and names units. 0 or -errno. The caller frees *ret_result with connections_done() in any case.
 * The collector's thread.
 */
int connections_begin(const struct connections_query *query, struct units *units,
		      struct connections_result *ret_result);
int connections_add(struct connections_result *result, const struct connections_query *query,
		    const struct connections_place *place, uint64_t now_ms);
int connections_add_failed(struct connections_result *result, const struct connections_query *query,
			   const struct connects *connects, uint64_t now_ms);
void connections_end(struct connections_result *result, uint64_t now_ms);
void connections_done(struct connections_result *result);

/* Who holds the sockets of a result. */
struct connections_holders {
	struct holder *holders;
	size_t count;
	struct holders_result result;
	int error; /* 0 or -errno */
};

/*
 * Looks up who holds the sockets of a result, for `budget_ms` at most; 1 ms is enough for about
 * 400 descriptors. 0 or -ENOMEM. Any thread.
 */
int connections_find_holders(const struct connections_result *result, const char *procfs,
			     const char *cgroupfs, uint64_t budget_ms,
			     struct connections_holders *ret_holders);
void connections_holders_done(struct connections_holders *holders);

/*
 * As JSON, or as a table for a terminal of `width` columns (0: no limit). `holders` may be NULL.
 */
void connections_render_json(const struct connections_result *result,
			     const struct connections_holders *holders, struct buf *buf);
void connections_render_table(const struct connections_result *result,
			      const struct connections_holders *holders, unsigned int width,
			      struct buf *buf);

/* Why the holders of some sockets are not known, "" if all are. */
const char *connections_holders_note(const struct connections_result *result,
				     const struct connections_holders *holders);

/* What is missing from a partial result. */
extern const char connections_partial_note[];
