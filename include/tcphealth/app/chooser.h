/*
 * chooser: the best source for the sockets of the own namespace.
 *
 * Owns the sources that are open. Begins with the first of the table, falls back to the next where
 * the kernel refuses that, and returns by itself. Hands records to a census; must not know what
 * they mean. One thread.
 */
#pragma once

#include "tcphealth/app/sample.h"
#include "tcphealth/model/census.h"
#include "tcphealth/source/source.h"

#include <stdint.h>

struct chooser;

/*
 * Uses the source `wanted` only, or with SOURCE_AUTO any. `procfs` is borrowed. NULL when out of
 * memory.
 */
struct chooser *chooser_new(enum source_id wanted, const char *procfs);
void chooser_free(struct chooser *chooser);

/*
 * take_sample() of the own namespace, whatever sample->place is. Sets sample->tier to TIER_FULL
 * where the source, or a change of it, leaves no choice. The error is that of the last source
 * tried.
 */
int chooser_sample(struct chooser *chooser, struct sample *sample, struct census *census,
		   uint32_t *ret_can);

/* The source in use, opened if it is not. Borrowed until the next sample. 0 or -errno. */
int chooser_open(struct chooser *chooser, const struct source_ops **ret_ops, void **ret_source);

const struct source_ops *chooser_source(const struct chooser *chooser);

/* The preferred source that is not in use, and why not (-errno); NULL if there is none. */
const struct source_ops *chooser_refused(const struct chooser *chooser, int *ret_err);

/* By all sources, since the start. */
struct source_skipped chooser_skipped(const struct chooser *chooser);
