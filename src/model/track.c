/*
 * track: finds the entry of a socket by the order of the last dump, or by hash. Must not know what an entry means.
 */
#include "tcphealth/model/track.h"

#include "tcphealth/base/array.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define NO_ENTRY UINT32_MAX
#define SMALLEST 1024u /* entries */
/* So many entries take about as long to work on as memory takes to answer. */
#define AHEAD 4u
/* So many entries of the last states dump in a row may be missing from this one. */
#define WINDOW 64u

/* Indices of entries in the order of a states dump. */
struct order {
	uint32_t *list;
	size_t count, cap;
};

/*
 * Entries stand in one array, which grows by doubling; the hash holds the index + 1 of each, 0 where it is empty, and is at most
 * two thirds full. All are mapped, not allocated: to grow moves pages instead of copying them, untouched pages cost nothing, and
 * unmapping gives them back.
 */
struct track {
	struct track_entry *entries;
	/*
	 * Of each entry, exclusive or `home`, which is the first of all: where all sockets are of one cgroup, these pages stay
	 * untouched. Apart from the entries, as it is written once, and read when the connection has ended.
	 */
	uint32_t *cgroups;
	uint32_t home;
	bool has_home;
	uint32_t *hash;
	size_t cap;   /* entries mapped */
	size_t end;   /* entries ever used */
	size_t count; /* entries in use */
	/* Entries that this dump has shown. */
	size_t seen;
	size_t hash_size; /* a power of two */
	/* First of the free list, which `next` links. */
	uint32_t free;
	/* Entry of the last record: its `next` is the guess; first entry of the last full dump. */
	uint32_t cursor, head;
	/* Of this states dump and of the last one; where in that it goes on. */
	struct order states, last;
	size_t reading;
	/* Of this dump. Between dumps every entry has it. */
	bool parity;
	bool open; /* a dump was not ended */
	enum tier tier;
};

