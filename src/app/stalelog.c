/*
 * stalelog: lines about incidents. Must not know counters.
 */
#include "tcphealth/app/stalelog.h"

#include "tcphealth/base/address.h"
#include "tcphealth/base/log.h"

#include <string.h>

#define MINUTE_MS 60000u
/* One that comes again is told so often. */
#define HOUR_MS   (60u * MINUTE_MS)
#define MUCH_MORE 10u

enum line { LINE_NONE, LINE_BEGAN, LINE_GREW, LINE_ENDED };

/* What is to be said: what was said last is no longer true. */
static enum line line_of(const struct incident *incident, uint64_t now_ms)
{
	const struct incident_told *told = &incident->told;
	bool open = incident->end_ms == 0;

	if (!told->ever ||
	    (told->open != open && (!incident->again || now_ms - told->ms >= HOUR_MS)))
		return open ? LINE_BEGAN : LINE_ENDED;
	if (open && told->open && incident->sockets / MUCH_MORE >= told->sockets)
		return LINE_GREW;
	return LINE_NONE;
}

static bool has_room(const struct stalelog *log, uint64_t now_ms)
{
	uint64_t oldest_ms = log->line_ms[log->next];

	return oldest_ms == 0 || now_ms - oldest_ms >= MINUTE_MS;
}

/* Where the unit is unknown, a port stands for it. */
static bool is_same_culprit(const struct incident *a, const struct incident *b)
{
	return strcmp(a->unit, b->unit) == 0 && strcmp(a->netns, b->netns) == 0 &&
	       (a->unit[0] != '\0' || (a->port == b->port && a->role == b->role));
}

/* In this minute. */
static bool culprit_was_told(const struct stalelog *log, const struct incident *incident,
			     uint64_t now_ms)
{
	for (size_t i = 0; i < log->incidents.count; i++) {
		const struct incident *other = &log->incidents.list[i];

		if (other->told.ever && now_ms - other->told.ms < MINUTE_MS &&
		    is_same_culprit(incident, other))
			return true;
	}
	return false;
}

static void write_line(const struct incident *incident, enum line line)
{
	const char *name = ledger_port_name(incident->port);
	const char *port = name != NULL ? name : LOG_U64(incident->port);
	/* NULL ends the line: the own is not named. */
	const char *netns_key = incident->netns[0] != '\0' ? "netns" : NULL;
	char peer[ADDRESS_ENDPOINT_LEN] = "";

	if (incident->peer_port != 0)
		(void)address_endpoint_text(&incident->peer, incident->peer_port, peer);
	if (line == LINE_ENDED)
		log_info("stale connections ended", "port", port, "role", role_name(incident->role),
			 "reason", stale_reason_name(incident->reason), "unit", incident->unit,
			 "seconds", LOG_U64((incident->end_ms - incident->begin_ms) / 1000), "most",
			 LOG_U64(incident->most), "peer", peer, netns_key, incident->netns, NULL);
	else
		log_warn(line == LINE_BEGAN ? "stale connections" : "many more stale connections",
			 "port", port, "role", role_name(incident->role), "reason",
			 stale_reason_name(incident->reason), "unit", incident->unit, "count",
			 LOG_U64(incident->sockets), "oldest_seconds",
			 LOG_U64(incident->oldest_ms / 1000), "peer", peer, netns_key,
			 incident->netns, NULL);
}

static void tell(struct stalelog *log, struct incident *incident, enum line line, uint64_t now_ms)
{
	write_line(incident, line);
	incident->told = (struct incident_told){
		.ever = true,
		.open = incident->end_ms == 0,
		.sockets = incident->sockets,
		.ms = now_ms,
	};
	log->line_ms[log->next] = now_ms;
	log->next = (log->next + 1) % STALELOG_LINES;
}

void stalelog_tell(struct stalelog *log, const struct snapshot *snapshot, uint64_t now_ms)
{
	incidents_update(&log->incidents, snapshot, now_ms);
	for (int second = 0; second <= 1; second++) {
		for (size_t i = 0; i < log->incidents.count && has_room(log, now_ms); i++) {
			struct incident *incident = &log->incidents.list[i];
			enum line line = line_of(incident, now_ms);

			if (line != LINE_NONE &&
			    (second || !culprit_was_told(log, incident, now_ms)))
				tell(log, incident, line, now_ms);
		}
	}
}

void stalelog_done(struct stalelog *log)
{
	incidents_done(&log->incidents);
}
