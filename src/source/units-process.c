/*
 * units-process: the units of processes, from what their "cgroup" file tells. Owns nothing.
 */
#include "tcphealth/base/file.h"
#include "tcphealth/source/cgroupfs.h"
#include "tcphealth/source/units.h"

#include <limits.h>
#include <stdbool.h>
#include <string.h>

#define ROOT_CGROUP 1u /* inode number of the root directory */
#define TEXT_SIZE   16384

/* Where a process is: by cgroup2, and by systemd's own hierarchy of cgroup1. NULL: nowhere. */
struct paths {
	char *unified, *systemd;
};

/* "0::/a" or "1:name=systemd:/a". */
static void read_line(char *line, struct paths *paths)
{
	char *list = strchr(line, ':'), *path = list ? strchr(list + 1, ':') : NULL;

	if (!path || path[1] != '/')
		return;
	*path++ = '\0';
	if (strcmp(line, "0:") == 0)
		paths->unified = path;
	else if (strcmp(list, ":name=systemd") == 0)
		paths->systemd = path;
}

/* `text` holds the paths. */
static struct paths read_paths(int dir, const char *file, char text[TEXT_SIZE])
{
	struct paths paths = { NULL, NULL };
	char *rest;

	if (file_read(dir, file, text, TEXT_SIZE) < 0)
		return paths;
	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		read_line(line, &paths);
	return paths;
}

/* As the kernel writes the path of a cgroup that was removed while a process was in it. */
static void cut_deleted(char *path)
{
	static const char gone[] = " (deleted)";
	size_t len = strlen(path);

	if (len > strlen(gone) && strcmp(path + len - strlen(gone), gone) == 0)
		path[len - strlen(gone)] = '\0';
}

/* Whether it has a name. */
static bool name_path(const char *cgroupfs, const char *procfs, enum cgroupfs_hierarchy hierarchy,
		      char *path, struct unit *ret_unit)
{
	const char *below = path ? path : "";
	struct cgroupfs mount;
	size_t owned = 0;

	if (path) {
		cut_deleted(path);
		if (cgroupfs_open(cgroupfs, procfs, hierarchy, &mount) == 0)
			owned = cgroupfs_owned(&mount, &below);
		cgroupfs_close(&mount);
	}
	unit_name(ret_unit, below, owned);
	return ret_unit->name[0] != '\0';
}

void units_of_process(const char *cgroupfs, const char *procfs, int dir, const char *file,
		      struct unit *ret_unit)
{
	char text[TEXT_SIZE];
	struct paths paths = read_paths(dir, file, text);
	struct unit legacy;

	if (name_path(cgroupfs, procfs, CGROUPFS_UNIFIED, paths.unified, ret_unit) &&
	    unit_kind(ret_unit->name) != UNIT_ENGINE)
		return;
	/* Of a host that still runs by cgroup1, all or some are in the root of cgroup2. */
	if (name_path(cgroupfs, procfs, CGROUPFS_SYSTEMD, paths.systemd, &legacy))
		*ret_unit = legacy;
}

uint64_t units_kernel_cgroup(void)
{
	char text[TEXT_SIZE];
	struct paths own = read_paths(AT_FDCWD, "/proc/self/cgroup", text);

	return own.unified && own.unified[1] != '\0' ? ROOT_CGROUP : 0;
}
