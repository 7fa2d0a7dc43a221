/*
 * eventfeed: brings destroy events to the census of the own namespace.
 *
 * Owns the reader of events, starts it, and starts another if it ends. Logs whether there are
 * events; must not know what they mean. The collector's thread.
 */
#pragma once

#include "tcphealth/model/census.h"
#include "tcphealth/source/events.h"

#include <stdbool.h>
#include <stdint.h>

struct eventfeed {
	bool wanted;
	bool told;                /* that there are none */
	struct events *events;    /* NULL: no reader now */
	uint64_t retry_ms;        /* monotonic: not before */
	uint64_t overruns;        /* that the census knows of */
	uint64_t dropped;         /* when out of memory */
	struct events_stats past; /* of readers that ended */
};

void eventfeed_init(struct eventfeed *feed, bool wanted);
void eventfeed_done(struct eventfeed *feed);

/*
 * Starts the reader if there is none. To be called before the first dump, so that no event is
 * missed.
 */
void eventfeed_tend(struct eventfeed *feed, struct census *census, uint64_t now_ms);

/*
 * Gives all events to the census. Only between dumps: so an event follows every record of its
 * socket.
 */
void eventfeed_drain(struct eventfeed *feed, struct census *census);

bool eventfeed_active(const struct eventfeed *feed);

/* A descriptor, readable if there are events; -1 without a reader. */
int eventfeed_fd(const struct eventfeed *feed);

/* Of all readers. */
struct events_stats eventfeed_stats(const struct eventfeed *feed);
