/*
 * shortage: what a constructor that returns NULL was short of. Any thread.
 */
#pragma once

#include <errno.h>

/* -EMFILE, -ENFILE or -EAGAIN (no thread) if errno says that, or else -ENOMEM. To be called at once. */
static inline int shortage(void)
{
	return errno == EMFILE || errno == ENFILE || errno == EAGAIN ? -errno : -ENOMEM;
}
