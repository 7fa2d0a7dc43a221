/*
 * ages: ages, staleness and keepalive of one socket. Knows TCP's timers; no ports, no counters, no sources.
 */
#include "tcphealth/model/ages.h"

#define TIME_WAIT_MS   60000u  /* TCP_TIMEWAIT_LEN, not a sysctl */
#define SYN_RTO_MS     1000u   /* TCP_TIMEOUT_INIT */
#define RTO_MAX_MS     120000u /* TCP_RTO_MAX */
#define KEEPIDLE_MAX_S 32767u  /* MAX_TCP_KEEPIDLE */
#define RTO_MIN_US     200000u /* TCP_RTO_MIN */
#define DOUBLINGS_MAX  16u     /* beyond it any timeout has reached RTO_MAX_MS */
#define ANSWER_MS      500u    /* a shut receiver answers that late (tcp_invalid_ratelimit) */

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

/* As tcp_info has it: backed off already while timer 1 runs, not while timer 4 does. */
static uint64_t rto_ms(const struct tcpsock *sock)
{
	return sock->rto_us / 1000;
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
	unsigned int retransmits = sock->retransmits;
	unsigned int doublings = 0;

	if (sock->timer != TCP_TIMER_RETRANSMIT)
		return 0;
	if (tcpsock_knows(sock, TCPSOCK_RTO_TIME) && sock->total_rto_recoveries == 1)
		return sock->total_rto_time_ms + SYN_RTO_MS;
	while (doublings < retransmits && (uint64_t)SYN_RTO_MS << (doublings + 1) <= rto_ms(sock))
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

/* Without a source that tells the window: the kernel counts what it waited for one, and answered probes leave no count. */
static bool window_is_shut(const struct tcpsock *sock)
{
	if (tcpsock_knows(sock, TCPSOCK_SND_WND))
		return sock->snd_wnd < sock->snd_mss;
	if (tcpsock_knows(sock, TCPSOCK_RWND_LIMITED))
		return sock->rwnd_limited_us != 0;
	return sock->backoff >= 3 && sock->probes <= 1;
}

/* The peer took its window back over data in flight: normal is that it never does, so 0 is certain. */
static bool window_is_shut_in_flight(const struct tcpsock *sock)
{
	return sock->timer == TCP_TIMER_RETRANSMIT && tcpsock_knows(sock, TCPSOCK_SND_WND) &&
	       sock->snd_wnd == 0 && sock->backoff != 0 && sock->unacked != 0;
}

/* Since the window probe that is out was sent. */
static uint64_t probe_age_ms(const struct tcpsock *sock)
{
	unsigned int doublings = sock->backoff < DOUBLINGS_MAX ? sock->backoff : DOUBLINGS_MAX;

	return timer_elapsed_ms(min_u64(rto_ms(sock) << doublings, RTO_MAX_MS), sock->expires_ms);
}

/*
 * Each retransmission sets last_data_sent again, except one that did not leave this host. A FIN alone (wqueue 1) never does, and a timer
 * that is overdue says nothing.
 */
static bool never_left(const struct tcpsock *sock)
{
	return sock->wqueue > 1 && sock->expires_ms != 0 &&
	       sock->last_data_sent_ms >
		       timer_elapsed_ms(rto_ms(sock), sock->expires_ms) + ANSWER_MS;
}

/* A probe that is merely out is no sign: several, or one that is overdue. */
static enum stale_send probed_send(const struct tcpsock *sock,
				   const struct stale_thresholds *thresholds)
{
	if (!window_is_shut(sock))
		return sock->probes != 0 ? STALE_SEND_KEPT_HERE : STALE_SEND_FREE;
	if (sock->probes >= 2 ||
	    (sock->probes == 1 && probe_age_ms(sock) >= thresholds->least[STALE_RETRANSMIT]))
		return STALE_SEND_UNANSWERED;
	return STALE_SEND_SHUT;
}

/* What holds up the data or the FIN that this end has sent. Silence is no part of it: whoever is heard may still acknowledge nothing. */
static enum stale_send send_of(const struct tcpsock *sock,
			       const struct stale_thresholds *thresholds)
{
	if (sock->timer == TCP_TIMER_PROBE)
		return tcpsock_knows(sock, TCPSOCK_INFO) ? probed_send(sock, thresholds)
							 : STALE_SEND_FREE;
	if (sock->timer != TCP_TIMER_RETRANSMIT)
		return STALE_SEND_FREE;
	if (window_is_shut_in_flight(sock))
		return sock->last_ack_recv_ms <=
				       sock->last_data_sent_ms + sock->rtt_us / 1000 + ANSWER_MS
			       ? STALE_SEND_SHUT
			       : STALE_SEND_UNANSWERED;
	if (sock->retransmits == 0)
		return STALE_SEND_FREE;
	return tcpsock_knows(sock, TCPSOCK_INFO) && never_left(sock) ? STALE_SEND_KEPT_HERE
								     : STALE_SEND_UNANSWERED;
}

/*
 * Since the first retransmission of what is unacknowledged, at least. tcpi_rto is backed off already. Once it has reached its cap, which a
 * sysctl or a socket option sets, the count of doublings no longer tells the base; but none is below the least RTO.
 */
static uint64_t retransmitted_age_ms(const struct tcpsock *sock, const struct netsysctl *sysctl)
{
	unsigned int n = sock->retransmits < sock->backoff ? sock->retransmits : sock->backoff;
	uint64_t cap_ms = rto_ms(sock), sum_ms = timer_elapsed_ms(cap_ms, sock->expires_ms);
	uint64_t floor_ms =
		max_u64(sock->rtt_us, min_u64(RTO_MIN_US, sysctl->value[NETSYSCTL_RTO_MIN_US])) /
		1000;
	uint64_t wait_ms = n < 63 ? cap_ms >> n : 0;

	if (wait_ms < floor_ms)
		wait_ms = min_u64(floor_ms, cap_ms);
	for (unsigned int i = 0; i < n; i++) {
		sum_ms += min_u64(wait_ms, cap_ms);
		wait_ms = min_u64(wait_ms * 2, cap_ms);
	}
	if (!tcpsock_knows(sock, TCPSOCK_RTO_TIME))
		return sum_ms;
	/* One recovery is this one. With more, those before are in it, and it is an upper bound. */
	return sock->total_rto_recoveries == 1 ? sock->total_rto_time_ms
					       : min_u64(sum_ms, sock->total_rto_time_ms);
}

/* Since the window was shut, at least: a write that came later waits for less, and probes set neither clock. */
static uint64_t shut_age_ms(const struct tcpsock *sock)
{
	if (tcpsock_knows(sock, TCPSOCK_RWND_LIMITED))
		return min_u64(sock->last_data_sent_ms, sock->rwnd_limited_us / 1000);
	return min_u64(sock->last_data_sent_ms,
		       backoff_elapsed_ms(rto_ms(sock), sock->backoff, sock->expires_ms));
}

/* Since nothing of what this end has sent, or has to send, was acknowledged, as far as one look tells: at least. */
static uint64_t blocked_age_ms(const struct tcpsock *sock, const struct netsysctl *sysctl)
{
	if (!tcpsock_knows(sock, TCPSOCK_INFO))
		return 0;
	if (sock->timer == TCP_TIMER_PROBE)
		return window_is_shut(sock)
			       ? shut_age_ms(sock)
			       : backoff_elapsed_ms(rto_ms(sock), sock->backoff, sock->expires_ms);
	if (window_is_shut_in_flight(sock))
		return backoff_elapsed_ms(rto_ms(sock) >> min_u64(sock->backoff, 63), sock->backoff,
					  sock->expires_ms);
	return sock->timer == TCP_TIMER_RETRANSMIT && sock->retransmits != 0
		       ? retransmitted_age_ms(sock, sysctl)
		       : 0;
}

static uint64_t fin_wait2_age_ms(const struct tcpsock *sock, const struct netsysctl *sysctl)
{
	uint64_t timeout_ms = (uint64_t)sysctl->value[NETSYSCTL_FIN_TIMEOUT] * 1000;

	if (tcpsock_knows(sock, TCPSOCK_INFO))
		/* The ACK of our FIN, until the peer sends more. */
		return sock->last_ack_recv_ms;
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
		/* A FIN counts as an ACK, not as data. */
		return info ? sock->last_ack_recv_ms : 0;
	case TCP_STATE_FIN_WAIT1:
	case TCP_STATE_LAST_ACK:
	case TCP_STATE_CLOSING:
		return blocked_age_ms(sock, sysctl);
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

/*
 * A program that has read everything is not behind, however long nothing came. At first sight what is unread is as old as the newest of
 * it, at least.
 */
static void remember_reading(struct track_entry *entry, const struct tcpsock *sock,
			     const struct ages_context *context)
{
	uint32_t position = (uint32_t)sock->bytes_received - sock->rqueue;

	if (!tcpsock_knows(sock, TCPSOCK_BYTES))
		return;
	if (!entry->has_read)
		entry->read_since =
			tick_ago(context->now_ms, sock->rqueue != 0 ? sock->last_data_recv_ms : 0);
	else if (entry->read_position != position || sock->rqueue == 0)
		entry->read_since = tick_ago(context->now_ms, 0);
	entry->read_position = position;
	entry->has_read = true;
}

/* Waiting for the peer: an RTO or a probe has gone out, or a window is shut. */
static bool waits_for_peer(const struct tcpsock *sock)
{
	switch (sock->timer) {
	case TCP_TIMER_RETRANSMIT:
		return sock->retransmits != 0 || window_is_shut_in_flight(sock);
	case TCP_TIMER_PROBE:
		return true;
	case TCP_TIMER_KEEPALIVE:
		return sock->probes != 0;
	default:
		return false;
	}
}

/* Acknowledgements alone end the wait or restart it: not what the peer sends, nor another state. */
static void remember_blocked(struct track_entry *entry, const struct tcpsock *sock, bool created,
			     const struct ages_context *context)
{
	bool known = !created && entry->is_blocked && !acked_moved(entry, sock);

	entry->is_blocked = waits_for_peer(sock);
	if (entry->is_blocked && !known)
		entry->blocked = tick_ago(context->now_ms, blocked_age_ms(sock, context->sysctl));
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

/*
 * Within a host no peer vanishes: as long as it has not closed, the connection ends with it, and at once. NAT on the way is not seen: then
 * the peer's address is not one of this host.
 */
static bool peer_is_here(const struct track_entry *entry, const struct tcpsock *sock)
{
	return entry->inside && sock->state != TCP_STATE_CLOSE_WAIT;
}

static void judge_loss(const struct track_entry *entry, const struct tcpsock *sock,
		       const struct ages_context *context, struct look *look)
{
	bool held = sock->inode != 0 && half_closed(sock->state);

	if (sock->state != TCP_STATE_ESTABLISHED && !held)
		return;
	look->has_loss = look->keepalive != KEEPALIVE_UNKNOWN && !peer_is_here(entry, sock);
	look->loss_ms = loss_ms(entry, context->sysctl);
}

static bool is_queued(const struct tcpsock *sock)
{
	return sock->inode == 0 && !tcpsock_knows(sock, TCPSOCK_MINI) &&
	       (sock->state == TCP_STATE_ESTABLISHED || sock->state == TCP_STATE_CLOSE_WAIT);
}

static void decide(const struct stale_look *at, uint32_t where, struct look *look)
{
	look->reason = stale_judge(at, where, &look->stale_ms);
	if (look->reason == STALE_NONE)
		return;
	look->form = stale_form(look->reason, (enum role)at->entry->role, at);
	look->blame = stale_rule(look->reason)->form[look->form].blame;
}

/*
 * Since the peer has acknowledged nothing though this host went on asking; behind a window that was shut already, since its last answer.
 */
static uint64_t unacked_ms(const struct tcpsock *sock, enum stale_send send, uint64_t blocked_ms)
{
	bool was_shut = sock->timer == TCP_TIMER_PROBE || window_is_shut_in_flight(sock);

	return send == STALE_SEND_UNANSWERED && was_shut
		       ? min_u64(blocked_ms, sock->last_ack_recv_ms)
		       : blocked_ms;
}

/*
 * An acknowledgement that came so long after the FIN is of a peer that holds its half: once a program has closed both, the kernel
 * keeps the rest of the connection for tcp_fin_timeout only. Our own keepalive probes ask for one. The kernel's clock wraps.
 */
static bool peer_waits(const struct tcpsock *sock, const struct netsysctl *sysctl, uint64_t age_ms)
{
	uint64_t kept_ms = (uint64_t)sysctl->value[NETSYSCTL_FIN_TIMEOUT] * 1000;

	return sock->state == TCP_STATE_CLOSE_WAIT && tcpsock_knows(sock, TCPSOCK_INFO) &&
	       age_ms <= UINT32_MAX && sock->last_ack_recv_ms + kept_ms < age_ms;
}

static void judge(const struct track_entry *entry, const struct tcpsock *sock,
		  const struct ages_context *context, struct look *look)
{
	uint64_t now_ms = context->now_ms;
	uint64_t blocked_ms = entry->is_blocked ? ages_since(now_ms, entry->blocked) : 0;
	uint64_t still_ms =
		sock->state != TCP_STATE_ESTABLISHED ? ages_since(now_ms, entry->moved) : 0;
	bool info = tcpsock_knows(sock, TCPSOCK_INFO), queued = is_queued(sock);
	enum stale_send send = send_of(sock, context->thresholds);
	struct stale_look at = {
		.sock = sock,
		.entry = entry,
		.thresholds = context->thresholds,
		.send = send,
		.peer_waits = peer_waits(sock, context->sysctl, look->age_ms),
		.clock = {
			[STALE_AGE] = look->age_ms,
			[STALE_WAITING] =
				queued ? max_u64(look->age_ms, connection_age_ms(sock)) : 0,
			[STALE_STILL] = min_u64(look->age_ms, still_ms),
			[STALE_SILENCE] = info ? look->silence_ms : blocked_ms,
			[STALE_BLOCKED] = blocked_ms,
			[STALE_UNACKED] = unacked_ms(sock, send, blocked_ms),
			[STALE_BEHIND] =
				entry->has_read ? ages_since(now_ms, entry->read_since) : 0,
			[STALE_PROBES] = sock->probes,
		},
	};

	decide(&at, queued ? STALE_QUEUED : TCP_STATE_BIT(sock->state), look);
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
		.has_loss = !peer_is_here(entry, sock),
		.age_ms = age_ms,
		.silence_ms = silence_ms,
		.loss_ms = loss_ms(entry, context->sysctl),
	};
	decide(&at, TCP_STATE_BIT(TCP_STATE_ESTABLISHED), ret_look);
}

static void look_at(struct track_entry *entry, const struct tcpsock *sock, bool created,
		    const struct ages_context *context, struct look *ret_look)
{
	bool fresh = remember_state(entry, sock, created, context);
	struct look look = { .reason = STALE_NONE, .has_age = has_age(sock->state) };

	remember_progress(entry, sock, fresh, context);
	remember_blocked(entry, sock, created, context);
	look.age_ms = ages_since(context->now_ms, entry->since);
	if (sock->state == TCP_STATE_ESTABLISHED || half_closed(sock->state)) {
		remember_reading(entry, sock, context);
		remember_keepalive(entry, sock);
		look.keepalive = (enum keepalive)entry->keepalive;
		judge_loss(entry, sock, context, &look);
	}
	if (sock->state == TCP_STATE_ESTABLISHED)
		look.silence_ms = silence_ms(entry, sock, context);
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

	decide(&at, STALE_GONE, &look);
	*ret_look = look;
}
