/*
 * collector: samples periodically.
 *
 * Owns the sampling thread, sources, census and events. Composes the pipeline from kernel to
 * snapshot; must not know formats or HTTP.
 */
#pragma once

#include "tcphealth/app/connections.h"
#include "tcphealth/app/mailbox.h"
#include "tcphealth/app/options.h"
#include "tcphealth/app/publisher.h"
#include "tcphealth/base/buf.h"
#include "tcphealth/model/health.h"
#include "tcphealth/model/snapshot.h"

#include <stdbool.h>
#include <stdint.h>

struct collector;

/*
 * Prepares, and takes no sample yet. The publisher gets the results, and the mailbox brings
 * queries; both are borrowed, and NULL if the thread is never started. 0 and *ret_collector, or
 * -errno.
 */
int collector_new(const struct options *options, struct publisher *publisher,
		  struct mailbox *mailbox, struct collector **ret_collector);

/* Starts the sampling thread; the first sample begins at once. 0 or -errno. Once. */
int collector_start(struct collector *collector);

/*
 * Whether the sampling thread lives: it began or ended a sample within an interval and
 * `within_ms`, or it is in the kernel, which a restart would not end. Any thread.
 */
bool collector_is_alive(const struct collector *collector, uint64_t within_ms);

/* Whether the thread sleeps in the kernel so that no signal reaches it. Any thread. */
bool collector_is_in_kernel(const struct collector *collector);

/*
 * Ends the thread, if it was started, and frees everything. Waits `wait_ms` at most: a thread
 * that hangs is left alone, with its memory. True if it ended. NULL is fine.
 */
bool collector_stop(struct collector *collector, uint64_t wait_ms);

/*
 * --once: without the thread and without events, one full sample of all namespaces that the flags
 * name, as a page of metrics. 0, or -errno of the own namespace.
 */
int collector_once(struct collector *collector, const struct publisher_config *config,
		   struct buf *page);

/*
 * --list-stale: the same sample, and its stale connections. The caller frees *ret_result with
 * connections_done() in any case, before the collector.
 */
int collector_list_stale(struct collector *collector, size_t limit,
			 struct connections_result *ret_result);
