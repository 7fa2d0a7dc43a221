/*
 * namespaces: the other network namespaces of this host.
 *
 * Owns a census for each, found by itself, sampled one a call by enter, open, dump, close, so that none is pinned; forgets
 * those that are gone. Each dump walks the host's whole table, so their number is bounded and the work spread. The
 * collector's thread.
 */
#ifndef TCPHEALTH_APP_NAMESPACES_H
#define TCPHEALTH_APP_NAMESPACES_H

#include "tcphealth/model/census.h"
#include "tcphealth/model/survey.h"

#include <stddef.h>
#include <stdint.h>

#define NAMESPACES_MAX 64

struct namespaces;

struct namespaces_config {
	const char *filter; /* "all", or a shell pattern of names; borrowed */
	const char *procfs; /* borrowed */
	struct census_config census;
};

struct namespaces_stats {
	uint64_t found;      /* namespaces beside the own */
	uint64_t sampled;    /* of these, that have a census */
	uint64_t denied;     /* not entered for want of CAP_SYS_ADMIN, nor readable in /proc */
	uint64_t over_limit; /* left out because there are more than NAMESPACES_MAX */
	uint64_t unreadable; /* processes whose namespace could not be told */
	uint64_t errors;     /* samples that failed, since the start */
};

/* NULL when out of memory. */
struct namespaces *namespaces_new(const struct namespaces_config *config);
void namespaces_free(struct namespaces *namespaces);

/* Looks for namespaces if that is due, and samples the one that was sampled longest ago. 0, or -errno of that sample. */
int namespaces_step(struct namespaces *namespaces, uint64_t now_ms);

/* Those that have been sampled: at most `max` into `ret_ns`, whose pointers are valid until the next step. */
size_t namespaces_fill(const struct namespaces *namespaces, struct survey_ns *ret_ns, size_t max);

struct namespaces_stats namespaces_stats(const struct namespaces *namespaces);

#endif
