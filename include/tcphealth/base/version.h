/*
 * version: which program this is.
 *
 * Owns the texts that the build fixes: the version and the source revision. Knows nothing of flags
 * or metrics. Any thread.
 */
#pragma once

#include <stdio.h>

/* "0.1.0": the content of the file VERSION. Static text. */
extern const char version_number[];

/* The abbreviated commit, or "unknown" when built outside of a repository. Static text. */
extern const char version_revision[];

/*
 * What --version prints, in the format of Prometheus's own programs:
 *
 *   tcphealth_exporter, version 0.1.0 (revision: 0123456789ab)
 *     compiler:         gcc 12.2.0
 *     platform:         linux/amd64
 */
void version_print(FILE *out);
