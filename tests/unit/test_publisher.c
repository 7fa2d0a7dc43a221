/*
 * Tests of publisher: what the pages and /-/ready say after good, failed and hanging samples.
 */
#include "tcphealth/app/publisher.h"

#include "tcphealth/base/clock.h"
#include "tcphealth/render/html.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <unistd.h>

/* Long: longer than a busy machine holds a test up. Short: one may wait for three of them. */
#define LONG     "--collector.interval=20s"
#define LONG_MS  20000
#define SHORT    "--collector.interval=100ms"
#define SHORT_MS 100

/* The page for people, in place of the program's: a test may hold one rendering up. */
static struct {
	atomic_bool wanted;
	sem_t is_held, may_go;
} hold;
static atomic_uint rendered;

void html_render(const struct html_input *input, struct buf *buf)
{
	atomic_fetch_add(&rendered, 1);
	buf_puts(buf, input->snapshot != NULL ? "some data" : "no data");
	buf_puts(buf, input->health != NULL ? ", health" : ", no health");
	if (atomic_exchange(&hold.wanted, false)) {
		sem_post(&hold.is_held);
		sem_wait(&hold.may_go);
	}
}

struct scene {
	struct options options;
	struct publisher *publisher;
};

static void begin_bounded(struct scene *s, const char *interval, size_t page_max)
{
	char flag[64];
	char *argv[] = { (char[]){ "test" }, flag };
	struct options_error error;
	struct publisher_config config = { .options = &s->options,
					   .microhttpd = "1",
					   .page_max = page_max };

	(void)snprintf(flag, sizeof(flag), "%s", interval);
	assert_int_equal(options_parse(2, argv, &s->options, &error), 0);
	s->publisher = publisher_new(&config);
	assert_non_null(s->publisher);
}

static void begin(struct scene *s, const char *interval)
{
	begin_bounded(s, interval, 0);
}

static void end(struct scene *s)
{
	publisher_free(s->publisher);
}

static struct page *get(struct scene *s, enum page_kind kind)
{
	return pageslot_get(publisher_pages(s->publisher), kind);
}

static void sample(struct scene *s, int error, double seconds)
{
	struct health health = { .duration_seconds = seconds };
	struct snapshot *snapshot = error == 0 ? snapshot_new(0) : NULL;

	publisher_begin(s->publisher, clock_mono_ms());
	publisher_end(s->publisher, error, &health, snapshot);
}

static bool is_on(struct scene *s, enum page_kind kind, const char *line)
{
	struct page *page = get(s, kind);
	bool found = page != NULL && memmem(page_data(page), page_len(page), line, strlen(line));

	page_unref(page);
	return found;
}

static bool is_on_page(struct scene *s, const char *line)
{
	return is_on(s, PAGE_METRICS_TEXT, line);
}

static void assert_not_ready(struct scene *s, const char *why)
{
	struct buf buf;

	buf_init(&buf, 0);
	assert_false(publisher_ready(s->publisher, &buf));
	buf_putc(&buf, '\0');
	assert_non_null(strstr(buf.data, why));
	buf_done(&buf);
}

static void assert_ready(struct scene *s)
{
	struct buf buf;

	buf_init(&buf, 0);
	assert_true(publisher_ready(s->publisher, &buf));
	assert_int_equal(buf.len, 0);
	buf_done(&buf);
}

static void test_nothing_before_the_first_sample(void **state)
{
	struct scene s;
	struct health health;

	(void)state;
	begin(&s, LONG);
	assert_null(get(&s, PAGE_METRICS_TEXT));
	assert_false(publisher_answers(s.publisher));
	assert_null(publisher_snapshot(s.publisher, &health));
	assert_not_ready(&s, "no good sample yet");
	/* The page for people is there, and tells nothing that is not known yet. */
	assert_true(is_on(&s, PAGE_HTML, "no data, no health"));
	sample(&s, -EPERM, 0.05);
	assert_true(publisher_answers(s.publisher));
	assert_true(is_on(&s, PAGE_HTML, "no data, health"));
	end(&s);
}

