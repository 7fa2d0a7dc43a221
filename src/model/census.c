/*
 * census: the begin and the end of a sample.
 */
#include "tcphealth/model/census.h"

#include "census-internal.h"
#include "tcphealth/model/account.h"
#include "tcphealth/model/track.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Entries that wait for an event. */
#define INVISIBLE_MAX 65536u

/* A full sample that has not ended shows only what it has seen, and a memory that it does not fill shows nothing. */
static bool is_on_show(const struct census *c, const struct track_entry *entry)
{
	return entry->shown && c->sample.can & SOURCE_COOKIES &&
	       (c->sample.tier == TIER_STATES || track_saw(c->track, entry));
}

void census_take_off(struct census *c, struct track_entry *entry)
{
	struct ledger_pair *pair;
	struct portview *view;

	if (!is_on_show(c, entry))
		return;
	pair = ledger_pair(c->ledger, (enum role)entry->pair_role, entry->port);
	view = pair ? ledger_view(c->ledger, pair, TIER_FULL) : NULL;
	if (!view)
		return;
	tally_take_off(&c->tally, view, entry);
}

struct census *census_new(const struct census_config *config)
{
	struct census *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->config = *config;
	c->ledger = ledger_new(config->exclude);
	c->listeners = listeners_new(config->keep_ms);
	c->connects = connects_new();
	c->localports = localports_new();
	c->cookies = track_new();
	if (!c->ledger || !c->listeners || !c->connects || !c->localports || !c->cookies ||
	    deaths_init(c) < 0) {
		census_free(c);
		return NULL;
	}
	return c;
}

void census_free(struct census *c)
{
	if (!c)
		return;
	track_free(c->cookies);
	track_free(c->tuples);
	ledger_free(c->ledger);
	listeners_free(c->listeners);
	connects_free(c->connects);
	hash_done(&c->local.hash);
	keyed_done(&c->mirror);
	localports_free(c->localports);
	free(c->deferred);
	deaths_done(c);
	tally_done(&c->tally);
	free(c);
}

/* The memory by cookies stays through the time without them. */
static int choose_track(struct census *c, uint32_t can)
{
	if (can & SOURCE_COOKIES) {
		c->track = c->cookies;
		return 0;
	}
	if (!c->tuples)
		c->tuples = track_new();
	if (!c->tuples)
		return -ENOMEM;
	c->track = c->tuples;
	return 0;
}

static int pin_included(struct census *c)
{
	if (!c->config.include)
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

uint64_t census_looked_ms(const struct census *c, enum tier tier)
{
	return tier == TIER_FULL ? c->last_full_ms : c->last_now_ms;
}

int census_begin(struct census *c, const struct census_sample *sample)
{
	uint64_t looked = census_looked_ms(c, sample->tier);
	int err = choose_track(c, sample->can);

	if (err < 0)
		return err;
	c->sample = *sample;
	c->context = (struct ages_context){
		.now_ms = sample->now_ms,
		.interval_ms = looked != 0 ? sample->now_ms - looked : 0,
		.thresholds = &c->config.thresholds,
		.sysctl = &c->sample.sysctl,
	};
	track_begin(c->track, sample->tier);
	listeners_begin(c->listeners, c->last_track && c->last_track != c->track);
	keyed_reset(&c->mirror);
	c->deferred_count = c->deferred_next = 0;
	c->listening = 0;
	c->error = 0;
	ledger_begin(c->ledger, sample->tier);
	tally_begin(&c->tally, sample->tier);
	if (sample->tier == TIER_FULL)
		err = localports_begin(c->localports, &sample->sysctl, sample->reserved);
	return err < 0 ? err : pin_included(c);
}

static void forget(struct census *c, struct track_entry *entry)
{
	struct ledger_pair *pair = ledger_pair(c->ledger, (enum role)entry->role, entry->port);

	if (!pair)
		c->error = -ENOMEM;
	else
		account_close(pair, entry);
	track_remove(c->track, entry);
}

/* Reset or timed out, while its program holds the descriptor: the kernel shows it nowhere until close(2) frees it. */
static void count_invisible(struct census *c, struct track_entry *entry)
{
	struct ledger_pair *pair = ledger_pair(c->ledger, (enum role)entry->role, entry->port);
	struct tally_share share = { .cgroup_id = track_cgroup(c->track, entry) };
	struct portview *view;
	struct look look;

	c->invisible++;
	if (!pair) {
		c->error = -ENOMEM;
		return;
	}
	account_close(pair, entry);
	if (entry->maybe_lost)
		return;
	ages_dead(entry, &c->context, &look);
	view = ledger_view(c->ledger, pair, TIER_FULL);
	if (!view || tally_add(&c->tally, view, entry, share,
			       (struct tally_stale){ look.reason, look.stale_ms, NULL }) < 0)
		c->error = -ENOMEM;
}

static bool event_is_due(const struct census *c, const struct track_entry *entry)
{
	return c->sample.can & SOURCE_EVENTS && !entry->final && !entry->mini &&
	       !entry->eventless && entry->state != TCP_STATE_SYN_RECV;
}

/* One dump may miss a socket that moves in the kernel's table meanwhile. Two do not. */
static void sweep_entry(void *arg, struct track_entry *entry)
{
	struct census *c = arg;

	entry->shown = false;
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
		/* When it was missing first. */
		entry->since = ages_tick(c->last_full_ms);
	}
	count_invisible(c, entry);
}

