/*
 * stalelog: one line for each connection that gets stuck, at most ten a minute. Knows no counters.
 */
#include "tcphealth/app/stalelog.h"

#include "tcphealth/base/log.h"

#include <stdio.h>

#define LINES_A_MINUTE 10u

static void endpoint(char *dst, size_t size, const struct in6_addr *addr, uint16_t port)
{
	char text[TCPSOCK_ADDR_LEN];
	bool v6 = !IN6_IS_ADDR_V4MAPPED(addr);

	tcpsock_addr_text(addr, text);
	(void)snprintf(dst, size, v6 ? "[%s]:%u" : "%s:%u", text, port);
}

static void tell(const struct census_stale *stale, const char *unit)
{
	char port[8] = "unknown", age[24];
	char local[TCPSOCK_ADDR_LEN + 16] = "", peer[TCPSOCK_ADDR_LEN + 16] = "";

	if (stale->port != LEDGER_PORT_UNKNOWN)
		(void)snprintf(port, sizeof(port), "%u", stale->port);
	(void)snprintf(age, sizeof(age), "%llu", (unsigned long long)(stale->age_ms / 1000));
	if (stale->sock != NULL) {
		endpoint(local, sizeof(local), &stale->sock->local, stale->sock->local_port);
		endpoint(peer, sizeof(peer), &stale->sock->remote, stale->sock->remote_port);
	}
	log_warn("stale connection", "port", port, "role", role_name(stale->role), "reason",
		 stale_reason_name(stale->reason), "age_seconds", age, "local", local, "peer", peer,
		 "unit", unit, NULL);
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
