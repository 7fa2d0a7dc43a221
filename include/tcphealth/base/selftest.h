/*
 * selftest: whether a thread can be started, and a connection be served.
 *
 * Knows threads and sockets; must not know what may be in their way. No state.
 */
#pragma once

/*
 * Serves one connection to a thread of its own, through a UNIX socket: TCP would be seen and counted
 * by every exporter of this network namespace. NULL, or the name of the first call that failed.
 * Takes less than a millisecond.
 */
const char *selftest_run(void);
