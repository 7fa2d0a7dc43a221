/*
 * families-connections: the metrics of connections by role and port.
 *
 * Must not know how a figure was found.
 */
#include "families-internal.h"

#define OF_PAIRS_WITH(tail, member)                                                                \
	.labels = "role, port" tail, .of = FAMILIES_OF_PAIRS,                                      \
	.figure = FAMILIES_FIGURE(struct snapshot_pair, member)
#define OF_PAIRS(member) OF_PAIRS_WITH("", member)
#define OF_UNITS(member)                                                                           \
	.labels = "role, port, reason, unit", .ns = emit_units,                                    \
	.figure = FAMILIES_FIGURE(struct snapshot_unit, member)
/* Of figures that the kernel tells of each socket. */
#define COUNTED(counted) .needs = SOURCE_INFO, OF_PAIRS(counter[counted])
#define THRESHOLDS(unit) .labels = "reason", .page = emit_thresholds, .which = (unit)

static const struct families_values states = {
	.label = "state",
	.name = tcp_state_name,
	.count = 10,
	.which = { TCP_STATE_ESTABLISHED, TCP_STATE_SYN_SENT, TCP_STATE_SYN_RECV,
		   TCP_STATE_FIN_WAIT1, TCP_STATE_FIN_WAIT2, TCP_STATE_TIME_WAIT, TCP_STATE_CLOSE,
		   TCP_STATE_CLOSE_WAIT, TCP_STATE_LAST_ACK, TCP_STATE_CLOSING },
};

/* An old ESTABLISHED connection is no fault, and TIME_WAIT lasts a fixed time. */
static const struct families_values states_states = {
	.label = "state",
	.name = tcp_state_name,
	.count = 7,
	.which = { TCP_STATE_SYN_SENT, TCP_STATE_SYN_RECV, TCP_STATE_FIN_WAIT1, TCP_STATE_FIN_WAIT2,
		   TCP_STATE_CLOSE_WAIT, TCP_STATE_LAST_ACK, TCP_STATE_CLOSING },
	.sparse = true,
};

static const char *reason_name(unsigned int reason)
{
	return stale_reason_name(reason);
}

static uint32_t reason_needs(unsigned int reason)
{
	return stale_rule(reason)->needs;
}

#define REASON(x, ID, ...) STALE_##ID,
static const struct families_values reasons = {
	.label = "reason",
	.name = reason_name,
	.needs = reason_needs,
	.count = STALE_REASONS - 1,
	.which = { STALE_LIST(REASON, ) },
};

static const struct families_values keepalives = {
	.label = "keepalive",
	.name = keepalive_name,
	.count = KEEPALIVES,
	.which = { KEEPALIVE_ON, KEEPALIVE_OFF, KEEPALIVE_UNKNOWN },
};

static const struct families_values failures = {
	.label = "reason",
	.name = connects_failure_name,
	.count = CONNECTS_FAILURES,
	.which = { CONNECTS_LIST(CONNECTS_ENUMERATOR, ) },
};
#define FAILURE_MEANING(x, ID, label, alarms, words, meaning) "; " label ": " meaning

static void label_unit(const struct families_walk *walk, const struct snapshot_unit *unit)
{
	expo_label(walk->expo, "role", role_name(unit->role));
	families_label_port(walk, unit->port);
	expo_label(walk->expo, "reason", stale_reason_name(unit->reason));
	expo_label(walk->expo, "unit", unit->unit);
}

static void emit_units(const struct families_walk *walk)
{
	for (size_t i = 0; i < walk->ns->unit_count; i++) {
		const struct snapshot_unit *unit = &walk->ns->units[i];

		if (unit->all.sockets == 0)
			continue;
		label_unit(walk, unit);
		families_put(walk, unit);
	}
}

/* `which` is the unit of those that are wanted: 1000 for milliseconds, 1 for what is counted. */
static void emit_thresholds(const struct families_walk *walk)
{
	const struct snapshot *snapshot = walk->input->snapshot;

	for (unsigned int i = STALE_NONE + 1; snapshot && i < STALE_REASONS; i++) {
		if (walk->row->which != (stale_rule(i)->counts ? 1 : 1000))
			continue;
		expo_label(walk->expo, "reason", stale_reason_name(i));
		expo_double(walk->expo, (double)snapshot->thresholds.least[i] / walk->row->which);
	}
}

