/*
 * incidents: what was stale, from when until when.
 *
 * An incident is what shares namespace, role, port, reason and unit. Made from one snapshot after
 * the other; must not know how it is told. One thread.
 */
#pragma once

#include "tcphealth/model/snapshot.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of a name, with the NUL: no name in a snapshot is longer. */
#define INCIDENT_TEXT 256u

#define INCIDENTS_OPEN_MAX  1024u
#define INCIDENTS_ENDED_MAX 256u
/* What comes again so soon is the same incident. */
#define INCIDENTS_AGAIN_MS (10u * 60u * 1000u)

/* What was last said of an incident, by whoever tells them. */
struct incident_told {
	bool ever;
	bool open;
	uint32_t sockets;
	uint64_t ms;
};

struct incident {
	char netns[INCIDENT_TEXT]; /* "" of the exporter's own */
	char unit[INCIDENT_TEXT];  /* "" if unknown */
	uint32_t port;
	enum role role;
	enum stale_reason reason;
	/* First and last seen, monotonic; `end_ms` is 0 while it lasts. */
	uint64_t begin_ms, end_ms;
	/* Connections now, and at most; and how long the oldest has been stale, at least. */
	uint32_t sockets, most;
	uint64_t oldest_ms;
	/* One of the peers; port 0: unknown. */
	struct in6_addr peer;
	uint16_t peer_port;
	/* It had ended, and came again. */
	bool again;
	struct incident_told told;
	/* Of the update that runs. */
	bool seen;
};

/* Zeroed at first. In the order in which they began. */
struct incidents {
	struct incident *list;
	size_t count;
};

/*
 * Brings them up to date with a good sample. What is harmless (an idle pool of a client, silence)
 * begins none. The last INCIDENTS_ENDED_MAX that ended are kept. Beyond INCIDENTS_OPEN_MAX at a
 * time, or without memory, an incident begins later.
 */
void incidents_update(struct incidents *incidents, const struct snapshot *snapshot,
		      uint64_t now_ms);

void incidents_done(struct incidents *incidents);
