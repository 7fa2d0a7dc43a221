/* cgroups-internal: what tests of cgroups.c reach: its bounds, and the parser of mountinfo. */
#ifndef TCPHEALTH_SOURCE_CGROUPS_INTERNAL_H
#define TCPHEALTH_SOURCE_CGROUPS_INTERNAL_H

#include "tcphealth/source/cgroups.h"

#include <stdbool.h>

/* Directories of a walk, the depth of the deepest (the root has 0), and ids that are kept. */
struct cgroups_limits {
	size_t directories;
	size_t depth;
	size_t ids;
};

struct cgroups *cgroups_new_limited(const char *root, const char *procfs,
				    const struct cgroups_limits *limits);

/*
 * Takes apart a line of mountinfo, whose type follows the first lone dash: "31 22 0:27 ROOT
 * MOUNTPOINT rw,relatime shared:9 - cgroup2 cgroup2 rw". False if it is no cgroup2.
 */
bool cgroups_parse_mount(char *line, char **ret_root, char **ret_point);

#endif
