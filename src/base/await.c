/* await: see the header. */
#include "tcphealth/base/await.h"

#include <time.h>

int await_fds(struct pollfd *fds, nfds_t count, int timeout_ms)
{
	int pause_ms = timeout_ms >= 0 && timeout_ms < AWAIT_PAUSE_MS ? timeout_ms : AWAIT_PAUSE_MS;
	const struct timespec pause = { .tv_nsec = pause_ms * 1000000L };
	int found = poll(fds, count, timeout_ms);

	if (found >= 0)
		return found;
	for (nfds_t i = 0; i < count; i++)
		fds[i].revents = 0;
	(void)nanosleep(&pause, NULL);
	return 0;
}
