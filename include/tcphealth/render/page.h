/*
 * page: finished bytes that many may serve.
 *
 * A page is immutable and counted by reference; a pageslot holds the current one, which one thread
 * replaces while others take references. Knows nothing of what the bytes mean. Any thread.
 */
#ifndef TCPHEALTH_RENDER_PAGE_H
#define TCPHEALTH_RENDER_PAGE_H

#include "tcphealth/base/buf.h"

#include <stddef.h>

/* The renderings of one sample. */
enum page_kind {
	PAGE_METRICS_TEXT,        /* exposition, text 0.0.4 */
	PAGE_METRICS_OPENMETRICS, /* exposition, OpenMetrics 1.0.0 */
	PAGE_HTML,                /* the page for people at / */
	PAGE_KINDS,
};

struct page;

/* Takes the bytes of `buf` (left empty, ready for use). NULL when out of memory or if buf->err is set. One reference. */
struct page *page_new(struct buf *buf);
struct page *page_ref(struct page *page);
void page_unref(struct page *page); /* NULL is fine */

const char *page_data(const struct page *page);
size_t page_len(const struct page *page);

/*
 * The page compressed with gzip (level 1), made at the first call and kept with the page. NULL if it
 * would not be smaller or memory is short. Borrowed: lives as long as the page. Any thread.
 */
const char *page_gzip(struct page *page, size_t *ret_len);

struct pageslot;

struct pageslot *pageslot_new(void);
void pageslot_free(struct pageslot *slot);

/* Replaces the page of a kind; takes over the caller's reference. NULL empties it. */
void pageslot_put(struct pageslot *slot, enum page_kind kind, struct page *page);

/* A new reference to the current page of a kind, or NULL before the first. */
struct page *pageslot_get(struct pageslot *slot, enum page_kind kind);

#endif
