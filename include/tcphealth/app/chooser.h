/*
 * chooser: where the sockets of the own namespace come from, now.
 *
 * Owns the netlink socket, and decides between netlink and /proc: begins with netlink, falls to /proc where netlink is refused or lacks
 * its handler, and comes back by itself. Hands records to a census; must not know what they mean. One thread.
 */
#ifndef TCPHEALTH_APP_CHOOSER_H
#define TCPHEALTH_APP_CHOOSER_H

#include "tcphealth/app/options.h"
#include "tcphealth/model/census.h"
#include "tcphealth/model/health.h"
#include "tcphealth/source/netlink.h"
#include "tcphealth/source/source.h"

#include <stdbool.h>
#include <stdint.h>

struct chooser;

/* `procfs` is borrowed. NULL when out of memory. */
struct chooser *chooser_new(enum options_source source, const char *procfs);
void chooser_free(struct chooser *chooser);

struct chooser_result {
	enum health_source source; /* in use */
	uint32_t can;              /* enum source_can, without events */
	bool changed;              /* another source than the sample before */
	enum tier
		tier; /* what was sampled: more than asked for where the source or its change leaves no choice */
	int refusal; /* -errno of netlink where /proc is used instead; 0 where not asked */
};

/*
 * One sample: census_begin() to census_end(). `sample` has everything but `ids` set, and `events` is cleared where ids are not
 * cookies. 0 and *ret_result, or -errno of the source that was tried last: the census has been aborted.
 */
int chooser_sample(struct chooser *chooser, struct census *census,
		   const struct census_sample *sample, struct chooser_result *ret_result);

/*
 * The sockets that match, from the source in use, without touching a census. `query` is what netlink takes; from /proc
 * more may come than match its ports. 0 or -errno.
 */
int chooser_dump(struct chooser *chooser, const struct netlink_query *query, tcpsock_fn fn,
		 void *arg);

enum health_source chooser_source(const struct chooser *chooser);

/* Messages and records that were skipped, since the start. */
void chooser_skipped(const struct chooser *chooser, uint64_t *ret_forged, uint64_t *ret_malformed);

#endif
