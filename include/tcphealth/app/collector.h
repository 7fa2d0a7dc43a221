/*
 * collector: samples periodically and publishes pages.
 *
 * Owns the sampling thread and everything it feeds: sources, census, events. Composes the pipeline from kernel to page; must
 * not know HTTP. A sample that hangs in the kernel is reported by whoever calls collector_watch().
 */
#ifndef TCPHEALTH_APP_COLLECTOR_H
#define TCPHEALTH_APP_COLLECTOR_H

#include "tcphealth/app/options.h"
#include "tcphealth/base/buf.h"
#include "tcphealth/render/page.h"

#include <stdbool.h>
#include <stdint.h>

struct collector;

struct collector_config {
	const struct options *options; /* borrowed */
	struct pageslot *pages;        /* borrowed */
	const char *microhttpd;        /* version text for build_info; borrowed */
};

/* Starts the sampling thread; the first sample begins at once. 0 and *ret_collector, or -errno. */
int collector_start(const struct collector_config *config, struct collector **ret_collector);

/*
 * Ends the thread and frees everything, waiting at most so long: a thread that hangs in the kernel is left
 * alone, with its memory. True if it ended.
 */
bool collector_stop(struct collector *collector, uint64_t wait_ms);

/*
 * To be called now and then from another thread: while a sample hangs for longer than an interval, publishes the last data as
 * failed.
 */
void collector_watch(struct collector *collector);

/* An httpd_ready_fn: whether the last good sample is younger than three intervals. Any thread. */
bool collector_ready(void *collector, struct buf *why);

/* One sample as a page of metrics (--once), without threads and events. 0 or -errno. */
int collector_once(const struct collector_config *config, struct buf *page);

#endif
