/*
 * stalelog: tells of each connection that gets stuck, without flooding.
 *
 * At most so many lines a minute; one more line counts those that were left out. Logs; knows no counters. One thread.
 */
#ifndef TCPHEALTH_APP_STALELOG_H
#define TCPHEALTH_APP_STALELOG_H

#include "tcphealth/base/loglimit.h"
#include "tcphealth/model/census.h"

#include <stdbool.h>
#include <stdint.h>

struct stalelog {
	bool enabled;
	struct loglimit limit;
};

void stalelog_init(struct stalelog *log, bool enabled);

/* Logs `stale`, or counts it as left out. `unit` may be empty. */
void stalelog_tell(struct stalelog *log, const struct census_stale *stale, const char *unit,
		   uint64_t now_ms);

/* Called once a sample (`final`: at the end): tells how many were left out when their minute is over. */
void stalelog_tick(struct stalelog *log, uint64_t now_ms, bool final);

#endif
