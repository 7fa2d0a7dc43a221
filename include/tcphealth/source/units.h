/*
 * units: the names of the units behind cgroups and processes.
 *
 * Owns the cache of cgroups. Knows cgroups and /proc/PID/cgroup; must not know what a unit is
 * asked for. One thread, but for units_of_process().
 */
#ifndef TCPHEALTH_SOURCE_UNITS_H
#define TCPHEALTH_SOURCE_UNITS_H

#include "tcphealth/source/unit.h"

#include <stdint.h>

struct units;

/* As cgroups_new(). */
struct units *units_new(const char *cgroupfs, const char *procfs);
void units_free(struct units *units); /* NULL is fine */

/*
 * The unit of a cgroup, "" if it is unknown or `units` is NULL. Borrowed until the next call. May
 * walk cgroupfs.
 */
const char *units_name(struct units *units, uint64_t cgroup_id, uint64_t now_ms);

/*
 * The unit of a process, "" if it is unknown. `path` is PROCFS/PID/cgroup, relative to `dir` as
 * in file_read(). Returns dst. Any thread.
 */
const char *units_of_process(int dir, const char *path, char dst[UNIT_NAME_MAX]);

/*
 * The cgroup of the kernel's own sockets (of NFS, for example), which die without an event: the
 * root. 0 if programs are in it as well, which this one tells by where itself is.
 */
uint64_t units_kernel_cgroup(void);

#endif
