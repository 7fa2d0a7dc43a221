/*
 * cgroupfs: see the header. Owns nothing.
 */
#include "cgroupfs-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

/* CGROUP2_SUPER_MAGIC and CGROUP_SUPER_MAGIC of linux/magic.h */
#define CGROUP2_MAGIC 0x63677270
#define CGROUP1_MAGIC 0x0027e0eb

#define DEFAULT_ROOT "/sys/fs/cgroup"

static const struct kind {
	const char *type, *option; /* of the mount */
	long magic;
	/* Below the root that is given; NULL: no more. */
	const char *places[2];
} kinds[] = {
	[CGROUPFS_UNIFIED] = { "cgroup2", NULL, CGROUP2_MAGIC, { "", "/unified" } },
	[CGROUPFS_SYSTEMD] = { "cgroup", "name=systemd", CGROUP1_MAGIC, { "/systemd", NULL } },
};

#define PLACES (sizeof(kinds[0].places) / sizeof(kinds[0].places[0]))

/* --- mountinfo --- */

/* The kernel writes blank, tab, newline and backslash in a path as \ooo. */
static void unescape(char *text)
{
	char *to = text;

	for (; *text; to++) {
		if (text[0] == '\\' && strspn(text + 1, "01234567") >= 3) {
			*to = (char)((text[1] - '0') * 64 + (text[2] - '0') * 8 + (text[3] - '0'));
			text += 4;
		} else {
			*to = *text++;
		}
	}
	*to = '\0';
}

static bool has_option(char *options, const char *wanted)
{
	for (char *option; (option = strsep(&options, ",\n"));)
		if (strcmp(option, wanted) == 0)
			return true;
	return false;
}

/* "cgroup cgroup rw,xattr,name=systemd" */
static bool is_kind(char *text, const struct kind *kind)
{
	const char *type = strsep(&text, " ");
	char *options;

	if (strcmp(type, kind->type) != 0 || !text || !(options = strchr(text, ' ')))
		return false;
	return !kind->option || has_option(options + 1, kind->option);
}

bool cgroupfs_parse_mount(char *line, enum cgroupfs_hierarchy hierarchy, char **ret_root,
			  char **ret_point)
{
	static const char dash[] = " - ";
	char *end = strstr(line, dash), *rest = line;

	if (!end || !is_kind(end + strlen(dash), &kinds[hierarchy]))
		return false;
	*end = '\0';
	for (int i = 0; i < 3; i++)
		strsep(&rest, " ");
	*ret_root = strsep(&rest, " ");
	*ret_point = strsep(&rest, " ");
	if (!*ret_root || !*ret_point)
		return false;
	unescape(*ret_root);
	unescape(*ret_point);
	return true;
}

/* --- opening --- */

static bool ends_with(const char *text, const char *suffix)
{
	size_t len = strlen(text), n = strlen(suffix);

	return len >= n && strcmp(text + len - n, suffix) == 0;
}

/* The new one takes the place of what is open. */
static int open_point(const char *point, const char *root, const struct kind *kind,
		      struct cgroupfs *cgroupfs)
{
	struct statfs fs;
	int fd = open(point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (fstatfs(fd, &fs) != 0 || (long)fs.f_type != kind->magic ||
	    strlen(root) >= sizeof(cgroupfs->root)) {
		close(fd);
		return -ENOENT;
	}
	cgroupfs_close(cgroupfs);
	cgroupfs->fd = fd;
	cgroupfs->hybrid = ends_with(point, "/unified");
	strcpy(cgroupfs->root, root);
	return 0;
}

/* Whether a mount is where it is looked for; "": anywhere. */
static bool is_place(const char *point, const char *root, const struct kind *kind)
{
	size_t len = strlen(root);

	if (len == 0)
		return true;
	if (strncmp(point, root, len) != 0)
		return false;
	for (size_t i = 0; i < PLACES && kind->places[i]; i++)
		if (strcmp(point + len, kind->places[i]) == 0)
			return true;
	return false;
}

static void search_mounts(FILE *mounts, const char *wanted, enum cgroupfs_hierarchy hierarchy,
			  struct cgroupfs *cgroupfs)
{
	const struct kind *kind = &kinds[hierarchy];
	char *line = NULL, *root, *point;
	bool whole = false;
	size_t size = 0;

