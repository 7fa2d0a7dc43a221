/*
 * families-process: process_*, with the names and texts that all exporters share.
 *
 * What could not be read is left out. Must not know where it is read.
 */
#include "families-internal.h"

#define OF_PROCESS(member, known)                                                                  \
	.page = emit_process, .which = (known), .figure = FAMILIES_FIGURE(struct procself, member)

/* `which` is what must be known. In a textfile the process of --once is of no use. */
static void emit_process(const struct families_walk *walk)
{
	const struct procself *self = walk->input->procself;

	if (self && !walk->input->once && self->known & walk->row->which)
		families_put(walk, self);
}

static const struct families_row rows[] = {
	{
		.family.name = "process_cpu_seconds_total",
		.family.help = "Total user and system CPU time spent in seconds.",
		OF_PROCESS(cpu_seconds, PROCSELF_CPU),
	},
	{
		.family.name = "process_open_fds",
		.family.help = "Number of open file descriptors.",
		OF_PROCESS(open_fds, PROCSELF_FDS),
	},
	{
		.family.name = "process_max_fds",
		.family.help = "Maximum number of open file descriptors.",
		OF_PROCESS(max_fds, PROCSELF_MAX_FDS),
	},
	{
		.family.name = "process_virtual_memory_bytes",
		.family.help = "Virtual memory size in bytes.",
		OF_PROCESS(virtual_bytes, PROCSELF_VM),
	},
	{
		.family.name = "process_virtual_memory_max_bytes",
		.family.help = "Maximum amount of virtual memory available in bytes.",
		OF_PROCESS(virtual_max_bytes, PROCSELF_VM_MAX),
	},
	{
		.family.name = "process_resident_memory_bytes",
		.family.help = "Resident memory size in bytes.",
		OF_PROCESS(resident_bytes, PROCSELF_RSS),
	},
	{
		.family.name = "process_start_time_seconds",
		.family.help = "Start time of the process since unix epoch in seconds.",
		OF_PROCESS(start_time_seconds, PROCSELF_START),
	},
};

const struct families_group families_process = FAMILIES_GROUP(rows);
