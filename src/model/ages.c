/*
 * ages: ages, staleness and keepalive of one socket. Knows TCP's timers; no ports, no counters, no sources.
 */
#include "tcphealth/model/ages.h"

#define TIME_WAIT_MS   60000u  /* TCP_TIMEWAIT_LEN, not a sysctl */
#define SYN_RTO_MS     1000u   /* TCP_TIMEOUT_INIT */
#define RTO_MAX_MS     120000u /* TCP_RTO_MAX */
#define KEEPIDLE_MAX_S 32767u  /* MAX_TCP_KEEPIDLE */
#define DOUBLINGS_MAX  16u     /* beyond it any timeout has reached RTO_MAX_MS */

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

uint32_t ages_tick(uint64_t mono_ms)
{
	return (uint32_t)(mono_ms / TRACK_TICK_MS);
}

uint64_t ages_since(uint64_t now_ms, uint32_t tick)
{
	uint32_t ticks = ages_tick(now_ms) - tick;

	/* A moment is never ahead of now but by rounding. */
	return ticks == UINT32_MAX ? 0 : (uint64_t)ticks * TRACK_TICK_MS;
}

/* The tick `age_ms` ago, rounded up so that no age read back is longer. Before the boot the difference wraps, as ticks do. */
static uint32_t tick_ago(uint64_t now_ms, uint64_t age_ms)
{
	return ages_tick(now_ms - age_ms + TRACK_TICK_MS - 1);
}

/* Time since the peer was heard, by the kernel's own measure (net/ipv4/tcp_timer.c: keepalive_time_elapsed). */
static uint64_t kernel_silence_ms(const struct tcpsock *sock)
{
	return min_u64(sock->last_data_recv_ms, sock->last_ack_recv_ms);
}

/* Time since the timer that is running now was armed. */
static uint64_t timer_elapsed_ms(uint64_t wait_ms, uint32_t expires_ms)
{
	return wait_ms > expires_ms ? wait_ms - expires_ms : 0;
}

/*
 * How long an exponential timer has been running, at least: the waits before each doubling, and what has passed of
 * the present one. The longest waits are cut at RTO_MAX_MS, which makes the sum smaller, never larger.
 */
static uint64_t backoff_elapsed_ms(uint64_t base_ms, unsigned int doublings, uint32_t expires_ms)
{
	unsigned int n = doublings < DOUBLINGS_MAX ? doublings : DOUBLINGS_MAX;
	uint64_t wait_ms = min_u64(base_ms << n, RTO_MAX_MS);
	uint64_t past_ms = 0;

	for (unsigned int i = 0; i < n; i++)
		past_ms += min_u64(base_ms << i, RTO_MAX_MS);
	return past_ms + timer_elapsed_ms(wait_ms, expires_ms);
}

/*
 * SYN_SENT: the first retransmissions come once a second (tcp_syn_linear_timeouts), the others back off. Without tcp_info the
 * doublings are read off the timeout itself.
 */
static uint64_t syn_sent_age_ms(const struct tcpsock *sock)
{
	uint64_t rto_ms = sock->rto_us / 1000;
	unsigned int retransmits = sock->retransmits;
	unsigned int doublings = 0;

	if (sock->timer != TCP_TIMER_RETRANSMIT)
		return 0;
	while (doublings < retransmits && (uint64_t)SYN_RTO_MS << (doublings + 1) <= rto_ms)
		doublings++;
	if (tcpsock_knows(sock, TCPSOCK_INFO) && sock->backoff < doublings)
		doublings = sock->backoff;
	return (uint64_t)(retransmits - doublings) * SYN_RTO_MS +
	       backoff_elapsed_ms(SYN_RTO_MS, doublings, sock->expires_ms);
}

/*
 * SYN_RECV: what is left of the timeout says how often it was doubled. The count of SYN-ACKs does not: each SYN that the client repeats is
 * answered out of turn (net/ipv4/tcp_minisocks.c: tcp_check_req).
 */
static uint64_t syn_recv_age_ms(const struct tcpsock *sock)
{
	unsigned int doublings = 0;

	if (!tcpsock_knows(sock, TCPSOCK_MINI))
		return 0;
	while (doublings < DOUBLINGS_MAX && (uint64_t)SYN_RTO_MS << doublings < sock->expires_ms)
		doublings++;
	return backoff_elapsed_ms(SYN_RTO_MS, doublings, sock->expires_ms);
}

