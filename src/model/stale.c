/*
 * stale: a rule a reason, and the first that applies. Must not know where the clocks come from.
 */
#include "tcphealth/model/stale.h"

#include "tcphealth/source/source.h"

#include <stddef.h>

#define IN(state) TCP_STATE_BIT(TCP_STATE_##state)

_Static_assert(STALE_REASONS <= 16, "struct track_entry has four bits for a reason");

/* -- what must be so ---------------------------------------------------------------------------------- */

/* Orphans the kernel reaps by itself. */
static bool is_held(const struct stale_look *look)
{
	return look->sock->inode != 0;
}

static bool is_probed(const struct stale_look *look)
{
	return look->sock->timer == TCP_TIMER_KEEPALIVE;
}

/* A window probe that is merely out is no sign: several, or one that is overdue. */
static bool is_unanswered(const struct stale_look *look)
{
	const struct tcpsock *sock = look->sock;

	if (!look->entry->is_blocked)
		return false;
	if (sock->timer == TCP_TIMER_RETRANSMIT)
		return sock->retransmits != 0;
	if (sock->timer != TCP_TIMER_PROBE)
		return false;
	return sock->probes >= 2 ||
	       (sock->probes == 1 &&
		look->clock[STALE_OVERDUE] >= look->thresholds->least[STALE_RETRANSMIT]);
}

/* Less than one segment: the peer's program does not read. A window probe alone may be this host's own trouble. */
static bool window_is_shut(const struct stale_look *look)
{
	const struct tcpsock *sock = look->sock;

	return sock->timer == TCP_TIMER_PROBE && tcpsock_knows(sock, TCPSOCK_SND_WND) &&
	       sock->snd_wnd < sock->snd_mss;
}

static bool is_behind(const struct stale_look *look)
{
	return look->sock->rqueue != 0 && look->entry->has_read;
}

static bool nothing_would_notice(const struct stale_look *look)
{
	unsigned int timer = look->sock->timer;
	bool armed = timer == TCP_TIMER_RETRANSMIT || timer == TCP_TIMER_KEEPALIVE ||
		     timer == TCP_TIMER_PROBE;

	return !armed && look->entry->keepalive != KEEPALIVE_ON;
}

/* -- the rules ---------------------------------------------------------------------------------------- */

static const struct stale_rule rule_NONE = { 0 };

static const struct stale_rule rule_DEAD = {
	.where = STALE_GONE,
	.needs = SOURCE_INFO | SOURCE_EVENTS, /* known by its cookie */
	.clock = STALE_AGE,
	.since = STALE_AGE,
	.blame = STALE_BLAMES_PROGRAM,
	.restart = true,
	.meaning = "reset or timed out, but its program still holds it",
	.verdict = "{connections}: reset or timed out[ {age} ago], still held by {unit}",
	.next = "A program must close a socket after an error, too. Restart {unit} to free the "
		"descriptors; ss no longer shows them.",
};

static const struct stale_rule rule_UNACCEPTED = {
	.where = STALE_QUEUED,
	.clock = STALE_WAITING,
	.since = STALE_WAITING,
	.blame = STALE_BLAMES_PROGRAM,
	.restart = true,
	.meaning = "the handshake is finished, and the program has not accepted it",
	.verdict = "{connections}: the handshake finished[ {age} ago], {unit} never called accept",
	.next = "Look at the threads and the log of {unit} before a restart: blocked, or out of "
		"file "
		"descriptors?",
	.look = "ss -tlnp{filter}",
};

static const struct stale_rule rule_CLOSE_WAIT = {
	.where = IN(CLOSE_WAIT),
	.clock = STALE_STILL,
	.since = STALE_STILL,
	.blame = STALE_BLAMES_PROGRAM,
	.restart = true,
	.meaning = "the peer closed, this end never did, and nothing moves",
	.verdict = "{connections}: the peer closed[ {age} ago], {unit} never called close",
	.next = "It leaks descriptors and never frees them by itself: restart {unit}, then find "
		"the missing close().",
	.look = "ss -tnp state close-wait{filter}",
};

static const struct stale_rule rule_FIN_WAIT2 = {
	.where = IN(FIN_WAIT2),
	.clock = STALE_STILL,
	.since = STALE_STILL,
	.holds = is_held,
	.blame = STALE_BLAMES_PEER_PROGRAM,
	.restart = true,
	.meaning = "this end shut down, the peer never closes, and nothing moves",
	.verdict = "{connections}: {unit} shut down this end[ {age} ago], the peer never closed",
	.next = "The fault is at the peer, in CLOSE_WAIT there. close() in {unit} would free "
		"{it}, and "
		"need not wait for the peer.",
	.look = "ss -tnp state fin-wait-2{filter}",
};

static const struct stale_rule rule_CLOSING = {
	.where = IN(FIN_WAIT1) | IN(CLOSING) | IN(LAST_ACK),
	.clock = STALE_STILL,
	.since = STALE_STILL,
	.blame = STALE_BLAMES_PATH,
	.meaning = "closed here, and the peer does not acknowledge",
	.verdict = "{connections}: closed here[ {age} ago], the peer does not acknowledge",
	.next = "Is the peer, or the way to it, gone? The kernel gives up by itself after some "
		"minutes.",
	.look = "ss -tnpo state fin-wait-1 state closing state last-ack{filter}",
};

