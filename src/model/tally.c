/*
 * tally: what the connections on show add up to. The rare part: those that are stale or have something queued.
 */
#include "tcphealth/model/tally.h"

#include "tcphealth/base/array.h"

#include <stdlib.h>
#include <string.h>

/* Rows of a part. */
#define CGROUPS_MAX 2048u

void portview_merge(struct portview *into, const struct portview *from)
{
	for (int i = 0; i < TCP_STATE_COUNT; i++) {
		into->state[i] += from->state[i];
		tally_raise(&into->oldest_ms[i], from->oldest_ms[i]);
	}
	for (int i = 0; i < STALE_REASONS; i++)
		into->stale[i] += from->stale[i];
	for (int i = 0; i < KEEPALIVES; i++)
		into->keepalive[i] += from->keepalive[i];
	for (int i = 0; i < TALLY_SUMS; i++)
		into->sum[i] += from->sum[i];
	for (int i = 0; i < TALLY_PEAKS; i++)
		tally_raise(&into->peak[i], from->peak[i]);
	if (from->ephemeral_ratio > into->ephemeral_ratio)
		into->ephemeral_ratio = from->ephemeral_ratio;
}

void tally_begin(struct tally *tally, enum tier tier)
{
	for (int i = (int)tier; i < TIERS; i++) {
		struct tally_part *part = &tally->part[i];

		memset(part->evidence, 0, sizeof(part->evidence));
		part->cgroup_count = 0;
		hash_reset(&part->cgroup_hash);
	}
	if (tier == TIER_FULL)
		keyed_reset(&tally->kept);
}

void tally_done(struct tally *tally)
{
	for (int i = 0; i < TIERS; i++) {
		free(tally->part[i].cgroups);
		hash_done(&tally->part[i].cgroup_hash);
	}
	keyed_done(&tally->kept);
	*tally = (struct tally){ 0 };
}

static uint64_t hash_cgroup(const struct track_entry *entry, uint64_t cgroup_id)
{
	uint64_t rest =
		(uint64_t)entry->port << 16 | (uint64_t)entry->pair_role << 8 | entry->counted;

	return hash_mix(hash_mix(hash_seed, cgroup_id), rest);
}

static struct tally_cgroup *find_cgroup(const struct tally_part *part,
					const struct track_entry *entry, uint64_t cgroup_id)
{
	uint64_t h = hash_cgroup(entry, cgroup_id);
	size_t at = 0;

	for (uint32_t i; (i = hash_next(&part->cgroup_hash, h, &at)) != HASH_END;) {
		struct tally_cgroup *row = &part->cgroups[i];

		if (row->cgroup_id == cgroup_id && row->port == entry->port &&
		    row->role == entry->pair_role && row->reason == entry->counted)
			return row;
	}
	return NULL;
}

/* The row, made at need; NULL where there is no room for one more. */
static int get_cgroup(struct tally_part *part, const struct track_entry *entry, uint64_t cgroup_id,
		      struct tally_cgroup **ret_row)
{
	*ret_row = find_cgroup(part, entry, cgroup_id);
	if (*ret_row || part->cgroup_count == CGROUPS_MAX)
		return 0;
	if (!array_room((void **)&part->cgroups, &part->cgroup_cap, part->cgroup_count,
			sizeof(*part->cgroups)) ||
	    hash_add(&part->cgroup_hash, hash_cgroup(entry, cgroup_id), part->cgroup_count) < 0)
		return -ENOMEM;
	*ret_row = &part->cgroups[part->cgroup_count++];
	**ret_row = (struct tally_cgroup){ .cgroup_id = cgroup_id,
					   .port = entry->port,
					   .role = entry->pair_role,
					   .reason = entry->counted };
	return 0;
}

static int keep(struct tally *tally, uint64_t id, const struct tally_share *share)
{
	struct tally_kept *kept = keyed_add(&tally->kept, sizeof(*kept), hash_mix(hash_seed, id));

	if (!kept)
		return -ENOMEM;
	kept->share = *share;
	return 0;
}

void tally_move_more(struct tally_part *part, struct portview *view,
		     const struct track_entry *entry, const struct tally_share *share, int sign)
{
	struct tally_cgroup *row;

	for (int i = 0; i < TALLY_SUMS; i++)
		view->sum[i] += (uint64_t)((int64_t)share->sum[i] * sign);
	if (entry->counted == STALE_NONE)
		return;
	view->stale[entry->counted] += (uint32_t)sign;
	row = find_cgroup(part, entry, share->cgroup_id);
	if (row)
		row->form[share->form].sockets += (uint32_t)sign;
}

static void note_oldest(struct tally_cgroup *row, unsigned int form,
			const struct tally_stale *stale)
{
	uint64_t oldest_ms = stale_group_all(row->form).oldest_ms;

	tally_raise(&row->form[form].oldest_ms, stale->ms);
	if (!stale->sock || (row->peer_port != 0 && stale->ms <= oldest_ms))
		return;
	row->peer = stale->sock->remote;
	row->peer_port = stale->sock->remote_port;
}

/* What can fail comes before anything is added: a row for the cgroup, and room to keep the share. */
int tally_prepare(struct tally *tally, const struct track_entry *entry,
		  const struct tally_share *share, const struct tally_stale *stale)
{
	enum tier tier = tally_tier(entry->state);
	struct tally_cgroup *row = NULL;

	if (entry->counted != STALE_NONE &&
	    get_cgroup(&tally->part[tier], entry, share->cgroup_id, &row) < 0)
		return -ENOMEM;
	if (row)
		note_oldest(row, share->form, stale);
	return tier == TIER_FULL ? keep(tally, entry->id, share) : 0;
}

void tally_take_off(struct tally *tally, struct portview *view, struct track_entry *entry)
{
	struct tally_kept *kept =
		keyed_find(&tally->kept, sizeof(*kept), hash_mix(hash_seed, entry->id));
	struct tally_share share = { 0 };

	if (kept) {
		share = kept->share;
		kept->key = 0;
	}
	entry->shown = false;
	tally_move(&tally->part[TIER_FULL], view, entry, &share, -1);
}
