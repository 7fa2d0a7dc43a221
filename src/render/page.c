/*
 * page: reference counts, the slot of current pages, and the gzip copy.
 *
 * Owns finished bytes and how long they live. Must not know formats nor HTTP. The slot's lock is
 * held while a pointer is swapped or a reference taken; a page is compressed under its own lock
 * only.
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

struct pageslot {
	pthread_mutex_t lock;
	struct page *pages[PAGE_KINDS];
	_Atomic uint64_t served;
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

struct pageslot *pageslot_new(void)
{
	struct pageslot *slot = calloc(1, sizeof(*slot));

	if (slot)
		pthread_mutex_init(&slot->lock, NULL);
	return slot;
}

void pageslot_free(struct pageslot *slot)
{
	if (!slot)
		return;
	for (size_t i = 0; i < PAGE_KINDS; i++)
		page_unref(slot->pages[i]);
	pthread_mutex_destroy(&slot->lock);
	free(slot);
}

void pageslot_put(struct pageslot *slot, enum page_kind kind, struct page *page)
{
	pthread_mutex_lock(&slot->lock);
	struct page *old = slot->pages[kind];
	slot->pages[kind] = page;
	pthread_mutex_unlock(&slot->lock);
	page_unref(old);
}

struct page *pageslot_get(struct pageslot *slot, enum page_kind kind)
{
	pthread_mutex_lock(&slot->lock);
	struct page *page = page_ref(slot->pages[kind]);
	pthread_mutex_unlock(&slot->lock);
	return page;
}

void pageslot_serve(struct pageslot *slot, const struct page *page)
{
	uint64_t served = atomic_load(&slot->served);

	while (served < page->stamp &&
	       !atomic_compare_exchange_weak(&slot->served, &served, page->stamp))
		;
}

uint64_t pageslot_served(const struct pageslot *slot)
{
	return atomic_load(&slot->served);
}
