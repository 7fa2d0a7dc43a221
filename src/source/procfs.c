/*
 * procfs: paths below --path.procfs and small files read whole.
 * Must not know what the files mean.
 */
#include "tcphealth/source/procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static int open_file(const char *path)
{
	int fd;

	do
		fd = open(path, O_RDONLY | O_CLOEXEC);
	while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : fd;
}

/* procfs hands out a page at a time, whatever the buffer: only 0 is the end. */
static ssize_t read_all(int fd, char *dst, size_t size)
{
	size_t len = 0;

	while (len < size) {
		ssize_t n = read(fd, dst + len, size - len);

		if (n == 0)
			return (ssize_t)len;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			len += (size_t)n;
	}
	return -EFBIG;
}

static int join(const char *root, const char *rest, char *dst, size_t size)
{
	int len = snprintf(dst, size, "%s/%s", root, rest);

	return len < 0 || (size_t)len >= size ? -ENAMETOOLONG : 0;
}

int procfs_net_dir(const char *root, char *dst, size_t size)
{
	int err = join(root, "thread-self/net", dst, size);

	if (err == 0 && access(dst, F_OK) == 0)
		return 0;
	return join(root, "net", dst, size);
}

ssize_t procfs_read(const char *path, char *dst, size_t size)
{
	int fd;
	ssize_t len;

	if (size == 0)
		return -EFBIG;
	dst[0] = '\0';
	fd = open_file(path);
	if (fd < 0)
		return fd;
	/* A file that fills all of dst has left no room for the NUL: too big. */
	len = read_all(fd, dst, size);
	close(fd);
	dst[len < 0 ? 0 : len] = '\0';
	return len;
}
