/*
 * Tests of pageslot: when a page is made, by whom, and who waits for it.
 */
#include "tcphealth/render/pageslot.h"

#include "tcphealth/base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>

#define READERS 4
#define SWAPS   2000
#define LETTERS 4096 /* on a page */

/* Its pages are of one letter, of which there are more and more. */
struct scene {
	struct pageslot *slot;
	atomic_uint made;
	atomic_bool fails, is_held;
	sem_t begun, may_end;
};

static struct page *make(void *arg, enum page_kind kind)
{
	struct scene *s = arg;
	struct buf buf;
	unsigned int number = atomic_fetch_add(&s->made, 1);

	(void)kind;
	if (atomic_load(&s->is_held)) {
		sem_post(&s->begun);
		sem_wait(&s->may_end);
	}
	if (atomic_load(&s->fails))
		return NULL;
	buf_init(&buf, 0);
	for (size_t i = 0; i < LETTERS; i++)
		buf_putc(&buf, (char)('a' + number % 26));
	return page_new(&buf, number + 1);
}

static struct scene *begin(void)
{
	struct scene *s = calloc(1, sizeof(*s));

	sem_init(&s->begun, 0, 0);
	sem_init(&s->may_end, 0, 0);
	s->slot = pageslot_new(make, s);
	assert_non_null(s->slot);
	return s;
}

static void end(struct scene *s)
{
	pageslot_free(s->slot);
	sem_destroy(&s->begun);
	sem_destroy(&s->may_end);
	free(s);
}

/* The letter of the page that is given; 0: none is. */
static char ask(struct scene *s, enum page_kind kind)
{
	struct page *page = pageslot_get(s->slot, kind);
	char letter = page ? *page_data(page) : '\0';

	page_unref(page);
	return letter;
}

static void *ask_for_html(void *arg)
{
	return (void *)(intptr_t)ask(arg, PAGE_HTML);
}

static pthread_t start_asking(struct scene *s)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, ask_for_html, s), 0);
	return thread;
}

static char answer_of(pthread_t thread)
{
	void *letter;

	assert_int_equal(pthread_join(thread, &letter), 0);
	return (char)(intptr_t)letter;
}

static void test_nobody_asks(void **state)
{
	struct scene *s = begin();

	(void)state;
	for (int i = 0; i < 100; i++)
		pageslot_renew(s->slot);
	assert_int_equal(atomic_load(&s->made), 0);
	end(s);
	pageslot_free(NULL);
}

static void test_made_once_for_all(void **state)
{
	struct scene *s = begin();

	(void)state;
	assert_int_equal(ask(s, PAGE_HTML), 'a');
	assert_int_equal(ask(s, PAGE_HTML), 'a');
	assert_int_equal(ask(s, PAGE_METRICS_TEXT), 'b'); /* each kind for itself */
	pageslot_renew(s->slot);
	pageslot_renew(s->slot);
	assert_int_equal(ask(s, PAGE_HTML), 'c');
	assert_int_equal(ask(s, PAGE_HTML), 'c');
	assert_int_equal(atomic_load(&s->made), 3);
	end(s);
}

static void test_a_page_outlives_the_slot(void **state)
{
	struct scene *s = begin();
	struct page *page = pageslot_get(s->slot, PAGE_HTML);

	(void)state;
	pageslot_renew(s->slot);
	assert_int_equal(ask(s, PAGE_HTML), 'b');
	end(s);
	assert_int_equal(page_len(page), LETTERS);
	assert_int_equal(*page_data(page), 'a');
	page_unref(page);
}

static void test_what_cannot_be_made(void **state)
{
	struct scene *s = begin();

	(void)state;
	atomic_store(&s->fails, true);
	assert_int_equal(ask(s, PAGE_HTML), '\0');
	atomic_store(&s->fails, false);
	assert_int_equal(ask(s, PAGE_HTML), 'b'); /* it is tried again */
	pageslot_renew(s->slot);
	atomic_store(&s->fails, true);
	assert_int_equal(ask(s, PAGE_HTML), 'b'); /* the one before */
	atomic_store(&s->fails, false);
	assert_int_equal(ask(s, PAGE_HTML), 'd');
	end(s);
}

