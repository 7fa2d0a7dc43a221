/*
 * families: every metric of this program, one row of a table each.
 *
 * A row says the name, type, unit and help of a metric, what the source must know for it, and where
 * its figures lie. Pure: the same snapshot gives the same bytes. Must not know kernels, sources nor
 * HTTP.
 */
#pragma once

#include "tcphealth/model/health.h"
#include "tcphealth/model/snapshot.h"
#include "tcphealth/render/expo.h"
#include "tcphealth/source/procself.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Two metrics that this program reads as well, from a page of another exporter. */
#define FAMILIES_STALE_UNIT_CONNECTIONS "tcphealth_stale_unit_connections"
#define FAMILIES_STALE_UNIT_OLDEST      "tcphealth_stale_unit_oldest_seconds"

struct families_input {
	/* NULL before the first good sample: then only the exporter's own metrics are there. */
	const struct snapshot *snapshot;
	const struct health *health;
	/* NULL: no process_*. */
	const struct procself *procself;
	const char *version;
	const char *revision;
	/* Version of libmicrohttpd in use. */
	const char *microhttpd;
	/* A page of one sample: no counters but kernel_*, and no process_*. */
	bool once;
};

/* Writes the whole page, and ends it. */
void families_render(const struct families_input *input, struct expo *expo);
