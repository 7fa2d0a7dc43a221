/*
 * stale: a rule a reason, and the first that applies. Must not know where the clocks come from.
 */
#include "tcphealth/model/stale.h"

#include "tcphealth/source/source.h"

#include <stddef.h>

#define IN(state) TCP_STATE_BIT(TCP_STATE_##state)

#define UNASKED_BYTES      1024u /* of session tickets, or of a farewell */
#define HANDSHAKE_SEGMENTS 4u    /* with data, that a client sends in a TLS handshake */
#define UNASKED_MS         1000u /* what comes so long after the last was sent answers nothing */

/* -- what must be so ---------------------------------------------------------------------------------- */

static bool is_probed(const struct stale_look *look)
{
	return look->sock->timer == TCP_TIMER_KEEPALIVE && look->sock->probes != 0;
}

static bool is_unanswered(const struct stale_look *look)
{
	return look->send == STALE_SEND_UNANSWERED || look->send == STALE_SEND_KEPT_HERE;
}

static bool stays_here(const struct stale_look *look)
{
	return look->send == STALE_SEND_KEPT_HERE;
}

static bool client_waits(const struct stale_look *look)
{
	return look->peer_waits;
}

/* In a closing state a FIN alone (wqueue 1) waits for no room. */
static bool window_is_shut(const struct stale_look *look)
{
	unsigned int state = look->sock->state;

	return look->send == STALE_SEND_SHUT &&
	       (state == TCP_STATE_ESTABLISHED || state == TCP_STATE_CLOSE_WAIT ||
		look->sock->wqueue > 1);
}

static uint64_t bytes_read(const struct tcpsock *sock)
{
	return sock->bytes_received > sock->rqueue ? sock->bytes_received - sock->rqueue : 0;
}

/*
 * TLS 1.3: the server's session tickets follow the handshake, and a client that has nothing to ask leaves them. Nothing has moved since, and
 * what was sent before is no more than a handshake.
 */
static bool is_session_ticket(const struct stale_look *look)
{
	const struct tcpsock *sock = look->sock;
	uint32_t apart_ms = sock->last_data_sent_ms > sock->last_data_recv_ms
				    ? sock->last_data_sent_ms - sock->last_data_recv_ms
				    : sock->last_data_recv_ms - sock->last_data_sent_ms;

	return sock->state == TCP_STATE_ESTABLISHED && look->entry->role == ROLE_CLIENT &&
	       sock->rqueue <= UNASKED_BYTES && bytes_read(sock) != 0 &&
	       tcpsock_knows(sock, TCPSOCK_DATA_SEGS) &&
	       sock->data_segs_out <= HANDSHAKE_SEGMENTS && apart_ms < UNASKED_MS;
}

/*
 * A server that drops an idle connection may say so first: TLS close_notify, HTTP 408. It spoke after a pause, unasked, and closed at once. Who
 * has read all before it and is behind with that alone is an idle pool, not a program that hangs.
 */
static bool is_farewell(const struct stale_look *look)
{
	const struct tcpsock *sock = look->sock;

	return sock->state == TCP_STATE_CLOSE_WAIT && look->entry->role == ROLE_CLIENT &&
	       tcpsock_unread(sock) <= UNASKED_BYTES && bytes_read(sock) != 0 &&
	       sock->last_data_recv_ms < look->clock[STALE_AGE] + UNASKED_MS &&
	       sock->last_data_sent_ms >= sock->last_data_recv_ms + UNASKED_MS;
}

/* What comes after shutdown(SHUT_RD) nobody is going to read. */
static bool leaves_data(const struct stale_look *look)
{
	const struct tcpsock *sock = look->sock;

	if (tcpsock_unread(sock) == 0 || sock->inode == 0 || !look->entry->has_read)
		return false;
	if (sock->state == TCP_STATE_ESTABLISHED && (sock->shutdown & TCPSOCK_SHUT_RECEIVE))
		return false;
	return !is_session_ticket(look) && !is_farewell(look);
}

/* Most have read everything. */
static inline bool is_behind(const struct stale_look *look)
{
	return look->sock->rqueue != 0 && leaves_data(look);
}

/* With tcp_info all else has been ruled out before; without it, data may lie before the end. */
static bool end_is_unread(const struct stale_look *look)
{
	const struct tcpsock *sock = look->sock;

	return sock->rqueue == 1 || (sock->rqueue > 1 && tcpsock_knows(sock, TCPSOCK_INFO));
}

static bool queues_are_empty(const struct stale_look *look)
{
	return look->sock->rqueue == 0 && look->sock->wqueue == 0;
}

