/*
 * page: reference counts, and the gzip copy, which is made under a lock of its own.
 */
#include "tcphealth/render/page.h"

#include <libdeflate.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#define GZIP_LEVEL 1

struct page {
	atomic_uint refs;
	uint64_t stamp;
	char *data; /* NULL if empty */
	size_t len;
	pthread_mutex_t gzip_lock;
	/* Under gzip_lock, written once: */
	bool gzip_tried;
	char *gzip;
	size_t gzip_len;
};

/* Returns the memory that is not needed: a page lives at least until the next sample. */
static char *trim(char *data, size_t len, size_t cap)
{
	if (len == 0) {
		free(data);
		return NULL;
	}
	if (cap - len < len / 8)
		return data;
	char *smaller = realloc(data, len);
	return smaller ? smaller : data;
}

struct page *page_new(struct buf *buf, uint64_t stamp)
{
	if (buf->err)
		return NULL;
	struct page *page = calloc(1, sizeof(*page));
	if (!page)
		return NULL;
	atomic_init(&page->refs, 1);
	page->stamp = stamp;
	pthread_mutex_init(&page->gzip_lock, NULL);
	page->len = buf->len;
	page->data = trim(buf->data, buf->len, buf->cap);
	buf_init(buf, buf->limit);
	return page;
}

struct page *page_ref(struct page *page)
{
	if (page)
		atomic_fetch_add_explicit(&page->refs, 1, memory_order_relaxed);
	return page;
}

void page_unref(struct page *page)
{
	if (!page || atomic_fetch_sub_explicit(&page->refs, 1, memory_order_acq_rel) != 1)
		return;
	pthread_mutex_destroy(&page->gzip_lock);
	free(page->gzip);
	free(page->data);
	free(page);
}

const char *page_data(const struct page *page)
{
	return page->data ? page->data : "";
}

size_t page_len(const struct page *page)
{
	return page->len;
}

uint64_t page_stamp(const struct page *page)
{
	return page->stamp;
}

/* The room is a byte less than the page: libdeflate fails if nothing would be gained. */
static void compress(struct page *page)
{
	if (page->len < 2) {
		page->gzip_tried = true;
		return;
	}
	struct libdeflate_compressor *compressor = libdeflate_alloc_compressor(GZIP_LEVEL);
	char *out = malloc(page->len - 1);
	if (compressor && out) {
		page->gzip_len = libdeflate_gzip_compress(compressor, page->data, page->len, out,
							  page->len - 1);
		page->gzip_tried = true;
	}
	libdeflate_free_compressor(compressor);
	page->gzip = trim(out, page->gzip_len, page->len - 1);
}

const char *page_gzip(struct page *page, size_t *ret_len)
{
	pthread_mutex_lock(&page->gzip_lock);
	if (!page->gzip_tried)
		compress(page);
	const char *gzip = page->gzip;
	if (gzip)
		*ret_len = page->gzip_len;
	pthread_mutex_unlock(&page->gzip_lock);
	return gzip;
}
