/*
 * survey: makes a snapshot of the censuses.
 *
 * Copies the pairs with series, adds up the others as `other`, and names units. Knows census and
 * snapshot; must not know kernels or formats. The collector's thread.
 */
#pragma once

#include "tcphealth/model/census.h"
#include "tcphealth/model/snapshot.h"
#include "tcphealth/source/netstat.h"
#include "tcphealth/source/units.h"

#include <stddef.h>
#include <stdint.h>

struct survey_ns {
	struct census *census;
	const char *name; /* NULL: the exporter's own; copied */
	const struct netstat *netstat;
	const struct netsysctl *sysctl;
	/* enum source_can, of the source of this namespace. */
	uint32_t can;
	/* When it was last sampled, by the wall clock; not used for the own. */
	double timestamp;
};

struct survey {
	const struct survey_ns *ns;
	size_t ns_count;
	const struct stale_thresholds *thresholds;
	uint32_t ports_max;
	uint64_t keep_ms;
	uint64_t now_ms; /* monotonic */
	/* `now_ms` of the last survey that a scraper was given as metrics; 0: none. */
	uint64_t served_ms;
	/* When the last full sample ended, and the last of any tier: seconds since the epoch. */
	double timestamp, states_timestamp;
	struct units *units; /* NULL: no names */
};

/*
 * Decides which pairs have series, then takes the snapshot. 0 and *ret_snapshot (one reference), or
 * -ENOMEM.
 */
int survey_take(const struct survey *survey, struct snapshot **ret_snapshot);
