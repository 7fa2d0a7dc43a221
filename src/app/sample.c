/*
 * sample: see the header.
 */
#include "tcphealth/app/sample.h"

#include "tcphealth/source/procfs.h"

#include <limits.h>

#define CONNECTIONS (TCP_STATES_ALL & ~TCP_STATE_BIT(TCP_STATE_LISTEN))

static void read_settings(const struct sample *sample, struct portset *ret_reserved)
{
	if (sample->place.pid == 0)
		netsysctl_read(sample->place.procfs, sample->sysctl);
	if (sample->place.pid == 0 && sample->tier == TIER_FULL)
		netsysctl_read_reserved(sample->place.procfs, ret_reserved);
}

static void read_counters(const struct sample *sample)
{
	char dir[PATH_MAX];

	if (procfs_net_dir(sample->place.procfs, sample->place.pid, dir, sizeof(dir)) == 0)
		netstat_read(dir, sample->netstat);
}

/* Listeners first: who is connected to one is a server. */
static int dump(const struct sample *sample, const struct source_ops *ops, void *source,
		struct census *census)
{
	struct source_query listeners = { .states = TCP_STATE_BIT(TCP_STATE_LISTEN),
					  .want = SOURCE_DROPS };
	struct source_query connections = { .states = CONNECTIONS, .want = SOURCE_INFO };
	int r = ops->dump(source, &listeners, census_take, census);

	if (sample->tier == TIER_STATES)
		connections.states &= ~TCP_STATE_BIT(TCP_STATE_ESTABLISHED);
	return r < 0 ? r : ops->dump(source, &connections, census_take, census);
}

static void drain(const struct sample *sample, struct census *census)
{
	if (sample->events != NULL)
		eventfeed_drain(sample->events, census);
}

static int settle(const struct source_ops *ops, void *source, struct census *census)
{
	const struct tcpsock *sock;
	int r = 0;

	while (ops->can & SOURCE_FIND && r == 0 && (sock = census_waiting(census)) != NULL) {
		struct tcpsock other;
		bool found = ops->find(source, sock, &other) == 0;

		r = census_settle(census, found ? &other : NULL);
	}
	return r;
}

/* From census_begin() to census_end(). */
static int fill(const struct sample *sample, const struct source_ops *ops, void *source,
		struct census *census, uint32_t can, const struct portset *reserved)
{
	const struct census_sample begin = { .tier = sample->tier,
					     .can = can,
					     .now_ms = sample->now_ms,
					     .sysctl = *sample->sysctl,
					     .reserved = reserved };
	int r = census_begin(census, &begin);

	if (r == 0)
		r = dump(sample, ops, source, census);
	if (r < 0)
		return r;
	/* What a socket's destroy event tells of its TIME_WAIT is wanted before that is judged. */
	drain(sample, census);
	r = settle(ops, source, census);
	return r < 0 ? r : census_end(census);
}

int take_sample(const struct sample *sample, const struct source_ops *ops, void *source,
		struct census *census, uint32_t *ret_can)
{
	struct portset reserved = { { 0 } };
	uint32_t can = ops->can;
	int r;

	if (sample->events == NULL || !eventfeed_active(sample->events))
		can &= ~(uint32_t)SOURCE_EVENTS;
	read_settings(sample, &reserved);
	/* The TIME_WAIT of a connection that no dump has shown gets its role from them. */
	drain(sample, census);
	r = fill(sample, ops, source, census, can, &reserved);
	if (r == 0) {
		drain(sample, census);
		/* Last: a counter must not stand for an event or a drop that is yet to be read. */
		read_counters(sample);
		r = census_drained(census, sample->netstat);
	}
	if (r < 0) {
		census_abort(census);
		return r;
	}
	*ret_can = can;
	return 0;
}