/* Since the data or FIN now unanswered was first sent, at least. */
static uint64_t unanswered_age_ms(const struct tcpsock *sock)
{
	uint64_t base_ms = sock->rto_us / 1000;
	unsigned int doublings = sock->backoff;

	if (!tcpsock_knows(sock, TCPSOCK_INFO))
		return 0;
	/*
	 * tcpi_rto is backed off already for timer 1, and may have been so before what is unanswered now was sent (Karn); window
	 * probes back off on the fly.
	 */
	if (sock->timer != TCP_TIMER_PROBE) {
		if (sock->retransmits < doublings)
			doublings = sock->retransmits;
		base_ms >>= doublings < 63 ? doublings : 63;
	}
	return doublings != 0 ? backoff_elapsed_ms(base_ms, doublings, sock->expires_ms) : 0;
}

static uint64_t fin_wait2_age_ms(const struct tcpsock *sock, const struct netsysctl *sysctl)
{
	uint64_t timeout_ms = (uint64_t)sysctl->value[NETSYSCTL_FIN_TIMEOUT] * 1000;

	if (tcpsock_knows(sock, TCPSOCK_INFO))
		return sock->last_ack_recv_ms; /* the ACK of our FIN, until the peer sends more */
	if (tcpsock_knows(sock, TCPSOCK_MINI) && sock->timer == TCP_TIMER_TIME_WAIT)
		return timer_elapsed_ms(timeout_ms, sock->expires_ms);
	return 0;
}

/* A connection that never sent, or never received, data keeps the moment of its establishment. */
static uint64_t connection_age_ms(const struct tcpsock *sock)
{
	uint64_t age_ms = 0;

	if (!tcpsock_knows(sock, TCPSOCK_INFO | TCPSOCK_DATA_SEGS))
		return 0;
	if (sock->data_segs_out == 0)
		age_ms = sock->last_data_sent_ms;
	if (sock->data_segs_in == 0)
		age_ms = max_u64(age_ms, sock->last_data_recv_ms);
	return age_ms;
}

/* Time in its state as far as one look tells, at least. */
static uint64_t kernel_age_ms(const struct tcpsock *sock, const struct netsysctl *sysctl)
{
	bool info = tcpsock_knows(sock, TCPSOCK_INFO);

	switch (sock->state) {
	case TCP_STATE_ESTABLISHED:
		return connection_age_ms(sock);
	case TCP_STATE_SYN_SENT:
		return syn_sent_age_ms(sock);
	case TCP_STATE_SYN_RECV:
		return syn_recv_age_ms(sock);
	case TCP_STATE_FIN_WAIT2:
		return fin_wait2_age_ms(sock, sysctl);
	case TCP_STATE_TIME_WAIT:
		return timer_elapsed_ms(TIME_WAIT_MS, sock->expires_ms);
	case TCP_STATE_CLOSE_WAIT:
		return info ? sock->last_ack_recv_ms : 0; /* a FIN counts as an ACK, not as data */
	case TCP_STATE_FIN_WAIT1:
	case TCP_STATE_LAST_ACK:
	case TCP_STATE_CLOSING:
		return info ? min_u64(sock->last_ack_recv_ms, unanswered_age_ms(sock)) : 0;
	default:
		return 0;
	}
}

/* An entry keeps 48 bits of a byte counter. */
static bool differs(uint64_t counter, uint64_t kept)
{
	return ((counter ^ kept) & ((UINT64_C(1) << 48) - 1)) != 0;
}

static bool acked_moved(const struct track_entry *entry, const struct tcpsock *sock)
{
	return tcpsock_knows(sock, TCPSOCK_BYTES) && differs(sock->bytes_acked, track_acked(entry));
}

static bool bytes_moved(const struct track_entry *entry, const struct tcpsock *sock)
{
	return acked_moved(entry, sock) || (tcpsock_knows(sock, TCPSOCK_BYTES) &&
					    differs(sock->bytes_received, track_received(entry)));
}

static bool half_closed(unsigned int state)
{
	return state == TCP_STATE_CLOSE_WAIT || state == TCP_STATE_FIN_WAIT2;
}

static bool closing(unsigned int state)
{
	return state == TCP_STATE_FIN_WAIT1 || state == TCP_STATE_LAST_ACK ||
	       state == TCP_STATE_CLOSING;
}

