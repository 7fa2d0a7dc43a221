/*
 * ledger: the pairs of role and port, and who has series. Must not know sockets.
 */
#include "tcphealth/model/ledger.h"

#include "tcphealth/base/array.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Gauges of a pair: what each sample of a tier counts again, and their sum, made when it is asked for. */
struct views {
	struct portview part[TIERS];
	struct portview both;
};

struct ledger {
	struct ledger_pair *pairs;
	size_t count, cap;
	struct views *views;
	size_t view_count, view_cap;
	/* By port: index of its pair + 1, or 0. */
	uint32_t *index[ROLE_COUNT];
	struct ledger_pair other[ROLE_COUNT];
	const struct portset *excluded;
	/* A sample was arbitrated: series that come now are new. */
	bool begun;
};

struct candidate {
	struct ledger_pair *pair;
	uint64_t used_ms;
	uint8_t rank;
};

const char *ledger_port_name(uint32_t port)
{
	if (port == LEDGER_PORT_UNKNOWN)
		return "unknown";
	return port == LEDGER_PORT_OTHER ? "other" : NULL;
}

struct ledger *ledger_new(const struct portset *excluded)
{
	struct ledger *ledger = calloc(1, sizeof(*ledger));

	if (!ledger)
		return NULL;
	ledger->excluded = excluded;
	for (int role = 0; role < ROLE_COUNT; role++) {
		ledger->index[role] = calloc(65536, sizeof(*ledger->index[role]));
		if (!ledger->index[role]) {
			ledger_free(ledger);
			return NULL;
		}
	}
	if (!ledger_pair(ledger, ROLE_CLIENT, LEDGER_PORT_UNKNOWN)) {
		ledger_free(ledger);
		return NULL;
	}
	return ledger;
}

void ledger_free(struct ledger *ledger)
{
	if (!ledger)
		return;
	for (int role = 0; role < ROLE_COUNT; role++)
		free(ledger->index[role]);
	free(ledger->pairs);
	free(ledger->views);
	free(ledger);
}

void ledger_begin(struct ledger *ledger, enum tier tier)
{
	for (size_t i = 0; i < ledger->count; i++) {
		ledger->pairs[i].pinned = false;
		if (tier == TIER_FULL)
			ledger->pairs[i].view = LEDGER_NO_VIEW;
	}
	if (tier == TIER_FULL)
		ledger->view_count = 0;
	for (size_t i = 0; i < ledger->view_count; i++)
		ledger->views[i].part[TIER_STATES] = (struct portview){ 0 };
}

/* Not inlined: hardly ever called, it would slow down what is called for each socket. */
__attribute__((noinline)) static struct ledger_pair *make_pair(struct ledger *ledger,
							       enum role role, uint16_t port)
{
	struct ledger_pair *pair;

	if (!array_room((void **)&ledger->pairs, &ledger->cap, ledger->count, sizeof(*pair)))
		return NULL;
	pair = &ledger->pairs[ledger->count];
	*pair = (struct ledger_pair){
		.port = port,
		.role = (uint8_t)role,
		.view = LEDGER_NO_VIEW,
	};
	ledger->index[role][port] = (uint32_t)++ledger->count;
	return pair;
}

struct ledger_pair *ledger_pair(struct ledger *ledger, enum role role, uint16_t port)
{
	uint32_t i = ledger->index[role][port];

	return i != 0 ? &ledger->pairs[i - 1] : make_pair(ledger, role, port);
}

int ledger_pin(struct ledger *ledger, enum role role, uint16_t port)
{
	struct ledger_pair *pair = ledger_pair(ledger, role, port);

	if (!pair)
		return -ENOMEM;
	pair->pinned = true;
	return 0;
}

/* As make_pair(). */
__attribute__((noinline)) static struct views *make_view(struct ledger *ledger,
							 struct ledger_pair *pair)
{
	if (!array_room((void **)&ledger->views, &ledger->view_cap, ledger->view_count,
			sizeof(*ledger->views)))
		return NULL;
	pair->view = (uint32_t)ledger->view_count++;
	ledger->views[pair->view] = (struct views){ 0 };
	return &ledger->views[pair->view];
}

struct portview *ledger_view(struct ledger *ledger, struct ledger_pair *pair, enum tier tier)
{
	struct views *views =
		pair->view != LEDGER_NO_VIEW ? &ledger->views[pair->view] : make_view(ledger, pair);

	return views ? &views->part[tier] : NULL;
}

void ledger_add(struct ledger_pair *pair, unsigned int counter, uint64_t amount)
{
	if (amount == 0)
		return;
	pair->touched = true;
	if (pair->published && !pair->held)
		pair->counter[counter] += amount;
	else
		pair->fresh[counter] += amount;
}

static const struct portview empty;

static bool has_stale(const struct portview *view)
{
	return memcmp(view->stale, empty.stale, sizeof(empty.stale)) != 0;
}

/* 3: stale or pinned; 2: in use; 1: in use less than keep_ms ago; 0: gets no series. */
static uint8_t rank_pair(struct ledger *ledger, struct ledger_pair *pair, uint64_t now_ms,
			 uint64_t keep_ms)
{
	const struct portview *view = ledger_pair_view(ledger, pair);
	bool used = view || pair->pinned || pair->touched;

	pair->touched = false;
	if (used)
		pair->last_used_ms = now_ms;
	if (ledger->excluded && portset_has(ledger->excluded, pair->port))
		return 0;
	if (pair->pinned || (view && has_stale(view)))
		return 3;
	if (used)
		return 2;
	/* It keeps what series it had: a pair that came while all were taken has none. */
	return pair->published && now_ms - pair->last_used_ms < keep_ms ? 1 : 0;
}

