/*
 * holderunits: see the header. Must not know tables of processes: holders does.
 */
#include "tcphealth/source/holderunits.h"

#include "tcphealth/base/array.h"
#include "tcphealth/base/hash.h"
#include "tcphealth/source/holders.h"

#include <stdlib.h>
#include <string.h>

/* The ids of cgroups count from 1. Units are numbered on and on, and the last ones are known. */
#define NUMBERS  (1u << 24)
#define FIRST_ID (UINT32_MAX - NUMBERS + 1u)
#define NO_UNIT  UINT32_MAX

/* Sockets of which the unit was found. All are forgotten when there are more, and those that are still stale are found again. */
#define FOUND_MAX   65536
#define HOLDERS_MAX 4096

#define DOUBLINGS_MAX 3u

struct found {
	uint32_t inode;
	uint32_t unit;
};

struct holderunits {
	const char *procfs, *cgroupfs;
	uint32_t wanted[HOLDERUNITS_WANTED_MAX];
	size_t wanted_count;
	bool due; /* something of it is stale */
	uint64_t next_ms;
	struct found *found;
	size_t found_count, found_cap;
	struct hash hash; /* of `found`, by inode */
	/* A ring, and how many there have been. */
	struct unit units[HOLDERUNITS_UNITS_MAX];
	uint32_t unit_count;
	/* How often the time for a search was doubled. */
	unsigned int doublings;
};

struct holderunits *holderunits_new(const char *procfs, const char *cgroupfs)
{
	struct holderunits *holderunits = calloc(1, sizeof(*holderunits));

	if (!holderunits)
		return NULL;
	holderunits->procfs = procfs;
	holderunits->cgroupfs = cgroupfs;
	return holderunits;
}

void holderunits_free(struct holderunits *holderunits)
{
	if (!holderunits)
		return;
	hash_done(&holderunits->hash);
	free(holderunits->found);
	free(holderunits);
}

static struct found *find(const struct holderunits *holderunits, uint32_t inode)
{
	size_t at = 0;

	for (uint32_t i;
	     (i = hash_next(&holderunits->hash, hash_mix(hash_seed, inode), &at)) != HASH_END;)
		if (holderunits->found[i].inode == inode)
			return &holderunits->found[i];
	return NULL;
}

static bool is_known(const struct holderunits *holderunits, uint64_t unit)
{
	return unit < holderunits->unit_count &&
	       holderunits->unit_count - unit <= HOLDERUNITS_UNITS_MAX;
}

uint64_t holderunits_id(const struct holderunits *holderunits, uint32_t inode)
{
	const struct found *found = find(holderunits, inode);

	return found && is_known(holderunits, found->unit) ? FIRST_ID + found->unit : 0;
}

const struct unit *holderunits_unit(const struct holderunits *holderunits, uint64_t id)
{
	return id >= FIRST_ID && is_known(holderunits, id - FIRST_ID)
		       ? &holderunits->units[(id - FIRST_ID) % HOLDERUNITS_UNITS_MAX]
		       : NULL;
}

void holderunits_want(struct holderunits *holderunits, uint32_t inode, bool stale)
{
	/* Listeners come first: half of the places are for what is stale. */
	size_t max = stale ? HOLDERUNITS_WANTED_MAX : HOLDERUNITS_WANTED_MAX / 2;

	if (inode == 0)
		return;
	holderunits->due = holderunits->due || stale;
	if (holderunits->wanted_count < max)
		holderunits->wanted[holderunits->wanted_count++] = inode;
}

static int compare_inodes(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* The number of a unit, in place of the oldest if need be; NO_UNIT after the last number. */
static uint32_t number(struct holderunits *holderunits, const struct unit *unit)
{
	uint32_t count = holderunits->unit_count;
	uint32_t i = count > HOLDERUNITS_UNITS_MAX ? count - HOLDERUNITS_UNITS_MAX : 0;

	for (; i < count; i++) {
		const struct unit *known = &holderunits->units[i % HOLDERUNITS_UNITS_MAX];

		if (strcmp(known->name, unit->name) == 0 &&
		    strcmp(known->instance, unit->instance) == 0)
			return i;
	}
	if (count == NUMBERS)
		return NO_UNIT;
	holderunits->units[count % HOLDERUNITS_UNITS_MAX] = *unit;
	return holderunits->unit_count++;
}

static void forget(struct holderunits *holderunits)
{
	holderunits->found_count = 0;
	hash_reset(&holderunits->hash);
}

/* What memory lacks for is searched for again. */
static void add(struct holderunits *holderunits, uint32_t inode, uint32_t unit)
{
	struct found *known = find(holderunits, inode);

	if (known) {
		known->unit = unit;
		return;
	}
	if (holderunits->found_count == FOUND_MAX)
		forget(holderunits);
	if (!array_room((void **)&holderunits->found, &holderunits->found_cap,
			holderunits->found_count, sizeof(*holderunits->found)) ||
	    hash_add(&holderunits->hash, hash_mix(hash_seed, inode), holderunits->found_count) < 0)
		return;
	holderunits->found[holderunits->found_count++] = (struct found){ inode, unit };
}

/* Of several that hold a socket, the first that has a unit: service managers and others that pass sockets on come first, and have none. */
static void take(struct holderunits *holderunits, const struct holder *holders, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint32_t inode = holders[i].inode, unit = NO_UNIT;

		for (; i < count && holders[i].inode == inode; i++)
			if (unit == NO_UNIT && holders[i].unit.name[0] != '\0')
				unit = number(holderunits, &holders[i].unit);
		i--;
		if (unit != NO_UNIT)
			add(holderunits, inode, unit);
	}
}

static void search(struct holderunits *holderunits)
{
	struct holder *holders = calloc(HOLDERS_MAX, sizeof(*holders));
	struct holders_result result;

	if (!holders)
		return;
	qsort(holderunits->wanted, holderunits->wanted_count, sizeof(holderunits->wanted[0]),
	      compare_inodes);
	(void)holders_find(holderunits->procfs, holderunits->cgroupfs, holderunits->wanted,
			   holderunits->wanted_count,
			   HOLDERUNITS_BUDGET_MS << holderunits->doublings, holders, HOLDERS_MAX,
			   &result);
	/* Each search begins with the first process: without more time, it would never reach the last. */
	if (result.timed_out && holderunits->doublings < DOUBLINGS_MAX)
		holderunits->doublings++;
	take(holderunits, holders, result.count);
	free(holders);
}

bool holderunits_search(struct holderunits *holderunits, uint64_t now_ms)
{
	bool due = holderunits->due && now_ms >= holderunits->next_ms;

	if (due) {
		holderunits->next_ms = now_ms + HOLDERUNITS_INTERVAL_MS;
		search(holderunits);
	}
	holderunits->wanted_count = 0;
	holderunits->due = false;
	return due;
}
