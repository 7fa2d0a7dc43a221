/*
 * units: names by cgroup and by process. Must not know how a path is read for a name.
 */
#include "tcphealth/source/units.h"

#include "tcphealth/base/file.h"
#include "tcphealth/source/cgroups.h"

#include <stdlib.h>
#include <string.h>

#define ROOT_CGROUP 1u /* inode number of the root directory */
#define TEXT_SIZE   16384

struct units {
	struct cgroups *cgroups;
	char name[UNIT_NAME_MAX];
};

/* Where a process is: by cgroup2, and by systemd's own hierarchy where that is cgroup1. NULL: nowhere. */
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

static bool name_path(char *path, char dst[UNIT_NAME_MAX])
{
	if (path)
		cut_deleted(path);
	return unit_name(dst, path)[0] != '\0';
}

/* On hosts that still run by cgroup1 all are in the root of cgroup2, if there is any. */
const char *units_of_process(int dir, const char *path, char dst[UNIT_NAME_MAX])
{
	char text[TEXT_SIZE];
	struct paths paths = read_paths(dir, path, text);

	if (!name_path(paths.unified, dst))
		name_path(paths.systemd, dst);
	return dst;
}

uint64_t units_kernel_cgroup(void)
{
	char text[TEXT_SIZE];
	struct paths own = read_paths(AT_FDCWD, "/proc/self/cgroup", text);

	return own.unified && own.unified[1] != '\0' ? ROOT_CGROUP : 0;
}

struct units *units_new(const char *cgroupfs, const char *procfs)
{
	struct units *units = calloc(1, sizeof(*units));

	if (!units)
		return NULL;
	units->cgroups = cgroups_new(cgroupfs, procfs);
	if (units->cgroups)
		return units;
	free(units);
	return NULL;
}

void units_free(struct units *units)
{
	if (!units)
		return;
	cgroups_free(units->cgroups);
	free(units);
}

const char *units_name(struct units *units, uint64_t cgroup_id, uint64_t now_ms)
{
	size_t owned;

	if (!units || cgroup_id == 0)
		return "";
	return unit_name(units->name, cgroups_path(units->cgroups, cgroup_id, now_ms, &owned));
}
