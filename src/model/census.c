/*
 * census: listeners, memory, counters and ages of one namespace, fed record by record. Knows no kernel interface.
 */
#include "tcphealth/model/census.h"

#include "census-internal.h"
#include "tcphealth/base/array.h"
#include "tcphealth/model/account.h"
#include "tcphealth/model/ages.h"
#include "tcphealth/model/track.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DEFERRED_MAX  16384u /* records kept until the end of a dump */
#define INVISIBLE_MAX 65536u /* entries that wait for an event */
#define TOMBS         65536u
#define DEATHS        16384u
#define OVERRUN_DUMPS                                                                              \
	2u /* full dumps after an overrun in which what is missing may have died unseen */

/* What a socket's destroy event told of its role: its TIME_WAIT may bear another cookie. */
struct death_role {
	uint32_t tuple_hash; /* alone, one in 65536 sockets would meet a stranger's */
	uint16_t local_port;
	uint16_t remote_port;
	uint8_t role;
	bool used;
};

struct census {
	struct census_config config;
	struct census_sample sample;
	struct ages_context context;
	struct ledger *ledger;
	struct listeners *listeners;
	struct track *tracks[CENSUS_ID_KINDS];
	struct track *track; /* of this sample's kind of ids */
	bool baseline;       /* the first whole dump with cookies is behind us */
	bool counting;       /* and so are the events of what died during it: strangers count */
	enum census_ids last_ids;
	uint64_t last_now_ms;
	uint64_t last_full_ms;
	unsigned int suspicious; /* full dumps left in which absence may be a lost event */
	struct tcpsock *deferred;
	size_t deferred_count, deferred_cap;
	struct addrset local; /* addresses of this host, as seen */
	struct mirror mirror; /* roles by 4-tuple, for the other end; without cookies only */
	struct busyports busy;
	struct death_role *deaths;
	uint64_t *tombs;                        /* cookies whose entry had to go before its event */
	struct owners owners;                   /* of stale sockets */
	uint64_t evidence[ROLE_EVIDENCE_COUNT]; /* of both parts */
	uint64_t full_evidence[ROLE_EVIDENCE_COUNT];
	uint64_t states_sockets; /* listeners included */
	uint64_t full_sockets;
	uint64_t wiped_closes;
	size_t invisible;
	int error; /* of a callback that cannot return one */
};

static void take_over_role(struct track_entry *entry, const struct role_guess *guess)
{
	entry->role = guess->role & 1u;
	entry->evidence = guess->evidence & 15u;
	entry->sure = guess->sure;
}

/* The stronger evidence wins; of the same strength the newer. Two looks that agree on the handshake settle it. */
static void weigh(struct track_entry *entry, const struct role_guess *guess, bool created)
{
	bool agree = !created && entry->evidence == ROLE_BY_HANDSHAKE &&
		     guess->evidence == ROLE_BY_HANDSHAKE && entry->role == guess->role;

	if (!created && guess->evidence > entry->evidence)
		return;
	take_over_role(entry, guess);
	if (agree)
		entry->sure = true;
}

/*
 * By what this record alone tells, or a listener that is alive. The kernel reads the state before it locks the socket: where the FIN of an
 * accepted one is acknowledged in between, it passes for a SYN. A listener on that port knows better than one such look, not better than
 * two.
 */
static bool strong_evidence(const struct census *c, struct track_entry *entry,
			    const struct tcpsock *sock, struct role_guess *ret_guess)
{
	bool listens, doubted = entry->doubted;

	entry->doubted = false;
	if (role_from_state(sock, ret_guess))
		return true;
	listens = listeners_match(c->listeners, &sock->local, sock->local_port) == LISTENERS_ALIVE;
	if (!entry->hopeless) {
		enum role_handshake tells = role_from_handshake(sock, ret_guess);

		entry->hopeless = tells == ROLE_HANDSHAKE_HOPELESS;
		if (tells == ROLE_HANDSHAKE_TELLS) {
			entry->doubted = listens && ret_guess->role == ROLE_CLIENT;
			if (ret_guess->sure || !entry->doubted || doubted)
				return true;
		}
	}
	if (!listens)
		return false;
	*ret_guess = (struct role_guess){ ROLE_SERVER, ROLE_BY_LISTENER, false };
	return true;
}

