/*
 * eventfeed: destroy events for the census of the own namespace.
 *
 * Owns the reader of events: starts it, starts it again should it end, and hands what it read to the census. Logs whether there are
 * events; must not know what they mean. The collector's thread.
 */
#ifndef TCPHEALTH_APP_EVENTFEED_H
#define TCPHEALTH_APP_EVENTFEED_H

#include "tcphealth/model/census.h"
#include "tcphealth/source/events.h"

#include <stdbool.h>
#include <stdint.h>

struct eventfeed {
	bool wanted;
	bool told;                /* that there are none */
	struct events *events;    /* NULL while there is no reader */
	uint64_t retry_ms;        /* monotonic: not before */
	uint64_t overruns;        /* answered already */
	uint64_t dropped;         /* for want of memory */
	struct events_stats past; /* of readers that ended */
};

void eventfeed_init(struct eventfeed *feed, bool wanted);
void eventfeed_done(struct eventfeed *feed);

/* Starts the reader where there is none. Before the first dump, so that no death falls between. */
void eventfeed_tend(struct eventfeed *feed, struct census *census, uint64_t now_ms);

/* Gives the census all that is there. Only between dumps: what is taken now follows every record of its socket. */
void eventfeed_drain(struct eventfeed *feed, struct census *census);

bool eventfeed_active(const struct eventfeed *feed);

/* To poll for input; -1 while there is no reader. */
int eventfeed_fd(const struct eventfeed *feed);

/* Of all readers since the start. */
struct events_stats eventfeed_stats(const struct eventfeed *feed);

#endif
