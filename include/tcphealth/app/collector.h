/*
 * collector: samples periodically.
 *
 * Owns the sampling thread and everything it feeds: sources, census, events, and the publisher that makes pages of it. Composes
 * the pipeline from kernel to snapshot; must not know formats nor HTTP. A sample that hangs in the kernel is reported by whoever
 * calls collector_watch().
 */
#ifndef TCPHEALTH_APP_COLLECTOR_H
#define TCPHEALTH_APP_COLLECTOR_H

#include "tcphealth/app/connections.h"
#include "tcphealth/app/options.h"
#include "tcphealth/app/publisher.h"
#include "tcphealth/base/buf.h"
#include "tcphealth/model/health.h"
#include "tcphealth/model/snapshot.h"

#include <stdbool.h>
#include <stdint.h>

struct collector;

/* All that sampling needs, but nothing is sampled yet. 0 and *ret_collector, or -errno. */
int collector_new(const struct publisher_config *config, struct collector **ret_collector);

/* Starts the sampling thread; the first sample begins at once. 0 or -errno. Once. */
int collector_start(struct collector *collector);

/*
 * Ends the thread, if it was started, and frees everything, waiting at most so long: a thread that hangs in the kernel is left
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

/*
 * Asks the sampling thread for the connections that match, between two samples. 0 and *ret_result (to be freed by
 * connections_done()), -EBUSY while another question is being answered, -ETIMEDOUT after wait_ms, or what the dump gave. Any
 * thread.
 */
int collector_ask(struct collector *collector, const struct connections_query *query,
		  uint64_t wait_ms, struct connections_result *ret_result);

/* Lets nobody wait any longer, so that threads that ask can be joined: collector_ask() gives -ETIMEDOUT from now on. */
void collector_interrupt(struct collector *collector);

/* The last good snapshot as a new reference (NULL before the first), and the exporter's own health. Any thread. */
struct snapshot *collector_snapshot(struct collector *collector, struct health *ret_health);

/* One sample as a page of metrics (--once), without threads and events. 0 or -errno. */
int collector_once(const struct publisher_config *config, struct buf *page);

/* One sample, and what is stuck in it, without threads and events (--list-stale). 0 or -errno; as connections_take(). */
int collector_list_stale(const struct options *options, size_t limit, struct connections_result *ret_result);

#endif