/* Orphans the kernel reaps by itself. */
static bool waits_for_the_end(const struct stale_look *look)
{
	return look->sock->inode != 0 && look->sock->rqueue == 0;
}

/* A deferred accept waits for data and sends no SYN-ACK again until its time is over. */
static bool handshake_is_repeated(const struct stale_look *look)
{
	return look->sock->timer_retransmits >= 2;
}

static bool nothing_would_notice(const struct stale_look *look)
{
	unsigned int timer = look->sock->timer;
	bool armed = timer == TCP_TIMER_RETRANSMIT || timer == TCP_TIMER_KEEPALIVE ||
		     timer == TCP_TIMER_PROBE;

	return !armed && look->entry->keepalive != KEEPALIVE_ON && !look->entry->inside;
}

/* -- the rules ---------------------------------------------------------------------------------------- */

#define STAYS_HERE_NEXT                                                                            \
	"Is an interface down, or does a packet filter here drop it? Neither {unit} nor the peer " \
	"is to blame."

static const struct stale_rule rule_NONE = { 0 };

static const struct stale_rule rule_DEAD = {
	.where = STALE_GONE,
	.needs = SOURCE_INFO | SOURCE_EVENTS, /* known by its cookie */
	.clock = STALE_AGE,
	.since = STALE_AGE,
	.meaning = "reset or timed out, but still held by its program",
	.form = { {
		.blame = STALE_BLAMES_PROGRAM,
		.restart = true,
		.verdict = "{connections}: reset or timed out[ {age} ago], still held by {unit}",
		.next = "A program must close its socket after an error, too: {restart} to free "
			"the "
			"descriptors. ss no longer shows them.",
	} },
};

static const struct stale_rule rule_UNACCEPTED = {
	.where = STALE_QUEUED,
	.clock = STALE_WAITING,
	.since = STALE_WAITING,
	.meaning = "the handshake is finished, but the program has not accepted it",
	.look = "ss -tlnp{filter}",
	.form = { {
		.blame = STALE_BLAMES_PROGRAM,
		.restart = true,
		.verdict =
			"{connections}: the handshake finished[ {age} ago], not accepted by {unit}",
		.next = "Before a restart, check the threads and the log of {unit}: is it blocked, "
			"or out of file descriptors?",
	} },
};

static const struct stale_rule rule_EOF_UNREAD = {
	.where = IN(CLOSE_WAIT),
	.clock = STALE_STILL,
	.since = STALE_STILL,
	.holds = end_is_unread,
	.meaning = "the peer closed, and the program here has not noticed",
	.look = "ss -tnp state close-wait{filter}",
	.form = {
		{
			.of = STALE_OF_CLIENTS,
			.blame = STALE_BLAMES_PROGRAM,
			.harmless = true,
			.verdict = "{connections}: closed by the peer[ {age} ago], unnoticed by {unit}",
			.next = "Harmless in an idle pool, which notices at its next use. If "
				"connects to this port fail, or the number grows, check the "
				"threads of {unit}.",
		},
		{
			.blame = STALE_BLAMES_PROGRAM,
			.restart = true,
			.verdict = "{connections}: closed by the client[ {age} ago], unnoticed by "
				   "{unit}",
			.next = "Before a restart, check the threads of {unit}: are they blocked "
				"or overloaded?",
		},
	},
};

static const struct stale_rule rule_CLOSE_WAIT = {
	.where = IN(CLOSE_WAIT),
	.clock = STALE_STILL,
	.since = STALE_STILL,
	.holds = queues_are_empty,
	.meaning = "the peer closed, the program here has read everything and does not close",
	.look = "ss -tnp state close-wait{filter}",
	.form = {
		{
			.of = STALE_OF_SERVERS,
			.holds = client_waits,
			.blame = STALE_BLAMES_PROGRAM,
			.verdict = "{connections}: the client closed its half and still waits, "
				   "{unit} has not closed[ for {age}]",
			.next = "The client still waits for an answer: {unit} is working on it, or "
				"has forgotten to close.",
		},
		{
			.of = STALE_OF_SERVERS,
			.blame = STALE_BLAMES_PROGRAM,
			.restart = true,
			.verdict = "{connections}: closed by the client and read to the end, but "
				   "{unit} has not closed[ for {age}]",
			.next = "Unless work for {it} is still under way, this is a leak of "
				"descriptors: {restart}, then find the missing close().",
		},
		{
			.blame = STALE_BLAMES_PROGRAM,
			.restart = true,
			.verdict = "{connections}: closed by the peer[ {age} ago] and read to the "
				   "end, but not closed by {unit}",
			.next = "This is a leak of descriptors, and nothing else frees them: "
				"{restart}, then find the missing close().",
		},
	},
};

