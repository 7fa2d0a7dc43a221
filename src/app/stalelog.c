/*
 * stalelog: a line for each connection that becomes stale. Must not know counters.
 */
#include "tcphealth/app/stalelog.h"

#include "tcphealth/base/address.h"
#include "tcphealth/base/log.h"

#define LINES_A_MINUTE 10u

static void tell(const struct census_news *news, const char *unit, const char *netns)
{
	const struct tcpsock *sock = &news->sock;
	const char *port = ledger_port_name(news->port);
	char local[ADDRESS_ENDPOINT_LEN] = "", peer[ADDRESS_ENDPOINT_LEN] = "";

	if (sock->id != 0) {
		(void)address_endpoint_text(&sock->local, sock->local_port, local);
		(void)address_endpoint_text(&sock->remote, sock->remote_port, peer);
	}
	log_warn("stale connection", "port", port != NULL ? port : LOG_U64(news->port), "role",
		 role_name(news->role), "reason", stale_reason_name(news->reason), "age_seconds",
		 LOG_U64(news->age_ms / 1000), "local", local, "peer", peer, "unit", unit,
		 netns != NULL ? "netns" : NULL, netns, NULL);
}

void stalelog_init(struct stalelog *log)
{
	loglimit_init(&log->limit, LINES_A_MINUTE);
}

void stalelog_tell(struct stalelog *log, const struct census_news *news, size_t count,
		   const char *netns, struct units *units, uint64_t now_ms)
{
	uint64_t left_out = loglimit_report(&log->limit, now_ms, false);

	if (left_out != 0)
		log_warn("more stale connections", "count", LOG_U64(left_out), NULL);
	for (size_t i = 0; i < count; i++) {
		if (loglimit_pass(&log->limit, now_ms) && i < CENSUS_NEWS_MAX)
			tell(&news[i], units_name(units, news[i].sock.cgroup_id, now_ms), netns);
	}
}
