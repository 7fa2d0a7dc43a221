/*
 * page: finished bytes that many threads may serve.
 *
 * A page is immutable and reference-counted. A pageslot holds the current page of each kind, which
 * one thread replaces while others take references. Must not know what the bytes mean. Any thread.
 */
#pragma once

#include "tcphealth/base/buf.h"

#include <stddef.h>
#include <stdint.h>

/* The forms of one sample. */
enum page_kind {
	PAGE_METRICS_TEXT,        /* text 0.0.4 */
	PAGE_METRICS_OPENMETRICS, /* OpenMetrics 1.0.0 */
	PAGE_HTML,                /* the page at / */
	PAGE_KINDS,
};

struct page;

/*
 * A page with one reference. Takes the bytes of `buf`, which is then empty and may be used again.
 * `stamp` grows from page to page, see pageslot_served(). NULL when out of memory, or if buf->err
 * is set.
 */
struct page *page_new(struct buf *buf, uint64_t stamp);
/* Both take NULL. */
struct page *page_ref(struct page *page);
void page_unref(struct page *page);

const char *page_data(const struct page *page);
size_t page_len(const struct page *page);

/*
 * The page compressed with gzip (level 1), made at the first call; lives as long as the page.
 * NULL if that would not be smaller, or when out of memory.
 */
const char *page_gzip(struct page *page, size_t *ret_len);

struct pageslot;

struct pageslot *pageslot_new(void);
void pageslot_free(struct pageslot *slot);

/* Replaces the page of a kind, and takes over the caller's reference. NULL: there is none. */
void pageslot_put(struct pageslot *slot, enum page_kind kind, struct page *page);

/* A new reference to the current page of a kind; NULL before the first. */
struct page *pageslot_get(struct pageslot *slot, enum page_kind kind);

/* A scraper is given this page; the highest stamp of those that were given, 0: none was. */
void pageslot_serve(struct pageslot *slot, const struct page *page);
uint64_t pageslot_served(const struct pageslot *slot);