static void *map_pages(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static size_t hash_of(const struct track *track, uint64_t id)
{
	return (size_t)((id * UINT64_C(0x9E3779B97F4A7C15)) >> 20) & (track->hash_size - 1);
}

static size_t hash_slot(const struct track *track, uint64_t id)
{
	size_t i = hash_of(track, id);

	while (track->hash[i] != 0 && track->entries[track->hash[i] - 1].id != id)
		i = (i + 1) & (track->hash_size - 1);
	return i;
}

static bool rehash(struct track *track, size_t size)
{
	uint32_t *old = track->hash;
	size_t old_size = track->hash_size;
	uint32_t *table = map_pages(size * sizeof(*table));

	if (!table)
		return false;
	track->hash = table;
	track->hash_size = size;
	for (size_t i = 0; i < track->end; i++) {
		if (track->entries[i].id != 0)
			table[hash_slot(track, track->entries[i].id)] = (uint32_t)i + 1;
	}
	if (old)
		munmap(old, old_size * sizeof(*old));
	return true;
}

/* Room for `cap` entries; what was there stays. */
static bool resize(struct track *track, size_t cap)
{
	uint32_t *cgroups = mremap(track->cgroups, track->cap * sizeof(*cgroups),
				   cap * sizeof(*cgroups), MREMAP_MAYMOVE);
	struct track_entry *entries;

	if (cgroups == MAP_FAILED)
		return false;
	track->cgroups = cgroups;
	entries = mremap(track->entries, track->cap * sizeof(*entries), cap * sizeof(*entries),
			 MREMAP_MAYMOVE);
	if (entries == MAP_FAILED) {
		/* It goes back to where it was: pages behind `cap` would be lost. */
		cgroups = mremap(cgroups, cap * sizeof(*cgroups), track->cap * sizeof(*cgroups),
				 MREMAP_MAYMOVE);
		track->cgroups = cgroups != MAP_FAILED ? cgroups : track->cgroups;
		return false;
	}
	track->entries = entries;
	track->cap = cap;
	return true;
}

static bool grow_entries(struct track *track)
{
	return track->cap * 2 < NO_ENTRY && resize(track, track->cap * 2);
}

static struct track_entry *create(struct track *track, uint64_t id)
{
	uint32_t i = track->free;

	if ((track->count + 1) * 3 > track->hash_size * 2 && !rehash(track, track->hash_size * 2))
		return NULL;
	if (i != NO_ENTRY) {
		track->free = track->entries[i].next;
	} else {
		if (track->end == track->cap && !grow_entries(track))
			return NULL;
		i = (uint32_t)track->end++;
	}
	track->entries[i] = (struct track_entry){ .id = id, .next = NO_ENTRY };
	track->hash[hash_slot(track, id)] = i + 1;
	track->count++;
	return &track->entries[i];
}

/* Where the last dump went on from here. */
static uint32_t guess(const struct track *track)
{
	return track->cursor == NO_ENTRY ? track->head : track->entries[track->cursor].next;
}

static void remember_order(struct track *track, uint32_t i)
{
	if (track->cursor == NO_ENTRY)
		track->head = i;
	else
		track->entries[track->cursor].next = i;
	track->cursor = i;
}

/*
 * The entry after this one is wanted next: fetch it while this one is worked on. That is too late for memory that is far
 * away: so fetch also one that stands further on. It mostly follows, as entries are made in the order of a dump.
 */
static void fetch_ahead(const struct track *track, const struct track_entry *entry)
{
	if (entry->next >= track->end)
		return;
	__builtin_prefetch(&track->entries[entry->next], 1);
	if (track->end - entry->next > AHEAD)
		__builtin_prefetch(&track->entries[entry->next + AHEAD], 1);
}

/* `next` has the order of full dumps. That of states dumps is a list. */
static uint32_t guess_states(const struct track *track)
{
	return track->reading < track->last.count ? track->last.list[track->reading] : NO_ENTRY;
}

/* Goes on in the list behind this entry: what has left these states since then is passed over. */
static void follow_states(struct track *track, uint32_t i)
{
	const struct order *last = &track->last;
	size_t end = track->reading + WINDOW < last->count ? track->reading + WINDOW : last->count;

	for (size_t at = track->reading; at < end; at++) {
		if (last->list[at] != i)
			continue;
		track->reading = at + 1;
		if (track->reading + AHEAD < last->count)
			__builtin_prefetch(&track->entries[last->list[track->reading + AHEAD]], 1);
		return;
	}
}

static bool remember_states(struct track *track, uint32_t i)
{
	struct order *states = &track->states;

	if (!array_room((void **)&states->list, &states->cap, states->count, sizeof(*states->list)))
		return false;
	states->list[states->count++] = i;
	return true;
}

static void forget_order(struct order *order)
{
	free(order->list);
	*order = (struct order){ 0 };
}

struct track *track_new(void)
{
	struct track *track = calloc(1, sizeof(*track));

	if (!track)
		return NULL;
	track->cap = SMALLEST;
	track->free = track->cursor = track->head = NO_ENTRY;
	track->entries = map_pages(track->cap * sizeof(*track->entries));
	track->cgroups = map_pages(track->cap * sizeof(*track->cgroups));
	if (!track->entries || !track->cgroups || !rehash(track, 2 * (size_t)SMALLEST)) {
		track_free(track);
		return NULL;
	}
	return track;
}

void track_free(struct track *track)
{
	if (!track)
		return;
	if (track->entries)
		munmap(track->entries, track->cap * sizeof(*track->entries));
	if (track->cgroups)
		munmap(track->cgroups, track->cap * sizeof(*track->cgroups));
	if (track->hash)
		munmap(track->hash, track->hash_size * sizeof(*track->hash));
	forget_order(&track->states);
	forget_order(&track->last);
	free(track);
}

/* Forgets what a dump has shown that was not ended. */
static void level(struct track *track)
{
	for (size_t i = 0; i < track->end; i++)
		track->entries[i].seen = track->parity;
	track->open = false;
}

void track_begin(struct track *track, enum tier tier)
{
	if (track->open)
		level(track);
	track->open = true;
	track->tier = tier;
	track->parity = !track->parity;
	track->seen = 0;
	track->cursor = NO_ENTRY;
	track->states.count = 0;
	track->reading = 0;
}

struct track_entry *track_see(struct track *track, uint64_t id, bool *ret_created, bool *ret_again)
{
	uint32_t i = track->tier == TIER_FULL ? guess(track) : guess_states(track);
	struct track_entry *entry;

	*ret_created = *ret_again = false;
	if (i < track->end && track->entries[i].id == id) {
		entry = &track->entries[i];
	} else {
		uint32_t found = track->hash[hash_slot(track, id)];

		entry = found != 0 ? &track->entries[found - 1] : create(track, id);
		if (!entry)
			return NULL;
		*ret_created = found == 0;
		i = (uint32_t)(entry - track->entries);
	}
	if (!*ret_created && entry->seen == track->parity) {
		*ret_again = true;
		return entry;
	}
	if (track->tier == TIER_FULL) {
		fetch_ahead(track, entry);
		remember_order(track, i);
	} else {
		if (!*ret_created)
			follow_states(track, i);
		if (!remember_states(track, i))
			return NULL;
	}
	entry->seen = track->parity;
	track->seen++;
	return entry;
}

struct track_entry *track_find(const struct track *track, uint64_t id)
{
	uint32_t found = track->hash[hash_slot(track, id)];

	return found != 0 ? &track->entries[found - 1] : NULL;
}

bool track_saw(const struct track *track, const struct track_entry *entry)
{
	return entry->seen == track->parity;
}

/* Closes the gap in the probe sequence: no tombstones. */
static void unhash(struct track *track, uint64_t id)
{
	size_t mask = track->hash_size - 1;
	size_t hole = hash_slot(track, id);

	for (size_t i = (hole + 1) & mask; track->hash[i] != 0; i = (i + 1) & mask) {
		size_t home = hash_of(track, track->entries[track->hash[i] - 1].id);

		if (((i - home) & mask) < ((i - hole) & mask))
			continue;
		track->hash[hole] = track->hash[i];
		hole = i;
	}
	track->hash[hole] = 0;
}

void track_remove(struct track *track, struct track_entry *entry)
{
	uint32_t i = (uint32_t)(entry - track->entries);

	unhash(track, entry->id);
	if (entry->seen == track->parity)
		track->seen--;
	track->count--;
	if (track->cursor == i)
		track->cursor = NO_ENTRY;
	*entry = (struct track_entry){ .next = track->free };
	track->free = i;
}

void track_note_cgroup(struct track *track, const struct track_entry *entry, uint64_t cgroup_id)
{
	uint32_t *at = &track->cgroups[entry - track->entries];
	uint32_t cgroup = cgroup_id <= UINT32_MAX ? (uint32_t)cgroup_id : 0;

	if (!track->has_home)
		track->home = cgroup;
	track->has_home = true;
	if (*at != (cgroup ^ track->home))
		*at = cgroup ^ track->home;
}

uint64_t track_cgroup(const struct track *track, const struct track_entry *entry)
{
	return track->cgroups[entry - track->entries] ^ track->home;
}

void track_sweep(struct track *track, track_fn fn, void *arg)
{
	track->open = false;
	if (track->seen == track->count)
		return;
	for (size_t i = 0; i < track->end; i++) {
		struct track_entry *entry = &track->entries[i];

		if (entry->id == 0 || entry->seen == track->parity)
			continue;
		entry->seen = track->parity;
		track->seen++;
		fn(arg, entry);
	}
}

void track_end_states(struct track *track)
{
	struct order last = track->last;

	/* Back to the parity of the others, which are many more. */
	track->parity = !track->parity;
	for (size_t i = 0; i < track->states.count; i++)
		track->entries[track->states.list[i]].seen = track->parity;
	track->last = track->states;
	track->states = last;
	track->open = false;
}

void track_each(struct track *track, track_fn fn, void *arg)
{
	for (size_t i = 0; i < track->end; i++) {
		if (track->entries[i].id != 0)
			fn(arg, &track->entries[i]);
	}
}

/* Moves the entries together. The order of the last dump is lost, and learned again. */
static void compact(struct track *track)
{
	size_t to = 0;

	for (size_t from = 0; from < track->end; from++) {
		if (track->entries[from].id == 0)
			continue;
		track->entries[to] = track->entries[from];
		if (track->cgroups[to] != track->cgroups[from])
			track->cgroups[to] = track->cgroups[from];
		track->entries[to].next = NO_ENTRY;
		to++;
	}
	track->end = to;
	track->free = track->cursor = track->head = NO_ENTRY;
	forget_order(&track->states);
	forget_order(&track->last);
}

void track_trim(struct track *track)
{
	size_t cap = SMALLEST;

	if (track->cap <= SMALLEST || track->count > track->cap / 8)
		return;
	compact(track);
	while (cap < track->count * 2)
		cap *= 2;
	/* What lies behind `end` must read as never used. */
	if (resize(track, cap))
		memset(&track->entries[track->end], 0,
		       (cap - track->end) * sizeof(*track->entries));
	if (!rehash(track, 2 * cap)) {
		/* The old table has stale indices: build it again in place. */
		memset(track->hash, 0, track->hash_size * sizeof(*track->hash));
		for (size_t i = 0; i < track->end; i++)
			track->hash[hash_slot(track, track->entries[i].id)] = (uint32_t)i + 1;
	}
}
