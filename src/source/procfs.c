/*
 * procfs: paths below --path.procfs.
 */
#include "tcphealth/source/procfs.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

static int join(const char *root, const char *rest, char *dst, size_t size)
{
	int len = snprintf(dst, size, "%s/%s", root, rest);

	return len < 0 || (size_t)len >= size ? -ENAMETOOLONG : 0;
}

int procfs_net_dir(const char *root, pid_t pid, char *dst, size_t size)
{
	char rest[32];
	int err;

	if (pid != 0) {
		(void)snprintf(rest, sizeof(rest), "%d/net", (int)pid);
		return join(root, rest, dst, size);
	}
	err = join(root, "thread-self/net", dst, size);
	if (err == 0 && access(dst, F_OK) == 0)
		return 0;
	return join(root, "net", dst, size);
}
