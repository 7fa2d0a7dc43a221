/*
 * census: all that is known of the sockets of one network namespace.
 *
 * Composes listeners, track, ledger, role, ages and account: takes records and events, whatever source they come
 * from, and gives counts and gauges. Knows no kernel interface and does no I/O. One thread.
 *
 * A sample: census_begin(), census_take() of listeners, census_take() of all others,
 * census_end(). A sample that broke off is left by census_abort(): nothing it saw is shown, nothing it
 * counted is lost (after a full one that broke off the next must be full). Events go in between samples, never during one: an event taken after the end of a dump follows
 * every record of its socket.
 */
#ifndef TCPHEALTH_MODEL_CENSUS_H
#define TCPHEALTH_MODEL_CENSUS_H

#include "tcphealth/base/portset.h"
#include "tcphealth/model/ages.h"
#include "tcphealth/model/ledger.h"
#include "tcphealth/model/listeners.h"
#include "tcphealth/model/role.h"
#include "tcphealth/model/stale.h"
#include "tcphealth/model/tally.h"
#include "tcphealth/model/tier.h"
#include "tcphealth/source/events.h"
#include "tcphealth/source/netstat.h"
#include "tcphealth/source/source.h"
#include "tcphealth/source/tcpsock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A socket that has just become stale, told once per socket and reason. */
struct census_stale {
	enum role role;
	uint16_t port;
	enum stale_reason reason;
	uint64_t age_ms;            /* how long it has been stuck, at least */
	const struct tcpsock *sock; /* NULL for one that left the dumps (reason dead) */
};
typedef void (*census_stale_fn)(void *arg, const struct census_stale *stale);

struct census_config {
	struct stale_thresholds thresholds;
	uint64_t keep_ms;              /* --ports.keep */
	const struct portset *include; /* borrowed; NULL: none */
	const struct portset *exclude; /* borrowed; NULL: none */
	/*
	 * cgroup of the kernel's own sockets, which die without an event, or 0 where it cannot be told from programs' (nothing
	 * runs in a cgroup of its own).
	 */
	uint64_t kernel_cgroup_id;
	census_stale_fn stale_fn; /* NULL: not told */
	void *stale_arg;
};

struct census_sample {
	enum tier tier;
	/* enum source_can: SOURCE_COOKIES tells what ids are; SOURCE_EVENTS only where destroy events of this namespace come in. */
	uint32_t can;
	uint64_t now_ms; /* monotonic */
	struct netsysctl sysctl;
};

struct census;

struct census *census_new(const struct census_config *config);
void census_free(struct census *census);

/* 0 or -ENOMEM. */
int census_begin(struct census *census, const struct census_sample *sample);

/* A source_take_fn: takes records, those in LISTEN first of a sample; `census` is a struct census. 0 or -ENOMEM. */
int census_take(void *census, const struct tcpsock *socks, size_t count, uint64_t read_ms);

/*
 * A record that was taken and waits for what its other end tells, which may be on this host; NULL if there is none (left). Valid until
 * census_settle(), which takes that other end as a record, or NULL if it was not found; 0 or -ENOMEM. Once the dump and the
 * events that it caused have been given.
 */
const struct tcpsock *census_waiting(struct census *census);
int census_settle(struct census *census, const struct tcpsock *other);

/* 0 or -ENOMEM (then the sample has failed: census_abort()). */
int census_end(struct census *census);

void census_abort(struct census *census);

/* 0, or -ENOMEM: the event is lost. */
int census_event(struct census *census, const struct tcpdeath *death);

/*
 * All events that were there when the last dump ended have been given: from now on a death that no dump knew is a connection since the
 * first one. What died while the first dump ran is older than that.
 */
void census_drained(struct census *census);

/* Events were lost: what is missing from the next dumps may have died unseen. */
void census_overrun(struct census *census);

/* Where a socket is counted. */
struct census_place {
	enum role role;
	enum role_evidence evidence;
	uint16_t port; /* of its pair; 0: unknown */
};

/* What the census makes of one record, without taking part in any count: nothing is remembered. Between samples. */
void census_look(const struct census *census, const struct tcpsock *sock, uint64_t now_ms,
		 struct census_place *ret_place, struct look *ret_look);

/* Of the last whole sample; the ledger's series are arbitrated by the caller (ledger_arbitrate()). */
struct ledger *census_ledger(struct census *census);
const struct listeners *census_listeners(const struct census *census);
/* Connections on show whose role it decided. */
uint64_t census_evidence(const struct census *census, enum role_evidence evidence);
/* Stale connections on show by cgroup, those of each tier apart. */
const struct tally_cgroup *census_cgroups(const struct census *census, enum tier tier,
					  size_t *ret_count);
uint64_t census_sockets(const struct census *census);      /* on show, listeners included */
uint64_t census_wiped_closes(const struct census *census); /* since the start */

#endif
