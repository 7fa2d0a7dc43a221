/*
 * procself: the figures of this process, for the metrics process_*.
 *
 * Reads /proc/self, not --path.procfs, which may be another host's. Must not know metrics. Any
 * thread.
 */
#pragma once

#include <stdint.h>

enum procself_known {
	PROCSELF_CPU = 1 << 0,
	PROCSELF_FDS = 1 << 1,
	PROCSELF_MAX_FDS = 1 << 2,
	PROCSELF_VM = 1 << 3,
	PROCSELF_VM_MAX = 1 << 4,
	PROCSELF_RSS = 1 << 5,
	PROCSELF_START = 1 << 6,
};

struct procself {
	uint32_t known; /* enum procself_known */
	double cpu_seconds;
	uint64_t open_fds;
	uint64_t max_fds; /* UINT64_MAX: unlimited */
	uint64_t virtual_bytes;
	uint64_t virtual_max_bytes; /* UINT64_MAX: unlimited */
	uint64_t resident_bytes;
	double start_time_seconds; /* since the epoch */
};

/* `proc_self` is "/proc/self". Values that cannot be read stay unknown; cannot fail. */
void procself_read(const char *proc_self, struct procself *ret_procself);