static const struct stale_rule rule_FIN_WAIT2 = {
	.where = IN(FIN_WAIT2),
	.clock = STALE_STILL,
	.since = STALE_STILL,
	.holds = waits_for_the_end,
	.meaning = "closed here, no close of the peer has arrived, and nothing moves",
	.look = "ss -tnp state fin-wait-2{filter}",
	.form = { {
		.blame = STALE_BLAMES_PEER_PROGRAM,
		.verdict = "{connections}: shut down by {unit}[ {age} ago], but no close of the "
			   "peer has arrived",
		.next = "The fault is at the peer, which has {it} in CLOSE_WAIT. close() in {unit} "
			"would free {it} without waiting for the peer.",
	} },
};

static const struct stale_rule rule_CLOSING = {
	.where = IN(FIN_WAIT1) | IN(CLOSING) | IN(LAST_ACK),
	.clock = STALE_UNACKED,
	.since = STALE_UNACKED,
	.holds = is_unanswered,
	.meaning = "closed here, and the peer does not acknowledge it",
	.look = "ss -tnpo state fin-wait-1 state closing state last-ack{filter}",
	.form = {
		{
			.holds = stays_here,
			.blame = STALE_BLAMES_HOST,
			.verdict = "{connections}: closed here[ {age} ago], but the rest does not "
				   "leave this host",
			.next = STAYS_HERE_NEXT,
		},
		{
			.blame = STALE_BLAMES_PATH,
			.verdict = "{connections}: closed here[ {age} ago], but the peer does not "
				   "acknowledge it",
			.next = "Is the peer gone, or the path to it? The kernel gives up after "
				"some minutes.",
		},
	},
};

static const struct stale_rule rule_SYN_SENT = {
	.where = IN(SYN_SENT),
	.clock = STALE_AGE,
	.since = STALE_AGE,
	.meaning = "connecting, and nobody answers",
	.look = "ss -tnpo state syn-sent{filter}",
	.form = { {
		.blame = STALE_BLAMES_PATH,
		.verdict = "{connections} of {unit}: connecting[ for {age}], but nobody answers",
		.next = "Is the peer down, or does a firewall drop the packets? The kernel tries "
			"for about two minutes.",
	} },
};

static const struct stale_rule rule_SYN_RECV = {
	.where = IN(SYN_RECV),
	.known = TCPSOCK_MINI | TCPSOCK_COOKIE,
	.needs = SOURCE_INFO,
	.clock = STALE_AGE,
	.since = STALE_AGE,
	.holds = handshake_is_repeated,
	.meaning = "answered, but the peer never finishes the handshake",
	.look = "ss -tno state syn-recv{filter}",
	.form = { {
		.blame = STALE_BLAMES_PATH,
		.verdict = "{connections}: answered[ for {age}], but the peer never finishes the "
			   "handshake",
		.next = "A few are port scans. If known clients do this: is the path back to them "
			"filtered, or the accept queue full?",
	} },
};

static const struct stale_rule rule_KEEPALIVE = {
	.where = IN(ESTABLISHED),
	.clock = STALE_PROBES,
	.since = STALE_SILENCE,
	.counts = "probe",
	.holds = is_probed,
	.meaning = "keepalive probes go unanswered",
	.look = "ss -tnpo state established{filter}",
	.form = { {
		.blame = STALE_BLAMES_PATH,
		.verdict = "{connections}: the peer does not answer keepalive probes[, silent for "
			   "{age}]",
		.next = "The peer is gone, or the path to it. The kernel ends {it} after the last "
			"probe; there is nothing to do here.",
	} },
};

static const struct stale_rule rule_RETRANSMIT = {
	.where = IN(ESTABLISHED) | IN(CLOSE_WAIT),
	.clock = STALE_UNACKED,
	.since = STALE_UNACKED,
	.holds = is_unanswered,
	.meaning = "sent data goes unacknowledged",
	.look = "ss -tnpoi state established state close-wait{filter}",
	.form = {
		{
			.holds = stays_here,
			.blame = STALE_BLAMES_HOST,
			.verdict = "{connections}: data does not leave this host[ for {age}]",
			.next = STAYS_HERE_NEXT,
		},
		{
			.blame = STALE_BLAMES_PATH,
			.verdict = "{connections}: data goes out, but the peer has acknowledged "
				   "nothing[ for {age}]",
			.next = "Is the peer gone, or the path to it? The kernel tries for about "
				"15 minutes; TCP_USER_TIMEOUT in {unit} would shorten that.",
		},
	},
};

