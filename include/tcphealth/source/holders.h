/*
 * holders: which processes hold a socket open, by inode.
 *
 * Scans PROCFS/PID/fd on demand, for a bounded time (about 2 us a descriptor). Knows /proc; must
 * not know what a socket means. No state; any thread. Processes of other users need
 * CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH.
 */
#pragma once

#include "tcphealth/source/unit.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define HOLDER_COMM_LEN 64

/*
 * `comm` is valid UTF-8 without control characters, `unit` what units_of_process() says (the
 * socket's own may be another), the start in seconds since the epoch, 0 if unknown.
 */
struct holder {
	uint32_t inode;
	pid_t pid;
	int fd;
	char comm[HOLDER_COMM_LEN];
	double start_time_seconds;
	struct unit unit;
};

struct holders_result {
	size_t count;   /* holders written */
	bool truncated; /* there were more than fit */
	bool timed_out;
	/* Processes looked at, and those that do not let this program read their descriptors. */
	size_t processes, denied;
};

/*
 * Finds who holds any of the sorted `inodes`, and writes at most `max` holders, one for each
 * process and descriptor, ordered by inode and pid. Gives up after `budget_ms`, and returns what it
 * has found by then. 0 or -errno (no procfs, no descriptor left).
 */
int holders_find(const char *procfs, const char *cgroupfs, const uint32_t *inodes,
		 size_t inode_count, uint64_t budget_ms, struct holder *ret_holders, size_t max,
		 struct holders_result *ret_result);
