/*
 * snapshot: everything one sample found, immutable.
 *
 * Made by the collector at the end of a sample, shared by reference, rendered as often as wanted. Plain
 * numbers and texts; no sockets, no pointers into live tables. Any thread may read it and hold references.
 */
#ifndef TCPHEALTH_MODEL_SNAPSHOT_H
#define TCPHEALTH_MODEL_SNAPSHOT_H

#include "tcphealth/model/ledger.h"
#include "tcphealth/model/listeners.h"
#include "tcphealth/model/role.h"
#include "tcphealth/model/stale.h"
#include "tcphealth/source/netstat.h"
#include "tcphealth/source/source.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One pair with series. Port LEDGER_PORT_UNKNOWN is `unknown`, LEDGER_PORT_OTHER `other`. */
struct snapshot_pair {
	uint32_t port;
	enum role role;
	struct portview view;
	uint64_t counter[LEDGER_COUNTERS];
};

struct snapshot_listener {
	uint32_t port; /* or LEDGER_PORT_OTHER */
	struct listener_port row;
};

/* Stale sockets of one owner; text lives in the snapshot. */
struct snapshot_unit {
	uint32_t port;
	enum role role;
	enum stale_reason reason;
	const char *unit; /* "" if unknown */
	uint32_t sockets;
	uint64_t oldest_ms;
};

/* A unit that listens on a port. */
struct snapshot_listener_unit {
	uint32_t port;    /* or LEDGER_PORT_OTHER */
	const char *unit; /* "" if unknown */
};

/*
 * One network namespace. Names and units that differ must still differ on the page, where they are cleaned and cut
 * (escape_clean(), 256 bytes): the maker does the same before it compares them.
 */
struct snapshot_ns {
	const char *name; /* NULL: the exporter's own */
	/* enum source_can: what is known here. Never more than of the own, so that a figure is on the page for it or for none. */
	uint32_t can;
	double timestamp; /* of others than the own: when it was last sampled, seconds since the epoch */
	struct snapshot_pair *pairs; /* ordered by role and port, unknown and other last */
	size_t pair_count;
	struct snapshot_listener *listeners; /* ordered by port, other last */
	size_t listener_count;
	struct snapshot_unit *units;
	size_t unit_count;
	struct snapshot_listener_unit *listener_units; /* each (port, unit) once */
	size_t listener_unit_count;
	uint64_t folded[ROLE_COUNT];            /* ports that share `other` */
	uint64_t evidence[ROLE_EVIDENCE_COUNT]; /* sockets by what decided their role */
	struct netstat netstat;
	struct netsysctl sysctl;
};

struct snapshot {
	double timestamp;        /* seconds since the epoch: when the last full sample ended */
	double states_timestamp; /* ... when the last sample of the states tier ended, full or not */
	uint64_t sockets;        /* sockets in the dump, listeners included */
	struct stale_thresholds thresholds;
	struct snapshot_ns *ns; /* the own first */
	size_t ns_count;
};

/*
 * An empty snapshot with room for `ns_count` namespaces (zeroed). NULL when out of memory. All arrays and
 * texts come from snapshot_alloc() and live as long as the snapshot. One reference, for its maker.
 */
struct snapshot *snapshot_new(size_t ns_count);

/* Zeroed memory that belongs to the snapshot; NULL when out of memory. Only before it is shared. */
void *snapshot_alloc(struct snapshot *snapshot, size_t count, size_t size);

/* Who listens on the port of a server pair; NULL: nobody, or it is a client pair. */
const struct snapshot_listener *snapshot_listener_of(const struct snapshot_ns *ns,
						     const struct snapshot_pair *pair);

struct snapshot *snapshot_ref(struct snapshot *snapshot);
void snapshot_unref(struct snapshot *snapshot); /* NULL is fine */

#endif
