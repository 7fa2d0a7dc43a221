/*
 * namespaces: the other network namespaces of this host.
 *
 * Finds them, owns a census for each, and forgets those that are gone. To sample one, the thread
 * enters it, opens a source, dumps, closes and leaves: no namespace is pinned. Each dump walks the
 * whole table of the host, so their number is bounded and samples can be spread over intervals. The
 * collector's thread.
 */
#pragma once

#include "tcphealth/app/connections.h"
#include "tcphealth/model/census.h"
#include "tcphealth/model/health.h"
#include "tcphealth/model/survey.h"
#include "tcphealth/source/source.h"

#include <stddef.h>
#include <stdint.h>

#define NAMESPACES_MAX 64

struct namespaces;

struct namespaces_config {
	/* "all", or a shell pattern of names. Borrowed, as the paths are. */
	const char *filter;
	const char *procfs, *cgroupfs;
	struct census_config census;
};

/* NULL when out of memory. */
struct namespaces *namespaces_new(const struct namespaces_config *config);
void namespaces_free(struct namespaces *namespaces);

enum namespaces_scope {
	NAMESPACES_NEXT, /* the one sampled longest ago */
	NAMESPACES_ALL,
};

/*
 * Looks for namespaces when that is due, and samples. 0, or -errno of the search or of a namespace
 * that could not be sampled.
 */
int namespaces_sample(struct namespaces *namespaces, enum namespaces_scope scope, uint64_t now_ms);

/*
 * Adds the connections that match in those that have been sampled, and marks the result as
 * partial if one could not be read.
 */
void namespaces_add_connections(struct namespaces *namespaces,
				const struct connections_query *query, uint64_t now_ms,
				struct connections_result *result);

/* The namespaces sampled so far, at most `max`. The pointers are valid until the next sample. */
size_t namespaces_fill(const struct namespaces *namespaces, struct survey_ns *ret_ns, size_t max);

/* In all namespaces, since the start. */
struct source_skipped namespaces_skipped(const struct namespaces *namespaces);

struct health_netns namespaces_health(const struct namespaces *namespaces);
