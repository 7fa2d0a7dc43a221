/*
 * units: from a cgroup or a process to its unit.
 *
 * Owns what is known of cgroups, and bounds the names that others than root may add. Must not know
 * sockets.
 */
#ifndef TCPHEALTH_SOURCE_UNITS_H
#define TCPHEALTH_SOURCE_UNITS_H

#include "tcphealth/source/unit.h"

#include <stdint.h>

struct units;

/* Names after a slash that are told of one machine or container. */
#define UNITS_INNER_MAX 32

/* As --path.cgroupfs and --path.procfs, both borrowed. NULL when out of memory. */
struct units *units_new(const char *cgroupfs, const char *procfs);
void units_free(struct units *units);

/*
 * The unit of a cgroup; all "" if `units` is NULL, or the cgroup 0 or unknown. An engine's own
 * cgroup has no name on hybrid hosts, where it may hold the sockets of containers. At most
 * UNITS_INNER_MAX names follow the slash for one machine or container, first come, first served: a
 * user in there must not make series without end. One thread.
 */
void units_find(struct units *units, uint64_t cgroup_id, uint64_t now_ms, struct unit *ret_unit);

/* Its name alone, "" if `units` is NULL. Borrowed until the next call. */
const char *units_name(struct units *units, uint64_t cgroup_id, uint64_t now_ms);

/*
 * The unit of a process; all "" if unknown. Reads its cgroup file, `file` below the directory `dir`
 * (file.h). cgroup2 decides; where it has no name or only an engine, systemd's own hierarchy does
 * (hosts that still run by cgroup1). Any thread.
 */
void units_of_process(const char *cgroupfs, const char *procfs, int dir, const char *file,
		      struct unit *ret_unit);

/*
 * The cgroup of the kernel's own sockets (NFS, for one), which die without an event: the root. 0
 * where programs may be there too: where this one has no cgroup of its own, as it has under
 * systemd.
 */
uint64_t units_kernel_cgroup(void);

#endif
