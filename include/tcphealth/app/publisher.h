/*
 * publisher: what is known to the outside, and the pages that say it.
 *
 * Holds the last good snapshot and the exporter's own health. Renders the pages from them at the end of each sample, and again
 * when a sample hangs in the kernel. One thread samples, others ask and watch: nobody waits for pages that another renders.
 * Must not know where a snapshot comes from, nor HTTP.
 */
#ifndef TCPHEALTH_APP_PUBLISHER_H
#define TCPHEALTH_APP_PUBLISHER_H

#include "tcphealth/app/options.h"
#include "tcphealth/base/buf.h"
#include "tcphealth/model/health.h"
#include "tcphealth/model/snapshot.h"
#include "tcphealth/render/page.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct publisher;

struct publisher_config {
	const struct options *options; /* borrowed */
	struct pageslot *pages;        /* borrowed; NULL with --once */
	const char *microhttpd;        /* version text for build_info; borrowed */
	size_t page_max;               /* bytes of a page; 0: 64 MiB */
};

/* NULL when out of memory. The page for people is there at once, without data. */
struct publisher *publisher_new(const struct publisher_config *config);
void publisher_free(struct publisher *publisher); /* NULL is fine */

/* A sample begins. The sampling thread. */
void publisher_begin(struct publisher *publisher, uint64_t now_ms);

/*
 * It has ended with `error`, 0 or -errno: the pages are made anew, so that a failure shows, and on success from `snapshot`,
 * whose reference is taken over. Failed samples are counted here: health->errors is set, not read. 0, -EFBIG if a page would
 * be too large: it then has no data, and tcphealth_sample_success 0; or -ENOMEM: the old pages stay. The sampling thread.
 */
int publisher_end(struct publisher *publisher, int error, struct health *health,
		  struct snapshot *snapshot);

/* While a sample hangs for longer than an interval and 2 s, publishes the last data as failed. From another thread, now and then. */
void publisher_watch(struct publisher *publisher);

/* Whether the last good sample that the pages show is younger than three intervals (longer ones, where samples take longer); else one line of why not. Any thread. */
bool publisher_ready(struct publisher *publisher, struct buf *why);

/* The last good snapshot as a new reference (NULL before the first), and the health. Any thread. */
struct snapshot *publisher_snapshot(struct publisher *publisher, struct health *ret_health);

/* One sample as text for a file: nothing of the process, no counters but the kernel's. 0 or -errno. */
int publisher_once(const struct publisher_config *config, const struct snapshot *snapshot,
		   const struct health *health, struct buf *page);

#endif
