/*
 * publisher: the last sample, and the pages made of it.
 *
 * Holds the last good snapshot and the exporter's own health. A page is rendered by the first that
 * asks for it after a sample, also after one that failed or hangs in the kernel. One thread samples;
 * others read and watch. The sampling thread never waits for a page that is being rendered. Must not
 * know where a snapshot comes from, nor HTTP.
 */
#pragma once

#include "tcphealth/app/options.h"
#include "tcphealth/base/buf.h"
#include "tcphealth/model/health.h"
#include "tcphealth/model/snapshot.h"
#include "tcphealth/render/pageslot.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct publisher;

/* All is borrowed. */
struct publisher_config {
	const struct options *options;
	/* Version of libmicrohttpd in use. */
	const char *microhttpd;
	size_t page_max; /* bytes of a page; 0: 64 MiB */
};

/* NULL when out of memory. */
struct publisher *publisher_new(const struct publisher_config *config);
/* Takes NULL. */
void publisher_free(struct publisher *publisher);

/*
 * The pages: the one at / from the beginning, without data; the metrics once a sample has ended. One
 * that would be too large has no data and tcphealth_sample_success 0, which is logged. They live as
 * long as the publisher.
 */
struct pageslot *publisher_pages(const struct publisher *publisher);

/* A sample begins. The sampling thread. */
void publisher_begin(struct publisher *publisher, uint64_t now_ms);

/*
 * The sample has ended with `error`: 0, or -errno. The pages become old, also after a failure, which
 * then shows. On success they show `snapshot`, and its reference is taken over. Counts failed
 * samples: health->errors and health->web_config_failed are set, not read. The sampling thread.
 */
void publisher_end(struct publisher *publisher, int error, struct health *health,
		   struct snapshot *snapshot);

/* Whether there are metrics: a first sample has ended, well or not, or hangs. Any thread. */
bool publisher_answers(struct publisher *publisher);

/* CPU time of all renderings so far. Any thread. */
uint64_t publisher_render_ns(struct publisher *publisher);

/* Sets whether an older web configuration is in use. The pages become old. Any thread. */
void publisher_web_config(struct publisher *publisher, bool failed);

/*
 * Shows the last data as failed while a sample has been running for longer than an interval and
 * 2 s. To be called periodically, but not by the sampling thread.
 */
void publisher_watch(struct publisher *publisher);

/*
 * Whether the last good sample is younger than three intervals, which are longer where
 * samples take longer; if not, writes a line that says why. Any thread.
 */
bool publisher_ready(struct publisher *publisher, struct buf *why);

/* A new reference to the last good snapshot, NULL before the first; and the health. Any thread. */
struct snapshot *publisher_snapshot(struct publisher *publisher, struct health *ret_health);

/* `now_ms` of the last snapshot with metrics that a scraper was given; 0: none was. Any thread. */
uint64_t publisher_served_ms(const struct publisher *publisher);

/*
 * Writes one sample for a file: without the process, and no counters but the kernel's. 0 or
 * -errno.
 */
int publisher_once(const struct publisher_config *config, const struct snapshot *snapshot,
		   const struct health *health, struct buf *page);
