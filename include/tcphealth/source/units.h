/*
 * units: the names of the units behind cgroups and processes.
 *
 * Owns the cache of cgroups, and bounds the names that others than root may add. Knows cgroups and
 * /proc/PID/cgroup; must not know why a unit is wanted. One thread, but for units_of_process().
 */
#pragma once

#include "tcphealth/source/holderunits.h"
#include "tcphealth/source/unit.h"

#include <stdint.h>

struct units;

/* Names that follow the slash for one machine or container. */
#define UNITS_INNER_MAX 32

/* As cgroups_new(). */
struct units *units_new(const char *cgroupfs, const char *procfs);
void units_free(struct units *units); /* NULL is fine */

/* Ids may be those of holderunits_id() as well, from now on. Borrowed. */
void units_use_holders(struct units *units, const struct holderunits *holderunits);

/*
 * The unit of a cgroup, all "" if it is unknown or `units` is NULL. May walk cgroupfs. An engine's
 * own cgroup has no name on hybrid hosts, where it may hold the sockets of containers. Machines and
 * containers have UNITS_INNER_MAX inner names each, first come, first served: a user in there must
 * not be able to create any number of series.
 */
void units_find(struct units *units, uint64_t cgroup_id, uint64_t now_ms, struct unit *ret_unit);

/* Its name alone. Borrowed until the next call. */
const char *units_name(struct units *units, uint64_t cgroup_id, uint64_t now_ms);

/*
 * The unit of a process, all "" if it is unknown. `file` is PROCFS/PID/cgroup, relative to `dir` as
 * in file_read(). cgroup2 decides; where it has no name or an engine's only, systemd's own
 * hierarchy of cgroup1 does. Any thread.
 */
void units_of_process(const char *cgroupfs, const char *procfs, int dir, const char *file,
		      struct unit *ret_unit);

/*
 * The cgroup of the kernel's own sockets (of NFS, for example), which die without an event: the
 * root. 0 if programs are in it as well; this program checks that by its own cgroup.
 */
uint64_t units_kernel_cgroup(void);
