/*
 * cgroups: see the header. Owns the cache and the walk that fills it; must not
 * know units or pods.
 */
#include "cgroups-internal.h"
#include "tcphealth/base/array.h"
#include "tcphealth/base/file.h"
#include "tcphealth/base/hash.h"
#include "tcphealth/source/cgroupfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define WALK_INTERVAL_MS 1000
#define RETRY_MAX_MS     60000

/*
 * What lies deeper is not walked: containers that manage cgroups of their own decide how long paths
 * become.
 */
#define CGROUP_PATH_MAX 512

/* Live cgroups never fill the cache: there is always room for those that are gone or unknown. */
static const struct cgroups_limits default_limits = {
	.directories = 32768,
	.depth = 64,
	.ids = 65536,
};

struct entry {
	uint64_t id;
	uint64_t used_ms;  /* when it was last asked for, or seen by a walk */
	uint64_t retry_ms; /* unknown: not worth a walk before */
	uint64_t wait_ms;
	char *path;     /* NULL: unknown */
	uint16_t owned; /* bytes of it */
	bool is_roots;  /* root alone names what is in it */
};

/* The walk that is under way. */
struct walk {
	uint64_t now_ms;
	dev_t device;
	int root;
	size_t seen;
	size_t head, tail; /* of the queue */
};

struct cgroups {
	struct cgroups_limits limits;
	const char *root;
	const char *procfs;
	struct entry *entries;
	size_t count, cap;
	struct hash hash; /* of entries, by id */
	uint32_t *queue;  /* of entries with directories to be read, by index */
	size_t queue_cap;
	struct walk walk;
	uint64_t walked_ms;
	bool walked;
	bool hybrid;
};

/* --- the table --- */

static struct entry *find(const struct cgroups *cgroups, uint64_t id)
{
	uint32_t i;

	for (size_t at = 0;
	     (i = hash_next(&cgroups->hash, hash_mix(hash_seed, id), &at)) != HASH_END;)
		if (cgroups->entries[i].id == id)
			return &cgroups->entries[i];
	return NULL;
}

static int index_entry(struct cgroups *cgroups, size_t i)
{
	return hash_add(&cgroups->hash, hash_mix(hash_seed, cgroups->entries[i].id), i);
}

static struct entry *add(struct cgroups *cgroups, uint64_t id)
{
	if (!array_room((void **)&cgroups->entries, &cgroups->cap, cgroups->count,
			sizeof(*cgroups->entries)))
		return NULL;
	cgroups->entries[cgroups->count] = (struct entry){ .id = id };
	return index_entry(cgroups, cgroups->count) ? NULL : &cgroups->entries[cgroups->count++];
}

static int compare_use(const void *left, const void *right)
{
	const struct entry *a = left, *b = right;

	return (a->used_ms < b->used_ms) - (a->used_ms > b->used_ms);
}

/*
 * A full table loses an eighth, and more if it is overfull: those that were not used for longest.
 */
static void make_room(struct cgroups *cgroups)
{
	size_t keep = cgroups->limits.ids - cgroups->limits.ids / 8;

	if (cgroups->count < cgroups->limits.ids)
		return;
	qsort(cgroups->entries, cgroups->count, sizeof(*cgroups->entries), compare_use);
	while (cgroups->count > keep)
		free(cgroups->entries[--cgroups->count].path);
	hash_reset(&cgroups->hash);
	for (size_t i = 0; i < cgroups->count; i++)
		(void)index_entry(cgroups, i);
}

/*
 * gcc 12's analyzer loses sight of what is stored in an array that is itself reached by a pointer.
 */
#ifndef __clang__
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
#endif
static int set_path(char **path, const char *value)
{
	char *copy = strdup(value);

	if (!copy)
		return -ENOMEM;
	free(*path);
	*path = copy;
	return 0;
}
#ifndef __clang__
#pragma GCC diagnostic pop
#endif

static int remember(struct cgroups *cgroups, uint64_t id, const char *path, uint64_t now_ms,
		    size_t *ret_index)
{
	struct entry *entry = find(cgroups, id);

	if (!entry)
		entry = add(cgroups, id);
	if (!entry)
		return -ENOMEM;
	entry->used_ms = now_ms;
	*ret_index = (size_t)(entry - cgroups->entries);
	return entry->path && strcmp(entry->path, path) == 0 ? 0 : set_path(&entry->path, path);
}

/*
 * --- the walk, shallow directories first: nobody hides his neighbours by making many directories
 * below his own ---
 */

static int enqueue(struct cgroups *cgroups, size_t index)
{
	if (!array_room((void **)&cgroups->queue, &cgroups->queue_cap, cgroups->walk.tail,
			sizeof(*cgroups->queue)))
		return -ENOMEM;
	cgroups->queue[cgroups->walk.tail++] = (uint32_t)index;
	return 0;
}

/*
 * `parent` is NULL for the hierarchy's own directory, which is taken for root's: in a container it
 * may be an unknown user's.
 */
static int see(struct cgroups *cgroups, const struct stat *st, const char *path,
	       const struct entry *parent)
{
	size_t owned = !parent || parent->is_roots ? strlen(path) : parent->owned;
	bool is_roots = !parent || (parent->is_roots && cgroupfs_is_roots(st));
	size_t index;
	int err = remember(cgroups, st->st_ino, path, cgroups->walk.now_ms, &index);

	cgroups->walk.seen++;
	if (err)
		return err;
	cgroups->entries[index].owned = (uint16_t)owned;
	cgroups->entries[index].is_roots = is_roots;
	/*
	 * A directory has a link from each one in it: two links are a leaf, which most cgroups are.
	 */
	return st->st_nlink == 2 ? 0 : enqueue(cgroups, index);
}

