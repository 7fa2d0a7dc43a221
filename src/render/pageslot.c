/*
 * pageslot: who makes a page, and who waits for it. The lock is not held while a page is made.
 */
#include "tcphealth/render/pageslot.h"

#include "tcphealth/base/clock.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#define WAIT_MS 500u

struct place {
	struct page *page;
	uint64_t made; /* value of `renewed` when its making began */
	bool being_made;
};

struct pageslot {
	pageslot_make *make;
	void *arg;
	pthread_mutex_t lock;
	pthread_cond_t made;
	/* Under `lock`: how often the pages have become old, and what there is. */
	uint64_t renewed;
	struct place places[PAGE_KINDS];
	_Atomic uint64_t served;
};

struct pageslot *pageslot_new(pageslot_make *make, void *arg)
{
	struct pageslot *slot = calloc(1, sizeof(*slot));

	if (!slot)
		return NULL;
	slot->make = make;
	slot->arg = arg;
	slot->renewed = 1;
	pthread_mutex_init(&slot->lock, NULL);
	clock_mono_cond_init(&slot->made);
	return slot;
}

void pageslot_free(struct pageslot *slot)
{
	if (!slot)
		return;
	for (size_t i = 0; i < PAGE_KINDS; i++)
		page_unref(slot->places[i].page);
	pthread_cond_destroy(&slot->made);
	pthread_mutex_destroy(&slot->lock);
	free(slot);
}

void pageslot_renew(struct pageslot *slot)
{
	pthread_mutex_lock(&slot->lock);
	slot->renewed++;
	pthread_mutex_unlock(&slot->lock);
}

/* Under `lock`, which is let go meanwhile. */
static void wait_for(struct pageslot *slot, struct place *place)
{
	struct timespec until = clock_mono_after(WAIT_MS);
	int err = 0;

	while (place->being_made && !err)
		err = place->page ? pthread_cond_timedwait(&slot->made, &slot->lock, &until)
				  : pthread_cond_wait(&slot->made, &slot->lock);
}

/* Under `lock`, which is let go meanwhile. */
static void make(struct pageslot *slot, enum page_kind kind)
{
	struct place *place = &slot->places[kind];
	uint64_t renewed = slot->renewed;
	struct page *page, *old = NULL;

	place->being_made = true;
	pthread_mutex_unlock(&slot->lock);
	page = slot->make(slot->arg, kind);
	pthread_mutex_lock(&slot->lock);
	if (page) {
		old = place->page;
		place->page = page;
		place->made = renewed;
	}
	place->being_made = false;
	pthread_cond_broadcast(&slot->made);
	page_unref(old);
}

struct page *pageslot_get(struct pageslot *slot, enum page_kind kind)
{
	struct place *place = &slot->places[kind];
	struct page *page;

	pthread_mutex_lock(&slot->lock);
	if (place->being_made)
		wait_for(slot, place);
	else if (place->made != slot->renewed)
		make(slot, kind);
	page = page_ref(place->page);
	pthread_mutex_unlock(&slot->lock);
	return page;
}

void pageslot_serve(struct pageslot *slot, const struct page *page)
{
	uint64_t served = atomic_load(&slot->served);

	while (served < page_stamp(page) &&
	       !atomic_compare_exchange_weak(&slot->served, &served, page_stamp(page)))
		;
}

uint64_t pageslot_served(const struct pageslot *slot)
{
	return atomic_load(&slot->served);
}
