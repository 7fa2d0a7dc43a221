/* tree: a directory whose files lead to files in memory, for targets whose parser opens paths. Removed at the end. */
#pragma once

#include "text.h"

#include <ftw.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Between the files that one input holds. */
#define TREE_SEPARATOR "%%\n"

static char tree_root[] = "/tmp/fuzz_tree.XXXXXX";

static inline int tree_remove_one(const char *path, const struct stat *st, int type,
				  struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void tree_remove(void)
{
	(void)nftw(tree_root, tree_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static inline void tree_path(char *path, size_t size, const char *name)
{
	require(snprintf(path, size, "%s/%s", tree_root, name) < (int)size);
}

static inline void tree_make(void)
{
	require(mkdtemp(tree_root) != NULL);
	require(atexit(tree_remove) == 0);
}

static inline void tree_directory(const char *name)
{
	char path[128];

	tree_path(path, sizeof(path), name);
	require(mkdir(path, 0700) == 0);
}

static inline void tree_link(const char *name, const char *target)
{
	char path[128];

	tree_path(path, sizeof(path), name);
	require(symlink(target, path) == 0);
}

/* The descriptor behind a new file of that name. */
static inline int tree_file(const char *name)
{
	char target[64];
	int fd = memfd_create("fuzz_tree", MFD_CLOEXEC);

	require(fd >= 0);
	(void)snprintf(target, sizeof(target), "/proc/self/fd/%d", fd);
	tree_link(name, target);
	return fd;
}

/* Fills `count` files with the parts of the input; those that are missing are empty. */
static inline void tree_fill(const int *files, size_t count, const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < count; i++) {
		const uint8_t *end = memmem(data, size, TREE_SEPARATOR, strlen(TREE_SEPARATOR));
		size_t len = end && i + 1 < count ? (size_t)(end - data) : size;

		require(ftruncate(files[i], 0) == 0);
		require(pwrite(files[i], data, len, 0) == (ssize_t)len);
		len += end && i + 1 < count ? strlen(TREE_SEPARATOR) : 0;
		data += len;
		size -= len;
	}
}
