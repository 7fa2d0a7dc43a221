/*
 * await: poll(2) that cannot be made to spin.
 *
 * Owns nothing. Must not know what is waited for. Any thread.
 */
#ifndef TCPHEALTH_BASE_AWAIT_H
#define TCPHEALTH_BASE_AWAIT_H

#include <poll.h>

/* The pause where poll(2) itself fails. */
#define AWAIT_PAUSE_MS 20

/*
 * As poll(2), but a failure (no memory, most likely, and it may last) counts as nothing there, after a pause that takes the place of the
 * wait. How many of the descriptors have something; all `revents` are set.
 */
int await_fds(struct pollfd *fds, nfds_t count, int timeout_ms);

#endif