/* What has been invisible for so long goes, or only what may be lost of it. */
struct thinning {
	struct census *census;
	uint64_t older_ms;
	bool lost_only;
};

static void thin_entry(void *arg, struct track_entry *entry)
{
	struct thinning *t = arg;
	struct census *c = t->census;

	if (entry->state != TCP_STATE_CLOSE || (t->lost_only && !entry->maybe_lost) ||
	    ages_since(c->sample.now_ms, entry->since) < t->older_ms)
		return;
	deaths_bury(c, entry->id);
	track_remove(c->track, entry);
	c->invisible--;
}

/* Too many wait for an event that may never come. Those that may have lost their event go first, then the oldest. */
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

/* The port of what a listener has accepted is taken from every connect() as well, also when the listener has gone. */
static void block_server_ports(struct census *c)
{
	size_t n;
	const struct ledger_pair *pairs = ledger_pairs(c->ledger, &n);

	for (size_t i = 0; i < n; i++) {
		if (pairs[i].role == ROLE_SERVER && ledger_pair_view(c->ledger, &pairs[i]))
			localports_block(c->localports, pairs[i].port);
	}
}

static int note_local_ports(void *arg, uint16_t remote_port, double ratio)
{
	struct census *c = arg;
	struct ledger_pair *pair = ledger_pair(c->ledger, ROLE_CLIENT, remote_port);
	struct portview *view = pair ? ledger_view(c->ledger, pair, TIER_FULL) : NULL;

	if (!view)
		return -ENOMEM;
	/* Millionths: more than a share of some ten thousand ports tells, and still a short text. */
	ratio = (double)(uint64_t)(ratio * 1e6 + 0.5) / 1e6;
	if (ratio > view->ephemeral_ratio)
		view->ephemeral_ratio = ratio;
	return 0;
}

static int pin_listening(struct census *c)
{
	size_t n;
	const struct listener_port *rows = listeners_ports(c->listeners, &n);

	for (size_t i = 0; i < n; i++) {
		if (rows[i].sockets != 0 && !rows[i].diverted &&
		    ledger_pin(c->ledger, ROLE_SERVER, rows[i].port) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* What was remembered without cookies is of no use any more. */
static void settle_cookies(struct census *c)
{
	if (c->suspicious != 0)
		c->suspicious--;
	track_free(c->tuples);
	c->tuples = NULL;
	c->baseline = true;
}

/* Only a full dump tells something by what it does not show. */
static void settle_full(struct census *c)
{
	c->invisible = 0;
	track_sweep(c->track, sweep_entry, c);
	thin_invisible(c);
	track_trim(c->track);
	if (c->sample.can & SOURCE_COOKIES)
		settle_cookies(c);
	c->last_full_ms = c->sample.now_ms;
	block_server_ports(c);
	if (c->error == 0)
		c->error = localports_end(c->localports, note_local_ports, c);
}

int census_end(struct census *c)
{
	int err = records_count_deferred(c);

	if (err < 0)
		return err;
	listeners_end(c->listeners, c->sample.now_ms);
	if (c->sample.tier == TIER_FULL)
		settle_full(c);
	else
		track_end_states(c->track);
	c->last_track = c->track;
	c->last_now_ms = c->sample.now_ms;
	if (c->error == 0)
		c->error = pin_listening(c);
	return c->error;
}

void census_abort(struct census *c)
{
	/* Nothing is known of a new one but its id: an event must find no entry without a pair. */
	for (size_t i = 0; i < c->deferred_count; i++) {
		struct track_entry *entry = track_find(c->track, c->deferred[i].id);

		if (entry && entry->state == TCP_STATE_NONE)
			track_remove(c->track, entry);
	}
	c->deferred_count = 0;
}

struct connects *census_connects(struct census *c)
{
	return c->connects;
}

struct ledger *census_ledger(struct census *c)
{
	return c->ledger;
}

const struct listeners *census_listeners(const struct census *c)
{
	return c->listeners;
}

uint64_t census_evidence(const struct census *c, enum role_evidence evidence)
{
	return c->tally.part[TIER_FULL].evidence[evidence] +
	       c->tally.part[TIER_STATES].evidence[evidence];
}

const struct tally_cgroup *census_cgroups(const struct census *c, enum tier tier, size_t *ret_count)
{
	*ret_count = c->tally.part[tier].cgroup_count;
	return c->tally.part[tier].cgroups;
}

uint64_t census_sockets(const struct census *c)
{
	uint64_t sum = c->listening;

	for (int i = 0; i < ROLE_EVIDENCE_COUNT; i++)
		sum += census_evidence(c, (enum role_evidence)i);
	return sum;
}

uint64_t census_wiped_closes(const struct census *c)
{
	return c->wiped_closes;
}
