/*
 * families-exporter: how the exporter itself is doing.
 *
 * These belong to no namespace, and are there before the first sample, unless they tell of one.
 */
#include "families-internal.h"

#define OF_HEALTH(member) .page = emit_health, .figure = FAMILIES_FIGURE(struct health, member)

static void emit_build(const struct families_walk *walk)
{
	expo_label(walk->expo, "version", walk->input->version);
	expo_label(walk->expo, "revision", walk->input->revision);
	expo_label(walk->expo, "microhttpd", walk->input->microhttpd);
	expo_u64(walk->expo, 1);
}

static void emit_tiers(const struct families_walk *walk, double full, double states)
{
	expo_label(walk->expo, "tier", "full");
	expo_double(walk->expo, full);
	expo_label(walk->expo, "tier", "states");
	expo_double(walk->expo, states);
}

static void emit_timestamp(const struct families_walk *walk)
{
	const struct snapshot *snapshot = walk->input->snapshot;

	if (snapshot)
		emit_tiers(walk, snapshot->timestamp, snapshot->states_timestamp);
}

static void emit_interval(const struct families_walk *walk)
{
	const struct health *health = walk->input->health;

	if (health->full_interval_seconds > 0)
		emit_tiers(walk, health->full_interval_seconds, health->states_interval_seconds);
}

static void emit_duration(const struct families_walk *walk)
{
	if (walk->input->snapshot)
		expo_double(walk->expo, walk->input->health->duration_seconds);
}

static void emit_sockets(const struct families_walk *walk)
{
	if (walk->input->snapshot)
		expo_u64(walk->expo, walk->input->snapshot->sockets);
}

static void emit_source(const struct families_walk *walk)
{
	for (unsigned int id = SOURCE_AUTO + 1; id < SOURCE_IDS; id++) {
		expo_label(walk->expo, "source", source_table[id]->name);
		expo_u64(walk->expo, walk->input->health->source == source_table[id]);
	}
}

static void emit_netns(const struct families_walk *walk)
{
	const struct health_netns *netns = &walk->input->health->netns;
	const struct {
		const char *status;
		uint64_t count;
	} counts[] = {
		{ "sampled", netns->sampled },
		{ "denied", netns->denied },
		{ "over_limit", netns->over_limit },
	};

	for (size_t i = 0; netns->used && i < sizeof(counts) / sizeof(counts[0]); i++) {
		expo_label(walk->expo, "status", counts[i].status);
		expo_u64(walk->expo, counts[i].count);
	}
}

static void emit_netns_unreadable(const struct families_walk *walk)
{
	if (walk->input->health->netns.used)
		expo_u64(walk->expo, walk->input->health->netns.unreadable);
}

static void emit_space_timestamp(const struct families_walk *walk)
{
	if (!walk->ns->name)
		return;
	expo_label(walk->expo, "netns", walk->ns->name);
	expo_double(walk->expo, walk->ns->timestamp);
}

static void emit_cpu(const struct families_walk *walk)
{
	expo_double(walk->expo, (double)walk->input->health->cpu_ns / 1e9);
}

static void emit_health(const struct families_walk *walk)
{
	families_put(walk, walk->input->health);
}

