/*
 * words: what was found at a port, in words, and what to do about it.
 *
 * Plain text without markup: names in it are cleaned (escape_clean()) but not escaped. Knows what TCP's states mean to an administrator,
 * and which commands look closer; must not know snapshots or pages. Pure.
 */
#ifndef TCPHEALTH_RENDER_WORDS_H
#define TCPHEALTH_RENDER_WORDS_H

#include "tcphealth/base/buf.h"
#include "tcphealth/model/role.h"
#include "tcphealth/model/stale.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Values below STALE_REASONS are an enum stale_reason: connections that are stuck so. STALE_NONE: nothing to complain of. */
enum finding_kind {
	FINDING_QUIET = STALE_NONE,
	FINDING_QUEUE_FULL = STALE_REASONS,
	FINDING_QUEUE_FILLING,
	FINDING_LOCAL_PORTS, /* few local ports are left towards the port */
	FINDING_REFUSED,
	FINDING_TIMED_OUT,
	FINDING_DROPS,
	FINDING_UNUSED, /* nothing to complain of, and no connection */
};
#define FINDING_KINDS (FINDING_UNUSED + 1)

/* The worst last. */
enum finding_level {
	LEVEL_FINE,
	LEVEL_NOTE,  /* happened since the start, need not go on */
	LEVEL_WATCH, /* comes close to a limit */
	LEVEL_FULL,
	LEVEL_STUCK,
};

#define FINDING_OWNERS 2 /* so many are named, the others counted */

struct finding {
	unsigned int kind; /* enum finding_kind or enum stale_reason */
	enum role role;
	bool port_known; /* false: several ports, or one the kernel no longer tells */
	uint16_t port;
	uint64_t count; /* sockets; of the queue kinds its length; of the others what was counted */
	uint64_t limit; /* of the accept queue */
	double ratio;   /* in use, of LOCAL_PORTS and QUEUE_FILLING */
	uint64_t age_ms; /* of the oldest, at least; 0: unknown */
	const char *owner[FINDING_OWNERS];
	size_t owners;     /* that are known; may be more than FINDING_OWNERS */
	const char *netns; /* NULL: the exporter's own */
};

enum finding_level words_level(unsigned int kind);

/* "stuck", "full", "watch", "note", "fine" */
const char *words_level_name(enum finding_level level);

/* "4 connections: the peer closed 2 h ago, load@35111.service never called close" */
void words_put_verdict(struct buf *buf, const struct finding *finding);

/* What to do next, in whole sentences. Nothing where there is nothing to complain of. */
void words_put_next(struct buf *buf, const struct finding *finding);

/*
 * A command line that looks closer, and one that restarts the owner; nothing where there is none. Safe to paste into a shell: a
 * name that would have to be quoted is never part of one.
 */
void words_put_look(struct buf *buf, const struct finding *finding);
void words_put_restart(struct buf *buf, const struct finding *finding);

/* "1 socket", "4 sockets". */
void words_put_count(struct buf *buf, uint64_t n, const char *noun);

/* "45 s", "6 min", "2 h", "2 h 5 min", "3 d 4 h", "12 d": the last unit cut, not rounded. */
void words_put_age(struct buf *buf, uint64_t age_ms);

#endif
