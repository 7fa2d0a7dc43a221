/*
 * procfs: where things are below --path.procfs, a procfs of this host or a directory of fixtures.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The net directory of process `pid`, or with 0 of the calling thread: ROOT/thread-self/net if it
 * exists (/proc/self/net is the main thread's), else ROOT/net. 0 or -ENAMETOOLONG.
 */
int procfs_net_dir(const char *root, pid_t pid, char *dst, size_t size);

/* Fields of PROCFS/PID/stat by their numbers in proc(5). */
enum procfs_stat {
	PROCFS_STAT_UTIME = 14,
	PROCFS_STAT_STIME = 15,
	PROCFS_STAT_STARTTIME = 22,
	PROCFS_STAT_VSIZE = 23,
	PROCFS_STAT_RSS = 24,
};

/* A number in the text of that file, from field 3 on. False if it is not there. */
bool procfs_stat_field(const char *stat, enum procfs_stat field, uint64_t *ret_value);
