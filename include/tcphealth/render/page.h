/*
 * page: finished bytes that many threads may serve.
 *
 * Immutable and reference-counted. Must not know what the bytes mean. Any thread.
 */
#pragma once

#include "tcphealth/base/buf.h"

#include <stddef.h>
#include <stdint.h>

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
uint64_t page_stamp(const struct page *page);

/*
 * The page compressed with gzip (level 1), made at the first call; lives as long as the page.
 * NULL if that would not be smaller, or when out of memory.
 */
const char *page_gzip(struct page *page, size_t *ret_len);
