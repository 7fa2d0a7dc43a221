/* cgroups, inside: the bounds, which tests make smaller, and the parser of mountinfo. */
#ifndef TCPHEALTH_SOURCE_CGROUPS_INTERNAL_H
#define TCPHEALTH_SOURCE_CGROUPS_INTERNAL_H

#include "tcphealth/source/cgroups.h"

#include <stdbool.h>

struct cgroups_limits {
	size_t directories; /* of a walk */
	size_t depth;       /* of the deepest of them; the root has 0 */
	size_t ids;         /* kept, those that are unknown included */
};

struct cgroups *cgroups_new_limited(const char *root, const char *procfs,
				    const struct cgroups_limits *limits);

/*
 * Takes a line of mountinfo apart, "31 22 0:27 ROOT MOUNTPOINT rw,relatime shared:9 - cgroup2 cgroup2 rw": the type follows the first lone
 * dash. False if it is not a cgroup2 mount.
 */
bool cgroups_parse_mount(char *line, char **ret_root, char **ret_point);

#endif
