/*
 * Tests of routes: what each path answers, in which format, and before the first sample.
 */
#include "tcphealth/app/routes.h"

#include "tcphealth/app/collector.h"
#include "tcphealth/base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <libdeflate.h>
#include <unistd.h>

#define PATIENCE_MS 20000u
#define LINES       1000 /* of a page */

struct scene {
	char flag[64]; /* options point into it */
	struct options options;
	struct pageslot *pages; /* in place of the publisher's, or NULL */
	struct publisher *publisher;
	struct mailbox *mailbox;
	struct collector *collector;
	struct routes routes;
	struct httpd_answer answer;
};

/* A request whose query string is one key without a value, or empty. */
struct question {
	struct httpd_request asked;
	const char *key;
};

static const char *arg_of(const struct httpd_request *asked, const char *key)
{
	const struct question *question = (const struct question *)asked;

	return question->key && strcmp(question->key, key) == 0 ? "" : NULL;
}

static void forget(struct scene *s)
{
	if (s->answer.bytes.release)
		s->answer.bytes.release(s->answer.bytes.owner);
	buf_done(&s->answer.text);
	s->answer = (struct httpd_answer){ 0 };
}

/* The status; what is said besides is in s->answer. As httpd asks: the first route with that path. */
static unsigned int ask(struct scene *s, const char *path, struct question question)
{
	size_t i = 0;

	forget(s);
	s->answer = (struct httpd_answer){ .status = 200, .type = "text/plain; charset=utf-8" };
	buf_init(&s->answer.text, 0);
	question.asked.arg = arg_of;
	while (strcmp(s->routes.table[i].path, path) != 0) {
		i++;
		assert_true(i < ROUTES_COUNT);
	}
	s->routes.table[i].fn(s->routes.table[i].arg, &question.asked, &s->answer);
	assert_int_equal(s->answer.text.err, 0);
	return s->answer.status;
}

static bool body_begins(const struct scene *s, const char *text)
{
	const struct httpd_answer *answer = &s->answer;
	const char *data = answer->bytes.data ? answer->bytes.data : answer->text.data;
	size_t len = answer->bytes.data ? answer->bytes.len : answer->text.len;

	return len >= strlen(text) && memcmp(data, text, strlen(text)) == 0;
}

static struct scene *begin(const char *flag)
{
	struct scene *s = calloc(1, sizeof(*s));
	char *argv[] = { (char[]){ "test" }, NULL };
	struct publisher_config config;
	struct options_error error;

	assert_non_null(s);
	(void)snprintf(s->flag, sizeof(s->flag), "%s", flag);
	argv[1] = s->flag;
	assert_int_equal(options_parse(2, argv, &s->options, &error), 0);
	config = (struct publisher_config){ .options = &s->options, .microhttpd = "1" };
	s->publisher = publisher_new(&config);
	s->mailbox = mailbox_new();
	assert_int_equal(collector_new(&s->options, s->publisher, s->mailbox, &s->collector), 0);
	routes_init(&s->routes, &s->options, publisher_pages(s->publisher), s->publisher, NULL);
	return s;
}

static void end(struct scene *s)
{
	forget(s);
	assert_true(collector_stop(s->collector, PATIENCE_MS));
	publisher_free(s->publisher);
	mailbox_free(s->mailbox);
	pageslot_free(s->pages);
	free(s);
}

static struct page *make_page(void *arg, enum page_kind kind)
{
	static const struct {
		const char *line;
		size_t lines;
	} texts[PAGE_KINDS] = {
		[PAGE_METRICS_TEXT] = { "metric_text 1\n", LINES },
		[PAGE_METRICS_OPENMETRICS] = { "metric_om 1\n", LINES },
		[PAGE_HTML] = { "<!DOCTYPE html>", 1 },
	};
	struct buf buf;

	(void)arg;
	buf_init(&buf, 0);
	for (size_t i = 0; i < texts[kind].lines; i++)
		buf_puts(&buf, texts[kind].line);
	return page_new(&buf, 0);
}

static struct scene *begin_with_pages(void)
{
	struct scene *s = begin("--web.telemetry-path=/metrics");

	s->pages = pageslot_new(make_page, NULL);
	routes_init(&s->routes, &s->options, s->pages, s->publisher, NULL);
	return s;
}

static void test_paths(void **state)
{
	static const struct {
		const char *path;
		bool limited;
	} wanted[ROUTES_COUNT] = {
		{ "/style.css", false },
		{ "/script.js", false },
		{ "/icon.svg", false },
		{ "/metrics", true },
		{ "/", true },
		{ "/-/healthy", false },
		{ "/-/ready", false },
		{ "/api/v1/ports", true },
		{ "/api/v1/connections", true },
	};
	struct scene *s = begin("--web.telemetry-path=/metrics");

	(void)state;
	for (size_t i = 0; i < ROUTES_COUNT; i++) {
		assert_string_equal(s->routes.table[i].path, wanted[i].path);
		assert_int_equal(s->routes.table[i].limited, wanted[i].limited);
	}
	end(s);
}

