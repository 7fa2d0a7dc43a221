/*
 * selftest: whether a thread can be started, and a connection be served.
 *
 * Knows threads and sockets; must not know what may be in their way. No state.
 */
#pragma once

/*
 * Serves one connection on 127.0.0.1 to a thread of its own, and leaves nothing behind, no
 * TIME_WAIT either. NULL, or the name of the first call that failed. Takes a second where packets
 * are lost, else less than a millisecond.
 */
const char *selftest_run(void);
