/*
 * census: all that is known of the sockets of one network namespace.
 *
 * Takes records and destroy events from whatever source, and gives counts and gauges. Puts role, listeners, track, ages,
 * account, tally and ledger together. Must not know kernel interfaces, and calls nobody back. One thread.
 *
 * A sample is census_begin(), census_take() of the listeners, census_take() of the rest, and census_end(). If the dump
 * breaks off, or one of them fails, census_abort() ends the sample: its gauges must not be shown, no count is lost, and the
 * sample after a full one must be full. Events go in while no dump is open: so each follows all records of its socket.
 */
#pragma once

#include "tcphealth/base/portset.h"
#include "tcphealth/model/ages.h"
#include "tcphealth/model/connects.h"
#include "tcphealth/model/ledger.h"
#include "tcphealth/model/listeners.h"
#include "tcphealth/model/role.h"
#include "tcphealth/model/stale.h"
#include "tcphealth/model/tally.h"
#include "tcphealth/model/tier.h"
#include "tcphealth/source/events.h"
#include "tcphealth/source/holderunits.h"
#include "tcphealth/source/netstat.h"
#include "tcphealth/source/source.h"
#include "tcphealth/source/tcpsock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct census_config {
	struct stale_thresholds thresholds;
	/* How long a listener that is gone is remembered. */
	uint64_t keep_ms;
	/* Ports that always and never have series; borrowed, may be NULL. */
	const struct portset *include, *exclude;
	/*
	 * cgroup of the kernel's own sockets, which die without an event. 0: it cannot be told from that of programs, as nothing
	 * runs in a cgroup of its own.
	 */
	uint64_t kernel_cgroup_id;
	/*
	 * Gives units to sockets that do not tell their cgroup, and is asked for those of what is stale. Borrowed, NULL: they have
	 * none.
	 */
	struct holderunits *holderunits;
};

struct census_sample {
	enum tier tier;
	/* enum source_can: what ids are, and whether destroy events of this namespace come in. */
	uint32_t can;
	uint64_t now_ms; /* monotonic */
	struct netsysctl sysctl;
	/* Local ports that connect() never takes; NULL: none. Borrowed until census_end(). */
	const struct portset *reserved;
};

struct census;

struct census *census_new(const struct census_config *config);
void census_free(struct census *census);

/* 0 or -ENOMEM. */
int census_begin(struct census *census, const struct census_sample *sample);

/* A source_take_fn for a struct census. 0 or -ENOMEM. */
int census_take(void *census, const struct tcpsock *socks, size_t count, uint64_t read_ms);

/*
 * When the dump is whole and its events have been given: a record that needs its other end to tell the role; that may be
 * on this host. NULL if there is none left. Valid until census_settle(), which takes the record of that other end, or NULL
 * if it was not found; 0 or -ENOMEM.
 */
const struct tcpsock *census_waiting(struct census *census);
int census_settle(struct census *census, const struct tcpsock *other);

/* 0 or -ENOMEM. */
int census_end(struct census *census);

void census_abort(struct census *census);

/* 0, or -ENOMEM: the event is lost. */
int census_event(struct census *census, const struct tcpdeath *death);

/*
 * All events have been given that were there when the last dump ended, and then `counters` were read: they settle why connects
 * failed and which listeners turned connections away. What died while the first dump ran is older than that dump; from now on,
 * a death of which no dump knew is a connection that opened since. 0, or -ENOMEM: something is not counted.
 */
int census_drained(struct census *census, const struct netstat *counters);

/* Events were lost: what the next dumps do not show may have died unseen. */
void census_overrun(struct census *census);

/* Where a socket is counted; port 0: unknown. */
struct census_place {
	enum role role;
	enum role_evidence evidence;
	uint16_t port;
};

/* What the census makes of one record. Counts nothing and remembers nothing. Between samples. */
void census_look(const struct census *census, const struct tcpsock *sock, uint64_t now_ms,
		 struct census_place *ret_place, struct look *ret_look);

/* Of the last whole sample. Which pairs have series is up to the caller: ledger_arbitrate(). */
struct ledger *census_ledger(struct census *census);
const struct listeners *census_listeners(const struct census *census);
/* Connections on show with a role that this evidence decided. */
uint64_t census_evidence(const struct census *census, enum role_evidence evidence);
/* Stale connections on show by cgroup, as the samples of one tier find them. */
const struct tally_cgroup *census_cgroups(const struct census *census, enum tier tier,
					  size_t *ret_count);
/* Connections on show, and listeners. */
uint64_t census_sockets(const struct census *census);
/* Destroy events since the start that had lost their numbers. */
uint64_t census_wiped_closes(const struct census *census);
/* The connects that failed last. */
struct connects *census_connects(struct census *census);
