/*
 * procfs: paths below --path.procfs.
 */
#include "tcphealth/source/procfs.h"

#include "tcphealth/base/number.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
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

bool procfs_stat_field(const char *stat, enum procfs_stat field, uint64_t *ret_value)
{
	/* The command's name may hold blanks and parentheses: only the last one ends it. */
	const char *at = strrchr(stat, ')');

	for (unsigned int before = 2; at && before < field; before++)
		at = (at = strchr(at, ' ')) ? at + 1 : NULL;
	return at && number_take(&at, NULL, UINT64_MAX, ret_value) == 0 && strchr(" \n", *at);
}