/* When something last moved, for a state just entered: the kernel's clocks where they mean that. */
static uint64_t first_progress_age_ms(const struct tcpsock *sock, uint64_t age_ms)
{
	if (tcpsock_knows(sock, TCPSOCK_INFO) &&
	    (half_closed(sock->state) || sock->state == TCP_STATE_ESTABLISHED))
		return kernel_silence_ms(sock);
	return age_ms;
}

/* True if this is the first look at the socket in this state. */
static bool remember_state(struct track_entry *entry, const struct tcpsock *sock, bool created,
			   const struct ages_context *context)
{
	uint64_t age_ms = kernel_age_ms(sock, context->sysctl);

	if (created || entry->state != sock->state) {
		entry->state = sock->state & 15u;
		entry->since = tick_ago(context->now_ms, age_ms);
		entry->moved = tick_ago(context->now_ms, first_progress_age_ms(sock, age_ms));
		entry->is_blocked = false;
		return true;
	}
	if (age_ms > ages_since(context->now_ms, entry->since))
		entry->since = tick_ago(context->now_ms, age_ms);
	return false;
}

/* Half-closed and closing sockets live by bytes; established ones by any segment, a keepalive probe included. */
static bool has_moved(const struct track_entry *entry, const struct tcpsock *sock)
{
	if (sock->state == TCP_STATE_ESTABLISHED)
		return tcpsock_knows(sock, TCPSOCK_SEGS) &&
		       (uint16_t)sock->segs_in != entry->segs_in;
	return bytes_moved(entry, sock);
}

/*
 * When it moved, at the latest: by the kernel's clocks if they name a moment since the last look; they do not where the peer only
 * sent keepalive probes.
 */
static void remember_progress(struct track_entry *entry, const struct tcpsock *sock, bool fresh,
			      const struct ages_context *context)
{
	uint64_t ago_ms = 0;

	if (!fresh && has_moved(entry, sock)) {
		if (tcpsock_knows(sock, TCPSOCK_INFO) &&
		    kernel_silence_ms(sock) <= context->interval_ms)
			ago_ms = kernel_silence_ms(sock);
		entry->moved = tick_ago(context->now_ms, ago_ms);
	}
	entry->segs_in = (uint16_t)sock->segs_in;
}

/* A program that has read everything is not behind, however long nothing came. */
static void remember_reading(struct track_entry *entry, const struct tcpsock *sock,
			     const struct ages_context *context)
{
	uint32_t position = (uint32_t)sock->bytes_received - sock->rqueue;

	if (!tcpsock_knows(sock, TCPSOCK_BYTES))
		return;
	if (!entry->has_read || entry->read_position != position || sock->rqueue == 0)
		entry->read_since = tick_ago(context->now_ms, 0);
	entry->read_position = position;
	entry->has_read = true;
}

/* Waiting for the peer: an RTO or a probe has gone out, or a window is shut. */
static bool waits_for_peer(const struct tcpsock *sock)
{
	switch (sock->timer) {
	case TCP_TIMER_RETRANSMIT:
		return sock->retransmits != 0;
	case TCP_TIMER_PROBE:
		return true;
	case TCP_TIMER_KEEPALIVE:
		return sock->probes != 0;
	default:
		return false;
	}
}

static void remember_blocked(struct track_entry *entry, const struct tcpsock *sock, bool fresh,
			     const struct ages_context *context)
{
	if (!waits_for_peer(sock) || (!fresh && acked_moved(entry, sock))) {
		entry->is_blocked = false;
		return;
	}
	if (entry->is_blocked)
		return;
	entry->is_blocked = true;
	entry->blocked = tick_ago(context->now_ms, unanswered_age_ms(sock));
}

/*
 * Timer 2 is the keepalive timer (or, without an inode, an orphan's fin timeout); 1 and 4 hide it. Seen unarmed
 * once may be the moment between two periods.
 */
static void remember_keepalive(struct track_entry *entry, const struct tcpsock *sock)
{
	uint64_t idle_ms = sock->expires_ms;

	if (sock->timer == TCP_TIMER_RETRANSMIT || sock->timer == TCP_TIMER_PROBE)
		return;
	if (sock->timer != TCP_TIMER_KEEPALIVE) {
		if (entry->keepalive != KEEPALIVE_ON || entry->keepalive_gone)
			entry->keepalive = KEEPALIVE_OFF;
		entry->keepalive_gone = entry->keepalive == KEEPALIVE_ON;
		return;
	}
	entry->keepalive = KEEPALIVE_ON;
	entry->keepalive_gone = false;
	/* With nothing heard since it was armed, what is left and what has passed make the idle time. */
	if (tcpsock_knows(sock, TCPSOCK_INFO))
		idle_ms += kernel_silence_ms(sock);
	if (sock->probes == 0 && idle_ms + 500 >= (entry->keepidle_s + UINT64_C(1)) * 1000)
		entry->keepidle_s = (uint16_t)min_u64((idle_ms + 500) / 1000, KEEPIDLE_MAX_S);
}

