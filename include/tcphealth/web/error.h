/*
 * error: one line that says where and why something failed.
 *
 * For the modules of web; must not know them. Any thread.
 */
#pragma once

struct web_error {
	char text[512];
};

/* A place in a file, counted from 1. */
struct web_place {
	int line, column;
};

/* Writes "WHAT: " and the text of `err`, a negative errno. */
void web_note(struct web_error *error, const char *what, int err);

/* The same, and returns `err`: inline, so that analyzers see that it does. */
static inline int web_fail(struct web_error *error, const char *what, int err)
{
	web_note(error, what, err);
	return err;
}

/*
 * Writes "FILE:LINE:COLUMN: " and the message. Returns -EINVAL. Control characters become
 * '?'.
 */
int web_fail_at(struct web_error *error, const char *file, struct web_place place, const char *fmt,
		...) __attribute__((format(printf, 4, 5)));
