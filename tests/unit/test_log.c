/* Unit tests of log: what arrives on standard error. */
#include "tcphealth/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define BAD "\xef\xbf\xbd"

/* Standard error led into a pipe. */
struct capture {
	int saved, fds[2];
	char text[65536];
};

static void capture_start(struct capture *capture)
{
	assert_int_equal(pipe(capture->fds), 0);
	capture->saved = dup(STDERR_FILENO);
	assert_true(capture->saved >= 0);
	assert_true(dup2(capture->fds[1], STDERR_FILENO) >= 0);
	close(capture->fds[1]);
}

/* Puts standard error back, and reads what was written to the pipe's end. */
static void capture_stop(struct capture *capture)
{
	size_t used = 0;
	ssize_t got;

	dup2(capture->saved, STDERR_FILENO);
	close(capture->saved);
	while ((got = read(capture->fds[0], capture->text + used,
			   sizeof(capture->text) - 1 - used)) > 0)
		used += (size_t)got;
	close(capture->fds[0]);
	capture->text[used] = '\0';
}

/* Logs one value; returns what stands behind "key=" or "\"key\":" to the end of the line. */
static const char *log_value(struct capture *capture, enum log_format format, const char *value)
{
	capture_start(capture);
	log_setup(LOG_LEVEL_INFO, format);
	log_info("m", "key", value, NULL);
	capture_stop(capture);
	char *at = strstr(capture->text, format == LOG_FORMAT_JSON ? "\"key\":" : "key=");
	assert_non_null(at);
	char *end = strchr(at, '\n');
	assert_non_null(end);
	assert_string_equal(end, "\n");
	*end = '\0';
	return at + (format == LOG_FORMAT_JSON ? 6 : 4);
}

static void assert_recent(const char *text)
{
	struct tm tm = { 0 };
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);

	assert_non_null(rest);
	assert_int_equal(rest[0], '.');
	assert_int_equal(strspn(rest + 1, "0123456789"), 3);
	assert_int_equal(rest[4], 'Z');
	assert_true(time(NULL) - timegm(&tm) < 60 && time(NULL) - timegm(&tm) >= 0);
}

static void test_logfmt_line(void **state)
{
	static struct capture capture;

	(void)state;
	capture_start(&capture);
	log_setup(LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT);
	log_warn("two words", "err", "Operation not permitted", "n", LOG_U64(42), NULL);
	capture_stop(&capture);
	assert_memory_equal(capture.text, "ts=", 3);
	assert_recent(capture.text + 3);
	assert_string_equal(capture.text + strlen("ts=2024-01-02T03:04:05.678Z"),
			    " level=warn msg=\"two words\" err=\"Operation not permitted\" n=42\n");
}

static void test_json_line(void **state)
{
	static struct capture capture;

	(void)state;
	capture_start(&capture);
	log_setup(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
	log_error("bare", "n", LOG_U64(UINT64_MAX), NULL);
	capture_stop(&capture);
	assert_memory_equal(capture.text, "{\"ts\":\"", 7);
	assert_recent(capture.text + 7);
	assert_string_equal(
		capture.text + strlen("{\"ts\":\"2024-01-02T03:04:05.678Z"),
		"\",\"level\":\"error\",\"msg\":\"bare\",\"n\":\"18446744073709551615\"}\n");
}

static void test_levels(void **state)
{
	static struct capture capture;

	(void)state;
	capture_start(&capture);
	log_setup(LOG_LEVEL_WARN, LOG_FORMAT_LOGFMT);
	log_event(LOG_LEVEL_DEBUG, "d", NULL);
	log_info("i", NULL);
	log_warn("w", NULL);
	log_error("e", NULL);
	log_setup(LOG_LEVEL_DEBUG, LOG_FORMAT_LOGFMT);
	log_event(LOG_LEVEL_DEBUG, "all", NULL);
	capture_stop(&capture);
	assert_null(strstr(capture.text, "msg=d"));
	assert_null(strstr(capture.text, "msg=i"));
	assert_non_null(strstr(capture.text, "level=warn msg=w\n"));
	assert_non_null(strstr(capture.text, "level=error msg=e\n"));
	assert_non_null(strstr(capture.text, "level=debug msg=all\n"));
}

static void test_null_value_ends_the_list(void **state)
{
	static struct capture capture;

	(void)state;
	capture_start(&capture);
	log_setup(LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT);
	log_info("m", "a", "1", "b", (const char *)NULL, "c", "3", NULL);
	capture_stop(&capture);
	assert_non_null(strstr(capture.text, "msg=m a=1\n"));
}

static void test_escapes(void **state)
{
	static const struct {
		const char *value, *logfmt, *json;
	} cases[] = {
		{ "plain", "plain", "\"plain\"" },
		{ "", "\"\"", "\"\"" },
		{ "a b", "\"a b\"", "\"a b\"" },
		{ "a=b", "\"a=b\"", "\"a=b\"" },
		{ "a\"b", "\"a\\\"b\"", "\"a\\\"b\"" },
		{ "a\\b", "a\\b", "\"a\\\\b\"" },
		{ "a\\ b", "\"a\\\\ b\"", "\"a\\\\ b\"" },
		{ "x\nlevel=error", "\"x\\nlevel=error\"", "\"x\\nlevel=error\"" },
		{ "\t\r", "\"\\t\\r\"", "\"\\t\\r\"" },
		{ "\x01\x1f\x7f", "\"\\u0001\\u001f\\u007f\"", "\"\\u0001\\u001f\\u007f\"" },
		{ "\x1b[2J", "\"\\u001b[2J\"", "\"\\u001b[2J\"" },
		{ "\xc2\x9b", "\"\\u009b\"", "\"\\u009b\"" },
		{ "\xc2\xa0", "\"\xc2\xa0\"", "\"\xc2\xa0\"" },
		{ "\xe2\x80\xa8", "\"\\u2028\"", "\"\\u2028\"" },
		{ "\xe2\x80\xae", "\"\\u202e\"", "\"\\u202e\"" },
		{ "\xe2\x81\xa6", "\"\\u2066\"", "\"\\u2066\"" },
		{ "\xc3\xbc", "\"\xc3\xbc\"", "\"\xc3\xbc\"" },
		{ "\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\"", "\"\xf0\x9f\x98\x80\"" },
		{ "a\xff", "\"a" BAD "\"", "\"a" BAD "\"" },
		{ "\xed\xa0\x80", "\"" BAD BAD BAD "\"", "\"" BAD BAD BAD "\"" },
		{ "end\xe2\x82", "\"end" BAD BAD "\"", "\"end" BAD BAD "\"" },
	};
	static struct capture capture;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_string_equal(log_value(&capture, LOG_FORMAT_LOGFMT, cases[i].value),
				    cases[i].logfmt);
		const char *json = log_value(&capture, LOG_FORMAT_JSON, cases[i].value);
		assert_memory_equal(json, cases[i].json, strlen(cases[i].json));
		assert_string_equal(json + strlen(cases[i].json), "}");
	}
}

