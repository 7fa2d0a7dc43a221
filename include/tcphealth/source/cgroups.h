/*
 * cgroups: from the cgroup id of a socket to the path of its cgroup.
 *
 * Owns a bounded cache of id and path. The id of a cgroup is the inode number of its directory in
 * the cgroup2 hierarchy. Walks that hierarchy once, and again only for an id it does not know; an
 * id keeps the last path after its cgroup is gone. Knows directories; must not know what a path means.
 * One thread.
 */
#ifndef TCPHEALTH_SOURCE_CGROUPS_H
#define TCPHEALTH_SOURCE_CGROUPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cgroups;

/*
 * `root` and `procfs` as for cgroupfs_open(), both borrowed. Looks for the hierarchy at each walk.
 * NULL when out of memory. A host without cgroup2 resolves nothing.
 */
struct cgroups *cgroups_new(const char *root, const char *procfs);
void cgroups_free(struct cgroups *cgroups);

/*
 * Path below the mount, "/" for the root ("/system.slice/cron.service", raw bytes), and how many
 * bytes of it root named, as cgroupfs_owned(); NULL if unknown. Borrowed until the next call. An
 * unknown id makes it walk, at most once a second and never more than a bounded number of
 * directories; an id that stays unknown does so less and less often, at last once a minute.
 */
const char *cgroups_path(struct cgroups *cgroups, uint64_t id, uint64_t now_ms, size_t *ret_owned);

/*
 * Whether the last walk was of a hierarchy in which engines may not keep their containers (struct
 * cgroupfs).
 */
bool cgroups_hybrid(const struct cgroups *cgroups);

#endif
