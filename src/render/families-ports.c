/*
 * families-ports: the metrics of listening ports, of local ports in use, and of how a connection
 * got its role and its port.
 *
 * Must not know how a figure was found.
 */
#include "families-internal.h"

#define OF_LISTENERS(member)                                                                       \
	.labels = "port", .of = FAMILIES_OF_LISTENERS,                                             \
	.figure = FAMILIES_FIGURE(struct listener_port, member)

/* Where the last listener has closed, the queue is known to be gone. */
static bool knows_backlog(const struct listener_port *port)
{
	return port->backlog_known || port->sockets == 0;
}

static void emit_listener_units(const struct families_walk *walk)
{
	for (size_t i = 0; i < walk->ns->listener_unit_count; i++) {
		const struct snapshot_listener_unit *unit = &walk->ns->listener_units[i];

		families_label_port(walk, unit->port);
		expo_label(walk->expo, "unit", unit->unit);
		families_u64(walk, 1);
	}
}

static void emit_evidence(const struct families_walk *walk)
{
	for (unsigned int i = 0; i < ROLE_EVIDENCE_COUNT; i++) {
		expo_label(walk->expo, "evidence", role_evidence_name(i));
		families_u64(walk, walk->ns->evidence[i]);
	}
}

static void emit_folded(const struct families_walk *walk)
{
	for (unsigned int i = 0; i < ROLE_COUNT; i++) {
		expo_label(walk->expo, "role", role_name(i));
		families_u64(walk, walk->ns->folded[i]);
	}
}

static const struct families_row rows[] = {
	{
		.family.name = "tcphealth_listeners",
		.family.help = "Listeners on the port, or else those that take its connections by "
			       "TPROXY; 0 for a "
			       "while after the last has closed.",
		OF_LISTENERS(sockets),
		.json = "listeners",
	},
	{
		.family.name = "tcphealth_listen_queue_length",
		.family.help = "Connections with a finished handshake that no program has accepted "
			       "yet, summed over the port's listeners.",
		OF_LISTENERS(queue_length),
		.json = "listen_queue_length",
	},
	{
		.family.name = "tcphealth_listen_queue_limit",
		.family.help = "Connections that may wait to be accepted (the backlog in force), "
			       "summed over the port's listeners.",
		.needs = SOURCE_BACKLOG,
		OF_LISTENERS(queue_limit),
		.known = knows_backlog,
		.json = "listen_queue_limit",
	},
	{
		.family.name = "tcphealth_listen_queue_saturation_ratio",
		.family.help = "Accept queue of the port's fullest listener: its length divided by "
			       "its limit plus one; at 1 the kernel drops new connections.",
		.needs = SOURCE_BACKLOG,
		OF_LISTENERS(saturation),
		.known = knows_backlog,
	},
	{
		.family.name = "tcphealth_listen_drops_total",
		.family.help =
			"Connections turned away at the port because the accept or SYN queue was "
			"full or the handshake was lost; port is unknown where no listener could "
			"be identified.",
		.labels = "port",
		.needs = SOURCE_DROPS,
		.of = FAMILIES_OF_SERVERS,
		.figure = FAMILIES_FIGURE(struct snapshot_pair, counter[LEDGER_LISTEN_DROPS]),
		.json = "listen_drops_total",
	},
	{
		.family.name = "tcphealth_listener_info",
		.family.help = "1 for each systemd unit, pod or cgroup that listens on the "
			       "port; unit is empty where unknown.",
		.labels = "port, unit",
		.ns = emit_listener_units,
	},
	{
		.family.name = "tcphealth_ephemeral_ports_used_ratio",
		.family.help =
			"Share of the local ports that connect() to this remote port can no longer "
			"take, for the pair of addresses with the fewest left; at 1 it fails.",
		.labels = "port",
		.settings = UINT32_C(1) << NETSYSCTL_PORT_LOW,
		/*
		 * Local ports of connections with an unknown remote port belong to some other
		 * port.
		 */
		.of = FAMILIES_OF_CLIENT_PORTS,
		.figure = FAMILIES_FIGURE(struct snapshot_pair, view.ephemeral_ratio),
	},
	{
		.family.name = "tcphealth_role_evidence_connections",
		.family.help =
			"Connections by the evidence that decided which end opened them, strongest "
			"first; port_range, port_parity and port_order are guesses.",
		.labels = "evidence",
		.ns = emit_evidence,
	},
	{
		.family.name = "tcphealth_ports_folded",
		.family.help = "Ports without series of their own, counted under port other.",
		.labels = "role",
		.ns = emit_folded,
	},
};

const struct families_group families_ports = FAMILIES_GROUP(rows);