static void test_long_value_is_cut(void **state)
{
	static struct capture capture;
	char value[1024];

	(void)state;
	memset(value, 'x', sizeof(value));
	value[sizeof(value) - 1] = '\0';
	assert_int_equal(strlen(log_value(&capture, LOG_FORMAT_LOGFMT, value)), 256);

	/* 255 bytes and a character of three: cut in front of it, not inside. */
	memcpy(value + 255, "\xe2\x82\xac", 3);
	assert_int_equal(strlen(log_value(&capture, LOG_FORMAT_LOGFMT, value)), 255);

	/* 253 bytes and the same: it ends exactly at the limit. */
	memset(value, 'x', sizeof(value) - 1);
	memcpy(value + 253, "\xe2\x82\xac", 3);
	assert_int_equal(strlen(log_value(&capture, LOG_FORMAT_LOGFMT, value)), 256 + 2);

	/* A character of four there would not fit, and is no invalid byte for that. */
	memcpy(value + 253, "\xf0\x9f\x98\x80", 4);
	assert_int_equal(strlen(log_value(&capture, LOG_FORMAT_LOGFMT, value)), 253);
}

/* Twenty values of the worst kind: whole pairs are left out, the line stays well formed. */
static void check_bounded(enum log_format format, const char *end)
{
	static struct capture capture;
	char value[300];

	memset(value, '\x01', sizeof(value));
	value[sizeof(value) - 1] = '\0';
	capture_start(&capture);
	log_setup(LOG_LEVEL_INFO, format);
	log_info(value, "a", value, "b", value, "c", value, "d", value, "e", value, "f", value, "g",
		 "last", NULL);
	capture_stop(&capture);
	size_t len = strlen(capture.text);
	assert_in_range(len, 2000, PIPE_BUF);
	assert_string_equal(capture.text + len - strlen(end), end);
	assert_null(strstr(capture.text, "last"));
	assert_ptr_equal(strchr(capture.text, '\n'), capture.text + len - 1);
}

static void test_line_is_bounded(void **state)
{
	(void)state;
	check_bounded(LOG_FORMAT_LOGFMT, "\\u0001\"\n");
	check_bounded(LOG_FORMAT_JSON, "\\u0001\"}\n");
}

