/*
 * health: how the exporter itself is doing, beside what it found.
 *
 * A plain value, filled by the collector (or by the watchdog, when the collector hangs in the
 * kernel) and rendered together with the last good snapshot.
 */
#ifndef TCPHEALTH_MODEL_HEALTH_H
#define TCPHEALTH_MODEL_HEALTH_H

#include "tcphealth/source/source.h"

#include <stdbool.h>
#include <stdint.h>

struct health {
	bool success;                    /* the last sample, or false while one hangs */
	const struct source_ops *source; /* in use; NULL: none yet */
	bool events_active;
	double duration_seconds; /* of the last sample */
	uint64_t cpu_ns;         /* of sampling since the start */
	uint64_t errors;         /* failed samples */
	uint64_t events;
	uint64_t events_lost;
	uint64_t event_overruns;
	uint64_t forged;    /* netlink messages that did not come from the kernel */
	uint64_t malformed; /* records and lines that were skipped */
	uint64_t wiped_closes;
	double full_interval_seconds;   /* between full samples, as the budget allows now */
	double states_interval_seconds; /* between samples of the states tier */
	bool netns_used;                /* other network namespaces are looked for */
	uint64_t netns_sampled;         /* namespaces beside the own that have been sampled */
	uint64_t netns_denied;          /* ... that cannot be entered for want of a privilege */
	uint64_t netns_over_limit;      /* ... that are left out because there are too many */
	uint64_t
		netns_unreadable; /* processes whose namespace cannot be told for want of a privilege */
};

#endif
