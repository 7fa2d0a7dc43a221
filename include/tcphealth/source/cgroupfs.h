/*
 * cgroupfs: where the hierarchies of cgroups are mounted, and who names what in them.
 *
 * Knows mountinfo and directories; must not know what a path means. Stateless; any thread.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

/*
 * Those from which units are known: cgroup2, and the one of cgroup1 that systemd keeps for itself.
 */
enum cgroupfs_hierarchy {
	CGROUPFS_UNIFIED,
	CGROUPFS_SYSTEMD,
};

struct cgroupfs {
	int fd;
	/* What is mounted there, as PROCFS/PID/cgroup tells paths: "/" for all of it. */
	char root[PATH_MAX];
	/* cgroup2 beside cgroup1: engines may keep their containers in cgroup1 only. */
	bool hybrid;
};

/*
 * Opens a hierarchy: cgroup2 at `root` or in `unified` there (hybrid hosts), systemd's in `systemd`
 * there. "" or NULL: as `procfs`/self/mountinfo tells, all of it before a part (which is all that
 * some containers see), else below /sys/fs/cgroup. 0 and *ret_cgroupfs, to be closed, or -errno.
 */
int cgroupfs_open(const char *root, const char *procfs, enum cgroupfs_hierarchy hierarchy,
		  struct cgroupfs *ret_cgroupfs);
void cgroupfs_close(struct cgroupfs *cgroupfs);

/*
 * Whether only root may make directories in this one. The user who may do so names what is in it.
 */
bool cgroupfs_is_roots(const struct stat *directory);

/*
 * Makes a path of PROCFS/PID/cgroup one below the mount. Returns how many bytes of that root named,
 * up to the end of the first directory that is somebody else's; 0 if that cannot be seen. The mount
 * point is taken for root's: in a container it may be an unknown user's.
 */
size_t cgroupfs_owned(const struct cgroupfs *cgroupfs, const char **path);
