/*
 * stalelog: logs each connection that becomes stale, without flooding the log.
 *
 * It writes ten lines a minute at most, and one more that counts what was left out. Must not know
 * counters. One thread.
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

/* Logs a stale connection, or counts it as left out. `unit` may be empty. */
void stalelog_tell(struct stalelog *log, const struct census_stale *stale, const char *unit,
		   uint64_t now_ms);

/*
 * Logs how many were left out, once their minute is over or if this is the `final` call. To be
 * called with each sample.
 */
void stalelog_tick(struct stalelog *log, uint64_t now_ms, bool final);

#endif