static struct role_guess weak_evidence(const struct census *c, const struct tcpsock *sock)
{
	uint32_t hash =
		tcptuple_hash(&sock->local, sock->local_port, &sock->remote, sock->remote_port);
	const struct death_role *death = &c->deaths[hash % DEATHS];
	struct role_ports range = {
		(uint16_t)c->sample.sysctl.value[NETSYSCTL_PORT_LOW],
		(uint16_t)c->sample.sysctl.value[NETSYSCTL_PORT_HIGH],
	};

	if (death->used && death->tuple_hash == hash && death->local_port == sock->local_port &&
	    death->remote_port == sock->remote_port)
		return (struct role_guess){ (enum role)death->role, ROLE_BY_EVENT, false };
	if (listeners_match(c->listeners, &sock->local, sock->local_port) == LISTENERS_FORMER)
		return (struct role_guess){ ROLE_SERVER, ROLE_BY_FORMER_LISTENER, false };
	return role_from_ports(sock->local_port, sock->remote_port, range);
}

static uint16_t service_port(const struct track_entry *entry, const struct tcpsock *sock)
{
	return entry->role == ROLE_SERVER ? sock->local_port : sock->remote_port;
}

/* A full socket past its handshake is an open connection. */
static bool is_established(const struct tcpsock *sock)
{
	return !tcpsock_knows(sock, TCPSOCK_MINI) && sock->state != TCP_STATE_SYN_SENT &&
	       sock->state != TCP_STATE_SYN_RECV;
}

/*
 * What the first dump finds did its work before we looked. A mini that no dump had shown before is counted by its event, which
 * bears another cookie; without events it is all that will ever be seen of its connection. Ids without cookies change in
 * a socket's life (by accept and close): nothing is counted by them, and what was missed follows when cookies are back.
 */
static void count_first_sight(struct census *c, struct ledger_pair *pair, struct track_entry *entry,
			      const struct tcpsock *sock)
{
	struct account_numbers numbers = account_numbers_of(sock);
	bool mini = tcpsock_knows(sock, TCPSOCK_MINI) && sock->state != TCP_STATE_SYN_RECV;

	if (c->sample.ids == CENSUS_TUPLES) {
		entry->opened = entry->closed = true;
	} else if (!c->baseline) {
		if (tcpsock_knows(sock, TCPSOCK_BYTES))
			account_base(entry, &numbers);
		entry->opened = mini || is_established(sock);
		entry->closed = mini;
	} else if (mini) {
		if (!c->sample.events) {
			account_open(pair, entry);
			account_close(pair, entry);
		}
		entry->opened = entry->closed = true;
	}
}

static void count_record(struct census *c, struct ledger_pair *pair, struct track_entry *entry,
			 const struct tcpsock *sock, bool created)
{
	if (created)
		count_first_sight(c, pair, entry, sock);
	if (entry->final)
		return; /* an anomaly: its event has told all there was */
	if (tcpsock_knows(sock, TCPSOCK_BYTES)) {
		const struct account_numbers numbers = account_numbers_of(sock);

		account_add(pair, entry, &numbers);
	}
	if (!entry->opened && is_established(sock))
		account_open(pair, entry);
}

/* ESTABLISHED sockets, and those that left the dumps, are known from full samples only. */
static bool is_lasting(const struct track_entry *entry)
{
	return entry->state == TCP_STATE_ESTABLISHED || entry->state == TCP_STATE_CLOSE;
}