/* Until the kernel would notice that the peer has vanished, counted from when the connection is quiet. */
static uint64_t loss_ms(const struct track_entry *entry, const struct netsysctl *sysctl)
{
	uint64_t idle_s = entry->keepidle_s;

	if (entry->keepalive != KEEPALIVE_ON)
		return PORTVIEW_NEVER;
	if (idle_s == 0)
		idle_s = sysctl->value[NETSYSCTL_KEEPALIVE_TIME];
	return (idle_s + (uint64_t)sysctl->value[NETSYSCTL_KEEPALIVE_PROBES] *
				 sysctl->value[NETSYSCTL_KEEPALIVE_INTVL]) *
	       1000;
}

static void judge_loss(const struct track_entry *entry, const struct tcpsock *sock,
		       const struct ages_context *context, struct look *look)
{
	bool held = sock->inode != 0 && half_closed(sock->state);

	if (sock->state != TCP_STATE_ESTABLISHED && !held)
		return;
	look->has_loss = look->keepalive != KEEPALIVE_UNKNOWN;
	look->loss_ms = loss_ms(entry, context->sysctl);
}

/* Since the window probe that is out was sent. */
static uint64_t probe_age_ms(const struct tcpsock *sock)
{
	unsigned int doublings = sock->backoff < DOUBLINGS_MAX ? sock->backoff : DOUBLINGS_MAX;

	if (sock->timer != TCP_TIMER_PROBE)
		return 0;
	return timer_elapsed_ms(min_u64((uint64_t)sock->rto_us / 1000 << doublings, RTO_MAX_MS),
				sock->expires_ms);
}

static bool is_queued(const struct tcpsock *sock)
{
	return sock->inode == 0 && !tcpsock_knows(sock, TCPSOCK_MINI) &&
	       (sock->state == TCP_STATE_ESTABLISHED || sock->state == TCP_STATE_CLOSE_WAIT);
}

static void judge(const struct track_entry *entry, const struct tcpsock *sock,
		  const struct ages_context *context, struct look *look)
{
	uint64_t now_ms = context->now_ms;
	uint64_t blocked_ms = entry->is_blocked ? ages_since(now_ms, entry->blocked) : 0;
	uint64_t still_ms =
		sock->state != TCP_STATE_ESTABLISHED ? ages_since(now_ms, entry->moved) : 0;
	uint64_t behind_ms = entry->has_read ? ages_since(now_ms, entry->read_since) : 0;
	bool info = tcpsock_knows(sock, TCPSOCK_INFO), queued = is_queued(sock);
	struct stale_look at = {
		.sock = sock,
		.entry = entry,
		.thresholds = context->thresholds,
		.clock = {
			[STALE_AGE] = look->age_ms,
			[STALE_WAITING] =
				queued ? max_u64(look->age_ms, connection_age_ms(sock)) : 0,
			[STALE_STILL] = min_u64(look->age_ms, still_ms),
			[STALE_SILENCE] = info ? look->silence_ms : blocked_ms,
			[STALE_BLOCKED] = blocked_ms,
			[STALE_UNACKED] = min_u64(blocked_ms, look->silence_ms),
			[STALE_BEHIND] = behind_ms,
			[STALE_OVERDUE] = probe_age_ms(sock),
			[STALE_PROBES] = sock->probes,
		},
	};

	look->reason = stale_judge(&at, queued ? STALE_QUEUED : TCP_STATE_BIT(sock->state),
				   &look->stale_ms);
}

/* The memory does not wrap after 49.7 days as the kernel's clocks do; without segs_in they are all there is. */
static uint64_t silence_ms(const struct track_entry *entry, const struct tcpsock *sock,
			   const struct ages_context *context)
{
	if (!tcpsock_knows(sock, TCPSOCK_INFO))
		return 0;
	if (!tcpsock_knows(sock, TCPSOCK_SEGS))
		return kernel_silence_ms(sock);
	return ages_since(context->now_ms, entry->moved);
}

