/*
 * metrics_doc: docs/metrics.md, made from the table of metrics.
 *
 * Shared by the program that writes the file and the test that compares it.
 */
#pragma once

#include "../../src/render/families-internal.h"

static const char metrics_doc_head[] =
	"# Metrics\n"
	"\n"
	"<!-- Made by tests/helpers/dump_families.c: do not edit. -->\n"
	"\n"
	"Every TCP socket that is not a listener is counted once, under a role and a\n"
	"port: `role=\"server\"` with the local port where this end accepted the\n"
	"connection, `role=\"client\"` with the remote port where it opened it. `port`\n"
	"is `unknown` where the kernel no longer tells it, and `other` for ports that\n"
	"have no series of their own. The exporter's own network namespace has no\n"
	"`netns` label; in every other, samples that belong to a namespace have it as\n"
	"their last label.\n"
	"\n"
	"*Needs* says without what a metric is left out: `netlink`, the source with the\n"
	"kernel's details (`/proc/net/tcp` has none), or `events`, what the kernel\n"
	"tells when a socket is destroyed (in the own network namespace only). Ages are\n"
	"lower bounds. In OpenMetrics, the name of a counter's family lacks `_total`.\n"
	"\n"
	"| Metric | Type | Labels | Needs | Meaning |\n"
	"|---|---|---|---|---|\n";

static inline const char *metrics_doc_needs(uint32_t needs)
{
	if (needs & SOURCE_EVENTS)
		return "events";
	return needs ? "netlink" : "";
}

static inline void metrics_doc_row(struct buf *buf, const struct families_row *row)
{
	buf_printf(buf, "| `%s` | %s | %s | %s | %s |\n", row->family.name,
		   expo_is_counter(&row->family) ? "counter" : "gauge",
		   row->labels ? row->labels : "", metrics_doc_needs(row->needs), row->family.help);
}

static inline void metrics_doc_values(struct buf *buf)
{
	buf_puts(buf, "\n## Values of labels\n\n- `role`:");
	for (unsigned int i = 0; i < ROLE_COUNT; i++)
		buf_printf(buf, " `%s`", role_name(i));
	buf_puts(buf, "\n- `state`:");
	for (unsigned int i = TCP_STATE_ESTABLISHED; i < TCP_STATE_COUNT; i++)
		if (i != TCP_STATE_LISTEN)
			buf_printf(buf, " `%s`", tcp_state_name(i));
	buf_puts(buf, "\n- `reason` of a stale socket, the first that applies:");
	for (unsigned int i = STALE_NONE + 1; i < STALE_REASONS; i++)
		buf_printf(buf, " `%s`", stale_reason_name(i));
	buf_puts(buf, "\n- `reason` of a failed connect:");
	for (unsigned int i = 0; i < CONNECTS_FAILURES; i++)
		buf_printf(buf, " `%s`", connects_failure_name(i));
	buf_puts(buf, "\n- `evidence`, strongest first:");
	for (unsigned int i = 0; i < ROLE_EVIDENCE_COUNT; i++)
		buf_printf(buf, " `%s`", role_evidence_name(i));
	buf_puts(buf, "\n- `keepalive`: `on` `off` `unknown`\n");
	buf_puts(
		buf,
		"- `unit`: a systemd unit, `pod:UID:CONTAINER`, `docker:CONTAINER`, `machine:NAME` "
		"or the like, with `/UNIT` for what runs inside, or the path of a cgroup; empty "
		"where unknown\n");
}

static inline void metrics_doc_write(struct buf *buf)
{
	const struct families_row *row;

	buf_puts(buf, metrics_doc_head);
	for (size_t i = 0; (row = families_row(i)); i++)
		metrics_doc_row(buf, row);
	metrics_doc_values(buf);
}