static const struct stale_rule rule_ZERO_WINDOW = {
	.where = IN(ESTABLISHED) | IN(CLOSE_WAIT) | IN(FIN_WAIT1) | IN(CLOSING) | IN(LAST_ACK),
	.known = TCPSOCK_INFO,
	.needs = SOURCE_INFO,
	.clock = STALE_BLOCKED,
	.since = STALE_BLOCKED,
	.holds = window_is_shut,
	.meaning = "the peer answers, but its program does not read",
	.look = "ss -tnpoi state connected{filter}",
	.form = { {
		.blame = STALE_BLAMES_PEER_PROGRAM,
		.verdict = "{connections}: the peer answers, but its program has read nothing[ for "
			   "{age}]",
		.next = "Check the program at the peer. Without TCP_USER_TIMEOUT in {unit} this "
			"never ends by itself.",
	} },
};

static const struct stale_rule rule_UNREAD = {
	.where = IN(ESTABLISHED) | IN(FIN_WAIT2) | IN(CLOSE_WAIT),
	.known = TCPSOCK_INFO,
	.needs = SOURCE_INFO,
	.clock = STALE_BEHIND,
	.since = STALE_BEHIND,
	.holds = is_behind,
	.meaning = "data has arrived, but the program here does not read it",
	.look = "ss -tnp state connected{filter}",
	.form = { {
		.blame = STALE_BLAMES_PROGRAM,
		.restart = true,
		.verdict = "{connections}: data has arrived, but not been read by {unit}[ for "
			   "{age}]",
		.next = "Check the threads of {unit}: are they blocked or overloaded? Recv-Q shows "
			"the unread bytes.",
	} },
};

static const struct stale_rule rule_IDLE = {
	.where = IN(ESTABLISHED),
	.known = TCPSOCK_INFO,
	.needs = SOURCE_INFO,
	.clock = STALE_SILENCE,
	.since = STALE_SILENCE,
	.holds = nothing_would_notice,
	.meaning = "silent, and nothing would ever notice a dead peer",
	.look = "ss -tnpo state established{filter}",
	.form = { {
		.blame = STALE_BLAMES_NOBODY,
		.harmless = true,
		.verdict = "{connections} of {unit}: silent[ for {age}], and nothing would ever "
			   "notice a dead peer",
		.next = "The peer may be long gone. Let {unit} set SO_KEEPALIVE or send heartbeats "
			"of its own.",
	} },
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

static bool fits(const struct stale_form *form, enum role role, const struct stale_look *look)
{
	if (form->of == (role == ROLE_SERVER ? STALE_OF_CLIENTS : STALE_OF_SERVERS))
		return false;
	return form->holds == NULL || (look != NULL && form->holds(look));
}

unsigned int stale_form(enum stale_reason reason, enum role role, const struct stale_look *look)
{
	const struct stale_rule *rule = stale_rule(reason);
	unsigned int i = 0;

	while (i + 1 < STALE_FORMS && !fits(&rule->form[i], role, look))
		i++;
	return i;
}

const char *stale_blame_name(enum stale_blame blame)
{
	static const char *const names[] = {
		[STALE_BLAMES_NOBODY] = "nobody",
		[STALE_BLAMES_PROGRAM] = "program",
		[STALE_BLAMES_PEER_PROGRAM] = "peer_program",
		[STALE_BLAMES_PATH] = "path",
		[STALE_BLAMES_HOST] = "host",
	};

	return names[blame];
}

static inline bool facts_hold(const struct stale_look *look, const struct stale_rule *rule)
{
	return (rule->known == 0 || tcpsock_knows(look->sock, rule->known)) &&
	       (rule->holds == NULL || rule->holds(look));
}

/*
 * Written out by the list instead of a loop over the rules, which takes 240 instructions more: so the compiler knows each rule,
 * and for the many established connections leaves out those of other states.
 */
enum stale_reason stale_judge(const struct stale_look *look, uint32_t where, uint64_t *ret_ms)
{
#define TRY(x, ID, ...)                                                                            \
	if ((rule_##ID.where & (x)) != 0 && facts_hold(look, &rule_##ID)) {                        \
		if (look->clock[rule_##ID.clock] < look->thresholds->least[STALE_##ID])            \
			return STALE_NONE;                                                         \
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