static const struct stale_rule rule_SYN_SENT = {
	.where = IN(SYN_SENT),
	.clock = STALE_AGE,
	.since = STALE_AGE,
	.blame = STALE_BLAMES_PATH,
	.meaning = "connecting, and nobody answers",
	.verdict = "{connections} of {unit}: connecting[ for {age}], nobody answers",
	.next = "Is the peer up, and does a firewall drop the packets without a word? The kernel "
		"tries for "
		"about two minutes.",
	.look = "ss -tnpo state syn-sent{filter}",
};

static const struct stale_rule rule_KEEPALIVE = {
	.where = IN(ESTABLISHED),
	.clock = STALE_PROBES,
	.since = STALE_SILENCE,
	.counts = "probe",
	.holds = is_probed,
	.blame = STALE_BLAMES_PATH,
	.meaning = "keepalive probes stay unanswered",
	.verdict = "{connections}: the peer does not answer keepalive probes[, silent for {age}]",
	.next = "The peer or the way to it is gone. The kernel ends {it} after the last "
		"probe; nothing is to be done here.",
	.look = "ss -tnpo state established{filter}",
};

static const struct stale_rule rule_RETRANSMIT = {
	.where = IN(ESTABLISHED),
	.known = TCPSOCK_INFO,
	.needs = SOURCE_INFO,
	.clock = STALE_UNACKED,
	.since = STALE_UNACKED,
	.holds = is_unanswered,
	.blame = STALE_BLAMES_PATH,
	.meaning = "what was sent stays unacknowledged",
	.verdict = "{connections}: data goes out, the peer has acknowledged nothing[ for {age}]",
	.next = "Is the peer, or the way to it, gone? The kernel goes on for about 15 minutes; "
		"TCP_USER_TIMEOUT in {unit} would shorten that.",
	.look = "ss -tnpoi state established{filter}",
};

static const struct stale_rule rule_ZERO_WINDOW = {
	.where = IN(ESTABLISHED),
	.known = TCPSOCK_INFO,
	.needs = SOURCE_INFO,
	.clock = STALE_BLOCKED,
	.since = STALE_BLOCKED,
	.holds = window_is_shut,
	.blame = STALE_BLAMES_PEER_PROGRAM,
	.meaning = "the peer answers, but its program does not read",
	.verdict = "{connections}: the peer is alive, but its program has read nothing[ for {age}]",
	.next = "Look at the program at the other end. Without TCP_USER_TIMEOUT in {unit} this "
		"never ends by itself.",
	.look = "ss -tnpoi state established{filter}",
};

static const struct stale_rule rule_UNREAD = {
	.where = IN(ESTABLISHED),
	.known = TCPSOCK_INFO,
	.needs = SOURCE_INFO,
	.clock = STALE_BEHIND,
	.since = STALE_BEHIND,
	.holds = is_behind,
	.blame = STALE_BLAMES_PROGRAM,
	.restart = true,
	.meaning = "data has come in, and the program here does not read it",
	.verdict = "{connections}: data has waited[ {age}] to be read by {unit}",
	.next = "Look at the threads of {unit}: blocked or overloaded? Recv-Q is what waits.",
	.look = "ss -tnp state established{filter}",
};

static const struct stale_rule rule_IDLE = {
	.where = IN(ESTABLISHED),
	.known = TCPSOCK_INFO,
	.needs = SOURCE_INFO,
	.clock = STALE_SILENCE,
	.since = STALE_SILENCE,
	.holds = nothing_would_notice,
	.blame = STALE_BLAMES_NOBODY,
	.meaning = "silent, and nothing would ever notice a dead peer",
	.verdict = "{connections} of {unit}: silent[ for {age}], and nothing would notice a dead "
		   "peer",
	.next = "Perhaps half open for ever. Let {unit} set SO_KEEPALIVE, or send heartbeats of "
		"its own.",
	.look = "ss -tnpo state established{filter}",
};

/* -- what is made of them ----------------------------------------------------------------------------- */

const struct stale_rule *stale_rule(enum stale_reason reason)
{
#define RULE(x, ID, ...) [STALE_##ID] = &rule_##ID,
	static const struct stale_rule *const rules[STALE_REASONS] = { &rule_NONE,
								       STALE_LIST(RULE, ) };

	return (size_t)reason < STALE_REASONS ? rules[reason] : &rule_NONE;
}

const char *stale_reason_name(enum stale_reason reason)
{
#define NAME(x, ID, label, ...) [STALE_##ID] = (label),
	static const char *const names[STALE_REASONS] = { "none", STALE_LIST(NAME, ) };

	return (size_t)reason < STALE_REASONS ? names[reason] : names[STALE_NONE];
}

static inline bool applies(const struct stale_look *look, const struct stale_rule *rule,
			   enum stale_reason reason)
{
	return look->clock[rule->clock] >= look->thresholds->least[reason] &&
	       (rule->known == 0 || tcpsock_knows(look->sock, rule->known)) &&
	       (rule->holds == NULL || rule->holds(look));
}

/*
 * Written out by the list instead of a loop over the rules, which takes 240 instructions more: so the compiler knows each rule,
 * and for the many established connections leaves out those of other states.
 */
enum stale_reason stale_judge(const struct stale_look *look, uint32_t where, uint64_t *ret_ms)
{
#define TRY(x, ID, ...)                                                                            \
	if ((rule_##ID.where & (x)) != 0 && applies(look, &rule_##ID, STALE_##ID)) {               \
		*ret_ms = look->clock[rule_##ID.since];                                            \
		return STALE_##ID;                                                                 \
	}
	if (where == IN(ESTABLISHED)) {
		STALE_LIST(TRY, IN(ESTABLISHED))
	} else {
		STALE_LIST(TRY, where)
	}
	return STALE_NONE;
}
