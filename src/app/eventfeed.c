/*
 * eventfeed: keeps a reader of destroy events, and empties it into the census. Knows no meaning of an event.
 */
#include "tcphealth/app/eventfeed.h"

#include "tcphealth/base/log.h"

#include <stddef.h>
#include <string.h>

#define RCVBUF_BYTES                                                                               \
	(64u << 20) /* doubled by the kernel: about 100,000 events where the privilege is given */
#define BATCH    256u
#define RETRY_MS 60000u

static void add_stats(struct events_stats *to, const struct events_stats *from)
{
	to->received += from->received;
	to->lost += from->lost;
	to->overruns += from->overruns;
	to->forged += from->forged;
	to->malformed += from->malformed;
}

/* The reader ended by itself: its socket failed. */
static void bury_reader(struct eventfeed *feed, struct census *census)
{
	struct events_stats stats = events_stats(feed->events);

	eventfeed_drain(feed, census);
	add_stats(&feed->past, &stats);
	events_stop(feed->events);
	feed->events = NULL;
	feed->overruns = 0;
	log_warn("the reader of destroy events ended, restarting it", NULL);
}

void eventfeed_init(struct eventfeed *feed, bool wanted)
{
	*feed = (struct eventfeed){ .wanted = wanted };
}

void eventfeed_done(struct eventfeed *feed)
{
	events_stop(feed->events);
	feed->events = NULL;
}

void eventfeed_tend(struct eventfeed *feed, struct census *census, uint64_t now_ms)
{
	bool first = feed->retry_ms == 0;
	int r;

	if (feed->events != NULL && !events_stats(feed->events).active)
		bury_reader(feed, census);
	if (!feed->wanted || feed->events != NULL || now_ms < feed->retry_ms)
		return;
	feed->retry_ms = now_ms + RETRY_MS;
	r = events_start(RCVBUF_BYTES, &feed->events);
	if (r < 0 && !feed->told)
		log_warn("no destroy events: connections that live and die between samples are not "
			 "counted",
			 "err", strerror(-r), NULL);
	/* Events of sockets that died while nobody listened are lost. */
	if (r == 0 && !first)
		census_overrun(census);
	feed->told = r < 0;
}

void eventfeed_drain(struct eventfeed *feed, struct census *census)
{
	struct tcpdeath deaths[BATCH];
	uint64_t overruns;
	size_t n;

	if (feed->events == NULL)
		return;
	do {
		n = events_take(feed->events, deaths, BATCH);
		for (size_t i = 0; i < n; i++)
			feed->dropped += census_event(census, &deaths[i]) < 0;
	} while (n == BATCH);
	overruns = events_stats(feed->events).overruns;
	if (overruns != feed->overruns)
		census_overrun(census);
	feed->overruns = overruns;
}

bool eventfeed_active(const struct eventfeed *feed)
{
	return feed->events != NULL && events_stats(feed->events).active;
}

int eventfeed_fd(const struct eventfeed *feed)
{
	return feed->events != NULL ? events_fd(feed->events) : -1;
}

struct events_stats eventfeed_stats(const struct eventfeed *feed)
{
	struct events_stats all = { 0 };

	if (feed->events != NULL)
		all = events_stats(feed->events);
	add_stats(&all, &feed->past);
	all.lost += feed->dropped;
	return all;
}
