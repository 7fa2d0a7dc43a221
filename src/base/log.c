/*
 * log: see the header. Owns the line's form and its bound, and how it is written; must not know
 * what is logged. A line is built on the caller's stack.
 */
#include "tcphealth/base/log.h"

#include "tcphealth/base/escape.h"
#include "tcphealth/base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Writes to a pipe are whole up to PIPE_BUF: lines of two threads never mix. */
#define LINE_MAX_BYTES PIPE_BUF
#define VALUE_MAX      256
#define SEQUENCE_MAX   4
#define LINE_END_MAX   2 /* "}\n" */

struct line {
	char text[LINE_MAX_BYTES];
	size_t len;
	bool overflow;
};

static const char *const level_names[] = {
	[LOG_LEVEL_DEBUG] = "debug",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_WARN] = "warn",
	[LOG_LEVEL_ERROR] = "error",
};

static enum log_level log_min_level = LOG_LEVEL_INFO;
static enum log_format log_line_format = LOG_FORMAT_LOGFMT;
static int log_fd = STDERR_FILENO;
static bool log_is_socket;

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER; /* of all below */
static uint64_t log_dropped_lines, log_dropped_told;
static bool log_is_torn; /* only the beginning of a line was written */

static void line_put(struct line *line, const char *text, size_t len)
{
	if (line->overflow || len > sizeof(line->text) - line->len) {
		line->overflow = true;
		return;
	}
	memcpy(line->text + line->len, text, len);
	line->len += len;
}

static void line_puts(struct line *line, const char *text)
{
	line_put(line, text, strlen(text));
}

static void put_quoted(struct line *line, const char *text, size_t len)
{
	static const char *const ascii[128] = {
		['"'] = "\\\"", ['\\'] = "\\\\", ['\n'] = "\\n", ['\r'] = "\\r", ['\t'] = "\\t",
	};
	static const struct escape escape = { .ascii = ascii, .coded = true };
	const char *end = text + len;
	struct escape_piece piece;

	line_puts(line, "\"");
	while (escape_next(&escape, &text, end, &piece))
		line_put(line, piece.text, piece.len);
	line_puts(line, "\"");
}

static bool is_bare(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] <= ' ' || text[i] > '~' || text[i] == '=' || text[i] == '"')
			return false;
	return len > 0;
}

/* How much of a value is told: whole characters, or bytes that are none. */
static size_t cut(const char *value)
{
	size_t len = 0, next = 0;

	while (next <= VALUE_MAX) {
		len = next;
		if (value[len] == '\0')
			break;
		size_t sequence = utf8_sequence(value + len, strnlen(value + len, SEQUENCE_MAX));
		next += sequence ? sequence : 1;
	}
	return len;
}

static void put_key(struct line *line, const char *key)
{
	bool json = log_line_format == LOG_FORMAT_JSON;

	if (line->len > 0)
		line_puts(line, json ? "," : " ");
	else if (json)
		line_puts(line, "{");
	line_puts(line, json ? "\"" : "");
	line_puts(line, key);
	line_puts(line, json ? "\":" : "=");
}

/* Appends one pair, or nothing of it if it does not fit. False once the line is full. */
static bool put_pair(struct line *line, const char *key, const char *value)
{
	size_t start = line->len, len = cut(value);

	put_key(line, key);
	if (log_line_format == LOG_FORMAT_JSON || !is_bare(value, len))
		put_quoted(line, value, len);
	else
		line_put(line, value, len);
	if (!line->overflow && line->len <= sizeof(line->text) - LINE_END_MAX)
		return true;
	line->len = start;
	return false;
}

static void format_time(char *text, size_t size)
{
	struct timespec now = { 0 };
	struct tm tm = { 0 };
	char seconds[40];

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(seconds, sizeof(seconds), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text, size, "%s.%03ldZ", seconds, now.tv_nsec / 1000000);
}

/* Begins a line. False once it is full. */
static bool begin_line(struct line *line, enum log_level level, const char *msg)
{
	char time_text[64];

	line->len = 0;
	line->overflow = false;
	format_time(time_text, sizeof(time_text));
	put_pair(line, "ts", time_text);
	put_pair(line, "level", level_names[level]);
	return put_pair(line, "msg", msg);
}

static void end_line(struct line *line)
{
	line->overflow = false;
	line_puts(line, log_line_format == LOG_FORMAT_JSON ? "}\n" : "\n");
}

/* How much could be written at once: whoever reads the other end may have stopped. */
static size_t write_now(const char *text, size_t len)
{
	struct pollfd writable = { .fd = log_fd, .events = POLLOUT };
	ssize_t n = 0;

	if (poll(&writable, 1, 0) != 1 || !(writable.revents & POLLOUT))
		return 0;
	do {
		n = log_is_socket ? send(log_fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL)
				  : write(log_fd, text, len);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? 0 : (size_t)n;
}

static bool write_line(const struct line *line)
{
	size_t written;

	if (log_is_torn && write_now("\n", 1) == 0)
		return false;
	written = write_now(line->text, line->len);
	log_is_torn = written > 0 && written < line->len;
	return written == line->len;
}

/* Before anything else, whatever the level. False if it cannot be told yet. */
static bool tell_dropped(void)
{
	struct line line;
	uint64_t count = log_dropped_lines - log_dropped_told;

	if (count == 0)
		return true;
	begin_line(&line, LOG_LEVEL_WARN, "log lines dropped, as nobody read them");
	put_pair(&line, "count", LOG_U64(count));
	end_line(&line);
	if (!write_line(&line))
		return false;
	log_dropped_told = log_dropped_lines;
	return true;
}

void log_open(void)
{
	struct stat status = { 0 };
	int fd = STDERR_FILENO;

	if (log_fd != STDERR_FILENO)
		close(log_fd);
	(void)fstat(STDERR_FILENO, &status);
	log_is_socket = S_ISSOCK(status.st_mode);
	if (S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode))
		fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	log_fd = fd < 0 ? STDERR_FILENO : fd;
}

uint64_t log_dropped(void)
{
	uint64_t count;

	pthread_mutex_lock(&log_lock);
	count = log_dropped_lines;
	pthread_mutex_unlock(&log_lock);
	return count;
}

void log_setup(enum log_level level, enum log_format format)
{
	log_min_level = level;
	log_line_format = format;
}

void log_event(enum log_level level, const char *msg, ...)
{
	struct line line;
	int saved_errno = errno;
	va_list args;

	if (level < log_min_level)
		return;
	bool fits = begin_line(&line, level, msg);
	va_start(args, msg);
	while (fits) {
		const char *key = va_arg(args, const char *);
		const char *value = key ? va_arg(args, const char *) : NULL;
		if (!value)
			break;
		fits = put_pair(&line, key, value);
	}
	va_end(args);
	end_line(&line);
	pthread_mutex_lock(&log_lock);
	if (!tell_dropped() || !write_line(&line))
		log_dropped_lines++;
	pthread_mutex_unlock(&log_lock);
	errno = saved_errno;
}

const char *log_number_u64(struct log_number *number, uint64_t value)
{
	snprintf(number->text, sizeof(number->text), "%" PRIu64, value);
	return number->text;
}