static int compare_candidates(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->rank != y->rank)
		return x->rank < y->rank ? 1 : -1;
	if (x->pair->published != y->pair->published && x->rank > 1)
		return x->pair->published ? -1 : 1;
	if (x->used_ms != y->used_ms)
		return x->used_ms < y->used_ms ? 1 : -1;
	return (x->pair->port > y->pair->port) - (x->pair->port < y->pair->port);
}

/* Fills `list` with the pairs of a role that may have series, and returns how many there are. */
static size_t gather(struct ledger *const *ledgers, size_t count, int role, struct candidate *list,
		     uint64_t now_ms, uint64_t keep_ms)
{
	size_t n = 0;

	for (size_t l = 0; l < count; l++) {
		for (size_t i = 0; i < ledgers[l]->count; i++) {
			struct ledger_pair *pair = &ledgers[l]->pairs[i];
			uint8_t rank;

			if (pair->role != role || pair->port == LEDGER_PORT_UNKNOWN)
				continue;
			rank = rank_pair(ledgers[l], pair, now_ms, keep_ms);
			if (rank == 0)
				pair->published = false;
			else
				list[n++] = (struct candidate){ pair, pair->last_used_ms, rank };
		}
	}
	return n;
}

static void move_fresh(struct ledger_pair *from, uint64_t to[LEDGER_COUNTERS])
{
	for (int c = 0; c < LEDGER_COUNTERS; c++) {
		to[c] += from->fresh[c];
		from->fresh[c] = 0;
	}
}

static bool has_fresh(const struct ledger_pair *pair)
{
	for (int c = 0; c < LEDGER_COUNTERS; c++) {
		if (pair->fresh[c] != 0)
			return true;
	}
	return false;
}

/* What was counted meanwhile is shown once the series may rise. */
static void settle_published(struct ledger_pair *pair, bool begun, uint64_t now_ms,
			     uint64_t served_ms)
{
	uint64_t age_ms;

	if (pair->born_ms == 0) {
		pair->born_ms = now_ms;
		pair->held = begun;
	}
	age_ms = now_ms - pair->born_ms;
	if (age_ms >= LEDGER_HELD_MAX_MS ||
	    (age_ms >= LEDGER_HELD_MS && served_ms >= pair->born_ms))
		pair->held = false;
	if (!pair->held)
		move_fresh(pair, pair->counter);
}

/* What was counted without series goes where it will be seen. */
static void settle(struct ledger *ledger, uint64_t now_ms, uint64_t served_ms)
{
	for (size_t i = 0; i < ledger->count; i++) {
		struct ledger_pair *pair = &ledger->pairs[i];

		pair->published |= pair->port == LEDGER_PORT_UNKNOWN;
		if (pair->published) {
			settle_published(pair, ledger->begun, now_ms, served_ms);
			continue;
		}
		pair->born_ms = 0;
		pair->held = false;
		ledger->other[pair->role].published |=
			pair->pinned || has_fresh(pair) || ledger_pair_view(ledger, pair);
		move_fresh(pair, ledger->other[pair->role].fresh);
	}
	for (int role = 0; role < ROLE_COUNT; role++) {
		if (ledger->other[role].published)
			settle_published(&ledger->other[role], ledger->begun, now_ms, served_ms);
	}
	ledger->begun = true;
}

int ledger_arbitrate(struct ledger *const *ledgers, size_t count, uint32_t max, uint64_t now_ms,
		     uint64_t keep_ms, uint64_t served_ms)
{
	struct candidate *list;
	size_t all = 0;

	for (size_t l = 0; l < count; l++)
		all += ledgers[l]->count;
	if (all == 0)
		return 0;
	list = calloc(all, sizeof(*list));
	if (!list)
		return -ENOMEM;
	for (int role = 0; role < ROLE_COUNT; role++) {
		size_t n = gather(ledgers, count, role, list, now_ms, keep_ms);

		if (n > max)
			qsort(list, n, sizeof(*list), compare_candidates);
		for (size_t i = 0; i < n; i++)
			list[i].pair->published = i < max;
	}
	free(list);
	for (size_t l = 0; l < count; l++)
		settle(ledgers[l], now_ms, served_ms);
	return 0;
}

const struct ledger_pair *ledger_pairs(const struct ledger *ledger, size_t *ret_count)
{
	*ret_count = ledger->count;
	return ledger->pairs;
}

static bool is_empty(const struct portview *view)
{
	return memcmp(view->state, empty.state, sizeof(empty.state)) == 0 && !has_stale(view);
}

const struct portview *ledger_pair_view(const struct ledger *ledger, const struct ledger_pair *pair)
{
	struct views *views;

	if (pair->view == LEDGER_NO_VIEW)
		return NULL;
	views = &ledger->views[pair->view];
	views->both = views->part[TIER_FULL];
	portview_merge(&views->both, &views->part[TIER_STATES]);
	return is_empty(&views->both) ? NULL : &views->both;
}

const uint64_t *ledger_other(const struct ledger *ledger, enum role role)
{
	const struct ledger_pair *other = &ledger->other[role];

	return other->published ? other->counter : NULL;
}
