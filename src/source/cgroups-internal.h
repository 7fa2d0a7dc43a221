/* cgroups, inside: the bounds, which tests make smaller. */
#ifndef TCPHEALTH_SOURCE_CGROUPS_INTERNAL_H
#define TCPHEALTH_SOURCE_CGROUPS_INTERNAL_H

#include "tcphealth/source/cgroups.h"

struct cgroups_limits {
	size_t directories; /* of a walk */
	size_t depth;       /* of the deepest of them; the root has 0 */
	size_t ids;         /* kept, those that are unknown included */
};

struct cgroups *cgroups_new_limited(const char *root, const char *procfs,
				    const struct cgroups_limits *limits);

#endif
