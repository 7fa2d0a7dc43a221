/*
 * families: every metric of this program, one table row each.
 *
 * The table names a family, its type, help, unit and what it needs from the source, and the function that emits its samples from
 * a snapshot. Pure: the same snapshot gives the same bytes. Knows the metrics; must not know kernels, sources or HTTP.
 */
#ifndef TCPHEALTH_RENDER_FAMILIES_H
#define TCPHEALTH_RENDER_FAMILIES_H

#include "tcphealth/model/health.h"
#include "tcphealth/model/snapshot.h"
#include "tcphealth/render/expo.h"
#include "tcphealth/source/procself.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct families_input {
	const struct snapshot
		*snapshot; /* NULL before the first good sample: only the exporter's own metrics */
	const struct health *health;
	const struct procself
		*procself; /* NULL: no process_* (--web.disable-exporter-metrics, --once) */
	const char *version;
	const char *revision;
	const char *microhttpd; /* version of the library in use */
	bool once;              /* --once: no counters but kernel_*, no process_* */
};

/* Writes the whole page to `expo`, expo_end() included. */
void families_render(const struct families_input *input, struct expo *expo);

#endif