static const struct families_row rows[] = {
	{
		.family.name = "tcphealth_connections",
		.family.help =
			"Connections by state, each counted once. Role is server where this host "
			"accepted (port is local), client where it connected (port is remote).",
		OF_PAIRS_WITH(", state", view.state[0]),
		.values = &states,
		.json = "connections",
	},
	{
		.family.name = "tcphealth_stale_connections",
		.family.help = "Connections stale for longer than the reason's threshold. Each is "
			       "counted once, under the first reason that applies.",
		OF_PAIRS_WITH(", reason", view.stale[0]),
		.values = &reasons,
		.json = "stale",
	},
	{
		.family.name = FAMILIES_STALE_UNIT_CONNECTIONS,
		.family.help = "Stale connections by the systemd unit, pod or cgroup that owns "
			       "them; left out where there are none, unit is empty where unknown.",
		OF_UNITS(all.sockets),
	},
	{
		.family.name = FAMILIES_STALE_UNIT_OLDEST,
		.family.help = "Seconds for which the reason has applied to the unit's oldest "
			       "stale connection; a lower bound.",
		OF_UNITS(all.oldest_ms),
		.scale = FAMILIES_WHOLE_SECONDS,
	},
	{
		.family.name = "tcphealth_stale_threshold_seconds",
		.family.help = "Seconds for which the reason must apply before a connection counts "
			       "as stale.",
		THRESHOLDS(1000),
	},
	{
		.family.name = "tcphealth_stale_threshold_probes",
		.family.help = "Keepalive probes in a row that must go unanswered before a "
			       "connection counts as stale.",
		THRESHOLDS(1),
	},
	{
		.family.name = "tcphealth_oldest_state_age_seconds",
		.family.help = "Seconds the oldest connection in this state has spent in it; a "
			       "lower bound, as time before the exporter first saw it may be "
			       "missing; 0 without connections.",
		OF_PAIRS_WITH(", state", view.oldest_ms[0]),
		.scale = FAMILIES_WHOLE_SECONDS,
		.values = &states_states,
		.json = "oldest_state_age_seconds",
	},
	{
		.family.name = "tcphealth_longest_silence_seconds",
		.family.help = "Seconds since the most silent peer of an established connection "
			       "was last heard.",
		.needs = SOURCE_INFO,
		OF_PAIRS(view.peak[TALLY_SILENCE]),
		.scale = FAMILIES_WHOLE_SECONDS,
		.json = "longest_silence_seconds",
	},
	{
		.family.name = "tcphealth_keepalive_connections",
		.family.help = "Established connections by whether TCP keepalive is on; unknown as "
			       "long as another timer hides it.",
		OF_PAIRS_WITH(", keepalive", view.keepalive[0]),
		.values = &keepalives,
		.json = "keepalive",
	},
	{
		.family.name = "tcphealth_unanswered_keepalive_probes",
		.family.help = "Keepalive probes not answered yet, summed over established "
			       "connections; one per connection is normal, as it may be in flight.",
		OF_PAIRS(view.sum[TALLY_PROBES]),
		.json = "unanswered_keepalive_probes",
	},
	{
		.family.name = "tcphealth_peer_loss_detection_seconds",
		.family.help = "Seconds the kernel would need, at worst, to notice that a peer has "
			       "vanished from a quiet connection; +Inf if it never would, 0 "
			       "without connections.",
		OF_PAIRS(view.peak[TALLY_LOSS]),
		.scale = FAMILIES_SECONDS,
		.json = "peer_loss_detection_seconds",
	},
	{
		.family.name = "tcphealth_receive_queue_bytes",
		.family.help = "Bytes received that programs on this host have not read yet, "
			       "summed over connections.",
		OF_PAIRS(view.sum[TALLY_RECEIVE_QUEUE]),
		.json = "receive_queue_bytes",
	},
	{
		.family.name = "tcphealth_send_queue_bytes",
		.family.help = "Bytes written that peers have not acknowledged yet, sent or not, "
			       "summed over connections.",
		OF_PAIRS(view.sum[TALLY_SEND_QUEUE]),
		.json = "send_queue_bytes",
	},
	{
		.family.name = "tcphealth_retransmitted_segments_total",
		.family.help =
			"TCP segments retransmitted since the exporter first saw each connection.",
		COUNTED(LEDGER_RETRANSMITTED_SEGMENTS),
		.json = "retransmitted_segments_total",
	},
	{
		.family.name = "tcphealth_sent_segments_total",
		.family.help = "TCP segments sent since the exporter first saw each connection, "
			       "including pure acknowledgements and retransmissions.",
		COUNTED(LEDGER_SENT_SEGMENTS),
		.json = "sent_segments_total",
	},
	{
		.family.name = "tcphealth_sent_bytes_total",
		.family.help = "Bytes that peers have acknowledged, as the kernel counts them: "
			       "payload, plus one for each SYN and FIN.",
		COUNTED(LEDGER_SENT_BYTES),
		.json = "sent_bytes_total",
	},
	{
		.family.name = "tcphealth_received_bytes_total",
		.family.help = "Bytes received in order, as the kernel counts them: payload, plus "
			       "one for each FIN.",
		COUNTED(LEDGER_RECEIVED_BYTES),
		.json = "received_bytes_total",
	},
	{
		.family.name = "tcphealth_opened_connections_total",
		.family.help = "Connections established since the exporter started.",
		COUNTED(LEDGER_OPENED),
		.json = "opened_connections_total",
	},
	{
		.family.name = "tcphealth_closed_connections_total",
		.family.help = "Established connections that have left the kernel's table since "
			       "the exporter started.",
		COUNTED(LEDGER_CLOSED),
		.json = "closed_connections_total",
	},
	{
		.family.name = "tcphealth_failed_connects_total",
		.family.help =
			"Connection attempts by this host that were never established, by reason; "
			"port is unknown where the kernel wiped it" CONNECTS_LIST(
				FAILURE_MEANING, ) ".",
		.labels = "port, reason",
		.needs = SOURCE_EVENTS,
		.of = FAMILIES_OF_CLIENTS,
		.figure = FAMILIES_FIGURE(struct snapshot_pair, counter[LEDGER_FAILED]),
		.values = &failures,
		.json = "failed_connects_*_total",
	},
};

const struct families_group families_connections = FAMILIES_GROUP(rows);