/* Whatever the length of the last value is, the line's end has its place. */
static void test_line_end_always_fits(void **state)
{
	static struct capture capture;
	char full[257], last[257];
	size_t longest = 0;

	(void)state;
	memset(full, 'x', sizeof(full));
	full[256] = '\0';
	for (size_t len = 0; len <= 256; len++) {
		memset(last, 'y', len);
		last[len] = '\0';
		capture_start(&capture);
		log_setup(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
		log_info(full, "a", full, "b", full, "c", full, "d", full, "e", full, "f", full,
			 "g", full, "h", full, "i", full, "j", full, "k", full, "l", full, "m",
			 full, "n", full, "o", last, NULL);
		capture_stop(&capture);
		size_t total = strlen(capture.text);
		assert_true(total <= PIPE_BUF);
		assert_string_equal(capture.text + total - 3, "\"}\n");
		longest = total > longest ? total : longest;
	}
	assert_int_equal(longest, PIPE_BUF);
}

static void test_errno_is_kept(void **state)
{
	static struct capture capture;

	(void)state;
	int saved = dup(STDERR_FILENO);
	close(STDERR_FILENO);
	errno = ENOENT;
	log_error("nobody reads this", NULL);
	int after = errno;
	dup2(saved, STDERR_FILENO);
	close(saved);
	assert_int_equal(after, ENOENT);
	log_setup(LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT);
	capture_start(&capture);
	log_info("later", NULL);
	capture_stop(&capture);
	assert_non_null(strstr(capture.text, " count=1\n"));
}

/* What can be read at once, up to what fits. */
static void drain(int fd, char *text, size_t size)
{
	struct pollfd readable = { .fd = fd, .events = POLLIN };
	size_t used = 0;

	while (used < size - 1 && poll(&readable, 1, 0) == 1) {
		ssize_t got = read(fd, text + used, size - 1 - used);
		assert_true(got > 0);
		used += (size_t)got;
	}
	text[used] = '\0';
}

/* Every line is whole, or the last one that was begun before nothing could be written. */
static void check_lines(char *text, const char *count)
{
	unsigned int lines = 0, torn = 0, told = 0;

	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), lines++) {
		assert_memory_equal(line, "ts=", 3);
		if (strstr(line, "dropped")) {
			assert_string_equal(strstr(line, " count="), count);
			told++;
		} else if (!strstr(line, " end=yes")) {
			torn++;
		}
	}
	assert_true(lines > 30);
	assert_int_equal(told, 1);
	assert_in_range(torn, 0, 1);
}

/* Nobody reads for a while: no line waits, and the count of what was dropped comes first. */
static void test_nobody_reads(void **state)
{
	static const struct {
		bool opens, is_socket;
	} cases[] = { { false, false }, { true, false }, { true, true } };
	static char text[4 << 20];

	(void)state;
	log_setup(LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int saved = dup(STDERR_FILENO), fds[2];
		uint64_t dropped = log_dropped();

		assert_int_equal(cases[i].is_socket ? socketpair(AF_UNIX, SOCK_STREAM, 0, fds)
						    : pipe(fds),
				 0);
		dup2(fds[1], STDERR_FILENO);
		if (cases[i].opens)
			log_open();
		alarm(20);
		for (int j = 0; log_dropped() < dropped + 7 && j < 100000; j++)
			log_info("line", "end", "yes", NULL);
		alarm(0);
		assert_int_equal(log_dropped(), dropped + 7);
		assert_int_equal(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0); /* others' */
		drain(fds[0], text, sizeof(text));
		log_info("later", "end", "yes", NULL);
		drain(fds[0], text + strlen(text), sizeof(text) - strlen(text));
		dup2(saved, STDERR_FILENO);
		log_open();
		assert_non_null(strstr(strstr(text, "count=7\n"), "msg=later"));
		check_lines(text, " count=7");
		close(saved);
		close(fds[0]);
		close(fds[1]);
	}
}

#define WRITERS 4
#define LINES   50

static void *write_lines(void *arg)
{
	const char *value = arg;

	for (int i = 0; i < LINES; i++)
		log_info("thread", "v", value, "end", "yes", NULL);
	return NULL;
}

static void test_threads_do_not_mix_lines(void **state)
{
	static struct capture capture;
	static char values[WRITERS][201];
	pthread_t threads[WRITERS];
	size_t lines = 0;

	(void)state;
	log_setup(LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT);
	capture_start(&capture);
	for (int i = 0; i < WRITERS; i++) {
		memset(values[i], 'a' + i, 200);
		pthread_create(&threads[i], NULL, write_lines, values[i]);
	}
	for (int i = 0; i < WRITERS; i++)
		pthread_join(threads[i], NULL);
	capture_stop(&capture);
	for (char *line = strtok(capture.text, "\n"); line; line = strtok(NULL, "\n")) {
		const char *value = strstr(line, " v=");
		assert_memory_equal(line, "ts=", 3);
		assert_non_null(value);
		char same[2] = { value[3], '\0' };
		assert_int_equal(strspn(value + 3, same), 200);
		assert_string_equal(value + 203, " end=yes");
		lines++;
	}
	assert_int_equal(lines, WRITERS * LINES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_logfmt_line),
		cmocka_unit_test(test_json_line),
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_null_value_ends_the_list),
		cmocka_unit_test(test_escapes),
		cmocka_unit_test(test_long_value_is_cut),
		cmocka_unit_test(test_line_is_bounded),
		cmocka_unit_test(test_line_end_always_fits),
		cmocka_unit_test(test_errno_is_kept),
		cmocka_unit_test(test_threads_do_not_mix_lines),
		cmocka_unit_test(test_nobody_reads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
