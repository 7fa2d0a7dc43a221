/*
 * health: how the exporter itself is doing.
 *
 * A plain value that the collector fills, or the watchdog while the collector hangs in the kernel.
 * It is rendered together with the last good snapshot.
 */
#pragma once

#include "tcphealth/source/source.h"

#include <stdbool.h>
#include <stdint.h>

/* Of the network namespaces besides the exporter's own. */
struct health_netns {
	bool used; /* they are looked for */
	uint64_t sampled;
	/* This program may neither enter them (CAP_SYS_ADMIN) nor read them in /proc. */
	uint64_t denied;
	/* Left out because there are more than NAMESPACES_MAX. */
	uint64_t over_limit;
	/* Processes with a namespace that this program may not read (CAP_SYS_PTRACE). */
	uint64_t unreadable;
	/* Some that are wanted are not sampled, or not yet. */
	bool partial;
};

struct health {
	/* Of the last sample; false while one hangs. */
	bool success;
	const struct source_ops *source; /* in use; NULL: none yet */
	bool events_active;
	double duration_seconds; /* of the last sample */
	uint64_t cpu_ns;         /* that sampling took so far */
	uint64_t errors;         /* failed samples */
	uint64_t events;
	uint64_t events_lost;
	uint64_t event_overruns;
	/* Netlink messages that did not come from the kernel. */
	uint64_t forged;
	/* Records and lines that were skipped. */
	uint64_t malformed;
	uint64_t wiped_closes;
	/* Between the samples of each tier, as the budget allows now. */
	double full_interval_seconds, states_interval_seconds;
	uint64_t log_dropped;
	/* An older web configuration is in use, because the current files are wrong. */
	bool web_config_failed;
	struct health_netns netns;
};
