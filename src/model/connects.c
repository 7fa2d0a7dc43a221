/*
 * connects: the rule, and the counters that settle what an event leaves open. Knows no interface.
 */
#include "tcphealth/model/connects.h"

#include "tcphealth/base/array.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ATTEMPTS_MAX 65536u /* between two samples; those beyond are lost */
#define MINUTE_MS    60000u
#define HOUR_MS      3600000u

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct connects {
	struct connects_attempt *attempts;
	size_t count, cap;
	struct connects_budget budget;
	struct connects_peer peers[CONNECTS_PEERS];
	size_t peer_count;
};

const char *connects_failure_name(unsigned int failure)
{
#define NAME(x, ID, label, ...) [CONNECTS_##ID] = (label),
	static const char *const names[] = { CONNECTS_LIST(NAME, ) };

	return names[failure];
}

const char *connects_failure_words(unsigned int failure)
{
#define WORDS(x, ID, label, alarms, words, ...) [CONNECTS_##ID] = (words),
	static const char *const words[] = { CONNECTS_LIST(WORDS, ) };

	return words[failure];
}

bool connects_failure_alarms(unsigned int failure)
{
#define ALARMS(x, ID, label, alarms, ...) [CONNECTS_##ID] = (alarms),
	static const bool alarms[] = { CONNECTS_LIST(ALARMS, ) };

	return alarms[failure];
}

struct connects *connects_new(void)
{
	return calloc(1, sizeof(struct connects));
}

void connects_free(struct connects *c)
{
	if (!c)
		return;
	free(c->attempts);
	free(c);
}

static uint16_t saturated(uint32_t value)
{
	return value < UINT16_MAX ? (uint16_t)value : UINT16_MAX;
}

struct connects_attempt connects_attempt_of(const struct tcpdeath *death)
{
	bool wiped = death->remote_port == 0;

	return (struct connects_attempt){
		.remote = death->remote,
		.port = death->remote_port,
		.segs_out = saturated(death->segs_out),
		.segs_in = saturated(death->segs_in),
		.retransmits = death->retransmits,
		.total_retrans = saturated(death->total_retrans),
		.wiped = wiped,
		.ipv6 = (death->flags & TCPDEATH_IPV6) != 0,
		.never_sent =
			wiped && (death->flags & TCPDEATH_NOTSENT) && death->notsent_bytes == 0,
	};
}

int connects_add(struct connects *c, const struct connects_attempt *attempt)
{
	if (c->count == ATTEMPTS_MAX ||
	    !array_room((void **)&c->attempts, &c->cap, c->count, sizeof(*c->attempts)))
		return -ENOMEM;
	c->attempts[c->count++] = *attempt;
	return 0;
}

/* -- the rule ---------------------------------------------------------------------------------- */

/* True if there was one left. */
static bool take(uint64_t *left)
{
	if (*left == 0)
		return false;
	--*left;
	return true;
}

/* The older ones go first. */
static bool take_icmp(struct connects_budget *budget)
{
	if (!take(&budget->locked_icmps))
		return false;
	if (budget->locked_icmps_fresh > budget->locked_icmps)
		budget->locked_icmps_fresh = budget->locked_icmps;
	return true;
}

/* The kernel has counted it as a failed attempt. */
static enum connects_failure claim(struct connects_budget *budget, enum connects_failure failure)
{
	(void)take(&budget->attempt_fails);
	return failure;
}

/* And its timer as the reason. */
static enum connects_failure claim_timer(struct connects_budget *budget,
					 enum connects_failure failure)
{
	(void)take(&budget->timeouts);
	return claim(budget, failure);
}

static bool was_sent_again(const struct connects_attempt *attempt)
{
	return attempt->retransmits != 0 || attempt->total_retrans != 0;
}

/* One segment came back: a reset. More are challenge ACKs, and it was the program that gave up. */
static bool was_reset(const struct connects_attempt *attempt)
{
	return !attempt->wiped && attempt->segs_in == 1;
}

/* The kernel tried again and again, but never had anything to send again. */
static bool never_left(const struct connects_attempt *attempt)
{
	return !attempt->wiped && attempt->retransmits != 0 && attempt->total_retrans == 0;
}

/* Needs no counter to be decided. `aborted`: some wiped ones may be closes with SO_LINGER 0. */
static bool is_certain(const struct connects_attempt *attempt, uint32_t syn_limit, bool aborted)
{
	if (attempt->wiped && !was_sent_again(attempt) && !aborted)
		return true;
	return attempt->never_sent || was_reset(attempt) || never_left(attempt) ||
	       attempt->retransmits >= syn_limit;
}

static enum connects_failure decide_sent_again(const struct connects_attempt *attempt,
					       struct connects_budget *budget)
{
	/* An ICMP error came while connect() held the socket; the next one, a second later, ended it. */
	if (attempt->wiped && take_icmp(budget))
		return claim(budget, CONNECTS_REFUSED);
	/* TCP_USER_TIMEOUT or TCP_SYNCNT. */
	if (budget->timeouts != 0)
		return claim_timer(budget, CONNECTS_TIMEOUT);
	if (attempt->wiped)
		return claim(budget, CONNECTS_REFUSED);
	/* Nobody answered, and the program gave up; or else an ICMP error. */
	return take(&budget->attempt_fails) ? CONNECTS_REFUSED : CONNECTS_TIMEOUT;
}