static void test_the_first_page_is_waited_for(void **state)
{
	struct scene *s = begin();
	pthread_t first, second;

	(void)state;
	atomic_store(&s->is_held, true);
	first = start_asking(s);
	sem_wait(&s->begun);
	second = start_asking(s);
	sem_post(&s->may_end);
	assert_int_equal(answer_of(first), 'a');
	assert_int_equal(answer_of(second), 'a');
	assert_int_equal(atomic_load(&s->made), 1);
	end(s);
}

/* It is not waited for without end, and the sampling thread does not wait at all. */
static void test_a_slow_page_gives_way_to_the_one_before(void **state)
{
	struct scene *s = begin();
	pthread_t slow;

	(void)state;
	assert_int_equal(ask(s, PAGE_HTML), 'a');
	pageslot_renew(s->slot);
	atomic_store(&s->is_held, true);
	slow = start_asking(s);
	sem_wait(&s->begun);
	assert_int_equal(ask(s, PAGE_HTML), 'a');
	pageslot_renew(s->slot);
	sem_post(&s->may_end);
	assert_int_equal(answer_of(slow), 'b');
	atomic_store(&s->is_held, false);
	assert_int_equal(ask(s, PAGE_HTML), 'c'); /* 'b' was begun before it became old */
	end(s);
}

static void test_what_was_served(void **state)
{
	struct scene *s = begin();
	struct page *first = pageslot_get(s->slot, PAGE_METRICS_TEXT), *second;

	(void)state;
	pageslot_renew(s->slot);
	second = pageslot_get(s->slot, PAGE_METRICS_TEXT);
	assert_int_equal(pageslot_served(s->slot), 0);
	pageslot_serve(s->slot, second);
	pageslot_serve(s->slot, first);
	assert_int_equal(pageslot_served(s->slot), page_stamp(second));
	page_unref(first);
	page_unref(second);
	end(s);
}

struct race {
	struct scene *scene;
	atomic_bool over;
	atomic_uint torn, seen;
};

/* Every byte of a page is the same letter: a reader sees at once when one changes or is freed under it. */
static bool is_whole(const struct page *page)
{
	const char *data = page_data(page);

	return page_len(page) == LETTERS && memcmp(data, data + 1, LETTERS - 1) == 0;
}

static void *read_pages(void *arg)
{
	struct race *race = arg;
	uint64_t last = 0;

	while (!atomic_load(&race->over)) {
		struct page *page = pageslot_get(race->scene->slot, PAGE_HTML);
		size_t len = 0;

		if (!is_whole(page) || !page_gzip(page, &len) || len > 200 ||
		    page_stamp(page) < last)
			atomic_fetch_add(&race->torn, 1);
		last = page_stamp(page);
		atomic_fetch_add(&race->seen, 1);
		page_unref(page);
	}
	return NULL;
}

static void test_readers_beside_a_sampler(void **state)
{
	struct race race = { .scene = begin() };
	pthread_t readers[READERS];

	(void)state;
	for (size_t i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&readers[i], NULL, read_pages, &race), 0);
	for (unsigned int i = 0; i < SWAPS || atomic_load(&race.seen) < 100; i++)
		pageslot_renew(race.scene->slot);
	atomic_store(&race.over, true);
	for (size_t i = 0; i < READERS; i++)
		pthread_join(readers[i], NULL);
	assert_int_equal(atomic_load(&race.torn), 0);
	end(race.scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nobody_asks),
		cmocka_unit_test(test_made_once_for_all),
		cmocka_unit_test(test_a_page_outlives_the_slot),
		cmocka_unit_test(test_what_cannot_be_made),
		cmocka_unit_test(test_the_first_page_is_waited_for),
		cmocka_unit_test(test_a_slow_page_gives_way_to_the_one_before),
		cmocka_unit_test(test_what_was_served),
		cmocka_unit_test(test_readers_beside_a_sampler),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
