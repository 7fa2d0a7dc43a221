/* error: see the header. */
#include "tcphealth/web/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void web_note(struct web_error *error, const char *what, int err)
{
	(void)snprintf(error->text, sizeof(error->text), "%.300s: %s", what,
		       err == -ENOMEM ? "out of memory" : strerror(-err));
}

int web_fail_at(struct web_error *error, const char *file, struct web_place place, const char *fmt,
		...)
{
	size_t size = sizeof(error->text), used;
	va_list args;

	/* A long path must leave room for the message. */
	(void)snprintf(error->text, size, "%.300s:%d:%d: ", file, place.line, place.column);
	used = strlen(error->text);
	va_start(args, fmt);
	(void)vsnprintf(error->text + used, size - used, fmt, args);
	va_end(args);
	for (char *c = error->text; *c; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	}
	return -EINVAL;
}
