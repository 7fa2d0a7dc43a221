/*
 * await: poll(2) that never spins.
 *
 * Owns nothing. Must not know what is waited for. Any thread.
 */
#pragma once

#include <poll.h>

/* The pause where poll(2) itself fails. */
#define AWAIT_PAUSE_MS 20

/*
 * Like poll(2), but a failure (most likely a lasting lack of memory) pauses instead, and counts as
 * no event. Returns how many descriptors have events; all `revents` are set.
 */
int await_fds(struct pollfd *fds, nfds_t count, int timeout_ms);
