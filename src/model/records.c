/*
 * records: what one record of a dump does to the census.
 */
#include "census-internal.h"
#include "tcphealth/base/address.h"
#include "tcphealth/base/array.h"
#include "tcphealth/model/account.h"
#include "tcphealth/model/ages.h"
#include "tcphealth/model/census.h"
#include "tcphealth/model/track.h"

#include <errno.h>
#include <string.h>

/* Records that wait for the end of a dump. */
#define DEFERRED_MAX 16384u

static void take_over_role(struct track_entry *entry, const struct role_guess *guess)
{
	entry->role = guess->role & 1u;
	entry->evidence = guess->evidence & 15u;
	entry->sure = guess->sure;
}

/* What a connection tells of others, when it is first known by what its own record says. */
static void note_service(struct census *c, const struct track_entry *entry,
			 const struct tcpsock *sock, const struct role_guess *guess, bool created)
{
	if (guess->evidence < ROLE_BY_LISTENER && (created || guess->evidence < entry->evidence))
		services_add(&c->services, sock, guess->role);
}

/* The stronger evidence wins, or the newer if they are equal. Two looks that agree on the handshake settle the role. */
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
 * By what this record alone tells, or by a listener that is alive. The kernel reads the state before it locks the socket: if
 * the FIN of an accepted connection is acknowledged in between, it looks like a SYN. A listener on that port knows better than
 * one such look, but not better than two.
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
	enum role role;
	struct role_ports range = {
		(uint16_t)c->sample.sysctl.value[NETSYSCTL_PORT_LOW],
		(uint16_t)c->sample.sysctl.value[NETSYSCTL_PORT_HIGH],
	};

	if (deaths_find_role(c, sock, &role))
		return (struct role_guess){ role, ROLE_BY_EVENT, false };
	if (listeners_match(c->listeners, &sock->local, sock->local_port) == LISTENERS_FORMER)
		return (struct role_guess){ ROLE_SERVER, ROLE_BY_FORMER_LISTENER, false };
	if (services_find(&c->services, sock, &role))
		return (struct role_guess){ role, ROLE_BY_KNOWN_SERVICE, false };
	return role_from_ports(sock->local_port, sock->remote_port, range);
}

