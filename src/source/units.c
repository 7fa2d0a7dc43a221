/*
 * units: see the header. Owns the names inside machines and containers that were told so far.
 */
#include "tcphealth/source/units.h"

#include "tcphealth/base/file.h"
#include "tcphealth/source/cgroupfs.h"
#include "tcphealth/source/cgroups.h"

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Root makes machines and containers: it takes that many others to forget what was told of one. */
#define SCOPES_MAX 512

#define ROOT_CGROUP 1u /* inode number of the root directory */
#define TEXT_SIZE   16384

/* A machine or container, and what it was told to have inside. */
struct scope {
	char name[UNIT_NAME_MAX];
	char inner[UNITS_INNER_MAX][UNIT_NAME_MAX];
	size_t count;
	uint64_t used_ms;
};

struct units {
	struct cgroups *cgroups;
	struct scope scopes[SCOPES_MAX];
	size_t scope_count;
	struct unit unit;
};

/* --- what is told of machines and containers --- */

/* A free place, or that of the one that was not asked for longest. */
static struct scope *make_place(struct units *units)
{
	struct scope *oldest = &units->scopes[0];

	if (units->scope_count < SCOPES_MAX)
		return &units->scopes[units->scope_count++];
	for (size_t i = 1; i < units->scope_count; i++)
		if (units->scopes[i].used_ms < oldest->used_ms)
			oldest = &units->scopes[i];
	return oldest;
}

static struct scope *find_scope(struct units *units, const char *name)
{
	struct scope *scope;

	for (size_t i = 0; i < units->scope_count; i++)
		if (strcmp(units->scopes[i].name, name) == 0)
			return &units->scopes[i];
	scope = make_place(units);
	strcpy(scope->name, name);
	scope->count = 0;
	return scope;
}

static bool may_tell(struct scope *scope, const char *inner)
{
	for (size_t i = 0; i < scope->count; i++)
		if (strcmp(scope->inner[i], inner) == 0)
			return true;
	if (scope->count == UNITS_INNER_MAX)
		return false;
	strcpy(scope->inner[scope->count++], inner);
	return true;
}

static void bound(struct units *units, struct unit *unit, uint64_t now_ms)
{
	size_t len = unit_name_scope(unit->name);
	char *slash = unit->name + len;
	struct scope *scope;

	if (len == 0)
		return;
	*slash = '\0';
	scope = find_scope(units, unit->name);
	scope->used_ms = now_ms;
	if (may_tell(scope, slash + 1))
		*slash = '/';
}

/* --- cgroups --- */

struct units *units_new(const char *cgroupfs, const char *procfs)
{
	struct units *units = calloc(1, sizeof(*units));

	if (!units)
		return NULL;
	units->cgroups = cgroups_new(cgroupfs, procfs);
	if (!units->cgroups) {
		free(units);
		return NULL;
	}
	return units;
}

void units_free(struct units *units)
{
	if (!units)
		return;
	cgroups_free(units->cgroups);
	free(units);
}

void units_find(struct units *units, uint64_t cgroup_id, uint64_t now_ms, struct unit *ret_unit)
{
	size_t owned = 0;
	const char *path;

	*ret_unit = (struct unit){ 0 };
	if (!units)
		return;
	path = cgroups_path(units->cgroups, cgroup_id, now_ms, &owned);
	unit_name(ret_unit, path ? path : "", owned);
	if (cgroups_hybrid(units->cgroups) && unit_kind(ret_unit->name) == UNIT_ENGINE)
		ret_unit->name[0] = '\0';
	bound(units, ret_unit, now_ms);
}

const char *units_name(struct units *units, uint64_t cgroup_id, uint64_t now_ms)
{
	if (!units)
		return "";
	units_find(units, cgroup_id, now_ms, &units->unit);
	return units->unit.name;
}

/* --- processes --- */

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