static void test_all_kinds_of_page_come_together(void **state)
{
	struct scene s;

	(void)state;
	begin(&s, LONG);
	sample(&s, 0, 0.05);
	for (int kind = 0; kind < PAGE_KINDS; kind++) {
		struct page *page = get(&s, (enum page_kind)kind);

		assert_non_null(page);
		page_unref(page);
	}
	assert_true(is_on_page(&s, "\ntcphealth_sample_success 1\n"));
	assert_ready(&s);
	end(&s);
}

static void test_a_refused_web_configuration_shows(void **state)
{
	struct scene s;

	(void)state;
	begin(&s, LONG);
	sample(&s, 0, 0.05);
	assert_true(is_on_page(&s, "\ntcphealth_web_config_reload_failed 0\n"));
	publisher_web_config(s.publisher, true);
	for (int error = 0; error >= -EPERM; error -= EPERM) {
		sample(&s, error, 0.05);
		assert_true(is_on_page(&s, "\ntcphealth_web_config_reload_failed 1\n"));
	}
	publisher_web_config(s.publisher, false);
	sample(&s, 0, 0.05);
	assert_true(is_on_page(&s, "\ntcphealth_web_config_reload_failed 0\n"));
	end(&s);
}

static void test_a_failed_sample_keeps_the_data_and_shows(void **state)
{
	struct scene s;
	struct health health;
	struct snapshot *before, *after;

	(void)state;
	begin(&s, LONG);
	sample(&s, 0, 0.05);
	before = publisher_snapshot(s.publisher, &health);
	sample(&s, -EPERM, 0.05);
	sample(&s, -ENOMEM, 0.05);
	after = publisher_snapshot(s.publisher, &health);
	assert_ptr_equal(before, after);
	assert_int_equal(health.errors, 2);
	assert_true(is_on_page(&s, "\ntcphealth_sample_success 0\n"));
	assert_true(is_on_page(&s, "\ntcphealth_sample_errors_total 2\n"));
	snapshot_unref(before);
	snapshot_unref(after);
	sample(&s, 0, 0.05);
	assert_ready(&s);
	assert_true(is_on_page(&s, "\ntcphealth_sample_success 1\n"));
	assert_true(is_on_page(&s, "\ntcphealth_sample_errors_total 2\n"));
	end(&s);
}

static void test_a_hanging_sample_shows(void **state)
{
	struct scene s;

	(void)state;
	begin(&s, LONG);
	sample(&s, 0, 0.05);
	publisher_begin(s.publisher, clock_mono_ms());
	publisher_watch(s.publisher); /* it may take its interval */
	assert_true(is_on_page(&s, "\ntcphealth_sample_success 1\n"));
	publisher_begin(s.publisher, clock_mono_ms() - 2 * LONG_MS);
	publisher_watch(s.publisher);
	assert_true(is_on_page(&s, "\ntcphealth_sample_success 0\n"));
	sample(&s, 0, 0.05);
	assert_true(is_on_page(&s, "\ntcphealth_sample_success 1\n"));
	end(&s);
}

/* Three intervals after the last good sample, with the reason. */
static void test_no_longer_ready(void **state)
{
	struct scene s;

	(void)state;
	begin(&s, SHORT);
	sample(&s, 0, 0.05);
	sample(&s, -ENOMEM, 0.05);
	(void)usleep(4 * SHORT_MS * 1000);
	assert_not_ready(&s, "the last one failed: Cannot allocate memory");
	publisher_begin(s.publisher, clock_mono_ms() - 3000);
	assert_not_ready(&s, "has been running for");
	end(&s);
}

/* Where samples take longer than the interval, a new one cannot be expected every interval. */
static void test_slow_samples_are_waited_for(void **state)
{
	struct scene s;

	(void)state;
	begin(&s, SHORT);
	sample(&s, 0, 20);
	(void)usleep(4 * SHORT_MS * 1000);
	assert_ready(&s);
	publisher_begin(s.publisher, clock_mono_ms() - 4 * SHORT_MS);
	publisher_watch(s.publisher);
	assert_true(is_on_page(&s, "\ntcphealth_sample_success 1\n"));
	end(&s);
}

static size_t text_len(struct scene *s)
{
	struct page *page = get(s, PAGE_METRICS_TEXT);
	size_t len = page_len(page);

	page_unref(page);
	return len;
}

