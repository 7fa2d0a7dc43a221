/*
 * cgroupdir: a directory of the test's own in a hierarchy of cgroups, for those that it makes. They
 * go with it.
 */
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define CGROUPDIR_UNIFIED 0x63677270 /* the magic number of cgroup2 */
#define CGROUPDIR_LEGACY  0x0027e0eb /* and of cgroup1 */

/*
 * `mount` is the hierarchy's, `dir` the test's directory, "" without the right to make one, `path`
 * its path in the hierarchy.
 */
struct cgroupdir {
	char mount[64];
	char dir[128];
	const char *path;
};

static inline bool cgroupdir_is(const char *path, long magic)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && fs.f_type == magic;
}

static inline void cgroupdir_init(struct cgroupdir *dir, long magic)
{
	static const char *const points[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified",
					      "/sys/fs/cgroup/systemd" };

	memset(dir, 0, sizeof(*dir));
	for (size_t i = 0; i < 3 && !dir->mount[0]; i++)
		if (cgroupdir_is(points[i], magic))
			strcpy(dir->mount, points[i]);
	snprintf(dir->dir, sizeof(dir->dir), "%s/tcphealth-test-%d", dir->mount, (int)getpid());
	dir->path = dir->dir + strlen(dir->mount);
	if (!dir->mount[0] || mkdir(dir->dir, 0755))
		dir->dir[0] = '\0';
}

static inline void cgroupdir_remove(int parent, const char *name)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *entries = fd < 0 ? NULL : fdopendir(fd);

	for (struct dirent *entry; entries && (entry = readdir(entries));)
		if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
			cgroupdir_remove(dirfd(entries), entry->d_name);
	if (entries)
		closedir(entries);
	unlinkat(parent, name, AT_REMOVEDIR);
}

static inline void cgroupdir_done(const struct cgroupdir *dir)
{
	if (dir->dir[0])
		cgroupdir_remove(AT_FDCWD, dir->dir);
}

/* Its inode, which is the cgroup's id; 0 if there is none. */
static inline uint64_t cgroupdir_id(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? st.st_ino : 0;
}

/* Makes NAME in it: the id; 0 if it could not. */
static inline uint64_t cgroupdir_make(const struct cgroupdir *dir, const char *name)
{
	char path[1024];

	snprintf(path, sizeof(path), "%s/%s", dir->dir, name);
	return mkdir(path, 0755) == 0 ? cgroupdir_id(path) : 0;
}

/* Hands NAME to somebody else: whether it could. */
static inline bool cgroupdir_delegate(const struct cgroupdir *dir, const char *name, uid_t uid,
				      gid_t gid, mode_t mode)
{
	char path[1024];

	snprintf(path, sizeof(path), "%s/%s", dir->dir, name);
	return chown(path, uid, gid) == 0 && chmod(path, mode) == 0;
}

static inline bool cgroupdir_drop(const struct cgroupdir *dir, const char *name)
{
	char path[1024];

	snprintf(path, sizeof(path), "%s/%s", dir->dir, name);
	return rmdir(path) == 0;
}