static enum connects_failure decide_sent_once(const struct connects_attempt *attempt,
					      struct connects_budget *budget)
{
	if (take(&budget->attempt_fails))
		return CONNECTS_REFUSED;
	/* Or closed with SO_LINGER 0. */
	if (attempt->wiped)
		return take(&budget->aborts_on_data) ? CONNECTS_ABANDONED : CONNECTS_REFUSED;
	return take_icmp(budget) ? CONNECTS_REFUSED : CONNECTS_ABANDONED;
}

enum connects_failure connects_decide(const struct connects_attempt *attempt,
				      struct connects_budget *budget, uint32_t syn_limit, bool full)
{
	bool at_limit = attempt->retransmits >= syn_limit;

	/* IPv6 sets the address before it looks for a route, and a missing one looks like a missing port. */
	if (attempt->never_sent)
		return attempt->ipv6 && !full ? CONNECTS_NO_ROUTE : CONNECTS_NO_LOCAL_PORT;
	if (was_reset(attempt))
		return claim(budget, CONNECTS_REFUSED);
	if (never_left(attempt))
		return at_limit ? claim_timer(budget, CONNECTS_UNREACHABLE)
				: claim(budget, CONNECTS_UNREACHABLE);
	if (at_limit)
		return claim_timer(budget, CONNECTS_TIMEOUT);
	return was_sent_again(attempt) ? decide_sent_again(attempt, budget)
				       : decide_sent_once(attempt, budget);
}

/* -- the counters ------------------------------------------------------------------------------ */

static void grow_budget(struct connects_budget *budget, const struct netstat *growth)
{
	uint64_t fails = growth->value[NETSTAT_ATTEMPT_FAILS];
	uint64_t embryonic = growth->value[NETSTAT_EMBRYONIC_RSTS];
	uint64_t icmps = growth->value[NETSTAT_LOCK_DROPPED_ICMPS];

	/* A reset of a handshake that a server had begun counts as both. */
	budget->attempt_fails = fails > embryonic ? fails - embryonic : 0;
	budget->aborts_on_data = growth->value[NETSTAT_ABORT_ON_DATA];
	budget->locked_icmps = budget->locked_icmps_fresh + icmps;
	budget->locked_icmps_fresh = icmps;
	budget->timeouts += growth->value[NETSTAT_ABORT_ON_TIMEOUT];
}

/* -- the peers --------------------------------------------------------------------------------- */

/* In place of the one that has not failed for longest, if need be. */
static struct connects_peer *find_peer(struct connects *c, const struct connects_attempt *attempt,
				       enum connects_failure failure, uint64_t now_ms)
{
	struct connects_peer *oldest = &c->peers[0];

	for (size_t i = 0; i < c->peer_count; i++) {
		struct connects_peer *peer = &c->peers[i];

		if (peer->failure == failure && peer->port == attempt->port &&
		    memcmp(&peer->remote, &attempt->remote, sizeof(peer->remote)) == 0)
			return peer;
		if (peer->last_ms < oldest->last_ms)
			oldest = peer;
	}
	if (c->peer_count < CONNECTS_PEERS)
		oldest = &c->peers[c->peer_count++];
	*oldest = (struct connects_peer){
		.remote = attempt->remote,
		.port = attempt->port,
		.failure = (uint8_t)failure,
		.first_ms = now_ms,
	};
	return oldest;
}

static void note_peer(struct connects *c, const struct connects_attempt *attempt,
		      enum connects_failure failure, uint64_t now_ms)
{
	struct connects_peer *peer = find_peer(c, attempt, failure, now_ms);

	peer->failed_ms[peer->count++ % COUNT(peer->failed_ms)] = now_ms;
	peer->last_ms = now_ms;
	if (attempt->cgroup_id != 0)
		peer->cgroup_id = attempt->cgroup_id;
}

int connects_settle(struct connects *c, const struct netstat *growth,
		    const struct netsysctl *sysctl, uint64_t now_ms, connects_full_fn full_fn,
		    connects_fn fn, void *arg)
{
	uint32_t limit = sysctl->value[NETSYSCTL_SYN_RETRIES] + sysctl->value[NETSYSCTL_SYN_LINEAR];
	bool aborted;
	int error = 0;

	grow_budget(&c->budget, growth);
	aborted = c->budget.aborts_on_data != 0;
	for (int certain = 1; certain >= 0; certain--) {
		for (size_t i = 0; i < c->count; i++) {
			struct connects_attempt *attempt = &c->attempts[i];
			enum connects_failure failure;
			bool full;
			int r;

			if (is_certain(attempt, limit, aborted) != (certain != 0))
				continue;
			full = attempt->never_sent &&
			       full_fn(arg, &attempt->remote, &attempt->port);
			failure = connects_decide(attempt, &c->budget, limit, full);
			note_peer(c, attempt, failure, now_ms);
			r = fn(arg, attempt, failure);
			if (error == 0)
				error = r;
		}
	}
	c->count = 0;
	return error;
}

const struct connects_peer *connects_peers(const struct connects *c, size_t *ret_count)
{
	*ret_count = c->peer_count;
	return c->peers;
}

static bool is_to_be_told(const struct connects_peer *peer, uint64_t now_ms)
{
	size_t most = COUNT(peer->failed_ms);

	if (!connects_failure_alarms(peer->failure) || peer->count < most ||
	    now_ms - peer->failed_ms[peer->count % most] > MINUTE_MS)
		return false;
	return peer->told_ms == 0 || now_ms - peer->told_ms >= HOUR_MS;
}

const struct connects_peer *connects_next_told(struct connects *c, uint64_t now_ms)
{
	for (size_t i = 0; i < c->peer_count; i++) {
		if (!is_to_be_told(&c->peers[i], now_ms))
			continue;
		c->peers[i].told_ms = now_ms;
		return &c->peers[i];
	}
	return NULL;
}