static bool is_top(const char *path)
{
	return path[1] == '\0';
}

static bool is_candidate(const struct dirent *entry)
{
	return (entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN) &&
	       strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static int see_child(struct cgroups *cgroups, int fd, size_t parent, const char *name)
{
	const struct entry *entry = &cgroups->entries[parent];
	char path[CGROUP_PATH_MAX];
	struct stat st;

	/* One that is gone by now is no error, nor is one with too long a path. */
	if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISDIR(st.st_mode) ||
	    st.st_dev != cgroups->walk.device)
		return 0;
	int len =
		snprintf(path, sizeof(path), "%s/%s", is_top(entry->path) ? "" : entry->path, name);
	if (len < 0 || (size_t)len >= sizeof(path))
		return 0;
	return see(cgroups, &st, path, entry);
}

static int read_directory(struct cgroups *cgroups, DIR *dir, size_t parent)
{
	const struct dirent *entry;
	int err = 0;

	while (!err && cgroups->walk.seen < cgroups->limits.directories && (entry = readdir(dir)))
		if (is_candidate(entry))
			err = see_child(cgroups, dirfd(dir), parent, entry->d_name);
	return err;
}

static size_t depth_of(const char *path)
{
	size_t depth = 0;

	for (; *path; path++)
		depth += path[0] == '/' && path[1] != '\0';
	return depth;
}

static int enter_directory(struct cgroups *cgroups, size_t index)
{
	const char *path = cgroups->entries[index].path;

	if (depth_of(path) >= cgroups->limits.depth)
		return 0;
	DIR *dir = file_open_dir(cgroups->walk.root, is_top(path) ? "." : path + 1);
	if (!dir)
		return errno == ENOMEM ? -ENOMEM : 0;
	int err = read_directory(cgroups, dir, index);
	closedir(dir);
	return err;
}

static int walk_from(struct cgroups *cgroups)
{
	struct stat st;

	if (fstat(cgroups->walk.root, &st))
		return -errno;
	cgroups->walk.device = st.st_dev;
	int err = see(cgroups, &st, "/", NULL);
	while (!err && cgroups->walk.head < cgroups->walk.tail &&
	       cgroups->walk.seen < cgroups->limits.directories)
		err = enter_directory(cgroups, cgroups->queue[cgroups->walk.head++]);
	return err;
}

/* Whatever ends it early, what it has seen until then is good. */
static void walk_hierarchy(struct cgroups *cgroups, uint64_t now_ms)
{
	struct cgroupfs cgroupfs;

	cgroups->walked = true;
	cgroups->walked_ms = now_ms;
	if (cgroupfs_open(cgroups->root, cgroups->procfs, CGROUPFS_UNIFIED, &cgroupfs))
		return;
	cgroups->hybrid = cgroupfs.hybrid;
	cgroups->walk = (struct walk){ .now_ms = now_ms, .root = cgroupfs.fd };
	walk_from(cgroups);
	cgroupfs_close(&cgroupfs);
	make_room(cgroups);
}

/* One walk answers for all ids that are unknown now: none of them asks for the next one at once. */
static void put_off_unknown(struct cgroups *cgroups, uint64_t now_ms)
{
	for (size_t i = 0; i < cgroups->count; i++) {
		struct entry *entry = &cgroups->entries[i];

		if (entry->path)
			continue;
		entry->wait_ms = entry->wait_ms ? entry->wait_ms * 2 : WALK_INTERVAL_MS;
		if (entry->wait_ms > RETRY_MAX_MS)
			entry->wait_ms = RETRY_MAX_MS;
		entry->retry_ms = now_ms + entry->wait_ms;
	}
}

struct cgroups *cgroups_new_limited(const char *root, const char *procfs,
				    const struct cgroups_limits *limits)
{
	struct cgroups *cgroups = calloc(1, sizeof(*cgroups));

	if (!cgroups)
		return NULL;
	cgroups->limits = *limits;
	cgroups->root = root;
	cgroups->procfs = procfs;
	return cgroups;
}

struct cgroups *cgroups_new(const char *root, const char *procfs)
{
	return cgroups_new_limited(root, procfs, &default_limits);
}

void cgroups_free(struct cgroups *cgroups)
{
	if (!cgroups)
		return;
	for (size_t i = 0; i < cgroups->count; i++)
		free(cgroups->entries[i].path);
	free(cgroups->entries);
	hash_done(&cgroups->hash);
	free(cgroups->queue);
	free(cgroups);
}

bool cgroups_hybrid(const struct cgroups *cgroups)
{
	return cgroups->hybrid;
}

/* Its entry, after a walk if it is not known and one is due; NULL if it is 0, or out of memory. */
static struct entry *look_up(struct cgroups *cgroups, uint64_t id, uint64_t now_ms)
{
	struct entry *entry = find(cgroups, id);

	if (!entry && id) {
		make_room(cgroups);
		entry = add(cgroups, id);
	}
	if (!entry)
		return NULL;
	entry->used_ms = now_ms;
	if (entry->path || now_ms < entry->retry_ms)
		return entry;
	if (cgroups->walked && now_ms - cgroups->walked_ms < WALK_INTERVAL_MS)
		return entry;
	walk_hierarchy(cgroups, now_ms);
	put_off_unknown(cgroups, now_ms);
	return find(cgroups, id);
}

const char *cgroups_path(struct cgroups *cgroups, uint64_t id, uint64_t now_ms, size_t *ret_owned)
{
	const struct entry *entry = look_up(cgroups, id, now_ms);

	if (!entry || !entry->path)
		return NULL;
	*ret_owned = entry->owned;
	return entry->path;
}
