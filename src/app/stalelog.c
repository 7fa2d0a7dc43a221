/*
 * stalelog: a line for each connection that becomes stale. Must not know counters.
 */
#include "tcphealth/app/stalelog.h"

#include "tcphealth/base/address.h"
#include "tcphealth/base/log.h"

#define LINES_A_MINUTE 10u

static void tell(const struct census_stale *stale, const char *unit)
{
	const struct tcpsock *sock = stale->sock;
	const char *port = ledger_port_name(stale->port);
	char local[ADDRESS_ENDPOINT_LEN] = "", peer[ADDRESS_ENDPOINT_LEN] = "";

	if (sock != NULL) {
		(void)address_endpoint_text(&sock->local, sock->local_port, local);
		(void)address_endpoint_text(&sock->remote, sock->remote_port, peer);
	}
	log_warn("stale connection", "port", port != NULL ? port : LOG_U64(stale->port), "role",
		 role_name(stale->role), "reason", stale_reason_name(stale->reason), "age_seconds",
		 LOG_U64(stale->age_ms / 1000), "local", local, "peer", peer, "unit", unit, NULL);
}

void stalelog_init(struct stalelog *log, bool enabled)
{
	log->enabled = enabled;
	loglimit_init(&log->limit, LINES_A_MINUTE);
}

void stalelog_tell(struct stalelog *log, const struct census_stale *stale, const char *unit,
		   uint64_t now_ms)
{
	if (!log->enabled)
		return;
	stalelog_tick(log, now_ms, false);
	if (loglimit_pass(&log->limit, now_ms))
		tell(stale, unit);
}

void stalelog_tick(struct stalelog *log, uint64_t now_ms, bool final)
{
	uint64_t left_out = loglimit_report(&log->limit, now_ms, final);

	if (left_out != 0)
		log_warn("more stale connections", "count", LOG_U64(left_out), NULL);
}
