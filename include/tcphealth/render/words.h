/*
 * words: puts the findings at a port, and what to do, into words.
 *
 * Plain text without markup: names in it are cleaned (escape_clean()) but not escaped. Fills the
 * gaps in the sentences of model/stale, and owns all other sentences; must not know snapshots or
 * pages. Pure.
 */
#pragma once

#include "tcphealth/base/buf.h"
#include "tcphealth/model/role.h"
#include "tcphealth/model/stale.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Why some network namespaces are missing. */
#define WORDS_NETNS_MISSING                                                                        \
	"they have not been sampled yet, they cannot be entered without CAP_SYS_ADMIN, they "      \
	"cannot be told without CAP_SYS_PTRACE, or there are too many"

/* A value below STALE_REASONS is an enum stale_reason: the connections are stale for it. */
enum finding_kind {
	/* Connections, and all is known to be well. */
	FINDING_QUIET = STALE_NONE,
	FINDING_QUEUE_FULL = STALE_REASONS,
	FINDING_QUEUE_FILLING,
	/* Few are left to connect from. */
	FINDING_LOCAL_PORTS,
	FINDING_REFUSED,
	FINDING_UNREACHABLE,
	FINDING_TIMED_OUT,
	FINDING_NO_LOCAL_PORT,
	FINDING_DROPS,
	/* Accepted connections, and nothing else to say. */
	FINDING_NO_LISTENER,
	/* Connections, of which the source tells little. */
	FINDING_UNKNOWN,
	FINDING_UNUSED, /* no connections */
};
#define FINDING_KINDS (FINDING_UNUSED + 1)

/* The worst last. */
enum finding_level {
	LEVEL_FINE,
	/* Since the start; may be over. */
	LEVEL_NOTE,
	/* Close to a limit, or harmless as long as all else is well. */
	LEVEL_WATCH,
	LEVEL_FULL,
	LEVEL_STALE,
};

#define FINDING_UNITS 2 /* named; the others are counted */

struct finding {
	unsigned int kind; /* enum finding_kind or enum stale_reason */
	/*
	 * Of an enum stale_reason: which form of its rule; and whether something else is wrong at
	 * the port.
	 */
	unsigned int form;
	bool troubled;
	enum role role;
	/* False: it is of several ports, or of one that the kernel no longer tells. */
	bool port_known;
	uint16_t port;
	/*
	 * Connections; of the queue kinds, those in the queue; of the others, what the kind counts.
	 */
	uint64_t count;
	uint64_t limit; /* of the accept queue */
	/* Share in use, of QUEUE_FILLING and LOCAL_PORTS. */
	double ratio;
	/* Of the oldest, at least; 0: unknown. */
	uint64_t age_ms;
	/* Units: the first of them, and how many are known. */
	const char *unit[FINDING_UNITS];
	size_t units;
	const char *netns; /* NULL: the exporter's own */
};

enum finding_level words_level(const struct finding *finding);

/* "stale", "full", "watch", "note", "fine" */
const char *words_level_name(enum finding_level level);

/* "4 connections: the peer closed 2 h ago, load@35111.service never called close" */
void words_put_verdict(struct buf *buf, const struct finding *finding);

/* What to do next, in whole sentences; nothing where all is well. */
void words_put_next(struct buf *buf, const struct finding *finding);

/*
 * A command that looks closer, and one that restarts the unit; nothing where there is none. Both
 * are safe to paste into a shell: a name that would need quotes is never part of one.
 */
void words_put_look(struct buf *buf, const struct finding *finding);
void words_put_restart(struct buf *buf, const struct finding *finding);

/* "1 socket", "4 sockets". */
void words_put_count(struct buf *buf, uint64_t n, const char *noun);

/* "45 s", "6 min", "2 h 5 min", "3 d 4 h", "12 d": cut off, not rounded. */
void words_put_age(struct buf *buf, uint64_t age_ms);