static void test_format_by_accept(void **state)
{
	static const char text[] = "text/plain; version=0.0.4; charset=utf-8",
			  openmetrics[] = "application/openmetrics-text; version=1.0.0; "
					  "charset=utf-8; escaping=underscores";
	static const struct {
		const char *accept, *type, *body;
	} cases[] = {
		{ NULL, text, "metric_text 1\n" },
		{ "*/*", text, "metric_text 1\n" },
		{ "text/plain", text, "metric_text 1\n" },
		{ "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5",
		  openmetrics, "metric_om 1\n" },
		{ "application/openmetrics-text;version=1.0.0;q=0.2,text/plain;q=0.5", text,
		  "metric_text 1\n" },
	};
	struct scene *s = begin_with_pages();

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct question question = { .asked.accept = cases[i].accept };

		assert_int_equal(ask(s, "/metrics", question), 200);
		assert_string_equal(s->answer.type, cases[i].type);
		assert_true(s->answer.negotiated);
		assert_null(s->answer.name);
		assert_true(body_begins(s, cases[i].body));
	}
	end(s);
}

static void assert_unzips_to(const struct httpd_bytes *bytes, const char *line)
{
	struct libdeflate_decompressor *decompressor = libdeflate_alloc_decompressor();
	size_t line_len = strlen(line), len = 0;
	char *text = malloc(line_len * LINES);

	assert_int_equal(libdeflate_gzip_decompress(decompressor, bytes->data, bytes->len, text,
						    line_len * LINES, &len),
			 LIBDEFLATE_SUCCESS);
	assert_int_equal(len, line_len * LINES);
	for (size_t i = 0; i < LINES; i++)
		assert_memory_equal(text + i * line_len, line, line_len);
	libdeflate_free_decompressor(decompressor);
	free(text);
}

static void test_gzip(void **state)
{
	struct question zipped = { .asked.accept_encoding = "deflate, gzip" },
			plain = { .asked.accept_encoding = "gzip;q=0, identity" };
	struct scene *s = begin_with_pages();

	(void)state;
	assert_int_equal(ask(s, "/metrics", zipped), 200);
	assert_string_equal(s->answer.name, "Content-Encoding");
	assert_string_equal(s->answer.value, "gzip");
	assert_unzips_to(&s->answer.bytes, "metric_text 1\n");

	assert_int_equal(ask(s, "/metrics", plain), 200);
	assert_null(s->answer.name);
	assert_int_equal(s->answer.bytes.len, LINES * strlen("metric_text 1\n"));

	assert_int_equal(ask(s, "/", zipped), 200); /* too small */
	assert_null(s->answer.name);
	assert_true(body_begins(s, "<!DOCTYPE html>"));
	end(s);
}

static void test_collect_is_refused(void **state)
{
	struct scene *s = begin_with_pages();

	(void)state;
	assert_int_equal(ask(s, "/metrics", (struct question){ .key = "collect[]" }), 400);
	assert_true(body_begins(s, "collect[] is not supported"));
	assert_int_equal(ask(s, "/metrics", (struct question){ .key = "collect" }), 200);
	end(s);
}

static void test_before_the_first_sample(void **state)
{
	struct scene *s = begin("--web.telemetry-path=/m\"<&>");

	(void)state;
	assert_int_equal(ask(s, "/m\"<&>", (struct question){ 0 }), 503);
	assert_string_equal(s->answer.name, "Retry-After");
	assert_string_equal(s->answer.value, "5");
	assert_int_equal(ask(s, "/-/healthy", (struct question){ 0 }), 200);
	assert_true(body_begins(s, "tcphealth_exporter is healthy.\n"));
	assert_int_equal(ask(s, "/-/ready", (struct question){ 0 }), 503);
	assert_true(body_begins(s, "no good sample yet\n"));

	assert_int_equal(ask(s, "/", (struct question){ 0 }), 200);
	assert_string_equal(s->answer.type, "text/html; charset=utf-8");
	assert_non_null(strstr(s->answer.policy, "default-src 'none'"));
	assert_non_null(memmem(s->answer.bytes.data, s->answer.bytes.len, ">No sample yet</h1>",
			       strlen(">No sample yet</h1>")));
	end(s);
}

static void test_ready(void **state)
{
	struct scene *s = begin("--collector.interval=20s");
	uint64_t end_ms = clock_mono_ms() + PATIENCE_MS;

	(void)state;
	assert_int_equal(collector_start(s->collector), 0);
	while (ask(s, "/-/ready", (struct question){ 0 }) == 503 && clock_mono_ms() < end_ms)
		(void)usleep(10000);
	assert_int_equal(s->answer.status, 200);
	assert_true(body_begins(s, "tcphealth_exporter is ready.\n"));
	assert_int_equal(ask(s, "/metrics", (struct question){ 0 }), 200);
	end(s);
}

static void test_files_of_the_page(void **state)
{
	struct scene *s = begin("--web.telemetry-path=/metrics");

	(void)state;
	for (size_t i = 0; i < HTML_ASSETS; i++) {
		assert_int_equal(ask(s, html_assets[i].path, (struct question){ 0 }), 200);
		assert_string_equal(s->answer.type, html_assets[i].content_type);
		assert_ptr_equal(s->answer.bytes.data, html_assets[i].data);
		assert_int_equal(s->answer.bytes.len, html_assets[i].end - html_assets[i].data);
		assert_null(s->answer.bytes.release);
	}
	end(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_format_by_accept),
		cmocka_unit_test(test_gzip),
		cmocka_unit_test(test_collect_is_refused),
		cmocka_unit_test(test_before_the_first_sample),
		cmocka_unit_test(test_ready),
		cmocka_unit_test(test_files_of_the_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
