/*
 * file: a small file as a whole, or one line of a larger one.
 *
 * Paths are relative to the directory `dir`, or to the working directory with AT_FDCWD. Never
 * blocks on a FIFO. Must not know what the files mean. Any thread.
 */
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * Reads the file into the `size` bytes of `dst` (at least 1), NUL terminated. Returns its length,
 * or -errno (-EFBIG: it does not fit): `dst` then holds what was read so far.
 */
ssize_t file_read(int dir, const char *path, char *dst, size_t size);

/* Opens a directory, but not a link to one. NULL and errno if that fails. */
DIR *file_open_dir(int dir, const char *path);

#define FILE_LINE_SIZE 512

/*
 * The rest of the first line that begins with `prefix`, without the blanks between and cut to fit.
 * False if there is none.
 */
bool file_find_line(int dir, const char *path, const char *prefix, char dst[FILE_LINE_SIZE]);