/* One byte more than may be: nothing but the exporter's own metrics, which say that it is blind. */
static void test_a_page_that_would_be_too_large(void **state)
{
	struct scene s;
	size_t len;

	(void)state;
	begin(&s, LONG);
	sample(&s, 0, 0.05);
	len = text_len(&s);
	end(&s);

	begin_bounded(&s, LONG, len - 1);
	sample(&s, 0, 0.05);
	assert_in_range(text_len(&s), 1, len - 1);
	assert_true(is_on_page(&s, "\ntcphealth_sample_success 0\n"));
	assert_false(is_on_page(&s, "tcphealth_stale_threshold_seconds"));
	end(&s);
}

static void test_a_sample_that_nobody_asks_for_is_not_rendered(void **state)
{
	struct scene s;
	unsigned int before = atomic_load(&rendered);

	(void)state;
	begin(&s, LONG);
	for (int i = 0; i < 10; i++)
		sample(&s, 0, 0.05);
	assert_int_equal(atomic_load(&rendered), before);
	assert_int_equal(publisher_render_ns(s.publisher), 0);
	assert_true(is_on(&s, PAGE_HTML, "some data, health"));
	assert_true(is_on(&s, PAGE_HTML, "some data, health"));
	assert_int_equal(atomic_load(&rendered), before + 1);
	assert_true(publisher_render_ns(s.publisher) > 0);
	end(&s);
}

/* As it is said five times a second, and changes hardly ever. */
static void test_a_web_configuration_that_stays_renders_nothing(void **state)
{
	struct scene s;
	unsigned int before;

	(void)state;
	begin(&s, LONG);
	sample(&s, 0, 0.05);
	assert_true(is_on(&s, PAGE_HTML, "some data, health"));
	before = atomic_load(&rendered);
	publisher_web_config(s.publisher, false);
	assert_true(is_on(&s, PAGE_HTML, "some data, health"));
	assert_int_equal(atomic_load(&rendered), before);
	publisher_web_config(s.publisher, true);
	assert_true(is_on(&s, PAGE_HTML, "some data, health"));
	assert_int_equal(atomic_load(&rendered), before + 1);
	end(&s);
}

static void *ask_for_html(void *arg)
{
	assert_true(is_on(arg, PAGE_HTML, "no data, no health"));
	return NULL;
}

/* A page that is being rendered keeps nobody from sampling or asking for another, and is not shown for what comes later. */
static void test_sampling_goes_on_beside_a_rendering(void **state)
{
	struct scene s;
	struct health health;
	struct snapshot *snapshot;
	pthread_t thread;

	(void)state;
	begin(&s, LONG);
	sem_init(&hold.is_held, 0, 0);
	sem_init(&hold.may_go, 0, 0);
	atomic_store(&hold.wanted, true);
	assert_int_equal(pthread_create(&thread, NULL, ask_for_html, &s), 0);
	sem_wait(&hold.is_held);
	sample(&s, 0, 0.05);
	publisher_watch(s.publisher);
	snapshot = publisher_snapshot(s.publisher, &health);
	assert_non_null(snapshot);
	snapshot_unref(snapshot);
	assert_ready(&s);
	assert_true(is_on_page(&s, "\ntcphealth_sample_success 1\n"));
	sem_post(&hold.may_go);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(is_on(&s, PAGE_HTML, "some data, health"));
	end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_before_the_first_sample),
		cmocka_unit_test(test_all_kinds_of_page_come_together),
		cmocka_unit_test(test_a_refused_web_configuration_shows),
		cmocka_unit_test(test_a_failed_sample_keeps_the_data_and_shows),
		cmocka_unit_test(test_a_hanging_sample_shows),
		cmocka_unit_test(test_no_longer_ready),
		cmocka_unit_test(test_slow_samples_are_waited_for),
		cmocka_unit_test(test_a_page_that_would_be_too_large),
		cmocka_unit_test(test_a_sample_that_nobody_asks_for_is_not_rendered),
		cmocka_unit_test(test_a_web_configuration_that_stays_renders_nothing),
		cmocka_unit_test(test_sampling_goes_on_beside_a_rendering),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
