/*
 * units: what may be restarted behind a cgroup or a process, by name.
 *
 * Owns the cache of cgroups. Knows cgroups and /proc/PID/cgroup; must not know who is asked for. One thread, but for
 * units_of_process().
 */
#ifndef TCPHEALTH_SOURCE_UNITS_H
#define TCPHEALTH_SOURCE_UNITS_H

#include "tcphealth/source/unit.h"

#include <stdint.h>

struct units;

/* Both are borrowed, and as cgroups_new() takes them. NULL when out of memory. */
struct units *units_new(const char *cgroupfs, const char *procfs);
void units_free(struct units *units); /* NULL is fine */

/* The name of the unit that owns a cgroup, "" if it is unknown or `units` is NULL. Borrowed until the next call. May walk cgroupfs. */
const char *units_name(struct units *units, uint64_t cgroup_id, uint64_t now_ms);

/*
 * The name of the unit that a process runs in, "" if it is unknown; `path` is PROCFS/PID/cgroup, relative to `dir` as file_read() takes
 * it. Any thread. Returns dst.
 */
const char *units_of_process(int dir, const char *path, char dst[UNIT_NAME_MAX]);

/*
 * The cgroup of the kernel's own sockets (NFS, for one), which die without an event: the root. 0 where it cannot be told from that of
 * programs, because this one has no cgroup of its own, as under systemd each has.
 */
uint64_t units_kernel_cgroup(void);

#endif
