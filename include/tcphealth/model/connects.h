/*
 * connects: why attempts to connect failed.
 *
 * A destroy event does not always say how an attempt ended, and the kernel's own counters do not
 * say for whom: together they tell. Failed attempts are kept until the counters are read, after the
 * last event of a sample; then each takes its share of what the counters grew by. Remembers the
 * peers of the last failures. Knows events and counters; must not know pairs, formats or
 * interfaces. One thread.
 *
 * docs/kernel.md says what the kernel shows of each way to fail.
 */
#pragma once

#include "tcphealth/source/events.h"
#include "tcphealth/source/netstat.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * C(x, ID, label, alarms, words, meaning): how an attempt failed; whether somebody should be told:
 * what programs do all day is no alarm; "3 connects WORDS".
 */
#define CONNECTS_LIST(C, x)                                                                        \
	C(x, REFUSED, "refused", true, "refused", "a reset or an ICMP error came back")            \
	C(x, UNREACHABLE, "unreachable", true, "unreachable",                                      \
	  "the SYN never left this host (no neighbour, link down), a lower bound")                 \
	C(x, TIMEOUT, "timeout", true, "timed out", "the SYN was retransmitted without an answer") \
	C(x, NO_LOCAL_PORT, "no_local_port", true, "without a local port",                         \
	  "all local ports were taken")                                                            \
	C(x, NO_ROUTE, "no_route", false, "without a route", "IPv6 without a route")               \
	C(x, ABANDONED, "abandoned", false, "abandoned", "closed before an answer")

#define CONNECTS_ENUMERATOR(x, ID, ...) CONNECTS_##ID,
enum connects_failure { CONNECTS_LIST(CONNECTS_ENUMERATOR, ) CONNECTS_FAILURES };

/* "no_local_port" */
const char *connects_failure_name(unsigned int failure);
/* "without a local port" */
const char *connects_failure_words(unsigned int failure);
bool connects_failure_alarms(unsigned int failure);

/* One failed attempt: what its destroy event said, and what a sample knew of its socket. */
struct connects_attempt {
	struct in6_addr remote;
	uint64_t cgroup_id; /* 0: unknown */
	uint16_t port;      /* remote; 0: unknown */
	/* These four saturate. */
	uint16_t segs_out, segs_in, retransmits, total_retrans;
	/* By tcp_disconnect(): the event's remote port and counters are gone. */
	bool wiped;
	/* Of an AF_INET6 socket, whatever the address. */
	bool ipv6;
	/* Wiped, and not even a SYN was queued. */
	bool never_sent;
};

/* The growth of counters that no attempt has claimed yet. */
struct connects_budget {
	/* Of this sample alone. */
	uint64_t attempt_fails, aborts_on_data;
	/*
	 * Of this sample and the one before; of this one. An ICMP error comes a second before the
	 * event.
	 */
	uint64_t locked_icmps, locked_icmps_fresh;
	/* Until claimed: counted when the timer fires, while the event waits for close(2). */
	uint64_t timeouts;
};

/* Failures of attempts to one address and port, for one reason. */
struct connects_peer {
	struct in6_addr remote;
	uint16_t port;   /* 0: unknown */
	uint8_t failure; /* enum connects_failure */
	uint64_t count;
	/* Of the last attempt that a sample saw; 0: of none. */
	uint64_t cgroup_id;
	uint64_t first_ms, last_ms; /* monotonic */
	/*
	 * When the last of them failed, in a ring of `count`; and when connects_next_told() gave
	 * it, 0: never.
	 */
	uint64_t failed_ms[5];
	uint64_t told_ms;
};
#define CONNECTS_PEERS 64

struct connects;

/* NULL when out of memory. */
struct connects *connects_new(void);
void connects_free(struct connects *connects);

/* What the event of a failed connect says; the cgroup is not known. */
struct connects_attempt connects_attempt_of(const struct tcpdeath *death);

/* Keeps an attempt until connects_settle(). 0 or -ENOMEM. */
int connects_add(struct connects *connects, const struct connects_attempt *attempt);

/*
 * Whether all local ports towards that address are taken; *ret_port is the remote port for which
 * they are, 0 if it is not known or not the only one.
 */
typedef bool (*connects_full_fn)(void *arg, const struct in6_addr *remote, uint16_t *ret_port);

/* Takes an attempt and why it failed. 0 or -ENOMEM. */
typedef int (*connects_fn)(void *arg, const struct connects_attempt *attempt,
			   enum connects_failure failure);

/*
 * Decides on all attempts that were added, those that need no counter first. `growth`: of the
 * kernel's counters since the last call, read after the last event. 0, or the first error of `fn`;
 * no attempt is left in any case.
 */
int connects_settle(struct connects *connects, const struct netstat *growth,
		    const struct netsysctl *sysctl, uint64_t now_ms, connects_full_fn full_fn,
		    connects_fn fn, void *arg);

/*
 * The peers of the last failures, at most CONNECTS_PEERS, in no order; valid until the next
 * connects_settle().
 */
const struct connects_peer *connects_peers(const struct connects *connects, size_t *ret_count);

/*
 * A peer and reason that came to 5 failures within a minute, each at most once an hour, none that
 * does not alarm; NULL when there is no further one.
 */
const struct connects_peer *connects_next_told(struct connects *connects, uint64_t now_ms);

/*
 * The rule, apart from its memory: takes what it needs from the budget. `full` as of
 * connects_full_fn.
 */
enum connects_failure connects_decide(const struct connects_attempt *attempt,
				      struct connects_budget *budget, uint32_t syn_limit,
				      bool full);
