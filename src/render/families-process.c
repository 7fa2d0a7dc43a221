/*
 * families-process: process_*, with the names and texts that all exporters share.
 *
 * One row each; what could not be read is left out. Must not know where it is read.
 */
#include "families-internal.h"

/* What is known of the process, or NULL: not asked for, or not of use in a textfile. */
static const struct procself *known_process(const struct families_walk *walk, uint32_t known)
{
	const struct procself *self = walk->input->procself;

	if (!self || walk->input->once)
		return NULL;
	return (self->known & known) == known ? self : NULL;
}

static void emit_cpu(const struct families_walk *walk)
{
	const struct procself *self = known_process(walk, PROCSELF_CPU);

	if (self)
		expo_double(walk->expo, self->cpu_seconds);
}

static void emit_start(const struct families_walk *walk)
{
	const struct procself *self = known_process(walk, PROCSELF_START);

	if (self)
		expo_double(walk->expo, self->start_time_seconds);
}

static uint64_t number_of(const struct procself *self, enum procself_known known)
{
	switch (known) {
	case PROCSELF_FDS:
		return self->open_fds;
	case PROCSELF_MAX_FDS:
		return self->max_fds;
	case PROCSELF_VM:
		return self->virtual_bytes;
	case PROCSELF_VM_MAX:
		return self->virtual_max_bytes;
	case PROCSELF_RSS:
		return self->resident_bytes;
	case PROCSELF_CPU:
	case PROCSELF_START:
		break;
	}
	return 0;
}

/* Unlimited is 2^64 - 1, as in other exporters. */
static void emit_number(const struct families_walk *walk)
{
	const struct procself *self = known_process(walk, walk->row->which);

	if (self)
		expo_u64(walk->expo, number_of(self, walk->row->which));
}

static const struct families_row rows[] = {
	{
		.family.name = "process_cpu_seconds_total",
		.family.help = "Total user and system CPU time spent in seconds.",
		.family.unit = "seconds",
		.family.type = EXPO_COUNTER,
		.page = emit_cpu,
	},
	{
		.family.name = "process_open_fds",
		.family.help = "Number of open file descriptors.",
		.which = PROCSELF_FDS,
		.page = emit_number,
	},
	{
		.family.name = "process_max_fds",
		.family.help = "Maximum number of open file descriptors.",
		.which = PROCSELF_MAX_FDS,
		.page = emit_number,
	},
	{
		.family.name = "process_virtual_memory_bytes",
		.family.help = "Virtual memory size in bytes.",
		.family.unit = "bytes",
		.which = PROCSELF_VM,
		.page = emit_number,
	},
	{
		.family.name = "process_virtual_memory_max_bytes",
		.family.help = "Maximum amount of virtual memory available in bytes.",
		.family.unit = "bytes",
		.which = PROCSELF_VM_MAX,
		.page = emit_number,
	},
	{
		.family.name = "process_resident_memory_bytes",
		.family.help = "Resident memory size in bytes.",
		.family.unit = "bytes",
		.which = PROCSELF_RSS,
		.page = emit_number,
	},
	{
		.family.name = "process_start_time_seconds",
		.family.help = "Start time of the process since unix epoch in seconds.",
		.family.unit = "seconds",
		.page = emit_start,
	},
};

const struct families_group families_process = FAMILIES_GROUP(rows);
