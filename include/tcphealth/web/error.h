/*
 * error: where and why something of the web room went wrong, as a person reads it.
 *
 * One line each. Any thread.
 */
#ifndef TCPHEALTH_WEB_ERROR_H
#define TCPHEALTH_WEB_ERROR_H

struct web_error {
	char text[512];
};

/* A place in a file, counted from 1. */
struct web_place {
	int line, column;
};

/* "WHAT: why", of -errno, which is returned. */
int web_fail(struct web_error *error, const char *what, int err);

/* "FILE:LINE:COLUMN: what"; -EINVAL. Control characters become question marks. */
int web_fail_at(struct web_error *error, const char *file, struct web_place place, const char *fmt,
		...) __attribute__((format(printf, 4, 5)));

#endif
