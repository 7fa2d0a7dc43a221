/*
 * source: where TCP sockets come from: a row for each kernel interface that lists them, and what each of them can do.
 *
 * A row opens, dumps and closes; who asks goes by what a row can, never by its name. Knows no roles, history or metrics. A source is
 * used by one thread at a time.
 */
#ifndef TCPHEALTH_SOURCE_SOURCE_H
#define TCPHEALTH_SOURCE_SOURCE_H

#include "tcphealth/source/tcpsock.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum source_can {
	/* What the records tell. A figure that needs more is left out. */
	SOURCE_INFO = 1 << 0,    /* tcp_info: counters, silence, hidden keepalive */
	SOURCE_BACKLOG = 1 << 1, /* limits of accept queues */
	SOURCE_DROPS = 1 << 2,   /* drops of listeners */
	SOURCE_EVENTS = 1 << 3,  /* destroyed sockets, with their last counters */
	/* How the source may be asked. */
	SOURCE_COOKIES = 1 << 4, /* ids are the kernel's, as in destroy events */
	SOURCE_STATES = 1 << 5,  /* a dump of few states costs less */
	SOURCE_PORTS = 1 << 6,   /* picks ports; others give all of them */
	SOURCE_FIND = 1 << 7,    /* finds a single socket */
	SOURCE_PIDS = 1 << 8,    /* looks into a process's namespace without entering it */
};

/*
 * Where to look: in the namespace of the calling thread, or of process `pid` if that is not 0 (SOURCE_PIDS). `procfs` is borrowed as
 * long as the source is open.
 */
struct source_place {
	const char *procfs;
	pid_t pid;
};

struct source_query {
	uint32_t states; /* TCP_STATE_BIT() mask */
	uint32_t want;   /* SOURCE_INFO, SOURCE_DROPS: what records shall tell at a price */
	/* 0, or only sockets with that port (SOURCE_PORTS). */
	uint16_t local_port, remote_port;
};

/*
 * Takes `count` records, which the kernel had filled by `read_ms` (clock_mono_coarse_ms()): ages count from there. A negative result
 * ends the dump, which returns it.
 */
typedef int (*source_take_fn)(void *arg, const struct tcpsock *socks, size_t count,
			      uint64_t read_ms);

/* What was not taken for a socket, since the source was opened. */
struct source_skipped {
	uint64_t forged;    /* netlink messages that did not come from the kernel */
	uint64_t malformed; /* records or lines */
};

struct source_ops {
	const char *name; /* as flag, label and JSON have it */
	uint32_t can;     /* enum source_can */

	/* 0 and *ret_source, or -errno: -EPERM, -EACCES, -EAFNOSUPPORT ... where the kernel refuses. */
	int (*open)(const struct source_place *place, void **ret_source);
	void (*close)(void *source); /* NULL is fine */

	/*
	 * Hands the sockets that match to `take_fn`, IPv4 and IPv6. Blocks as long as the kernel does. 0 only if the dump came to its
	 * end whole; else -errno, or what `take_fn` returned, and what it was given is a part. A socket that moved in the
	 * kernel's table meanwhile may come twice or not at all.
	 */
	int (*dump)(void *source, const struct source_query *query, source_take_fn take_fn,
		    void *arg);

	/* With SOURCE_FIND: the other end of `sock`, a connection within this namespace. 0, -ENOENT or another error. */
	int (*find)(void *source, const struct tcpsock *sock, struct tcpsock *ret_other);

	struct source_skipped (*skipped)(const void *source);
};

/* A row for each source, the preferred first: its name, which is that of its functions, too. */
#define SOURCE_LIST(S) S(netlink) S(procfs)

#define SOURCE_ID(name)  SOURCE_##name,
#define SOURCE_OPS(name) extern const struct source_ops source_##name;

enum source_id { SOURCE_AUTO, SOURCE_LIST(SOURCE_ID) SOURCE_IDS };

SOURCE_LIST(SOURCE_OPS)

/* By enum source_id; NULL for SOURCE_AUTO, which stands for whichever works. */
extern const struct source_ops *const source_table[SOURCE_IDS];

#endif
