/*
 * families-kernel: a network namespace's own TCP counters and settings.
 *
 * One row each; what could not be read is left out. Must not know where it is read.
 */
#include "families-internal.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static bool counter_known(const struct families_walk *walk, enum netstat_counter counter)
{
	return walk->ns->netstat.known >> counter & 1;
}

static bool sysctl_known(const struct families_walk *walk, enum netsysctl_key key)
{
	return walk->ns->sysctl.known >> key & 1;
}

static void emit_counter(const struct families_walk *walk)
{
	unsigned int counter = walk->row->which;

	if (counter_known(walk, counter))
		families_u64(walk, walk->ns->netstat.value[counter]);
}

static void emit_aborts(const struct families_walk *walk)
{
	static const struct {
		const char *cause;
		enum netstat_counter counter;
	} causes[] = {
		{ "data", NETSTAT_ABORT_ON_DATA },     { "close", NETSTAT_ABORT_ON_CLOSE },
		{ "memory", NETSTAT_ABORT_ON_MEMORY }, { "timeout", NETSTAT_ABORT_ON_TIMEOUT },
		{ "linger", NETSTAT_ABORT_ON_LINGER }, { "failed", NETSTAT_ABORT_FAILED },
	};

	for (size_t i = 0; i < COUNT_OF(causes); i++) {
		if (!counter_known(walk, causes[i].counter))
			continue;
		expo_label(walk->expo, "cause", causes[i].cause);
		families_u64(walk, walk->ns->netstat.value[causes[i].counter]);
	}
}

static void emit_sysctl(const struct families_walk *walk)
{
	unsigned int key = walk->row->which;

	if (sysctl_known(walk, key))
		families_u64(walk, walk->ns->sysctl.value[key]);
}

static void emit_local_ports(const struct families_walk *walk)
{
	if (sysctl_known(walk, NETSYSCTL_PORT_LOW)) {
		expo_label(walk->expo, "bound", "low");
		families_u64(walk, walk->ns->sysctl.value[NETSYSCTL_PORT_LOW]);
	}
	if (sysctl_known(walk, NETSYSCTL_PORT_HIGH)) {
		expo_label(walk->expo, "bound", "high");
		families_u64(walk, walk->ns->sysctl.value[NETSYSCTL_PORT_HIGH]);
	}
}

