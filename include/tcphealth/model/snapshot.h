/*
 * snapshot: everything a sample found, immutable.
 *
 * Numbers and texts, no sockets and no pointers into tables that live on. The collector makes one
 * at the end of a sample; from then on any thread may read it and hold references.
 */
#pragma once

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

/* The stale connections of one unit. */
struct snapshot_unit {
	uint32_t port;
	enum role role;
	enum stale_reason reason;
	const char *unit; /* "" if unknown */
	struct stale_group all;
	/* The same by the form of the reason's rule. */
	struct stale_group form[STALE_FORMS];
	/* One of the peers; port 0: unknown. No page shows it. */
	struct in6_addr peer;
	uint16_t peer_port;
};

/* A unit that listens on a port. */
struct snapshot_listener_unit {
	uint32_t port;    /* or LEDGER_PORT_OTHER */
	const char *unit; /* "" if unknown */
};

/*
 * One network namespace. Names and units that differ must still differ on the page, where they are
 * cleaned and cut (escape_clean(), 256 bytes): the maker does the same before it compares them.
 */
struct snapshot_ns {
	const char *name; /* NULL: the exporter's own */
	/*
	 * enum source_can: what is known here. Never more than of the own namespace, so that a
	 * figure is shown for it or for none.
	 */
	uint32_t can;
	/* When it was last sampled, in seconds since the epoch; 0 of the own. */
	double timestamp;
	/* In order of role and port, unknown and other last. */
	struct snapshot_pair *pairs;
	size_t pair_count;
	/* In order of port, other last. */
	struct snapshot_listener *listeners;
	size_t listener_count;
	struct snapshot_unit *units;
	size_t unit_count;
	/* Each port and unit once. */
	struct snapshot_listener_unit *listener_units;
	size_t listener_unit_count;
	uint64_t folded[ROLE_COUNT]; /* ports that share `other` */
	/* Connections by what decided their role. */
	uint64_t evidence[ROLE_EVIDENCE_COUNT];
	struct netstat netstat;
	struct netsysctl sysctl;
};

struct snapshot {
	uint64_t now_ms; /* of the survey */
	/* When the last full sample ended, and the last of any tier: seconds since the epoch. */
	double timestamp, states_timestamp;
	uint64_t sockets; /* listeners included */
	struct stale_thresholds thresholds;
	struct snapshot_ns *ns; /* the own first */
	size_t ns_count;
};

/*
 * An empty snapshot of `ns_count` namespaces, which are zeroed, with one reference; NULL when out
 * of memory. Its arrays and texts come from snapshot_alloc(), and live as long as it does.
 */
struct snapshot *snapshot_new(size_t ns_count);

/*
 * Zeroed memory that is freed with the snapshot; NULL when out of memory. Only before it is shared.
 */
void *snapshot_alloc(struct snapshot *snapshot, size_t count, size_t size);

/* The listener on the port of a server pair; NULL: there is none, or it is a client pair. */
const struct snapshot_listener *snapshot_listener_of(const struct snapshot_ns *ns,
						     const struct snapshot_pair *pair);

/* Both take NULL. */
struct snapshot *snapshot_ref(struct snapshot *snapshot);
void snapshot_unref(struct snapshot *snapshot);
