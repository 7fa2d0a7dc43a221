/*
 * procnet: TCP sockets from the text of /proc/net/tcp and tcp6.
 *
 * For hosts where netlink is refused. Knows that text; must not know netlink, roles or history.
 * It has no cookies: id is a hash of 4-tuple and inode. Stateless; any thread.
 */
#ifndef TCPHEALTH_SOURCE_PROCNET_H
#define TCPHEALTH_SOURCE_PROCNET_H

#include "tcphealth/source/tcpsock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct procnet_stats {
	uint64_t malformed; /* lines skipped */
};

/*
 * Hands the sockets of `states` (TCP_STATE_BIT() mask) in NETDIR/tcp and NETDIR/tcp6 to `fn`, each once.
 * `netdir` is e.g. /proc/thread-self/net. A missing tcp6 is a host without IPv6.
 * 0 or -errno (tcp missing: -ENOENT), or what `fn` returned; on error what `fn` got is a part.
 * `stats` is added to.
 */
int procnet_dump(const char *netdir, uint32_t states, tcpsock_fn fn, void *arg,
		 struct procnet_stats *stats);

/* One line without its newline; false if it is not a socket's (the header line, garbage). Pure. */
bool procnet_parse_line(const char *line, size_t len, bool v6, struct tcpsock *ret_sock);

#endif