static const struct families_row rows[] = {
	{
		.family.name = "tcphealth_kernel_retransmitted_segments_total",
		.family.help = "TCP segments the network namespace has sent again "
			       "(RetransSegs).",
		.family.type = EXPO_COUNTER,
		.which = NETSTAT_RETRANS_SEGS,
		.ns = emit_counter,
	},
	{
		.family.name = "tcphealth_kernel_sent_segments_total",
		.family.help = "TCP segments the network namespace has sent, without "
			       "retransmissions (OutSegs).",
		.family.type = EXPO_COUNTER,
		.which = NETSTAT_OUT_SEGS,
		.ns = emit_counter,
	},
	{
		.family.name = "tcphealth_kernel_syn_retransmits_total",
		.family.help = "SYN and SYN-ACK segments the network namespace has sent again "
			       "(TCPSynRetrans).",
		.family.type = EXPO_COUNTER,
		.which = NETSTAT_SYN_RETRANS,
		.ns = emit_counter,
	},
	{
		.family.name = "tcphealth_kernel_keepalive_probes_total",
		.family.help = "Keepalive probes the network namespace has sent "
			       "(TCPKeepAlive).",
		.family.type = EXPO_COUNTER,
		.which = NETSTAT_KEEPALIVE_PROBES,
		.ns = emit_counter,
	},
	{
		.family.name = "tcphealth_kernel_timeouts_total",
		.family.help = "Expiries of retransmission timers in the network namespace "
			       "(TCPTimeouts).",
		.family.type = EXPO_COUNTER,
		.which = NETSTAT_TIMEOUTS,
		.ns = emit_counter,
	},
	{
		.family.name = "tcphealth_kernel_active_opens_total",
		.family.help = "Connections the network namespace has begun to open, whether "
			       "or not they succeeded (ActiveOpens).",
		.family.type = EXPO_COUNTER,
		.which = NETSTAT_ACTIVE_OPENS,
		.ns = emit_counter,
	},
	{
		.family.name = "tcphealth_kernel_passive_opens_total",
		.family.help = "Connections the network namespace has taken from peers "
			       "(PassiveOpens).",
		.family.type = EXPO_COUNTER,
		.which = NETSTAT_PASSIVE_OPENS,
		.ns = emit_counter,
	},
	{
		.family.name = "tcphealth_kernel_attempt_fails_total",
		.family.help = "Handshakes of either direction that failed in the network "
			       "namespace (AttemptFails).",
		.family.type = EXPO_COUNTER,
		.which = NETSTAT_ATTEMPT_FAILS,
		.ns = emit_counter,
	},
	{
		.family.name = "tcphealth_kernel_established_resets_total",
		.family.help = "Established or half-closed connections of the network "
			       "namespace that ended at once, by a reset of either end or a "
			       "timeout (EstabResets).",
		.family.type = EXPO_COUNTER,
		.which = NETSTAT_ESTAB_RESETS,
		.ns = emit_counter,
	},
	{
		.family.name = "tcphealth_kernel_sent_resets_total",
		.family.help = "TCP resets the network namespace has sent (OutRsts).",
		.family.type = EXPO_COUNTER,
		.which = NETSTAT_OUT_RSTS,
		.ns = emit_counter,
	},
	{
		.family.name = "tcphealth_kernel_listen_overflows_total",
		.family.help = "Times a full accept queue turned a connection away in the "
			       "network namespace (ListenOverflows).",
		.family.type = EXPO_COUNTER,
		.which = NETSTAT_LISTEN_OVERFLOWS,
		.ns = emit_counter,
	},
	{
		.family.name = "tcphealth_kernel_listen_drops_total",
		.family.help = "Connections that listeners of the network namespace dropped "
			       "for any cause, full accept queues included (ListenDrops).",
		.family.type = EXPO_COUNTER,
		.which = NETSTAT_LISTEN_DROPS,
		.ns = emit_counter,
	},
	{
		.family.name = "tcphealth_kernel_aborts_total",
		.family.help = "Connections the kernel aborted in the network namespace, by "
			       "cause: data (with SO_LINGER 0, or data came after the close), "
			       "close (closed with data unread), memory (too many orphans, or "
			       "no memory), timeout (nobody answered), linger (TCP_LINGER2 "
			       "below 0), failed (no reset could be sent).",
		.family.type = EXPO_COUNTER,
		.labels = "cause",
		.ns = emit_aborts,
	},
	{
		.family.name = "tcphealth_sysctl_keepalive_time_seconds",
		.family.help = "How long a connection with keepalive is idle before the first "
			       "probe, unless the program says otherwise "
			       "(net.ipv4.tcp_keepalive_time).",
		.family.unit = "seconds",
		.which = NETSYSCTL_KEEPALIVE_TIME,
		.ns = emit_sysctl,
	},
	{
		.family.name = "tcphealth_sysctl_keepalive_interval_seconds",
		.family.help = "Time between keepalive probes, unless the program says "
			       "otherwise (net.ipv4.tcp_keepalive_intvl).",
		.family.unit = "seconds",
		.which = NETSYSCTL_KEEPALIVE_INTVL,
		.ns = emit_sysctl,
	},
	{
		.family.name = "tcphealth_sysctl_fin_timeout_seconds",
		.family.help = "How long the kernel keeps a connection in FIN_WAIT2 that no "
			       "program holds any more (net.ipv4.tcp_fin_timeout).",
		.family.unit = "seconds",
		.which = NETSYSCTL_FIN_TIMEOUT,
		.ns = emit_sysctl,
	},
	{
		.family.name = "tcphealth_sysctl_keepalive_probes",
		.family.help = "Unanswered keepalive probes after which a connection is "
			       "dropped, unless the program says otherwise "
			       "(net.ipv4.tcp_keepalive_probes).",
		.which = NETSYSCTL_KEEPALIVE_PROBES,
		.ns = emit_sysctl,
	},
	{
		.family.name = "tcphealth_sysctl_retries2",
		.family.help = "Retransmissions without an answer after which an established "
			       "connection is dropped (net.ipv4.tcp_retries2).",
		.which = NETSYSCTL_RETRIES2,
		.ns = emit_sysctl,
	},
	{
		.family.name = "tcphealth_sysctl_local_port",
		.family.help = "Range of local ports that connect() chooses from "
			       "(net.ipv4.ip_local_port_range).",
		.labels = "bound",
		.ns = emit_local_ports,
	},
};

const struct families_group families_kernel = {
	.rows = rows,
	.count = COUNT_OF(rows),
	.counters_once = true,
};
