/*
 * cgroups: see the header. Owns the cache and the walk that fills it; must not
 * know units or pods.
 */
#include "cgroups-internal.h"
#include "tcphealth/base/array.h"
#include "tcphealth/base/hash.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define CGROUP2_MAGIC 0x63677270 /* CGROUP2_SUPER_MAGIC of linux/magic.h */

#define WALK_INTERVAL_MS 1000
#define RETRY_MAX_MS     60000

/* What lies deeper is not walked: containers that manage cgroups of their own decide how long paths become. */
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
	char *path; /* NULL: unknown */
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
	char mount[PATH_MAX]; /* where it was last; "" until found */
	struct entry *entries;
	size_t count, cap;
	struct hash hash; /* of entries, by id */
	uint32_t *queue;  /* indices of entries whose directories are still to be read */
	size_t queue_cap;
	struct walk walk;
	uint64_t walked_ms;
	bool walked;
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

/* A full table loses an eighth, and more if it is overfull: those that were not used for longest. */
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

static struct entry *find_or_add(struct cgroups *cgroups, uint64_t id)
{
	struct entry *entry = find(cgroups, id);

	return entry ? entry : add(cgroups, id);
}

/* gcc 12's analyzer loses sight of what is stored in an array that is itself reached by a pointer. */
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
	struct entry *entry = find_or_add(cgroups, id);

	if (!entry)
		return -ENOMEM;
	entry->used_ms = now_ms;
	*ret_index = (size_t)(entry - cgroups->entries);
	return entry->path && strcmp(entry->path, path) == 0 ? 0 : set_path(&entry->path, path);
}

/* --- where the hierarchy is --- */

static int open_cgroup2(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct statfs fs;

	if (fd < 0)
		return -errno;
	if (fstatfs(fd, &fs) == 0 && fs.f_type == CGROUP2_MAGIC)
		return fd;
	close(fd);
	return -ENOENT;
}

static int open_below(struct cgroups *cgroups, const char *directory, const char *rest)
{
	char path[PATH_MAX];
	int len = snprintf(path, sizeof(path), "%s%s", directory, rest);

	if (len < 0 || (size_t)len >= sizeof(path))
		return -ENAMETOOLONG;
	int fd = open_cgroup2(path);
	if (fd >= 0)
		strcpy(cgroups->mount, path);
	return fd;
}

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

bool cgroups_parse_mount(char *line, char **ret_root, char **ret_point)
{
	static const char type[] = " - cgroup2 ";
	char *end = strstr(line, " - "), *rest = line;

	if (!end || strncmp(end, type, strlen(type)) != 0)
		return false;
	*end = '\0';
	for (int i = 0; i < 3; i++)
		strsep(&rest, " ");
	*ret_root = strsep(&rest, " ");
	*ret_point = strsep(&rest, " ");
	if (!*ret_root || !*ret_point)
		return false;
	unescape(*ret_point);
	return true;
}

/* Opens the first mount of the whole hierarchy, else the first one of a part (all that some containers see). */
static int open_mounted(struct cgroups *cgroups, FILE *mounts)
{
	char *line = NULL, *root, *point;
	size_t size = 0;
	int fd = -ENOENT;
	bool whole = false;

	while (!whole && getline(&line, &size, mounts) > 0) {
		if (!cgroups_parse_mount(line, &root, &point) ||
		    (fd >= 0 && strcmp(root, "/") != 0))
			continue;
		int found = open_below(cgroups, point, "");
		if (found < 0)
			continue;
		whole = strcmp(root, "/") == 0;
		if (fd >= 0)
			close(fd);
		fd = found;
	}
	free(line);
	return fd;
}

static int search_mountinfo(struct cgroups *cgroups)
{
	char path[PATH_MAX];
	int len = snprintf(path, sizeof(path), "%s/self/mountinfo", cgroups->procfs);
	FILE *mounts = len < 0 || (size_t)len >= sizeof(path) ? NULL : fopen(path, "re");

	if (!mounts)
		return -ENOENT;
	int fd = open_mounted(cgroups, mounts);
	fclose(mounts);
	return fd;
}

