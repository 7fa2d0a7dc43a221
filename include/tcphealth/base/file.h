/*
 * file: a small file as a whole, or one line of a larger one.
 *
 * Paths are relative to the directory `dir`, or to the working directory with AT_FDCWD. Waits for no other end where the file is a FIFO. Must
 * not know what the files mean. Any thread.
 */
#ifndef TCPHEALTH_BASE_FILE_H
#define TCPHEALTH_BASE_FILE_H

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * Reads the file into the `size` bytes of `dst` (at least 1), NUL terminated. Its length, or -errno (-EFBIG: it does not fit), with which `dst`
 * holds what was read so far.
 */
ssize_t file_read(int dir, const char *path, char *dst, size_t size);

/* Opens a directory, not a link to one. NULL and errno if it cannot be. */
DIR *file_open_dir(int dir, const char *path);

#define FILE_LINE_SIZE 512

/* The rest of the first line that begins with `prefix`, without the blanks between and cut to fit. False if there is none. */
bool file_find_line(int dir, const char *path, const char *prefix, char dst[FILE_LINE_SIZE]);

#endif
