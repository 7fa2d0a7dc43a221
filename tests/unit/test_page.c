/* page: what a reference promises, gzip, and many threads at once. */
#include "tcphealth/render/page.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <libdeflate.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#define READERS 4
#define SWAPS   3000

static struct page *page_of(const char *text, size_t times)
{
	struct buf buf;

	buf_init(&buf, 0);
	for (size_t i = 0; i < times; i++)
		buf_puts(&buf, text);
	struct page *page = page_new(&buf, 0);
	assert_non_null(page);
	buf_done(&buf);
	return page;
}

static void test_new_takes_the_bytes(void **state)
{
	struct buf buf;

	(void)state;
	buf_init(&buf, 100);
	buf_puts(&buf, "hello");
	struct page *page = page_new(&buf, 0);
	assert_int_equal(page_len(page), 5);
	assert_memory_equal(page_data(page), "hello", 5);
	assert_int_equal(buf.len, 0);

	buf_puts(&buf, "again");
	assert_int_equal(buf.err, 0);
	assert_memory_equal(page_data(page), "hello", 5);
	assert_int_equal(buf_reserve(&buf, 200), -EFBIG); /* the limit is kept */
	assert_null(page_new(&buf, 0));
	buf_done(&buf);
	page_unref(page);
}

static void test_empty_page(void **state)
{
	struct page *page = page_of("", 1);
	size_t len = 7;

	(void)state;
	assert_int_equal(page_len(page), 0);
	assert_string_equal(page_data(page), "");
	assert_null(page_gzip(page, &len));
	page_unref(page);
	page_unref(NULL);
	assert_null(page_ref(NULL));
	pageslot_free(NULL);
}

static void test_gzip_reads_back(void **state)
{
	struct page *page = page_of("tcphealth_connections{port=\"22\"} 3\n", 1000);
	struct libdeflate_decompressor *decompressor = libdeflate_alloc_decompressor();
	char *plain = malloc(page_len(page));
	size_t len = 0, plain_len = 0;

	(void)state;
	const char *gzip = page_gzip(page, &len);
	assert_non_null(gzip);
	assert_true(len < page_len(page) / 10);
	assert_ptr_equal(page_gzip(page, &len), gzip);
	assert_int_equal(libdeflate_gzip_decompress(decompressor, gzip, len, plain, page_len(page),
						    &plain_len),
			 LIBDEFLATE_SUCCESS);
	assert_int_equal(plain_len, page_len(page));
	assert_memory_equal(plain, page_data(page), plain_len);
	libdeflate_free_decompressor(decompressor);
	free(plain);
	page_unref(page);
}

static void test_gzip_that_would_grow(void **state)
{
	struct page *page = page_of("x", 1);
	struct page *few = page_of("qwertyuiop", 1);
	size_t len;

	(void)state;
	assert_null(page_gzip(page, &len));
	assert_null(page_gzip(page, &len));
	assert_null(page_gzip(few, &len));
	page_unref(page);
	page_unref(few);
}

static void test_slot_holds_a_reference(void **state)
{
	struct pageslot *slot = pageslot_new();

	(void)state;
	assert_null(pageslot_get(slot, PAGE_METRICS_TEXT));
	pageslot_put(slot, PAGE_METRICS_TEXT, page_of("one", 1));
	assert_null(pageslot_get(slot, PAGE_HTML));
	struct page *one = pageslot_get(slot, PAGE_METRICS_TEXT);
	pageslot_put(slot, PAGE_METRICS_TEXT, page_of("two", 1));
	struct page *two = pageslot_get(slot, PAGE_METRICS_TEXT);
	assert_memory_equal(page_data(one), "one", 3);
	assert_memory_equal(page_data(two), "two", 3);
	pageslot_put(slot, PAGE_METRICS_TEXT, NULL);
	assert_null(pageslot_get(slot, PAGE_METRICS_TEXT));
	pageslot_put(slot, PAGE_HTML, page_ref(one));
	pageslot_free(slot);
	assert_memory_equal(page_data(one), "one", 3);
	page_unref(one);
	page_unref(two);
}

struct race {
	struct pageslot *slot;
	atomic_bool over;
	atomic_uint torn;
	atomic_uint seen;
};

/*
 * Every byte of a page is the same letter: a reader sees at once when one changes or is freed under
 * it.
 */
static bool is_whole(const struct page *page)
{
	const char *data = page_data(page);

	return page_len(page) == 4096 && data[0] == data[4095] && memcmp(data, data + 1, 4095) == 0;
}

static void *read_pages(void *arg)
{
	struct race *race = arg;

	while (!atomic_load(&race->over)) {
		struct page *page = pageslot_get(race->slot, PAGE_HTML);
		size_t len = 0;
		if (!page)
			continue;
		if (!is_whole(page) || !page_gzip(page, &len) || len > 200)
			atomic_fetch_add(&race->torn, 1);
		atomic_fetch_add(&race->seen, 1);
		page_unref(page);
	}
	return NULL;
}

static void test_readers_beside_a_writer(void **state)
{
	struct race race = { .slot = pageslot_new() };
	pthread_t readers[READERS];

	(void)state;
	for (size_t i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&readers[i], NULL, read_pages, &race), 0);
	for (unsigned int i = 0; i < SWAPS || atomic_load(&race.seen) < 100; i++) {
		char letter[2] = { (char)('a' + i % 26), '\0' };
		pageslot_put(race.slot, PAGE_HTML, page_of(letter, 4096));
	}
	atomic_store(&race.over, true);
	for (size_t i = 0; i < READERS; i++)
		pthread_join(readers[i], NULL);
	assert_int_equal(atomic_load(&race.torn), 0);
	pageslot_free(race.slot);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_new_takes_the_bytes),
		cmocka_unit_test(test_empty_page),
		cmocka_unit_test(test_gzip_reads_back),
		cmocka_unit_test(test_gzip_that_would_grow),
		cmocka_unit_test(test_slot_holds_a_reference),
		cmocka_unit_test(test_readers_beside_a_writer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
