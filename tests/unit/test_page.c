/* page: what a reference promises, and gzip. */
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
#include <stdbool.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_new_takes_the_bytes),
		cmocka_unit_test(test_empty_page),
		cmocka_unit_test(test_gzip_reads_back),
		cmocka_unit_test(test_gzip_that_would_grow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
