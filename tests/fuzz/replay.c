/*
 * replay: a main for a fuzz target that feeds it the files of a directory, so that every build can run the corpora.
 *
 * Knows LLVMFuzzerTestOneInput() and nothing of what it tests. Each input is a heap block of its exact size: a read past
 * its end is one that AddressSanitizer sees. A corpus without a file is an error.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INPUT_MAX (16u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int read_whole(int fd, uint8_t *data, size_t size)
{
	size_t have = 0;

	while (have < size) {
		ssize_t got = read(fd, data + have, size - have);

		if (got < 0)
			return -errno;
		if (got == 0)
			return -EIO;
		have += (size_t)got;
	}
	return 0;
}

static int feed_file(int fd)
{
	struct stat st;
	uint8_t *data;
	int err;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return 0;
	if (st.st_size < 0 || st.st_size > (off_t)INPUT_MAX)
		return -EFBIG;
	data = malloc((size_t)st.st_size);
	if (!data && st.st_size)
		return -ENOMEM;
	err = read_whole(fd, data, (size_t)st.st_size);
	if (!err)
		LLVMFuzzerTestOneInput(data, (size_t)st.st_size);
	free(data);
	return err ? err : 1;
}

static int feed_named(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	int fed;

	if (fd < 0)
		return -errno;
	fed = feed_file(fd);
	close(fd);
	return fed;
}

/* The number of files fed, or -errno of the first that could not be read. */
static int feed_directory(DIR *dir)
{
	const struct dirent *entry;
	int count = 0;

	while ((entry = readdir(dir))) {
		int fed = feed_named(dirfd(dir), entry->d_name);

		if (fed < 0) {
			fprintf(stderr, "%s: %s\n", entry->d_name, strerror(-fed));
			return fed;
		}
		count += fed;
	}
	return count;
}

int main(int argc, char *argv[])
{
	DIR *dir;
	int count;

	if (argc != 2) {
		fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
		return 2;
	}
	dir = opendir(argv[1]);
	if (!dir) {
		fprintf(stderr, "%s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	count = feed_directory(dir);
	closedir(dir);
	if (count <= 0) {
		fprintf(stderr, "%s: no input was fed\n", argv[1]);
		return 1;
	}
	printf("ok   %s: %d inputs\n", argv[1], count);
	return 0;
}
