/* cgroupfs, inside: the parser of mountinfo. */
#pragma once

#include "tcphealth/source/cgroupfs.h"

/*
 * Takes a line of mountinfo apart, "31 22 0:27 ROOT MOUNTPOINT rw,relatime shared:9 - cgroup2
 * cgroup2 rw": type, source and options follow the first lone dash. False if it is not a mount of
 * that hierarchy.
 */
bool cgroupfs_parse_mount(char *line, enum cgroupfs_hierarchy hierarchy, char **ret_root,
			  char **ret_point);
