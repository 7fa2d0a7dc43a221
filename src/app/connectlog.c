/*
 * connectlog: a line for each peer to which connects fail again and again. Must not know counters.
 */
#include "tcphealth/app/connectlog.h"

#include "tcphealth/base/address.h"
#include "tcphealth/base/log.h"
#include "tcphealth/model/ledger.h"

#define LINES_A_MINUTE 10u

static void tell(const struct connects_peer *peer, const char *unit, uint64_t now_ms)
{
	const char *port = ledger_port_name(peer->port);
	char address[ADDRESS_LEN];

	log_warn("connects fail", "peer", address_text(&peer->remote, address), "port",
		 port != NULL ? port : LOG_U64(peer->port), "reason",
		 connects_failure_name(peer->failure), "count", LOG_U64(peer->count),
		 "since_seconds", LOG_U64((now_ms - peer->first_ms) / 1000), "unit", unit, NULL);
}

void connectlog_init(struct loglimit *limit)
{
	loglimit_init(limit, LINES_A_MINUTE);
}

void connectlog_tell(struct loglimit *limit, struct connects *connects, struct units *units,
		     uint64_t now_ms)
{
	uint64_t left_out = loglimit_report(limit, now_ms, false);
	const struct connects_peer *peer;

	if (left_out != 0)
		log_warn("connects fail to more peers", "count", LOG_U64(left_out), NULL);
	while ((peer = connects_next_told(connects, now_ms)) != NULL)
		if (loglimit_pass(limit, now_ms))
			tell(peer, units_name(units, peer->cgroup_id, now_ms), now_ms);
}
