/*
 * cgroups: from the cgroup id of a socket to the path of its cgroup.
 *
 * Owns a bounded cache of ids and paths. The id of a cgroup is the inode number of its directory
 * in the cgroup2 hierarchy. The hierarchy is walked once, and again only for an unknown id; a
 * cgroup that is gone keeps its last path. Knows directories; must not know what a path means.
 * One thread.
 */
#pragma once

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
 * The path below the mount, raw bytes ("/system.slice/cron.service", "/" for the root), and how
 * many bytes of it root named (cgroupfs_owned()); NULL if it is unknown. Borrowed until the next
 * call. An unknown id starts a walk, at most one a second and over a bounded number of directories;
 * while it stays unknown, less and less often, down to once a minute.
 */
const char *cgroups_path(struct cgroups *cgroups, uint64_t id, uint64_t now_ms, size_t *ret_owned);

/*
 * Whether the last walk was of a hierarchy in which engines may not keep their containers (struct
 * cgroupfs).
 */
bool cgroups_hybrid(const struct cgroups *cgroups);
