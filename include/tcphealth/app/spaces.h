/*
 * spaces: the other network namespaces of this host.
 *
 * Owns a census for each, found by itself, sampled one a call by enter, open, dump, close, so that none is pinned; forgets
 * those that are gone. Each dump walks the host's whole table, so their number is bounded and the work spread. The
 * collector's thread.
 */
#ifndef TCPHEALTH_APP_SPACES_H
#define TCPHEALTH_APP_SPACES_H

#include "tcphealth/model/census.h"
#include "tcphealth/model/survey.h"

#include <stddef.h>
#include <stdint.h>

#define SPACES_MAX 64

struct spaces;

struct spaces_config {
	const char *filter; /* "all", or a shell pattern of names; borrowed */
	const char *procfs; /* borrowed */
	struct census_config census;
};

struct spaces_stats {
	uint64_t found;      /* namespaces beside the own */
	uint64_t sampled;    /* of these, that have a census */
	uint64_t denied;     /* not entered for want of CAP_SYS_ADMIN, nor readable in /proc */
	uint64_t over_limit; /* left out because there are more than SPACES_MAX */
	uint64_t unreadable; /* processes whose namespace could not be told */
	uint64_t errors;     /* samples that failed, since the start */
};

/* NULL when out of memory. */
struct spaces *spaces_new(const struct spaces_config *config);
void spaces_free(struct spaces *spaces);

/* Looks for namespaces if that is due, and samples the one that was sampled longest ago. 0, or -errno of that sample. */
int spaces_step(struct spaces *spaces, uint64_t now_ms);

/* Those that have been sampled: at most `max` into `ret_ns`, whose pointers are valid until the next step. */
size_t spaces_fill(const struct spaces *spaces, struct survey_ns *ret_ns, size_t max);

struct spaces_stats spaces_stats(const struct spaces *spaces);

#endif