	while (!whole && getline(&line, &size, mounts) > 0) {
		if (!cgroupfs_parse_mount(line, hierarchy, &root, &point) ||
		    !is_place(point, wanted, kind))
			continue;
		whole = strcmp(root, "/") == 0;
		if (cgroupfs->fd >= 0 && !whole)
			continue;
		whole = open_point(point, root, kind, cgroupfs) == 0 && whole;
	}
	free(line);
}

static int open_place(const char *root, const char *place, const struct kind *kind,
		      struct cgroupfs *cgroupfs)
{
	char path[PATH_MAX];
	int len = snprintf(path, sizeof(path), "%s%s", root, place);

	if (len < 0 || (size_t)len >= sizeof(path))
		return -ENAMETOOLONG;
	return open_point(path, "/", kind, cgroupfs);
}

int cgroupfs_open(const char *root, const char *procfs, enum cgroupfs_hierarchy hierarchy,
		  struct cgroupfs *ret_cgroupfs)
{
	const struct kind *kind = &kinds[hierarchy];
	char path[PATH_MAX];
	int err = -ENOENT, len = snprintf(path, sizeof(path), "%s/self/mountinfo", procfs);
	FILE *mounts = len < 0 || (size_t)len >= sizeof(path) ? NULL : fopen(path, "re");

	ret_cgroupfs->fd = -1;
	root = root ? root : "";
	if (mounts) {
		search_mounts(mounts, root, hierarchy, ret_cgroupfs);
		fclose(mounts);
	}
	if (ret_cgroupfs->fd >= 0)
		return 0;
	for (size_t i = 0; err && i < PLACES && kind->places[i]; i++)
		err = open_place(*root ? root : DEFAULT_ROOT, kind->places[i], kind, ret_cgroupfs);
	return err;
}

void cgroupfs_close(struct cgroupfs *cgroupfs)
{
	if (cgroupfs->fd >= 0)
		close(cgroupfs->fd);
	cgroupfs->fd = -1;
}

/* --- who names what --- */

bool cgroupfs_is_roots(const struct stat *directory)
{
	mode_t mode = directory->st_mode;

	return directory->st_uid == 0 && (mode & S_IWOTH) == 0 &&
	       ((mode & S_IWGRP) == 0 || directory->st_gid == 0);
}

/* NULL if the path does not lead below the mount. */
static const char *below_mount(const struct cgroupfs *cgroupfs, const char *path)
{
	size_t len = strcmp(cgroupfs->root, "/") == 0 ? 0 : strlen(cgroupfs->root);

	if (strncmp(path, cgroupfs->root, len) != 0 || (path[len] != '/' && path[len] != '\0'))
		return NULL;
	path += len;
	/* From another cgroup namespace: it leads above what is mounted. */
	return strncmp(path, "/..", 3) == 0 && (path[3] == '/' || path[3] == '\0') ? NULL : path;
}

size_t cgroupfs_owned(const struct cgroupfs *cgroupfs, const char **path)
{
	const char *below = below_mount(cgroupfs, *path);
	char part[PATH_MAX];
	size_t len = below ? strlen(below) : 0, end = 0;
	bool is_roots = true;
	struct stat st;

	if (!below || len >= sizeof(part))
		return 0;
	*path = below;
	while (is_roots && end < len) {
		size_t begin = end + strspn(below + end, "/");

		end = begin + strcspn(below + begin, "/");
		if (end == begin)
			break;
		memcpy(part, below, end);
		part[end] = '\0';
		if (fstatat(cgroupfs->fd, part + strspn(part, "/"), &st, AT_SYMLINK_NOFOLLOW))
			return 0;
		is_roots = cgroupfs_is_roots(&st);
	}
	return end;
}
