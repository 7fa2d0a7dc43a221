/*
 * source: the kernel interfaces that list TCP sockets, one row each.
 *
 * A row says what it can do, and callers decide by that, never by its name. Knows no roles, history
 * or metrics. A source that is open is used by one thread at a time.
 */
#pragma once

#include "tcphealth/source/tcpsock.h"

#include <stdint.h>
#include <sys/types.h>

enum source_can {
	/* What the records tell. A figure that needs more is left out. */
	SOURCE_INFO = 1 << 0,    /* tcp_info: counters, silence */
	SOURCE_BACKLOG = 1 << 1, /* limits of accept queues */
	SOURCE_DROPS = 1 << 2,   /* drops of listeners */
	SOURCE_EVENTS = 1 << 3,  /* destroy events match them */
	/* How the source may be asked. */
	SOURCE_COOKIES = 1 << 4, /* ids are the kernel's cookies */
	SOURCE_STATES = 1 << 5,  /* fewer states cost less */
	SOURCE_PORTS = 1 << 6,   /* picks ports, others give all */
	SOURCE_FIND = 1 << 7,    /* finds a single socket */
	/* Looks into the namespace of a process without entering it. */
	SOURCE_PIDS = 1 << 8,
};

/*
 * Which namespace: that of the calling thread, or of process `pid` if it is not 0 (SOURCE_PIDS).
 * `procfs` is borrowed as long as the source is open.
 */
struct source_place {
	const char *procfs;
	pid_t pid;
};

struct source_query {
	uint32_t states; /* TCP_STATE_BIT() mask */
	/* SOURCE_INFO, SOURCE_DROPS: what the records are to include at extra cost. */
	uint32_t want;
	/* With SOURCE_PORTS: 0, or only sockets with that port. */
	uint16_t local_port, remote_port;
};

/*
 * Takes `count` records, which the kernel had filled by `read_ms` (clock_mono_coarse_ms()): ages
 * count from there. A negative result ends the dump, which returns it.
 */
typedef int (*source_take_fn)(void *arg, const struct tcpsock *socks, size_t count,
			      uint64_t read_ms);

/* Since the source was opened. */
struct source_skipped {
	/* Netlink messages that did not come from the kernel. */
	uint64_t forged;
	uint64_t malformed; /* records or lines */
};

void source_add_skipped(struct source_skipped *to, struct source_skipped skipped);

struct source_ops {
	const char *name; /* in flag, label and JSON */
	uint32_t can;     /* enum source_can */

	/* 0 and *ret_source, or -errno; refused: -EPERM, -EACCES, -EAFNOSUPPORT ... */
	int (*open)(const struct source_place *place, void **ret_source);
	void (*close)(void *source); /* NULL is fine */

	/*
	 * Hands the sockets that match to `take_fn`, IPv4 and IPv6, and blocks as long as the
	 * kernel does. 0 only if the dump was whole; else -errno or what `take_fn` returned, which
	 * has then seen only a part. A socket that moves in the kernel's table meanwhile may come
	 * twice or never.
	 */
	int (*dump)(void *source, const struct source_query *query, source_take_fn take_fn,
		    void *arg);

	/* With SOURCE_FIND: the other end of `sock` in the namespace. 0, -ENOENT or -errno. */
	int (*find)(void *source, const struct tcpsock *sock, struct tcpsock *ret_other);

	struct source_skipped (*skipped)(const void *source);
};

/* The rows in order of preference: S(name), where source_NAME has the functions. */
#define SOURCE_LIST(S) S(netlink) S(procfs)

#define SOURCE_ID(name)  SOURCE_##name,
#define SOURCE_OPS(name) extern const struct source_ops source_##name;

enum source_id { SOURCE_AUTO, SOURCE_LIST(SOURCE_ID) SOURCE_IDS };

SOURCE_LIST(SOURCE_OPS)

/* By enum source_id. SOURCE_AUTO stands for the first that works, and is NULL. */
extern const struct source_ops *const source_table[SOURCE_IDS];
