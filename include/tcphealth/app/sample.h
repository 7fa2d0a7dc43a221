/*
 * sample: one look at the sockets of a namespace, whoever wants it.
 *
 * Knows the order: settings, listeners, connections, events, and the end. Knows neither where a source comes from nor what a record
 * means. On the thread that has entered the namespace.
 */
#ifndef TCPHEALTH_APP_SAMPLE_H
#define TCPHEALTH_APP_SAMPLE_H

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
	/* What the last sample read, to be read anew. A process's namespace has no settings to read from outside. */
	struct netsysctl *sysctl;
	struct netstat *netstat;
};

/*
 * Samples from `source`, which `ops` has opened at sample->place. 0 and *ret_can, what the records knew (SOURCE_EVENTS only while
 * events come in); or -errno of the source, or -ENOMEM: the census has been aborted.
 */
int take_sample(const struct sample *sample, const struct source_ops *ops, void *source,
		struct census *census, uint32_t *ret_can);

#endif
