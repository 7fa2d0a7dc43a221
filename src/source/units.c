/*
 * units: see the header. Owns the names inside machines and containers that were told so far.
 */
#include "tcphealth/source/units.h"

#include "tcphealth/source/cgroups.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Root makes machines and containers: it takes that many others to forget what was told of one. */
#define SCOPES_MAX 512

/* A machine or container, and what it was told to have inside. */
struct scope {
	char name[UNIT_NAME_MAX];
	char inner[UNITS_INNER_MAX][UNIT_NAME_MAX];
	size_t count;
	uint64_t used_ms;
};

struct units {
	struct cgroups *cgroups;
	const struct holderunits *holderunits; /* NULL: none */
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

void units_use_holders(struct units *units, const struct holderunits *holderunits)
{
	units->holderunits = holderunits;
}

static void name_cgroup(struct units *units, uint64_t cgroup_id, uint64_t now_ms,
			struct unit *ret_unit)
{
	size_t owned = 0;
	const char *path = cgroups_path(units->cgroups, cgroup_id, now_ms, &owned);

	unit_name(ret_unit, path ? path : "", owned);
	if (cgroups_hybrid(units->cgroups) && unit_kind(ret_unit->name) == UNIT_ENGINE)
		ret_unit->name[0] = '\0';
}

void units_find(struct units *units, uint64_t cgroup_id, uint64_t now_ms, struct unit *ret_unit)
{
	const struct unit *held;

	*ret_unit = (struct unit){ 0 };
	if (!units)
		return;
	held = units->holderunits ? holderunits_unit(units->holderunits, cgroup_id) : NULL;
	if (held)
		*ret_unit = *held;
	else
		name_cgroup(units, cgroup_id, now_ms, ret_unit);
	bound(units, ret_unit, now_ms);
}

const char *units_name(struct units *units, uint64_t cgroup_id, uint64_t now_ms)
{
	if (!units)
		return "";
	units_find(units, cgroup_id, now_ms, &units->unit);
	return units->unit.name;
}
