/*
 * feed: where the sockets of the own namespace come from, now.
 *
 * Owns the netlink socket, and decides between netlink and /proc: begins with netlink, falls to /proc where netlink is refused or lacks
 * its handler, and comes back by itself. Hands records to a census; must not know what they mean. One thread.
 */
#ifndef TCPHEALTH_APP_FEED_H
#define TCPHEALTH_APP_FEED_H

#include "tcphealth/app/options.h"
#include "tcphealth/model/census.h"
#include "tcphealth/model/health.h"
#include "tcphealth/source/netlink.h"

#include <stdbool.h>
#include <stdint.h>

struct feed;

/* `procfs` is borrowed. NULL when out of memory. */
struct feed *feed_new(enum options_source source, const char *procfs);
void feed_free(struct feed *feed);

struct feed_result {
	enum health_source source; /* in use */
	uint32_t needs_met;        /* enum snapshot_needs, without events */
	bool changed;              /* another source than the sample before */
	enum census_tier
		tier; /* what was sampled: more than asked for where the source or its change leaves no choice */
	int refusal; /* -errno of netlink where /proc is used instead; 0 where not asked */
};

/*
 * One sample: census_begin() to census_end(). `sample` has everything but `ids` set, and `events` is cleared where ids are not
 * cookies. 0 and *ret_result, or -errno of the source that was tried last: the census has been aborted.
 */
int feed_sample(struct feed *feed, struct census *census, const struct census_sample *sample,
		struct feed_result *ret_result);

/*
 * The sockets that match, from the source in use, without touching a census. `query` is what netlink takes; from /proc
 * more may come than match its ports. 0 or -errno.
 */
int feed_dump(struct feed *feed, const struct netlink_query *query, tcpsock_fn fn, void *arg);

enum health_source feed_source(const struct feed *feed);

/* Messages and records that were skipped, since the start. */
void feed_skipped(const struct feed *feed, uint64_t *ret_forged, uint64_t *ret_malformed);

#endif