static int search(struct cgroups *cgroups)
{
	const char *root = cgroups->root;
	int fd = -ENOENT;

	if (!root || !*root) {
		fd = search_mountinfo(cgroups);
		root = "/sys/fs/cgroup";
	}
	if (fd < 0)
		fd = open_below(cgroups, root, "");
	if (fd < 0)
		fd = open_below(cgroups, root, "/unified");
	return fd;
}

static int open_root(struct cgroups *cgroups)
{
	int fd = cgroups->mount[0] ? open_cgroup2(cgroups->mount) : -ENOENT;

	return fd >= 0 ? fd : search(cgroups);
}

/* --- the walk, shallow directories first: nobody hides his neighbours by making many directories below his own --- */

static int enqueue(struct cgroups *cgroups, size_t index)
{
	if (!array_room((void **)&cgroups->queue, &cgroups->queue_cap, cgroups->walk.tail,
			sizeof(*cgroups->queue)))
		return -ENOMEM;
	cgroups->queue[cgroups->walk.tail++] = (uint32_t)index;
	return 0;
}

static int see(struct cgroups *cgroups, const struct stat *st, const char *path)
{
	size_t index;
	int err = remember(cgroups, st->st_ino, path, cgroups->walk.now_ms, &index);

	cgroups->walk.seen++;
	if (err)
		return err;
	/* A directory has a link from each one in it: two links are a leaf, which most cgroups are. */
	return st->st_nlink == 2 ? 0 : enqueue(cgroups, index);
}

static bool is_candidate(const struct dirent *entry)
{
	return (entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN) &&
	       strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static int see_child(struct cgroups *cgroups, int fd, const char *parent, const char *name)
{
	char path[CGROUP_PATH_MAX];
	struct stat st;

	/* One that is gone by now is no error, nor is one whose path is too long. */
	if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISDIR(st.st_mode) ||
	    st.st_dev != cgroups->walk.device)
		return 0;
	int len = snprintf(path, sizeof(path), "%s/%s", parent, name);
	if (len < 0 || (size_t)len >= sizeof(path))
		return 0;
	return see(cgroups, &st, path);
}

static int read_directory(struct cgroups *cgroups, DIR *dir, const char *parent)
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
	bool is_root = path[1] == '\0';

	if (depth_of(path) >= cgroups->limits.depth)
		return 0;
	int fd = openat(cgroups->walk.root, is_root ? "." : path + 1,
			O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return 0;
	DIR *dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	int err = read_directory(cgroups, dir, is_root ? "" : path);
	closedir(dir);
	return err;
}

static int walk_from(struct cgroups *cgroups)
{
	struct stat st;

	if (fstat(cgroups->walk.root, &st))
		return -errno;
	cgroups->walk.device = st.st_dev;
	int err = see(cgroups, &st, "/");
	while (!err && cgroups->walk.head < cgroups->walk.tail &&
	       cgroups->walk.seen < cgroups->limits.directories)
		err = enter_directory(cgroups, cgroups->queue[cgroups->walk.head++]);
	return err;
}

/* Whatever ends it early, what it has seen until then is good. */
static void walk_hierarchy(struct cgroups *cgroups, uint64_t now_ms)
{
	cgroups->walk = (struct walk){ .now_ms = now_ms, .root = open_root(cgroups) };
	cgroups->walked = true;
	cgroups->walked_ms = now_ms;
	if (cgroups->walk.root < 0)
		return;
	walk_from(cgroups);
	close(cgroups->walk.root);
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

const char *cgroups_path(struct cgroups *cgroups, uint64_t id, uint64_t now_ms)
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
		return entry->path;
	if (cgroups->walked && now_ms - cgroups->walked_ms < WALK_INTERVAL_MS)
		return NULL;
	walk_hierarchy(cgroups, now_ms);
	put_off_unknown(cgroups, now_ms);
	entry = find(cgroups, id);
	return entry ? entry->path : NULL;
}
