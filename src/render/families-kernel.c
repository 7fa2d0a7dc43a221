/*
 * families-kernel: the TCP counters and settings of a network namespace.
 *
 * What could not be read is left out. Must not know where it is read.
 */
#include "families-internal.h"

#define COUNTER(counter) .ns = emit_counter, .which = (counter)
#define SYSCTL(key)      .ns = emit_sysctl, .which = (key)

static void put_counter(const struct families_walk *walk, unsigned int counter, const char *cause)
{
	const struct netstat *netstat = &walk->ns->netstat;

	if (!(netstat->known >> counter & 1))
		return;
	if (cause)
		expo_label(walk->expo, "cause", cause);
	families_u64(walk, netstat->value[counter]);
}

static void emit_counter(const struct families_walk *walk)
{
	put_counter(walk, walk->row->which, NULL);
}

static void emit_aborts(const struct families_walk *walk)
{
	put_counter(walk, NETSTAT_ABORT_ON_DATA, "data");
	put_counter(walk, NETSTAT_ABORT_ON_CLOSE, "close");
	put_counter(walk, NETSTAT_ABORT_ON_MEMORY, "memory");
	put_counter(walk, NETSTAT_ABORT_ON_TIMEOUT, "timeout");
	put_counter(walk, NETSTAT_ABORT_ON_LINGER, "linger");
	put_counter(walk, NETSTAT_ABORT_FAILED, "failed");
}

static void put_sysctl(const struct families_walk *walk, unsigned int key, const char *bound)
{
	const struct netsysctl *sysctl = &walk->ns->sysctl;

	if (!(sysctl->known >> key & 1))
		return;
	if (bound)
		expo_label(walk->expo, "bound", bound);
	families_u64(walk, sysctl->value[key]);
}

static void emit_sysctl(const struct families_walk *walk)
{
	put_sysctl(walk, walk->row->which, NULL);
}

static void emit_local_ports(const struct families_walk *walk)
{
	put_sysctl(walk, NETSYSCTL_PORT_LOW, "low");
	put_sysctl(walk, NETSYSCTL_PORT_HIGH, "high");
}

static const struct families_row rows[] = {
	{
		.family.name = "tcphealth_kernel_retransmitted_segments_total",
		.family.help = "TCP segments retransmitted in the network namespace (RetransSegs).",
		COUNTER(NETSTAT_RETRANS_SEGS),
	},
	{
		.family.name = "tcphealth_kernel_sent_segments_total",
		.family.help = "TCP segments sent in the network namespace, without "
			       "retransmissions (OutSegs).",
		COUNTER(NETSTAT_OUT_SEGS),
	},
	{
		.family.name = "tcphealth_kernel_syn_retransmits_total",
		.family.help = "SYN and SYN-ACK segments retransmitted in the network namespace "
			       "(TCPSynRetrans).",
		COUNTER(NETSTAT_SYN_RETRANS),
	},
	{
		.family.name = "tcphealth_kernel_keepalive_probes_total",
		.family.help = "Keepalive probes sent in the network namespace (TCPKeepAlive).",
		COUNTER(NETSTAT_KEEPALIVE_PROBES),
	},
	{
		.family.name = "tcphealth_kernel_timeouts_total",
		.family.help = "Retransmission timers that expired in the network namespace "
			       "(TCPTimeouts).",
		COUNTER(NETSTAT_TIMEOUTS),
	},
	{
		.family.name = "tcphealth_kernel_active_opens_total",
		.family.help = "Connection attempts begun in the network namespace, successful or "
			       "not (ActiveOpens).",
		COUNTER(NETSTAT_ACTIVE_OPENS),
	},
	{
		.family.name = "tcphealth_kernel_passive_opens_total",
		.family.help =
			"Connections that peers opened to the network namespace (PassiveOpens).",
		COUNTER(NETSTAT_PASSIVE_OPENS),
	},
	{
		.family.name = "tcphealth_kernel_attempt_fails_total",
		.family.help = "Handshakes that failed in the network namespace, in either "
			       "direction (AttemptFails).",
		COUNTER(NETSTAT_ATTEMPT_FAILS),
	},
	{
		.family.name = "tcphealth_kernel_established_resets_total",
		.family.help =
			"Established or half-closed connections in the network namespace that "
			"ended abruptly, by a reset from either end or a timeout (EstabResets).",
		COUNTER(NETSTAT_ESTAB_RESETS),
	},
	{
		.family.name = "tcphealth_kernel_sent_resets_total",
		.family.help = "TCP resets sent in the network namespace (OutRsts).",
		COUNTER(NETSTAT_OUT_RSTS),
	},
	{
		.family.name = "tcphealth_kernel_listen_overflows_total",
		.family.help = "Times a full accept queue turned a connection away in the "
			       "network namespace (ListenOverflows).",
		COUNTER(NETSTAT_LISTEN_OVERFLOWS),
	},
	{
		.family.name = "tcphealth_kernel_listen_drops_total",
		.family.help = "Connections that listeners in the network namespace dropped for "
			       "any reason, full accept queues included (ListenDrops).",
		COUNTER(NETSTAT_LISTEN_DROPS),
	},
	{
		.family.name = "tcphealth_kernel_request_queue_full_drops_total",
		.family.help = "Connections turned away in the network namespace because a SYN "
			       "queue was full (TCPReqQFullDrop).",
		COUNTER(NETSTAT_REQUEST_QUEUE_FULL_DROPS),
	},
	{
		.family.name = "tcphealth_kernel_aborts_total",
		.family.help =
			"Connections the kernel aborted in the network namespace, by cause: data "
			"(SO_LINGER 0, or data after the close), close (closed with unread data), "
			"memory (too many orphans, or out of memory), timeout (no answer), linger "
			"(negative TCP_LINGER2), failed (no reset could be sent).",
		.labels = "cause",
		.ns = emit_aborts,
	},
	{
		.family.name = "tcphealth_sysctl_keepalive_time_seconds",
		.family.help =
			"Seconds a connection with keepalive is idle before the first probe, "
			"unless its program sets another value (net.ipv4.tcp_keepalive_time).",
		SYSCTL(NETSYSCTL_KEEPALIVE_TIME),
	},
	{
		.family.name = "tcphealth_sysctl_keepalive_interval_seconds",
		.family.help = "Seconds between keepalive probes, unless the program sets another "
			       "value (net.ipv4.tcp_keepalive_intvl).",
		SYSCTL(NETSYSCTL_KEEPALIVE_INTVL),
	},
	{
		.family.name = "tcphealth_sysctl_fin_timeout_seconds",
		.family.help = "Seconds the kernel keeps a connection in FIN_WAIT2 that no program "
			       "holds any more (net.ipv4.tcp_fin_timeout).",
		SYSCTL(NETSYSCTL_FIN_TIMEOUT),
	},
	{
		.family.name = "tcphealth_sysctl_keepalive_probes",
		.family.help =
			"Unanswered keepalive probes after which the kernel drops a connection, "
			"unless the program sets another value (net.ipv4.tcp_keepalive_probes).",
		SYSCTL(NETSYSCTL_KEEPALIVE_PROBES),
	},
	{
		.family.name = "tcphealth_sysctl_retries2",
		.family.help = "Unanswered retransmissions after which the kernel drops an "
			       "established connection (net.ipv4.tcp_retries2).",
		SYSCTL(NETSYSCTL_RETRIES2),
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
	.count = sizeof(rows) / sizeof(rows[0]),
	.counters_once = true,
};