/* That its other end is here as well, in this namespace or another. */
static bool may_be_on_this_host(const struct census *c, const struct tcpsock *sock)
{
	return memcmp(&sock->local, &sock->remote, sizeof(sock->local)) == 0 ||
	       address_is_loopback(&sock->remote) || addrset_has(&c->local, &sock->remote);
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
 * What the first dump shows is older than this program. A mini that no dump has shown before is counted by its event, which
 * bears another cookie; without events it is all that will ever be seen of its connection. Ids without cookies change in
 * the life of a socket (by accept and close): nothing is counted by them, and what was missed follows when cookies are back.
 */
static void count_first_sight(struct census *c, struct ledger_pair *pair, struct track_entry *entry,
			      const struct tcpsock *sock)
{
	struct account_numbers numbers = account_numbers_of(sock);
	bool mini = tcpsock_knows(sock, TCPSOCK_MINI) && sock->state != TCP_STATE_SYN_RECV;

	if (!(c->sample.can & SOURCE_COOKIES)) {
		entry->opened = entry->closed = true;
	} else if (!c->baseline) {
		if (tcpsock_knows(sock, TCPSOCK_BYTES))
			account_base(entry, &numbers);
		entry->opened = mini || is_established(sock);
		entry->closed = mini;
	} else if (mini) {
		if (!(c->sample.can & SOURCE_EVENTS)) {
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
		return; /* an anomaly: its event has told it all */
	if (tcpsock_knows(sock, TCPSOCK_BYTES) && !account_is_unchanged(entry, sock)) {
		const struct account_numbers numbers = account_numbers_of(sock);

		account_add(pair, entry, &numbers);
	}
	if (!entry->opened && is_established(sock))
		account_open(pair, entry);
}

/* Wanted when the record has been judged; with many ports it is in no cache. Its first 64 bytes may lie across two lines. */
static void fetch_view(const struct portview *view)
{
	__builtin_prefetch(view, 1);
	__builtin_prefetch((const char *)view + 63, 1);
}

static int add_share(struct census *c, struct portview *view, struct track_entry *entry,
		     const struct tcpsock *sock, const struct look *look)
{
	struct tally_share share = {
		.cgroup_id = sock->cgroup_id,
		.sum = { [TALLY_RECEIVE_QUEUE] = tcpsock_unread(sock),
			 [TALLY_SEND_QUEUE] = sock->wqueue },
		.form = (uint8_t)look->form,
	};

	if (sock->state == TCP_STATE_ESTABLISHED && sock->timer == TCP_TIMER_KEEPALIVE)
		share.sum[TALLY_PROBES] = sock->probes;
	tally_raise(&view->peak[TALLY_SILENCE], look->silence_ms);
	if (look->has_loss)
		tally_raise(&view->peak[TALLY_LOSS], look->loss_ms);
	if (look->has_age)
		tally_raise(&view->oldest_ms[sock->state], look->age_ms);
	return tally_add(&c->tally, view, entry, share,
			 (struct tally_stale){ look->reason, look->stale_ms, sock });
}

/*
 * Better evidence, or a new peer, moves a connection to another pair: it is closed in the old one and opened in the new one,
 * so that in each the difference stays what is open.
 */
static int change_pair(struct census *c, struct track_entry *entry, uint16_t port)
{
	struct ledger_pair *old;

	if (entry->opened && !entry->closed &&
	    (entry->pair_role != entry->role || entry->port != port)) {
		old = ledger_pair(c->ledger, (enum role)entry->pair_role, entry->port);
		if (!old)
			return -ENOMEM;
		account_close(old, entry);
		entry->opened = entry->closed = false;
	}
	entry->pair_role = entry->role;
	entry->port = port;
	return 0;
}

/* On a host with cgroup1 alone, all are in the root of cgroup2. */
static bool lacks_cgroup(const struct census *c, const struct tcpsock *sock)
{
	return sock->cgroup_id == 0 || (sock->cgroup_id == 1 && c->config.kernel_cgroup_id == 0);
}

/* By which its holder is found: of one that nobody has accepted, the listener's. 0: nobody holds it. */
static uint32_t held_inode(const struct census *c, const struct tcpsock *sock)
{
	struct role_guess guess;
	uint32_t inode = sock->inode;

	if (inode == 0 && role_from_state(sock, &guess) && guess.evidence == ROLE_BY_ACCEPT_QUEUE)
		(void)listeners_queueing(c->listeners, &sock->local, sock->local_port, &inode, 1);
	return inode;
}

static int count_socket(struct census *c, struct track_entry *entry, const struct tcpsock *sock,
			bool created)
{
	bool mini = tcpsock_knows(sock, TCPSOCK_MINI);
	struct ledger_pair *pair;
	struct portview *view;
	struct look look;
	int err = change_pair(c, entry, service_port(entry, sock));

	if (err < 0)
		return err;
	if (!mini && (created || entry->mini || c->config.holderunits))
		track_note_cgroup(c->track, entry, sock->cgroup_id);
	entry->mini = mini;
	entry->eventless = c->config.kernel_cgroup_id != 0 &&
			   sock->cgroup_id == c->config.kernel_cgroup_id && sock->uid == 0;
	pair = ledger_pair(c->ledger, (enum role)entry->role, entry->port);
	if (!pair)
		return -ENOMEM;
	view = ledger_view(c->ledger, pair, tally_tier(sock->state));
	if (!view)
		return -ENOMEM;
	fetch_view(view);
	ages_look(entry, sock, created, &c->context, &look);
	count_record(c, pair, entry, sock, created);
	err = add_share(c, view, entry, sock, &look);
	if (look.reason != STALE_NONE && c->config.holderunits && lacks_cgroup(c, sock))
		holderunits_want(c->config.holderunits, held_inode(c, sock), true);
	if (err == 0 && tcpsock_knows(sock, TCPSOCK_TRANSPARENT) && entry->role == ROLE_SERVER)
		err = listeners_divert(c->listeners, sock->local_port, c->sample.now_ms);
	if (err == 0 && entry->role == ROLE_CLIENT && c->sample.tier == TIER_FULL)
		err = localports_add(c->localports, sock);
	if (err == 0 && !(c->sample.can & SOURCE_COOKIES))
		err = mirror_add(&c->mirror, sock, (enum role)entry->role);
	return err;
}

static int defer(struct census *c, struct track_entry *entry, const struct tcpsock *sock)
{
	if (!array_room((void **)&c->deferred, &c->deferred_cap, c->deferred_count, sizeof(*sock)))
		return -ENOMEM;
	c->deferred[c->deferred_count++] = *sock;
	entry->shown = false;
	return 0;
}

/*
 * Until the dump is whole: the other end of a new one, or more connections to the same service, may be in it, and the event of
 * a mini, which tells its role, may be on its way. A mini that was judged once never tells more.
 */
static bool is_worth_waiting(const struct census *c, const struct tcpsock *sock, bool created)
{
	if (c->deferred_count >= DEFERRED_MAX)
		return false;
	return created || (!tcpsock_knows(sock, TCPSOCK_MINI) && may_be_on_this_host(c, sock));
}

static int take_listener(struct census *c, const struct tcpsock *sock)
{
	c->listening++;
	if (c->config.holderunits && lacks_cgroup(c, sock))
		holderunits_want(c->config.holderunits, sock->inode, false);
	if (c->sample.tier == TIER_FULL)
		localports_block(c->localports, sock->local_port);
	return listeners_add(c->listeners, sock, c->sample.now_ms);
}

static int take_connection(struct census *c, const struct tcpsock *sock)
{
	struct role_guess guess;
	struct track_entry *entry;
	bool created, again;

	/* CLOSE: on its way out of the kernel's table. The next dump will not show it. */
	if (sock->state == TCP_STATE_CLOSE || sock->state == TCP_STATE_NONE ||
	    sock->state >= TCP_STATE_COUNT)
		return 0;
	entry = track_see(c->track, sock->id, &created, &again);
	if (!entry)
		return -ENOMEM;
	if (again)
		return 0;
	/* Or a dump that broke off has only begun it. */
	created = entry->state == TCP_STATE_NONE;
	if (c->sample.tier == TIER_STATES)
		census_take_off(c, entry);
	entry->miss = 0;
	entry->maybe_lost = false;
	if (created) {
		addrset_add(&c->local, &sock->local);
		entry->inside = may_be_on_this_host(c, sock);
	}
	if (entry->sure)
		return count_socket(c, entry, sock, created);
	if (strong_evidence(c, entry, sock, &guess)) {
		note_service(c, entry, sock, &guess, created);
		weigh(entry, &guess, created);
		return count_socket(c, entry, sock, created);
	}
	if (!created && entry->evidence <= ROLE_BY_OTHER_END)
		return count_socket(c, entry, sock, created);
	if (is_worth_waiting(c, sock, created))
		return defer(c, entry, sock);
	guess = weak_evidence(c, sock);
	weigh(entry, &guess, created);
	return count_socket(c, entry, sock, created);
}

static int take(struct census *c, const struct tcpsock *sock)
{
	return sock->state == TCP_STATE_LISTEN ? take_listener(c, sock) : take_connection(c, sock);
}

/* With what stands for the cgroup of its holder, if that is known by now. */
static int take_held(struct census *c, const struct tcpsock *sock)
{
	struct tcpsock held = *sock;
	uint64_t id = holderunits_id(c->config.holderunits, held_inode(c, sock));

	if (id != 0)
		held.cgroup_id = id;
	return take(c, &held);
}

int census_take(void *census, const struct tcpsock *socks, size_t count, uint64_t read_ms)
{
	struct census *c = census;
	int err = 0;

	/* Ages count from when the kernel filled the record, which may be long after the dump began. */
	c->context.now_ms = read_ms;
	for (size_t i = 0; i < count && err == 0; i++)
		err = c->config.holderunits && lacks_cgroup(c, &socks[i]) ? take_held(c, &socks[i])
									  : take(c, &socks[i]);
	return err;
}

/* The role of the other end: as this sample has seen it, or with cookies as its record and the memory tell. */
static bool role_of_other(const struct census *c, const struct tcpsock *sock,
			  const struct tcpsock *other, enum role *ret_role)
{
	const struct track_entry *entry;
	struct role_guess its;

	if (!(c->sample.can & SOURCE_COOKIES))
		return mirror_find(&c->mirror, sock, ret_role);
	if (!other)
		return false;
	if (role_from_state(other, &its) ||
	    role_from_handshake(other, &its) == ROLE_HANDSHAKE_TELLS) {
		*ret_role = its.role;
		return true;
	}
	entry = track_find(c->track, other->id);
	if (!entry || entry->state == TCP_STATE_NONE || entry->evidence > ROLE_BY_LISTENER)
		return false;
	*ret_role = (enum role)entry->role;
	return true;
}

/* NULL if it has died meanwhile. */
static struct track_entry *find_deferred(const struct census *c, const struct tcpsock *sock)
{
	struct track_entry *entry = track_find(c->track, sock->id);

	return entry && !entry->final ? entry : NULL;
}

static int count_deferred(struct census *c, const struct tcpsock *sock, const struct tcpsock *other)
{
	struct track_entry *entry = find_deferred(c, sock);
	struct role_guess guess = { .evidence = ROLE_BY_OTHER_END };
	enum role role;
	bool created;

	if (!entry)
		return 0;
	created = entry->state == TCP_STATE_NONE;
	if (may_be_on_this_host(c, sock) && role_of_other(c, sock, other, &role))
		guess.role = role == ROLE_SERVER ? ROLE_CLIENT : ROLE_SERVER;
	else
		guess = weak_evidence(c, sock);
	weigh(entry, &guess, created);
	return count_socket(c, entry, sock, created);
}

const struct tcpsock *census_waiting(struct census *c)
{
	for (; c->deferred_next < c->deferred_count; c->deferred_next++) {
		const struct tcpsock *sock = &c->deferred[c->deferred_next];

		if (may_be_on_this_host(c, sock) && find_deferred(c, sock))
			return sock;
	}
	return NULL;
}

int census_settle(struct census *c, const struct tcpsock *other)
{
	struct tcpsock sock = c->deferred[c->deferred_next];

	c->deferred[c->deferred_next] = c->deferred[--c->deferred_count];
	return count_deferred(c, &sock, other);
}

int records_count_deferred(struct census *c)
{
	int err = 0;

	for (size_t i = 0; i < c->deferred_count && err == 0; i++)
		err = count_deferred(c, &c->deferred[i], NULL);
	return err;
}

void census_look(const struct census *c, const struct tcpsock *sock, uint64_t now_ms,
		 struct census_place *ret_place, struct look *ret_look)
{
	const struct track_entry *known = c->track ? track_find(c->track, sock->id) : NULL;
	bool created = !known || known->state == TCP_STATE_NONE;
	struct track_entry entry = { .id = sock->id };
	struct ages_context context = c->context;
	struct role_guess guess;

	if (!created)
		entry = *known;
	else
		entry.inside = may_be_on_this_host(c, sock);
	context.now_ms = now_ms;
	context.interval_ms = now_ms - census_looked_ms(c, tally_tier(entry.state));
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
