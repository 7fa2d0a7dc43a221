/*
 * chooser: where the sockets of the own namespace come from, now.
 *
 * Owns the sources that are open, and decides between them: begins with the first of the table, falls to the next where that one is
 * refused, and comes back by itself. Hands records to a census; must not know what they mean. One thread.
 */
#ifndef TCPHEALTH_APP_CHOOSER_H
#define TCPHEALTH_APP_CHOOSER_H

#include "tcphealth/app/sample.h"
#include "tcphealth/model/census.h"
#include "tcphealth/source/source.h"

#include <stdint.h>

struct chooser;

/* Uses the source `wanted` alone, or with SOURCE_AUTO each. `procfs` is borrowed. NULL when out of memory. */
struct chooser *chooser_new(enum source_id wanted, const char *procfs);
void chooser_free(struct chooser *chooser);

/*
 * One sample of the own namespace, whatever sample->place. sample->tier becomes TIER_FULL where the source, or its change, leaves no
 * choice. As take_sample(), the error being of the source that was tried last.
 */
int chooser_sample(struct chooser *chooser, struct sample *sample, struct census *census,
		   uint32_t *ret_can);

/* Opens the source in use, if it is not: 0 and the source, borrowed until the next sample; or -errno. */
int chooser_open(struct chooser *chooser, const struct source_ops **ret_ops, void **ret_source);

/* In use. */
const struct source_ops *chooser_source(const struct chooser *chooser);

/* The better source that is not, and why (-errno); NULL if there is none. */
const struct source_ops *chooser_refused(const struct chooser *chooser, int *ret_err);

/* By all sources, since the start. */
struct source_skipped chooser_skipped(const struct chooser *chooser);

#endif
