/*
 * stalelog: logs each connection that becomes stale, without flooding the log.
 *
 * It writes ten lines a minute at most, and one more that counts what was left out. Must not know
 * counters. One thread.
 */
#pragma once

#include "tcphealth/base/loglimit.h"
#include "tcphealth/model/census.h"
#include "tcphealth/source/units.h"

#include <stddef.h>
#include <stdint.h>

struct stalelog {
	struct loglimit limit;
};

void stalelog_init(struct stalelog *log);

/*
 * Logs `count` stale connections as census_news() gives them, or counts them as left out. Logs how
 * many were left out once the minute is over. `netns` is NULL for the exporter's own namespace. To
 * be called with each sample.
 */
void stalelog_tell(struct stalelog *log, const struct census_news *news, size_t count,
		   const char *netns, struct units *units, uint64_t now_ms);
