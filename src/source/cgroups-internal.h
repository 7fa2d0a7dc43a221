/* cgroups-internal: what tests of cgroups.c reach: its bounds. */
#pragma once

#include "tcphealth/source/cgroups.h"

/* Directories of a walk, the depth of the deepest (the root has 0), and ids that are kept. */
struct cgroups_limits {
	size_t directories;
	size_t depth;
	size_t ids;
};

struct cgroups *cgroups_new_limited(const char *root, const char *procfs,
				    const struct cgroups_limits *limits);
