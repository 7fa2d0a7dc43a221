/* cgroups, inside: the bounds, which tests make smaller. */
#ifndef TCPHEALTH_SOURCE_CGROUPS_INTERNAL_H
#define TCPHEALTH_SOURCE_CGROUPS_INTERNAL_H

#include "tcphealth/source/cgroups.h"

struct cgroups_limits {
	size_t directories;
	size_t depth;
	size_t ids;
};

struct cgroups *cgroups_new_limited(const char *root, const char *procfs,
				    const struct cgroups_limits *limits);

#endif
