/* expo: golden pages in both formats, hostile labels, and the verdict of other people's parsers. */
#include "tcphealth/base/utf8.h"
#include "tcphealth/render/expo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

static const struct expo_family connections = {
	.name = "t_connections",
	.help = "Sockets by \"state\", C:\\here,\nin two lines.",
};
static const struct expo_family sent = {
	.name = "t_sent_bytes_total",
	.help = "Bytes sent.",
};
static const struct expo_family age = {
	.name = "t_age_seconds",
	.help = "Age.",
};
static const struct expo_family build = {
	.name = "t_build_info",
	.help = "Build.",
};
static const struct expo_family without_samples = {
	.name = "t_nothing",
	.help = "Never seen.",
};
static const struct expo_family false_unit = {
	.name = "t_milliseconds",
	.help = "The name ends in the unit, but not as a word.",
};

static void put_sample_page(struct expo *expo)
{
	expo_family(expo, &connections);
	expo_label(expo, "role", "server");
	expo_label_u64(expo, "port", 22);
	expo_u64(expo, 3);
	expo_label_raw(expo, "role=\"client\",port=\"443\"",
		       strlen("role=\"client\",port=\"443\""));
	expo_label(expo, "state", "a\\b\"c\nd}\xff\xc3\xa9");
	expo_u64(expo, UINT64_MAX);
	expo_family(expo, &without_samples);
	expo_family(expo, &sent);
	expo_u64(expo, 0);
	expo_family(expo, &age);
	expo_label(expo, "empty", "");
	expo_double(expo, 0.25);
	expo_label_raw(expo, "", 0);
	expo_double(expo, INFINITY);
	expo_family(expo, &build);
	expo_label(expo, "version", "1.0");
	expo_u64(expo, 1);
	expo_family(expo, &false_unit);
	expo_u64(expo, 7);
	expo_end(expo);
}

static const char golden_text[] =
	"# HELP t_connections Sockets by \"state\", C:\\\\here,\\nin two lines.\n"
	"# TYPE t_connections gauge\n"
	"t_connections{role=\"server\",port=\"22\"} 3\n"
	"t_connections{role=\"client\",port=\"443\",state=\"a\\\\b\\\"c\\nd}\xef\xbf\xbd\xc3\xa9\"}"
	" "
	"18446744073709551615\n"
	"# HELP t_sent_bytes_total Bytes sent.\n"
	"# TYPE t_sent_bytes_total counter\n"
	"t_sent_bytes_total 0\n"
	"# HELP t_age_seconds Age.\n"
	"# TYPE t_age_seconds gauge\n"
	"t_age_seconds{empty=\"\"} 0.25\n"
	"t_age_seconds +Inf\n"
	"# HELP t_build_info Build.\n"
	"# TYPE t_build_info gauge\n"
	"t_build_info{version=\"1.0\"} 1\n"
	"# HELP t_milliseconds The name ends in the unit, but not as a word.\n"
	"# TYPE t_milliseconds gauge\n"
	"t_milliseconds 7\n";

static const char golden_openmetrics[] =
	"# HELP t_connections Sockets by \\\"state\\\", C:\\\\here,\\nin two lines.\n"
	"# TYPE t_connections gauge\n"
	"t_connections{role=\"server\",port=\"22\"} 3\n"
	"t_connections{role=\"client\",port=\"443\",state=\"a\\\\b\\\"c\\nd}\xef\xbf\xbd\xc3\xa9\"}"
	" "
	"18446744073709551615\n"
	"# HELP t_sent_bytes Bytes sent.\n"
	"# TYPE t_sent_bytes counter\n"
	"# UNIT t_sent_bytes bytes\n"
	"t_sent_bytes_total 0\n"
	"# HELP t_age_seconds Age.\n"
	"# TYPE t_age_seconds gauge\n"
	"# UNIT t_age_seconds seconds\n"
	"t_age_seconds{empty=\"\"} 0.25\n"
	"t_age_seconds +Inf\n"
	"# HELP t_build_info Build.\n"
	"# TYPE t_build_info gauge\n"
	"t_build_info{version=\"1.0\"} 1\n"
	"# HELP t_milliseconds The name ends in the unit, but not as a word.\n"
	"# TYPE t_milliseconds gauge\n"
	"t_milliseconds 7\n"
	"# EOF\n";

static void test_golden(void **state)
{
	static const char *const golden[EXPO_FORMATS] = { golden_text, golden_openmetrics };

	(void)state;
	for (unsigned int i = 0; i < EXPO_FORMATS; i++) {
		struct buf buf;
		struct expo expo;

		buf_init(&buf, 0);
		expo_init(&expo, &buf, (enum expo_format)i);
		put_sample_page(&expo);
		buf_putc(&buf, '\0');
		assert_int_equal(buf.err, 0);
		assert_string_equal(buf.data, golden[i]);
		assert_int_equal(expo.samples, 7);
		buf_done(&buf);
	}
}

