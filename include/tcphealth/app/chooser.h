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

#include <stdbool.h>
#include <stdint.h>

struct chooser;

/* Uses the source `wanted` alone, or with SOURCE_AUTO each. `procfs` is borrowed. NULL when out of memory. */
struct chooser *chooser_new(enum source_id wanted, const char *procfs);
void chooser_free(struct chooser *chooser);

struct chooser_result {
	const struct source_ops *source; /* in use */
	uint32_t can;                    /* enum source_can, of the records that it gave */
	bool changed;                    /* another source than the sample before */
	/* What was sampled: more than asked for where the source or its change leaves no choice. */
	enum tier tier;
	int refusal; /* -errno of a better source; 0 where none was asked */
};

/*
 * One sample of the own namespace, whatever sample->place; of sample->tier unless source or change leave no choice. 0 and *ret_result, or -errno of the source that was tried
 * last: the census has been aborted.
 */
int chooser_sample(struct chooser *chooser, const struct sample *sample, struct census *census,
		   struct chooser_result *ret_result);

/* Opens the source in use, if it is not: 0 and the source, borrowed until the next sample; or -errno. */
int chooser_open(struct chooser *chooser, const struct source_ops **ret_ops, void **ret_source);

/* In use. */
const struct source_ops *chooser_source(const struct chooser *chooser);

/* By all sources, since the start. */
struct source_skipped chooser_skipped(const struct chooser *chooser);

#endif