static bool has_age(unsigned int state)
{
	return state == TCP_STATE_SYN_SENT || state == TCP_STATE_SYN_RECV || half_closed(state) ||
	       closing(state);
}

/* Keepalive as the entry has it: off, or on with an idle time that is not longer than the longest seen. */
static bool keepalive_is_known(const struct track_entry *entry, const struct tcpsock *sock)
{
	if (entry->keepalive_gone)
		return false;
	if (sock->timer == TCP_TIMER_NONE)
		return entry->keepalive == KEEPALIVE_OFF;
	return sock->timer == TCP_TIMER_KEEPALIVE && entry->keepalive == KEEPALIVE_ON &&
	       sock->probes == 0 &&
	       sock->expires_ms + kernel_silence_ms(sock) + 500 <
		       (entry->keepidle_s + UINT64_C(1)) * 1000;
}

/* Nothing came since the last look, nothing is waited for, and all was read: what is remembered stays so. */
static bool is_quiet(const struct track_entry *entry, const struct tcpsock *sock)
{
	return entry->state == TCP_STATE_ESTABLISHED && sock->state == TCP_STATE_ESTABLISHED &&
	       sock->info_state == TCP_STATE_ESTABLISHED &&
	       tcpsock_knows(sock, TCPSOCK_INFO | TCPSOCK_BYTES | TCPSOCK_SEGS) &&
	       (uint16_t)sock->segs_in == entry->segs_in && sock->rqueue == 0 && entry->has_read &&
	       (uint32_t)sock->bytes_received == entry->read_position && !entry->is_blocked &&
	       sock->inode != 0 && keepalive_is_known(entry, sock);
}

/* What look_at() finds of one that is quiet, in a third of the time: only time has passed, and every clock but two stands at 0. */
static void look_at_quiet(struct track_entry *entry, const struct tcpsock *sock,
			  const struct ages_context *context, struct look *ret_look)
{
	uint64_t age_ms = ages_since(context->now_ms, entry->since);
	uint64_t silence_ms = ages_since(context->now_ms, entry->moved);
	struct stale_look at = {
		.sock = sock,
		.entry = entry,
		.thresholds = context->thresholds,
		.clock = { [STALE_AGE] = age_ms, [STALE_SILENCE] = silence_ms },
	};

	entry->read_since = tick_ago(context->now_ms, 0);
	*ret_look = (struct look){
		.keepalive = (enum keepalive)entry->keepalive,
		.has_loss = true,
		.age_ms = age_ms,
		.silence_ms = silence_ms,
		.loss_ms = loss_ms(entry, context->sysctl),
	};
	ret_look->reason =
		stale_judge(&at, TCP_STATE_BIT(TCP_STATE_ESTABLISHED), &ret_look->stale_ms);
}

static void look_at(struct track_entry *entry, const struct tcpsock *sock, bool created,
		    const struct ages_context *context, struct look *ret_look)
{
	bool fresh = remember_state(entry, sock, created, context);
	struct look look = { .reason = STALE_NONE, .has_age = has_age(sock->state) };

	remember_progress(entry, sock, fresh, context);
	remember_blocked(entry, sock, fresh, context);
	look.age_ms = ages_since(context->now_ms, entry->since);
	if (sock->state == TCP_STATE_ESTABLISHED || half_closed(sock->state)) {
		remember_keepalive(entry, sock);
		look.keepalive = (enum keepalive)entry->keepalive;
		judge_loss(entry, sock, context, &look);
	}
	if (sock->state == TCP_STATE_ESTABLISHED) {
		remember_reading(entry, sock, context);
		look.silence_ms = silence_ms(entry, sock, context);
	}
	if (sock->state == sock->info_state)
		judge(entry, sock, context, &look);
	*ret_look = look;
}

void ages_look(struct track_entry *entry, const struct tcpsock *sock, bool created,
	       const struct ages_context *context, struct look *ret_look)
{
	if (!created && is_quiet(entry, sock))
		look_at_quiet(entry, sock, context, ret_look);
	else
		look_at(entry, sock, created, context, ret_look);
}

void ages_dead(const struct track_entry *entry, const struct ages_context *context,
	       struct look *ret_look)
{
	struct look look = { .age_ms = ages_since(context->now_ms, entry->since) };
	struct stale_look at = { .entry = entry,
				 .thresholds = context->thresholds,
				 .clock = { [STALE_AGE] = look.age_ms } };

	look.reason = stale_judge(&at, STALE_GONE, &look.stale_ms);
	*ret_look = look;
}
