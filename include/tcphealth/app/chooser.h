/*
 * chooser: the best source for the sockets of the own namespace.
 *
 * Owns the sources that are open. Begins with the first of the table, falls back to the next one
 * where that is refused, and returns by itself. Hands records to a census; must not know what
 * they mean. One thread.
 */
#ifndef TCPHEALTH_APP_CHOOSER_H
#define TCPHEALTH_APP_CHOOSER_H

#include "tcphealth/app/sample.h"
#include "tcphealth/model/census.h"
#include "tcphealth/source/source.h"

#include <stdint.h>

struct chooser;

/*
 * Uses only the source `wanted`, or any with SOURCE_AUTO. `procfs` is borrowed. NULL when out of
 * memory.
 */
struct chooser *chooser_new(enum source_id wanted, const char *procfs);
void chooser_free(struct chooser *chooser);

/*
 * Samples the own namespace, whatever sample->place. sample->tier becomes TIER_FULL if the
 * source, or its change, leaves no choice. As take_sample(); the error is of the last source
 * tried.
 */
int chooser_sample(struct chooser *chooser, struct sample *sample, struct census *census,
		   uint32_t *ret_can);

/* The source in use, opened if it is not. Borrowed until the next sample. 0 or -errno. */
int chooser_open(struct chooser *chooser, const struct source_ops **ret_ops, void **ret_source);

const struct source_ops *chooser_source(const struct chooser *chooser);

/* The better source that is not in use, and why (-errno); NULL if there is none. */
const struct source_ops *chooser_refused(const struct chooser *chooser, int *ret_err);

/* By all sources, since the start. */
struct source_skipped chooser_skipped(const struct chooser *chooser);

#endif
