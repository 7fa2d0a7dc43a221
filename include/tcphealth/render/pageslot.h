/*
 * pageslot: the current page of each kind, made by the first that asks for it after it has become old.
 *
 * What nobody asks for is not made. Must not know what a page says. Any thread.
 */
#pragma once

#include "tcphealth/render/page.h"

#include <stdint.h>

/* The forms of one sample. */
enum page_kind {
	PAGE_METRICS_TEXT,        /* text 0.0.4 */
	PAGE_METRICS_OPENMETRICS, /* OpenMetrics 1.0.0 */
	PAGE_HTML,                /* the page at / */
	PAGE_KINDS,
};

struct pageslot;

/*
 * Makes the page of a kind as it is to be now; any thread, but never two for one kind at a time.
 * NULL: it cannot, and the one before is still the best there is.
 */
typedef struct page *pageslot_make(void *arg, enum page_kind kind);

/* NULL when out of memory. */
struct pageslot *pageslot_new(pageslot_make *make, void *arg);
/* Takes NULL. */
void pageslot_free(struct pageslot *slot);

/*
 * The pages have become old: the next one asked for is made again. Does not wait for pages that are
 * being made.
 */
void pageslot_renew(struct pageslot *slot);

/*
 * A new reference to the page of a kind, made now if it is old. While another thread makes it, waits
 * for that one, but where there is one before for half a second at most, and takes that. NULL: there
 * is none yet.
 */
struct page *pageslot_get(struct pageslot *slot, enum page_kind kind);

/* A scraper is given this page; the highest stamp of those that were given, 0: none was. */
void pageslot_serve(struct pageslot *slot, const struct page *page);
uint64_t pageslot_served(const struct pageslot *slot);
