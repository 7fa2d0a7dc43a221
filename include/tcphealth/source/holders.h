/*
 * holders: which processes hold a socket open, by inode.
 *
 * Scans PROCFS/PID/fd, on demand only and bounded in time (about 2 us a descriptor). Knows /proc;
 * no sockets' meaning. Stateless; any thread. Needs CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH for
 * other users' processes.
 */
#ifndef TCPHEALTH_SOURCE_HOLDERS_H
#define TCPHEALTH_SOURCE_HOLDERS_H

#include "tcphealth/source/unit.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define HOLDER_COMM_LEN 64

/*
 * `comm` is valid UTF-8 without control characters; `unit` that of the process, which need not be
 * the socket's.
 */
struct holder {
	uint32_t inode;
	pid_t pid;
	int fd;
	char comm[HOLDER_COMM_LEN];
	double start_time_seconds; /* since the epoch; 0 if unknown */
	struct unit unit;
};

struct holders_result {
	size_t count;   /* holders written */
	bool truncated; /* there were more than fit */
	bool timed_out;
	/* Processes looked at, and those whose descriptors may not be read. */
	size_t processes, denied;
};

/*
 * Finds who holds any of the sorted `inodes`; at most `max` into `ret_holders`, one per process and
 * descriptor, in order of inode and pid. Gives up after `budget_ms`; what was found by then is
 * good. 0 or -errno (no procfs at all, no descriptor left).
 */
int holders_find(const char *procfs, const char *cgroupfs, const uint32_t *inodes,
		 size_t inode_count, uint64_t budget_ms, struct holder *ret_holders, size_t max,
		 struct holders_result *ret_result);

#endif
