/*
 * file: see the header.
 */
#include "tcphealth/base/file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int open_file(int dir, const char *path)
{
	int fd;

	do
		fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : fd;
}

/* procfs hands out a page at a time, whatever the buffer: only 0 is the end. A file that fills all of `dst` leaves no room for the NUL. */
static ssize_t read_all(int fd, char *dst, size_t size)
{
	size_t len = 0;
	ssize_t got = 1;

	while (len < size && got != 0) {
		got = read(fd, dst + len, size - len);
		if (got < 0 && errno != EINTR)
			break;
		if (got > 0)
			len += (size_t)got;
	}
	dst[len < size ? len : size - 1] = '\0';
	if (got < 0)
		return -errno;
	return len < size ? (ssize_t)len : -EFBIG;
}

ssize_t file_read(int dir, const char *path, char *dst, size_t size)
{
	int fd = open_file(dir, path);

	dst[0] = '\0';
	if (fd < 0)
		return fd;
	ssize_t len = read_all(fd, dst, size);
	close(fd);
	return len;
}

DIR *file_open_dir(int dir, const char *path)
{
	int fd = openat(dir, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *opened = fd < 0 ? NULL : fdopendir(fd);

	if (!opened && fd >= 0)
		close(fd);
	return opened;
}

bool file_find_line(int dir, const char *path, const char *prefix, char dst[FILE_LINE_SIZE])
{
	int fd = open_file(dir, path);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
	size_t len = strlen(prefix);
	bool found = false, at_start = true;

	if (!file && fd >= 0)
		close(fd);
	/* Longer lines come in pieces. */
	while (file && !found && fgets(dst, FILE_LINE_SIZE, file)) {
		found = at_start && strncmp(dst, prefix, len) == 0;
		at_start = strchr(dst, '\n') != NULL;
	}
	if (file)
		fclose(file);
	if (!found)
		return false;
	len += strspn(dst + len, " \t");
	memmove(dst, dst + len, strlen(dst + len) + 1);
	return true;
}