/*
 * The value of the one label written for `value`, between the quotes and still escaped; free() it.
 */
static char *label_text(const char *value)
{
	struct buf buf;
	struct expo expo;

	buf_init(&buf, 0);
	expo_init(&expo, &buf, EXPO_TEXT);
	expo_family(&expo, &without_samples);
	expo_label(&expo, "l", value);
	expo_u64(&expo, 1);
	buf_putc(&buf, '\0');
	assert_int_equal(buf.err, 0);
	char *start = strstr(buf.data, "{l=\"");
	assert_non_null(start);
	start += 4;
	char *end = strstr(start, "\"} 1\n");
	assert_non_null(end);
	char *text = strndup(start, (size_t)(end - start));
	buf_done(&buf);
	return text;
}

static void test_label_values(void **state)
{
	static const char *const cases[][2] = {
		{ "plain", "plain" },
		{ "\t\r\x01\x7f", "\t\r\x01\x7f" },
		{ "\\", "\\\\" },
		{ "\"", "\\\"" },
		{ "\n\n", "\\n\\n" },
		{ "\\n", "\\\\n" },
		{ "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80" },
		{ "\xff", "\xef\xbf\xbd" },
		{ "a\xc3", "a\xef\xbf\xbd" },
		{ "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
		{ "\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd" },
		{ "x\"} 1\nevil 2", "x\\\"} 1\\nevil 2" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char *text = label_text(cases[i][0]);
		assert_string_equal(text, cases[i][1]);
		free(text);
	}
}

/* `count` times `unit`, then `tail`; free() it. */
static char *repeat(const char *unit, size_t count, const char *tail)
{
	size_t len = strlen(unit);
	char *text = malloc(len * count + strlen(tail) + 1);

	assert_non_null(text);
	for (size_t i = 0; i < count; i++)
		memcpy(text + i * len, unit, len);
	memcpy(text + len * count, tail, strlen(tail) + 1);
	return text;
}

static void test_label_is_cut(void **state)
{
	static const struct {
		const char *unit;
		size_t count;
		const char *tail;
		size_t expected; /* bytes as written, with escapes */
	} cases[] = {
		{ "x", 256, "", 256 },
		{ "x", 257, "", 256 },
		{ "x", 100000, "", 256 },
		{ "\"", 1000, "", 512 },       /* the escape does not count */
		{ "\xff", 1000, "", 255 },     /* 85 replacements */
		{ "\xc3\xa9", 1000, "", 256 }, /* 128 pairs */
		{ "x", 255, "\xc3\xa9", 255 }, /* the pair would end at 257 */
		{ "x", 254, "\xc3\xa9", 256 },
		{ "x", 253, "\xf0\x9f\x98\x80", 253 },
		{ "x", 254, "\xff", 254 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char *value = repeat(cases[i].unit, cases[i].count, cases[i].tail);
		char *text = label_text(value);
		assert_int_equal(strlen(text), cases[i].expected);
		assert_true(strncmp(text, "\"", 1) != 0);
		free(text);
		free(value);
	}
}

/* Every pair of bytes as a value: no line breaks, and all stays UTF-8. */
static void test_all_pairs_of_bytes(void **state)
{
	struct buf buf;
	struct expo expo;

	(void)state;
	buf_init(&buf, 0);
	for (unsigned int i = 0; i < 0x10000; i++) {
		char value[3] = { (char)(i >> 8), (char)(i & 0xff), '\0' };
		buf_reset(&buf);
		expo_init(&expo, &buf, EXPO_OPENMETRICS);
		expo_family(&expo, &without_samples);
		expo_label(&expo, "l", value);
		expo_u64(&expo, 1);
		size_t lines = 0;
		for (size_t at = 0, step; at < buf.len; at += step) {
			step = utf8_sequence(buf.data + at, buf.len - at);
			assert_true(step > 0);
			lines += buf.data[at] == '\n';
		}
		assert_int_equal(lines, 3);
	}
	buf_done(&buf);
}

static void test_errors_stay_with_the_buffer(void **state)
{
	struct buf buf;
	struct expo expo;

	(void)state;
	for (size_t limit = 1; limit < 600; limit += 7) {
		buf_init(&buf, limit);
		expo_init(&expo, &buf, EXPO_OPENMETRICS);
		put_sample_page(&expo);
		assert_int_equal(buf.err, -EFBIG);
		assert_true(buf.len <= limit);
		buf_done(&buf);
	}
}

static void test_content_types(void **state)
{
	(void)state;
	assert_string_equal(expo_content_type(EXPO_TEXT),
			    "text/plain; version=0.0.4; charset=utf-8");
	assert_string_equal(
		expo_content_type(EXPO_OPENMETRICS),
		"application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores");
}

/*
 * Hostile values of every kind, on top of the golden page, through a command that reads them on
 * standard input.
 */
static void pipe_page_to(const char *command, enum expo_format format)
{
	struct buf buf;
	struct expo expo;
	FILE *parser = popen(command, "w");

	assert_non_null(parser);
	buf_init(&buf, 0);
	expo_init(&expo, &buf, format);
	expo_family(&expo, &connections);
	for (unsigned int i = 1; i < 256; i++) {
		char value[] = { '"', (char)i, '\\', (char)i, '\n', (char)i, '}', '\0' };
		expo_label_u64(&expo, "port", i);
		expo_label(&expo, "name", value);
		expo_u64(&expo, i);
	}
	expo_family(&expo, &sent);
	expo_u64(&expo, UINT64_MAX);
	expo_family(&expo, &age);
	expo_double(&expo, NAN);
	expo_family(&expo, &build);
	expo_label(&expo, "version", "1");
	expo_u64(&expo, 1);
	expo_end(&expo);
	assert_int_equal(fwrite(buf.data, 1, buf.len, parser), buf.len);
	assert_int_equal(pclose(parser), 0);
	buf_done(&buf);
}

static void expect_as_buf_puts(double value)
{
	struct buf line, text;
	struct expo expo;

	buf_init(&line, 0);
	buf_init(&text, 0);
	expo_init(&expo, &line, EXPO_OPENMETRICS);
	expo_family(&expo, &age);
	expo_double(&expo, 0);
	line.len = 0;
	expo_double(&expo, value);
	buf_puts(&text, "t_age_seconds ");
	buf_put_double(&text, value);
	buf_putc(&text, '\n');
	assert_int_equal(line.len, text.len);
	assert_memory_equal(line.data, text.data, text.len);
	buf_done(&line);
	buf_done(&text);
}

/* The short way gives what the general one does: decimals of every length, both ends of its range, and what is none. */
static void test_doubles(void **state)
{
	static const double others[] = { 0,          -0.5,      1e-4,
					 99e-6,      1e9,       999999999.999999,
					 1.0 / 3,    2.0 / 3e5, 1e-300,
					 123456.789, 0.1 + 0.2, 4294967295.5 };

	(void)state;
	for (uint64_t i = 1; i < UINT64_C(1) << 50; i = i * 5 / 3 + 1) {
		uint64_t whole = i / 1000;

		expect_as_buf_puts((double)i / 1e6);
		expect_as_buf_puts((double)i / 1000);
		expect_as_buf_puts((double)i / 28232);
		expect_as_buf_puts((double)whole + 0.1);
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		expect_as_buf_puts(others[i]);
}

static void test_promtool_takes_it(void **state)
{
	(void)state;
	if (system("command -v promtool >/dev/null"))
		skip();
	pipe_page_to("promtool check metrics", EXPO_TEXT);
}

static void test_python_takes_it(void **state)
{
	(void)state;
	if (system("/usr/bin/python3 -c 'import prometheus_client' 2>/dev/null"))
		skip();
	pipe_page_to("/usr/bin/python3 -c '"
		     "import sys\n"
		     "from prometheus_client.openmetrics.parser import "
		     "text_string_to_metric_families as p\n"
		     "f = list(p(sys.stdin.buffer.read().decode()))\n"
		     "assert [len(x.samples) for x in f] == [255, 1, 1, 1], f\n"
		     "assert [x.unit for x in f] == [\"\", \"bytes\", \"seconds\", \"\"], f\n"
		     "s = f[0].samples[64]\n"
		     "assert s.labels[\"name\"] == \"\\\"A\\\\A\\nA}\", s'",
		     EXPO_OPENMETRICS);
	pipe_page_to("/usr/bin/python3 -c '"
		     "import sys\n"
		     "from prometheus_client.parser import text_string_to_metric_families as p\n"
		     "f = list(p(sys.stdin.buffer.read().decode()))\n"
		     "assert [len(x.samples) for x in f] == [255, 1, 1, 1], f'",
		     EXPO_TEXT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_label_values),
		cmocka_unit_test(test_label_is_cut),
		cmocka_unit_test(test_all_pairs_of_bytes),
		cmocka_unit_test(test_errors_stay_with_the_buffer),
		cmocka_unit_test(test_content_types),
		cmocka_unit_test(test_doubles),
		cmocka_unit_test(test_promtool_takes_it),
		cmocka_unit_test(test_python_takes_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