static const struct families_row rows[] = {
	{
		.family.name = "tcphealth_build_info",
		.family.help = "1, labelled with the version and revision of the exporter and the "
			       "version of libmicrohttpd in use.",
		.labels = "version, revision, microhttpd",
		.page = emit_build,
	},
	{
		.family.name = "tcphealth_last_sample_timestamp_seconds",
		.family.help = "Unix time at which the tier's last good sample ended; a full "
			       "sample counts for both tiers.",
		.labels = "tier",
		.page = emit_timestamp,
	},
	{
		.family.name = "tcphealth_sample_interval_seconds",
		.family.help = "Seconds between two samples of the tier, as the CPU budget allows "
			       "now; only full samples read established connections.",
		.labels = "tier",
		.page = emit_interval,
	},
	{
		.family.name = "tcphealth_sample_success",
		.family.help = "1 if the last sample was good; 0 if it failed or hangs, and the "
			       "figures are those of the last good one.",
		OF_HEALTH(success),
	},
	{
		.family.name = "tcphealth_sample_duration_seconds",
		.family.help = "Seconds the last sample took.",
		.page = emit_duration,
	},
	{
		.family.name = "tcphealth_sampled_sockets",
		.family.help = "Sockets in the last good sample, listeners included.",
		.page = emit_sockets,
	},
	{
		.family.name = "tcphealth_sample_source",
		.family.help = "1 for the source in use, 0 for the others; procfs shows less than "
			       "netlink, and metrics it cannot measure are left out.",
		.labels = "source",
		.page = emit_source,
	},
	{
		.family.name = "tcphealth_netns_last_sample_timestamp_seconds",
		.family.help = "Unix time at which another network namespace was last sampled; "
			       "namespaces take turns, one an interval.",
		.labels = "netns",
		.ns = emit_space_timestamp,
	},
	{
		.family.name = "tcphealth_other_namespaces",
		.family.help = "Network namespaces other than the exporter's own: sampled, denied "
			       "for lack of CAP_SYS_ADMIN, or over the limit.",
		.labels = "status",
		.page = emit_netns,
	},
	{
		.family.name = "tcphealth_unreadable_processes",
		.family.help = "Processes that hide their network namespace for lack of "
			       "CAP_SYS_PTRACE; some namespaces may be missing.",
		.page = emit_netns_unreadable,
	},
	{
		.family.name = "tcphealth_events_active",
		.family.help = "1 while the kernel reports the end of each connection; 0 while "
			       "connections that live and die between two samples are missed.",
		OF_HEALTH(events_active),
	},
	{
		.family.name = "tcphealth_sample_cpu_seconds_total",
		.family.help = "CPU seconds spent on samples.",
		.page = emit_cpu,
	},
	{
		.family.name = "tcphealth_sample_errors_total",
		.family.help = "Samples that failed.",
		OF_HEALTH(errors),
	},
	{
		.family.name = "tcphealth_events_total",
		.family.help =
			"Destroy events received from the kernel, one for each socket that ended.",
		OF_HEALTH(events),
	},
	{
		.family.name = "tcphealth_events_lost_total",
		.family.help = "Destroy events known to be lost; while this does not grow, the "
			       "counters of connections miss nothing.",
		OF_HEALTH(events_lost),
	},
	{
		.family.name = "tcphealth_event_overruns_total",
		.family.help = "Times the kernel dropped destroy events because the exporter read "
			       "them too slowly.",
		OF_HEALTH(event_overruns),
	},
	{
		.family.name = "tcphealth_forged_messages_total",
		.family.help =
			"Netlink messages ignored because they did not come from the kernel.",
		OF_HEALTH(forged),
	},
	{
		.family.name = "tcphealth_malformed_records_total",
		.family.help = "Records and lines of the kernel's tables skipped because they made "
			       "no sense.",
		OF_HEALTH(malformed),
	},
	{
		.family.name = "tcphealth_log_lines_dropped_total",
		.family.help = "Log lines dropped because nobody read them in time.",
		OF_HEALTH(log_dropped),
	},
	{
		.family.name = "tcphealth_web_config_reload_failed",
		.family.help = "1 while an older web configuration stays in use, because the "
			       "current files are wrong; the log says why.",
		OF_HEALTH(web_config_failed),
	},
	{
		.family.name = "tcphealth_wiped_closes_total",
		.family.help = "Closed connections without final figures, as the kernel had wiped "
			       "them (SO_LINGER 0 and the like); their last bytes and segments are "
			       "not counted.",
		OF_HEALTH(wiped_closes),
	},
};

const struct families_group families_exporter = FAMILIES_GROUP(rows);
