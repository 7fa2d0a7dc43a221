/*
 * log: one line an event on standard error, logfmt or JSON.
 *
 * Owns the level, the format and what was dropped, the only mutable file-scope
 * state of the program besides the signal flag. Only main, the collector and httpd log;
 * other modules return errors. Any thread; a line is one write(2). No line waits for its
 * reader: what cannot be written at once is dropped and counted, and the count is the first
 * thing told later.
 *
 *   log_warn("netlink refused, reading procfs", "err", strerror(err), NULL);
 *   -> ts=2024-01-02T03:04:05.678Z level=warn msg="netlink refused, reading procfs" err="Operation not permitted"
 *
 * Keys are literals; values are escaped (logfmt quoting or JSON strings, invalid
 * UTF-8 becomes U+FFFD) and cut at 256 bytes, so that no value can forge or flood a line.
 */
#pragma once

#include <stdint.h>

enum log_level {
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_INFO,
	LOG_LEVEL_WARN,
	LOG_LEVEL_ERROR,
};

enum log_format {
	LOG_FORMAT_LOGFMT,
	LOG_FORMAT_JSON,
};

/* Called once by main before other threads start; info and logfmt until then. */
void log_setup(enum log_level level, enum log_format format);

/*
 * Opens standard error again, if it is a pipe or a terminal, so that writing never waits even if
 * others write to it as well. They are not affected. Where it cannot be opened, a line may have to
 * wait if another program fills it at that very moment. Called as log_setup().
 */
void log_open(void);

/* Lines dropped so far. */
uint64_t log_dropped(void);

/* `msg` and then pairs of (const char *key, const char *value), ended by NULL. A NULL value ends the list too. */
void log_event(enum log_level level, const char *msg, ...) __attribute__((sentinel));

#define log_info(...)  log_event(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warn(...)  log_event(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_error(...) log_event(LOG_LEVEL_ERROR, __VA_ARGS__)

/* A number as text for log_event(): LOG_U64(n) lives until the end of the enclosing block. */
struct log_number {
	char text[24];
};
const char *log_number_u64(struct log_number *number, uint64_t value);
#define LOG_U64(value) log_number_u64(&(struct log_number){ { 0 } }, (value))
