/*
 * localports: which share of the local ports connect() can no longer take, by pair of addresses and remote port.
 *
 * A connect() takes any port that no connection between the same addresses to the same remote port has, the even offsets of the
 * range first. A bind() to port 0 takes one that no socket of its address has, the odd offsets first, and takes it from every
 * connect(). The kernel shows the port but not who chose it: programs that bind first are found by the odd ports that they take
 * while even ones are left. Knows addresses and ports; must not know pairs or metrics. Bounded. One thread.
 */
#pragma once

#include "tcphealth/base/portset.h"
#include "tcphealth/source/netstat.h"
#include "tcphealth/source/tcpsock.h"

#include <stdbool.h>
#include <stdint.h>

struct localports;

/* NULL when out of memory. */
struct localports *localports_new(void);
void localports_free(struct localports *ports);

/*
 * Begins a full sample. Ports outside the range of `sysctl` and those in `reserved` (NULL: none) never count; nothing does while the
 * range is not known. 0 or -ENOMEM.
 */
int localports_begin(struct localports *ports, const struct netsysctl *sysctl,
		     const struct portset *reserved);

/* A port that no connect() can take: a listener has it, or a connection that it has accepted. */
void localports_block(struct localports *ports, uint16_t port);

/* A connection that this host opened. 0, also where there is no room for one more, or -ENOMEM. */
int localports_add(struct localports *ports, const struct tcpsock *sock);

/* A pair of addresses uses this share of the ports, 0 to 1, towards a remote port. 0 or a negative error. */
typedef int (*localports_fn)(void *arg, uint16_t remote_port, double ratio);

/* Ends the sample. 0, or what `fn` returned. */
int localports_end(struct localports *ports, localports_fn fn, void *arg);

/*
 * Whether no port was left towards a remote port of this address when the last sample ended. *ret_port is that port, 0 if there are
 * several.
 */
bool localports_full(const struct localports *ports, const struct in6_addr *remote,
		     uint16_t *ret_port);
