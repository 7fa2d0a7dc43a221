/*
 * sample: one sample of a namespace.
 *
 * Knows the order: settings, listeners, connections, events, counters, end. Must not know where a
 * source comes from, nor what a record means. The thread that has entered the namespace.
 */
#pragma once

#include "tcphealth/app/eventfeed.h"
#include "tcphealth/model/census.h"
#include "tcphealth/source/netstat.h"
#include "tcphealth/source/source.h"

#include <stdint.h>

struct sample {
	enum tier tier;
	uint64_t now_ms; /* monotonic */
	struct source_place place;
	struct eventfeed *events; /* NULL: no destroy events here */
	/*
	 * Of the last sample; read again. The settings of a process's namespace cannot be
	 * read.
	 */
	struct netsysctl *sysctl;
	struct netstat *netstat;
};

/*
 * Samples from `source`, which `ops` has opened at sample->place. 0, and *ret_can is what the
 * records know, with SOURCE_EVENTS only if events come in; or -errno of the source, or -ENOMEM:
 * the census has been aborted.
 */
int take_sample(const struct sample *sample, const struct source_ops *ops, void *source,
		struct census *census, uint32_t *ret_can);