static int note_stale(struct census *c, struct track_entry *entry, const struct tcpsock *sock,
		      const struct look *look)
{
	struct census_stale stale = { (enum role)entry->role, entry->port, look->reason,
				      look->stale_ms, sock };

	if (entry->reason != look->reason && c->config.stale_fn != NULL)
		c->config.stale_fn(c->config.stale_arg, &stale);
	entry->reason = look->reason & 15u;
	return owners_note(&c->owners,
			   &(struct census_owner){ .cgroup_id = sock != NULL ? sock->cgroup_id : 0,
						   .oldest_ms = look->stale_ms,
						   .port = entry->port,
						   .role = entry->role,
						   .reason = (uint8_t)look->reason,
						   .lasting = is_lasting(entry) });
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/*
 * Wanted when the record is judged; with many ports the kernel's work on the next records has driven it out of the cache. Its first 64 bytes,
 * which lie across two lines.
 */
static void fetch_view(const struct portview *view)
{
	__builtin_prefetch(view, 1);
	__builtin_prefetch((const char *)view + 63, 1);
}

static void add_to_view(struct portview *view, const struct tcpsock *sock, const struct look *look)
{
	view->state[sock->state]++;
	if (look->reason != STALE_NONE)
		view->stale[look->reason]++;
	view->receive_queue += sock->rqueue;
	view->send_queue += sock->wqueue;
	if (look->has_age)
		view->oldest_ms[sock->state] = max_u64(view->oldest_ms[sock->state], look->age_ms);
	if (look->has_loss)
		view->loss_ms = max_u64(view->loss_ms, look->loss_ms);
	if (sock->state != TCP_STATE_ESTABLISHED)
		return;
	view->keepalive[look->keepalive]++;
	view->silence_ms = max_u64(view->silence_ms, look->silence_ms);
	if (sock->timer == TCP_TIMER_KEEPALIVE)
		view->unanswered_probes += sock->probes;
}

/* The busiest pair of addresses towards a remote port decides how soon connect() finds no local port. */
static int note_ephemeral(struct census *c, const struct tcpsock *sock)
{
	const struct netsysctl *sysctl = &c->sample.sysctl;

	if (sock->local_port < sysctl->value[NETSYSCTL_PORT_LOW] ||
	    sock->local_port > sysctl->value[NETSYSCTL_PORT_HIGH])
		return 0;
	return busyports_add(&c->busy, sock);
}

/*
 * Better evidence, or a new peer, takes a connection to another pair: it leaves the old one as closed and comes to the new one as
 * opened, so that in each the difference stays what is open.
 */
static int change_pair(struct census *c, struct track_entry *entry, uint16_t port)
{
	struct ledger_pair *old;

	if (entry->opened && !entry->closed &&
	    (entry->pair_role != entry->role || entry->port != port)) {
		old = ledger_pair(c->ledger, (enum role)entry->pair_role, entry->port);
		if (old == NULL)
			return -ENOMEM;
		account_close(old, entry);
		entry->opened = entry->closed = false;
	}
	entry->pair_role = entry->role;
	entry->port = port;
	return 0;
}

static void note_evidence(struct census *c, const struct track_entry *entry)
{
	c->evidence[entry->evidence]++;
	if (is_lasting(entry)) {
		c->full_evidence[entry->evidence]++;
		c->full_sockets++;
	} else {
		c->states_sockets++;
	}
}

static int count_socket(struct census *c, struct track_entry *entry, const struct tcpsock *sock,
			bool created)
{
	struct ledger_pair *pair;
	struct portview *view;
	struct look look;
	int r = change_pair(c, entry, service_port(entry, sock));

	if (r < 0)
		return r;
	entry->mini = tcpsock_knows(sock, TCPSOCK_MINI);
	entry->eventless = c->config.kernel_cgroup_id != 0 &&
			   sock->cgroup_id == c->config.kernel_cgroup_id && sock->uid == 0;
	pair = ledger_pair(c->ledger, (enum role)entry->role, entry->port);
	if (pair == NULL)
		return -ENOMEM;
	view = ledger_view_of(c->ledger, pair, sock->state == TCP_STATE_ESTABLISHED);
	if (view == NULL)
		return -ENOMEM;
	fetch_view(view);
	ages_look(entry, sock, created, &c->context, &look);
	count_record(c, pair, entry, sock, created);
	add_to_view(view, sock, &look);
	note_evidence(c, entry);
	entry->counted = look.reason & 15u;
	if (look.reason != STALE_NONE)
		r = note_stale(c, entry, sock, &look);
	if (r == 0 && entry->role == ROLE_CLIENT && c->sample.tier == TIER_FULL)
		r = note_ephemeral(c, sock);
	if (r == 0 && c->sample.ids == CENSUS_TUPLES)
		r = mirror_add(&c->mirror, sock, (enum role)entry->role);
	return r;
}

static int defer(struct census *c, const struct tcpsock *sock)
{
	if (!array_room((void **)&c->deferred, &c->deferred_cap, c->deferred_count, sizeof(*sock)))
		return -ENOMEM;
	c->deferred[c->deferred_count++] = *sock;
	return 0;
}

/* Its other end may be here, and know more. */
static bool may_be_on_this_host(const struct census *c, const struct tcpsock *sock)
{
	return memcmp(&sock->local, &sock->remote, sizeof(sock->local)) == 0 ||
	       tcpsock_addr_is_loopback(&sock->remote) || addrset_has(&c->local, &sock->remote);
}

/*
 * Judged when the whole dump is in. A new mini may have left its role in an event that is on its way; one that was judged
 * gets no wiser, nor does it come back to life.
 */
static bool is_worth_waiting(const struct census *c, const struct tcpsock *sock, bool created)
{
	bool mini = tcpsock_knows(sock, TCPSOCK_MINI);

	if (c->deferred_count >= DEFERRED_MAX || (mini && !created))
		return false;
	return may_be_on_this_host(c, sock) || (mini && c->sample.events);
}

/*
 * A socket on show from the last full sample is seen in another state, or has died: it must not stand in two places. Between
 * full samples alone: those clear the show anyway.
 */
static void take_off_show(struct census *c, const struct track_entry *entry, uint64_t cgroup_id)
{
	struct portview *view;

	if (!is_lasting(entry) || entry->final || entry->maybe_lost ||
	    (entry->state == TCP_STATE_ESTABLISHED && entry->miss != 0))
		return;
	view = ledger_full_view(c->ledger, (enum role)entry->role, entry->port);
	if (view == NULL || view->state[entry->state] == 0)
		return;
	view->state[entry->state]--;
	if (entry->counted != STALE_NONE && view->stale[entry->counted] != 0)
		view->stale[entry->counted]--;
	owners_take_off(&c->owners, &(struct census_owner){ .cgroup_id = cgroup_id,
							    .port = entry->port,
							    .role = entry->role,
							    .reason = entry->counted,
							    .lasting = true });
	if (entry->state != TCP_STATE_ESTABLISHED)
		return;
	c->full_sockets -= c->full_sockets != 0;
	c->full_evidence[entry->evidence] -= c->full_evidence[entry->evidence] != 0;
	c->evidence[entry->evidence] -= c->evidence[entry->evidence] != 0;
	if (view->keepalive[entry->keepalive] != 0)
		view->keepalive[entry->keepalive]--;
}

struct census *census_new(const struct census_config *config)
{
	struct census *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->config = *config;
	c->ledger = ledger_new(config->exclude);
	c->listeners = listeners_new(config->keep_ms);
	c->tracks[CENSUS_COOKIES] = track_new();
	c->deaths = calloc(DEATHS, sizeof(*c->deaths));
	c->tombs = calloc(TOMBS, sizeof(*c->tombs));
	if (c->ledger == NULL || c->listeners == NULL || c->tracks[CENSUS_COOKIES] == NULL ||
	    c->deaths == NULL || c->tombs == NULL) {
		census_free(c);
		return NULL;
	}
	return c;
}

void census_free(struct census *c)
{
	if (c == NULL)
		return;
	for (int i = 0; i < CENSUS_ID_KINDS; i++)
		track_free(c->tracks[i]);
	ledger_free(c->ledger);
	listeners_free(c->listeners);
	mirror_done(&c->mirror);
	busyports_done(&c->busy);
	free(c->deferred);
	free(c->deaths);
	free(c->tombs);
	owners_done(&c->owners);
	free(c);
}

/* The memory by cookies is kept through the time without them. */
static int choose_track(struct census *c, enum census_ids ids)
{
	if (c->tracks[ids] == NULL)
		c->tracks[ids] = track_new();
	if (c->tracks[ids] == NULL)
		return -ENOMEM;
	c->track = c->tracks[ids];
	return 0;
}

static int pin_included(struct census *c)
{
	if (c->config.include == NULL)
		return 0;
	for (unsigned int port = 1; port < 65536; port++) {
		if (port % 64 == 0 && c->config.include->bits[port / 64] == 0) {
			port += 63;
			continue;
		}
		if (!portset_has(c->config.include, (uint16_t)port))
			continue;
		if (ledger_pin(c->ledger, ROLE_SERVER, (uint16_t)port) < 0 ||
		    ledger_pin(c->ledger, ROLE_CLIENT, (uint16_t)port) < 0)
			return -ENOMEM;
	}
	return 0;
}

static void clear_show(struct census *c)
{
	ledger_begin(c->ledger);
	busyports_reset(&c->busy);
	owners_reset(&c->owners);
	c->full_sockets = 0;
	memset(c->evidence, 0, sizeof(c->evidence));
	memset(c->full_evidence, 0, sizeof(c->full_evidence));
}

static void clear_states(struct census *c)
{
	ledger_begin_states(c->ledger);
	owners_reset_states(&c->owners);
	memcpy(c->evidence, c->full_evidence, sizeof(c->evidence));
}

/* When the sockets of this tier were looked at last. */
static uint64_t looked_ms(const struct census *c, enum tier tier)
{
	return tier == TIER_FULL ? c->last_full_ms : c->last_now_ms;
}

int census_begin(struct census *c, const struct census_sample *sample)
{
	uint64_t looked = looked_ms(c, sample->tier);
	int r = choose_track(c, sample->ids);

	if (r < 0)
		return r;
	c->sample = *sample;
	c->context = (struct ages_context){
		.now_ms = sample->now_ms,
		.interval_ms = looked != 0 ? sample->now_ms - looked : 0,
		.thresholds = &c->config.thresholds,
		.sysctl = &c->sample.sysctl,
	};
	track_begin(c->track, sample->tier == TIER_FULL);
	listeners_begin(c->listeners, sample->ids != c->last_ids);
	mirror_reset(&c->mirror);
	c->deferred_count = 0;
	c->states_sockets = 0;
	c->error = 0;
	if (sample->tier == TIER_FULL)
		clear_show(c);
	else
		clear_states(c);
	return pin_included(c);
}

/* Ages are of the moment when the kernel filled the record, which may be long after the dump began: they are lower bounds. */
void census_arrived(void *census)
{
	struct census *c = census;

	if (c->sample.clock != NULL)
		c->context.now_ms = c->sample.clock();
}

int census_listener(void *census, const struct tcpsock *sock)
{
	struct census *c = census;

	c->states_sockets++;
	return listeners_add(c->listeners, sock, c->sample.now_ms);
}

int census_socket(void *census, const struct tcpsock *sock)
{
	struct census *c = census;
	struct role_guess guess;
	struct track_entry *entry;
	bool created, again;

	/* CLOSE: caught on its way out of the kernel's table; the next dump will not show it. */
	if (sock->state == TCP_STATE_LISTEN || sock->state == TCP_STATE_CLOSE ||
	    sock->state == TCP_STATE_NONE || sock->state >= TCP_STATE_COUNT)
		return 0;
	if (!c->sample.arrivals)
		census_arrived(c);
	entry = track_see(c->track, sock->id, &created, &again);
	if (entry == NULL)
		return -ENOMEM;
	if (again)
		return 0;
	created =
		entry->state == TCP_STATE_NONE; /* also what a dump that broke off had only begun */
	if (c->sample.tier == TIER_STATES && !created)
		take_off_show(c, entry, sock->cgroup_id);
	entry->miss = 0;
	entry->maybe_lost = false;
	if (created)
		addrset_add(&c->local, &sock->local);
	if (entry->sure)
		return count_socket(c, entry, sock, created);
	if (strong_evidence(c, entry, sock, &guess)) {
		weigh(entry, &guess, created);
		return count_socket(c, entry, sock, created);
	}
	if (!created && entry->evidence <= ROLE_BY_OTHER_END)
		return count_socket(c, entry, sock, created);
	if (is_worth_waiting(c, sock, created))
		return defer(c, sock);
	guess = weak_evidence(c, sock);
	weigh(entry, &guess, created);
	return count_socket(c, entry, sock, created);
}

/* What the other end says of itself: the opposite is this one. */
static bool ask_other_end(struct census *c, const struct tcpsock *sock, census_other_fn other_fn,
			  void *arg, struct role_guess *ret_guess)
{
	struct tcpsock other;
	struct role_guess its;
	struct track_entry *entry;
	enum role role;

	*ret_guess = (struct role_guess){ ROLE_SERVER, ROLE_BY_OTHER_END, false };
	if (c->sample.ids == CENSUS_TUPLES) {
		if (!mirror_find(&c->mirror, sock, &role))
			return false;
		ret_guess->role = role == ROLE_SERVER ? ROLE_CLIENT : ROLE_SERVER;
		return true;
	}
	if (other_fn == NULL || other_fn(arg, sock, &other) < 0)
		return false;
	if (!role_from_state(&other, &its) &&
	    role_from_handshake(&other, &its) != ROLE_HANDSHAKE_TELLS) {
		entry = track_find(c->track, other.id);
		if (entry == NULL || entry->state == TCP_STATE_NONE ||
		    entry->evidence > ROLE_BY_LISTENER)
			return false;
		its.role = (enum role)entry->role;
	}
	ret_guess->role = its.role == ROLE_SERVER ? ROLE_CLIENT : ROLE_SERVER;
	return true;
}

static int count_deferred(struct census *c, census_other_fn other_fn, void *arg)
{
	int r = 0;

	for (size_t i = 0; i < c->deferred_count && r == 0; i++) {
		const struct tcpsock *sock = &c->deferred[i];
		struct track_entry *entry = track_find(c->track, sock->id);
		struct role_guess guess;
		bool created;

		if (entry == NULL)
			continue;
		created = entry->state == TCP_STATE_NONE;
		if (!may_be_on_this_host(c, sock) || !ask_other_end(c, sock, other_fn, arg, &guess))
			guess = weak_evidence(c, sock);
		weigh(entry, &guess, created);
		r = count_socket(c, entry, sock, created);
	}
	return r;
}

static void bury(struct census *c, uint64_t id)
{
	c->tombs[id % TOMBS] = id;
}

static void forget(struct census *c, struct track_entry *entry)
{
	struct ledger_pair *pair = ledger_pair(c->ledger, (enum role)entry->role, entry->port);

	if (pair == NULL)
		c->error = -ENOMEM;
	else
		account_close(pair, entry);
	track_remove(c->track, entry);
}

/* Reset or timed out, its descriptor still held: the kernel shows it nowhere until close(2) frees it. */
static void count_invisible(struct census *c, struct track_entry *entry)
{
	struct ledger_pair *pair = ledger_pair(c->ledger, (enum role)entry->role, entry->port);
	struct portview *view;
	struct look look;

	c->invisible++;
	if (pair == NULL) {
		c->error = -ENOMEM;
		return;
	}
	account_close(pair, entry);
	if (entry->maybe_lost)
		return;
	view = ledger_view_of(c->ledger, pair, is_lasting(entry));
	if (view == NULL) {
		c->error = -ENOMEM;
		return;
	}
	ages_dead(entry, &c->context, &look);
	view->state[TCP_STATE_CLOSE]++;
	if (look.reason != STALE_NONE)
		view->stale[look.reason]++;
	entry->counted = look.reason & 15u;
	if (look.reason != STALE_NONE && note_stale(c, entry, NULL, &look) < 0)
		c->error = -ENOMEM;
}

static bool event_is_due(const struct census *c, const struct track_entry *entry)
{
	return c->sample.events && !entry->final && !entry->mini && !entry->eventless &&
	       entry->state != TCP_STATE_SYN_RECV;
}

/* One dump may miss a socket that moved in the kernel's table meanwhile: two do not. */
static void sweep_entry(void *arg, struct track_entry *entry)
{
	struct census *c = arg;

	if (entry->miss < 3)
		entry->miss++;
	if (c->suspicious != 0)
		entry->maybe_lost = true;
	if (entry->miss == 1)
		return;
	if (!event_is_due(c, entry)) {
		forget(c, entry);
		return;
	}
	if (entry->state != TCP_STATE_CLOSE) {
		entry->state = TCP_STATE_CLOSE;
		entry->since = ages_tick(c->last_full_ms); /* when it was missing first */
		entry->reason = STALE_NONE;
	}
	count_invisible(c, entry);
}

struct thinning {
	struct census *census;
	uint64_t older_ms; /* what is invisible for longer goes */
	bool lost_only;
};

static void thin_entry(void *arg, struct track_entry *entry)
{
	struct thinning *t = arg;
	struct census *c = t->census;

	if (entry->state != TCP_STATE_CLOSE || (t->lost_only && !entry->maybe_lost) ||
	    ages_since(c->sample.now_ms, entry->since) < t->older_ms)
		return;
	bury(c, entry->id);
	track_remove(c->track, entry);
	c->invisible--;
}

/* Too many wait for an event that may never come: those that may be lost go first, then the oldest. */
static void thin_invisible(struct census *c)
{
	struct thinning t = { c, 0, true };

	if (c->invisible <= INVISIBLE_MAX)
		return;
	track_each(c->track, thin_entry, &t);
	t.lost_only = false;
	for (uint64_t older_ms = UINT64_C(1) << 40; c->invisible > INVISIBLE_MAX; older_ms /= 2) {
		t.older_ms = older_ms;
		track_each(c->track, thin_entry, &t);
		if (older_ms == 0)
			break;
	}
}

static int fill_ephemeral(struct census *c)
{
	double range = (double)c->sample.sysctl.value[NETSYSCTL_PORT_HIGH] -
		       (double)c->sample.sysctl.value[NETSYSCTL_PORT_LOW] + 1;

	for (size_t i = 0; i < c->busy.size; i++) {
		const struct busyport *b = &c->busy.slots[i];
		struct portview *view;
		double ratio;

		if (b->sockets == 0 || range < 1)
			continue;
		/* Millionths are more than a share of some ten thousand ports can tell, and a short text. */
		ratio = (double)(uint64_t)(b->sockets / range * 1e6 + 0.5) / 1e6;
		view = ledger_full_view(c->ledger, ROLE_CLIENT, b->port);
		if (view == NULL)
			return -ENOMEM;
		if (ratio > view->ephemeral_ratio)
			view->ephemeral_ratio = ratio;
	}
	return 0;
}

static int pin_listening(struct census *c)
{
	size_t n;
	const struct listener_port *rows = listeners_ports(c->listeners, &n);

	for (size_t i = 0; i < n; i++) {
		if (rows[i].sockets != 0 && ledger_pin(c->ledger, ROLE_SERVER, rows[i].port) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* A whole dump with cookies: what was remembered by tuples is of no use any more. */
static void settle_cookies(struct census *c)
{
	if (c->suspicious != 0)
		c->suspicious--;
	track_free(c->tracks[CENSUS_TUPLES]);
	c->tracks[CENSUS_TUPLES] = NULL;
	c->baseline = true;
}

/* Only a full dump tells by what it does not show. */
static void settle_full(struct census *c)
{
	c->invisible = 0;
	track_sweep(c->track, sweep_entry, c);
	thin_invisible(c);
	track_trim(c->track);
	if (c->sample.ids == CENSUS_COOKIES)
		settle_cookies(c);
	c->last_full_ms = c->sample.now_ms;
	if (c->error == 0)
		c->error = fill_ephemeral(c);
}

int census_end(struct census *c, census_other_fn other_fn, void *arg)
{
	int r;

	if (c->sample.drain != NULL)
		c->sample.drain(c->sample.drain_arg);
	r = count_deferred(c, other_fn, arg);
	if (r < 0)
		return r;
	listeners_end(c->listeners, c->sample.now_ms);
	if (c->sample.tier == TIER_FULL)
		settle_full(c);
	else
		track_end_part(c->track);
	c->last_ids = c->sample.ids;
	c->last_now_ms = c->sample.now_ms;
	if (c->error == 0)
		c->error = pin_listening(c);
	return c->error;
}

void census_abort(struct census *c)
{
	/* Nothing is known of these but their id: an event must find no entry without a pair. */
	for (size_t i = 0; i < c->deferred_count; i++) {
		struct track_entry *entry = track_find(c->track, c->deferred[i].id);

		if (entry != NULL && entry->state == TCP_STATE_NONE)
			track_remove(c->track, entry);
	}
	c->deferred_count = 0;
}

/* The pair of a socket that no dump has shown. */
static struct ledger_pair *pair_of_stranger(struct census *c, const struct tcpdeath *death,
					    enum role *ret_role)
{
	struct role_ports range = {
		(uint16_t)c->sample.sysctl.value[NETSYSCTL_PORT_LOW],
		(uint16_t)c->sample.sysctl.value[NETSYSCTL_PORT_HIGH],
	};
	bool listened = listeners_match_port(c->listeners, death->local_port) != LISTENERS_NONE;

	if (!role_from_death(death, ret_role)) {
		if (listened)
			*ret_role = ROLE_SERVER;
		else if (death->remote_port == 0)
			*ret_role = ROLE_CLIENT;
		else
			*ret_role =
				role_from_ports(death->local_port, death->remote_port, range).role;
	}
	return ledger_pair(c->ledger, *ret_role,
			   *ret_role == ROLE_SERVER ? death->local_port : death->remote_port);
}

static int count_stranger(struct census *c, const struct tcpdeath *death)
{
	struct account_numbers numbers = account_numbers_of_death(death);
	struct track_entry life = { .id = death->id };
	enum role role;
	struct ledger_pair *pair;

	if (!c->counting || c->tombs[death->id % TOMBS] == death->id)
		return 0;
	pair = pair_of_stranger(c, death, &role);
	if (pair == NULL)
		return -ENOMEM;
	if (death->remote_port == 0)
		c->wiped_closes++;
	else
		account_add(pair, &life, &numbers);
	account_open(pair, &life);
	account_close(pair, &life);
	if (death->remote_port != 0)
		c->deaths[death->tuple_hash % DEATHS] =
			(struct death_role){ death->tuple_hash, death->local_port,
					     death->remote_port, (uint8_t)role, true };
	return 0;
}

static int count_known(struct census *c, const struct tcpdeath *death, struct track_entry *entry)
{
	struct ledger_pair *pair = ledger_pair(c->ledger, (enum role)entry->role, entry->port);
	struct account_numbers numbers = account_numbers_of_death(death);

	if (entry->final)
		return 0; /* told twice */
	if (pair == NULL)
		return -ENOMEM;
	take_off_show(c, entry, 0);
	if (death->remote_port == 0)
		c->wiped_closes++;
	else
		account_add(pair, entry, &numbers);
	account_open(pair, entry);
	account_close(pair, entry);
	entry->final = true; /* kept: its TIME_WAIT inherits pair and role */
	if (entry->state == TCP_STATE_CLOSE)
		entry->miss = 3;
	return 0;
}

static int count_failure(struct census *c, const struct tcpdeath *death, struct track_entry *entry,
			 enum account_failure failure)
{
	static const enum ledger_counter counter[] = {
		[ACCOUNT_REFUSED] = LEDGER_FAILED_REFUSED,
		[ACCOUNT_TIMEOUT] = LEDGER_FAILED_TIMEOUT,
		[ACCOUNT_ABANDONED] = LEDGER_FAILED_OTHER,
	};
	struct ledger_pair *pair;
	uint16_t port =
		entry != NULL && entry->role == ROLE_CLIENT ? entry->port : death->remote_port;

	if (!c->counting)
		return 0;
	pair = ledger_pair(c->ledger, ROLE_CLIENT, port);
	if (pair == NULL)
		return -ENOMEM;
	ledger_add(pair, counter[failure], 1);
	return 0;
}

/* A record that waits to be judged when its socket dies is as good as unseen. */
static struct track_entry *find_known(struct census *c, uint64_t id)
{
	struct track_entry *entry = track_find(c->tracks[CENSUS_COOKIES], id);

	if (entry == NULL || entry->state != TCP_STATE_NONE)
		return entry;
	track_remove(c->tracks[CENSUS_COOKIES], entry);
	return NULL;
}

int census_event(struct census *c, const struct tcpdeath *death)
{
	struct track_entry *entry = find_known(c, death->id);
	bool syn_sent = entry != NULL && !entry->opened && entry->role == ROLE_CLIENT &&
			entry->evidence == ROLE_BY_STATE;
	enum account_failure failure = account_failure(death, syn_sent);

	if (failure == ACCOUNT_NOISE)
		return 0;
	if (failure == ACCOUNT_NOT_FAILED)
		return entry != NULL ? count_known(c, death, entry) : count_stranger(c, death);
	if (entry != NULL) {
		if (entry->final)
			return 0;
		take_off_show(c, entry, 0);
		entry->final = true;
	}
	return count_failure(c, death, entry, failure);
}

void census_drained(struct census *c)
{
	c->counting = c->baseline;
}

void census_overrun(struct census *c)
{
	c->suspicious = OVERRUN_DUMPS;
}

void census_look(const struct census *c, const struct tcpsock *sock, uint64_t now_ms,
		 struct census_place *ret_place, struct look *ret_look)
{
	const struct track_entry *known = c->track != NULL ? track_find(c->track, sock->id) : NULL;
	bool created = known == NULL || known->state == TCP_STATE_NONE;
	struct track_entry entry = { .id = sock->id };
	struct ages_context context = c->context;
	struct role_guess guess;

	if (!created)
		entry = *known;
	context.now_ms = now_ms;
	context.interval_ms = now_ms - looked_ms(c, is_lasting(&entry) ? TIER_FULL : TIER_STATES);
	context.thresholds = &c->config.thresholds;
	context.sysctl = &c->sample.sysctl;
	if (!entry.sure) {
		if (!strong_evidence(c, &entry, sock, &guess))
			guess = weak_evidence(c, sock);
		weigh(&entry, &guess, created);
	}
	ages_look(&entry, sock, created, &context, ret_look);
	*ret_place =
		(struct census_place){ (enum role)entry.role, (enum role_evidence)entry.evidence,
				       service_port(&entry, sock) };
}

struct ledger *census_ledger(struct census *c)
{
	return c->ledger;
}

const struct listeners *census_listeners(const struct census *c)
{
	return c->listeners;
}

const uint64_t *census_evidence(const struct census *c)
{
	return c->evidence;
}

const struct census_owner *census_owners(const struct census *c, size_t *ret_count)
{
	*ret_count = c->owners.count;
	return c->owners.slots;
}

uint64_t census_sockets(const struct census *c)
{
	return c->states_sockets + c->full_sockets;
}

uint64_t census_wiped_closes(const struct census *c)
{
	return c->wiped_closes;
}
