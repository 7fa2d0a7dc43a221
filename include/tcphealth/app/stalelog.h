/*
 * stalelog: logs when an incident begins, when it has grown tenfold and when it has ended.
 *
 * A line that finds no room in its minute is written later, unless it is no longer true. Each
 * culprit gets its first line before any gets its second. Must not know counters. One thread.
 */
#pragma once

#include "tcphealth/model/incidents.h"

#include <stdint.h>

#define STALELOG_LINES 10u /* in any minute */

/* Zeroed at first. */
struct stalelog {
	struct incidents incidents;
	/* When the last lines were written, the oldest at `next`; 0: never. */
	uint64_t line_ms[STALELOG_LINES];
	unsigned int next;
};

/* To be called with each good sample; the time is monotonic, and not 0. */
void stalelog_tell(struct stalelog *log, const struct snapshot *snapshot, uint64_t now_ms);

void stalelog_done(struct stalelog *log);
