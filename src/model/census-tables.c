/*
 * census-tables: addresses, mirrored roles, busy ports and owners of one sample. Open addressing, grown by doubling, bounded.
 */
#include "census-internal.h"
#include "tcphealth/base/array.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MIRROR_MAX 262144u
#define BUSY_MAX   65536u
#define SMALLEST   256u

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * UINT64_C(0x9E3779B97F4A7C15);
	return h ^ (h >> 32);
}

static uint64_t hash_addr(uint64_t h, const struct in6_addr *addr)
{
	uint64_t half[2];

	memcpy(half, addr, sizeof(half));
	return mix(mix(h, half[0]), half[1]);
}

static uint64_t hash_tuple(const struct in6_addr *local, uint16_t local_port,
			   const struct in6_addr *remote, uint16_t remote_port)
{
	uint64_t h = hash_addr(hash_addr(1, local), remote);

	return mix(h, (uint64_t)local_port << 16 | remote_port) | 1;
}

/* The slot that holds the address, or the empty one where it would stand. */
static size_t addr_slot(const struct addrset *set, const struct in6_addr *addr)
{
	size_t i = hash_addr(1, addr) % ADDRSET_SLOTS;

	while ((set->used[i / 64] >> (i % 64) & 1) != 0 &&
	       memcmp(&set->slots[i], addr, sizeof(*addr)) != 0)
		i = (i + 1) % ADDRSET_SLOTS;
	return i;
}

void addrset_add(struct addrset *set, const struct in6_addr *addr)
{
	size_t i = addr_slot(set, addr);

	if ((set->used[i / 64] >> (i % 64) & 1) != 0 || set->count >= ADDRSET_SLOTS / 2)
		return;
	set->slots[i] = *addr;
	set->used[i / 64] |= UINT64_C(1) << (i % 64);
	set->count++;
}

bool addrset_has(const struct addrset *set, const struct in6_addr *addr)
{
	size_t i = addr_slot(set, addr);

	return (set->used[i / 64] >> (i % 64) & 1) != 0;
}

static size_t mirror_slot(const struct mirror *mirror, uint64_t key)
{
	size_t i = (size_t)(key >> 20) & (mirror->size - 1);

	while (mirror->slots[i].key != 0 && mirror->slots[i].key != key)
		i = (i + 1) & (mirror->size - 1);
	return i;
}

static bool grow_mirror(struct mirror *mirror)
{
	struct mirror old = *mirror;
	size_t size = old.size ? old.size * 2 : SMALLEST;

	mirror->slots = calloc(size, sizeof(*mirror->slots));
	if (mirror->slots == NULL) {
		*mirror = old;
		return false;
	}
	mirror->size = size;
	for (size_t i = 0; i < old.size; i++) {
		if (old.slots[i].key != 0)
			mirror->slots[mirror_slot(mirror, old.slots[i].key)] = old.slots[i];
	}
	free(old.slots);
	return true;
}

void mirror_reset(struct mirror *mirror)
{
	if (mirror->count != 0)
		memset(mirror->slots, 0, mirror->size * sizeof(*mirror->slots));
	mirror->count = 0;
}

void mirror_done(struct mirror *mirror)
{
	free(mirror->slots);
	*mirror = (struct mirror){ 0 };
}

int mirror_add(struct mirror *mirror, const struct tcpsock *sock, enum role role)
{
	uint64_t key = hash_tuple(&sock->local, sock->local_port, &sock->remote, sock->remote_port);
	size_t i;

	if (mirror->count >= MIRROR_MAX)
		return 0;
	if (mirror->count * 2 >= mirror->size && !grow_mirror(mirror))
		return -ENOMEM;
	i = mirror_slot(mirror, key);
	mirror->count += mirror->slots[i].key == 0;
	mirror->slots[i] = (struct mirror_slot){ key, (uint8_t)role };
	return 0;
}

bool mirror_find(const struct mirror *mirror, const struct tcpsock *sock, enum role *ret_role)
{
	uint64_t key = hash_tuple(&sock->remote, sock->remote_port, &sock->local, sock->local_port);
	size_t i;

	if (mirror->count == 0)
		return false;
	i = mirror_slot(mirror, key);
	if (mirror->slots[i].key == 0)
		return false;
	*ret_role = (enum role)mirror->slots[i].role;
	return true;
}

static size_t busy_slot(const struct busyports *busy, uint64_t key)
{
	size_t i = (size_t)(key >> 20) & (busy->size - 1);

	while (busy->slots[i].sockets != 0 && busy->slots[i].key != key)
		i = (i + 1) & (busy->size - 1);
	return i;
}

static bool grow_busy(struct busyports *busy)
{
	struct busyports old = *busy;
	size_t size = old.size ? old.size * 2 : SMALLEST;

	busy->slots = calloc(size, sizeof(*busy->slots));
	if (busy->slots == NULL) {
		*busy = old;
		return false;
	}
	busy->size = size;
	for (size_t i = 0; i < old.size; i++) {
		if (old.slots[i].sockets != 0)
			busy->slots[busy_slot(busy, old.slots[i].key)] = old.slots[i];
	}
	free(old.slots);
	return true;
}

void busyports_reset(struct busyports *busy)
{
	if (busy->count != 0)
		memset(busy->slots, 0, busy->size * sizeof(*busy->slots));
	busy->count = 0;
}

void busyports_done(struct busyports *busy)
{
	free(busy->slots);
	*busy = (struct busyports){ 0 };
}

int busyports_add(struct busyports *busy, const struct tcpsock *sock)
{
	uint64_t key = hash_tuple(&sock->local, 0, &sock->remote, sock->remote_port);
	struct busyport *slot;

	if (busy->count * 2 >= busy->size && busy->count < BUSY_MAX && !grow_busy(busy))
		return -ENOMEM;
	slot = &busy->slots[busy_slot(busy, key)];
	if (slot->sockets == 0) {
		if (busy->count >= BUSY_MAX)
			return 0;
		*slot = (struct busyport){ key, 0, sock->remote_port };
		busy->count++;
	}
	slot->sockets++;
	return 0;
}

static bool is_same_owner(const struct census_owner *a, const struct census_owner *b)
{
	return a->cgroup_id == b->cgroup_id && a->port == b->port && a->role == b->role &&
	       a->reason == b->reason && a->lasting == b->lasting;
}

static size_t owner_slot(const struct owners *owners, const struct census_owner *owner)
{
	uint64_t rest = (uint64_t)owner->port << 32 | (uint64_t)owner->role << 16 |
			(uint64_t)owner->reason << 8 | owner->lasting;
	size_t i = mix(mix(1, owner->cgroup_id), rest) % (2 * OWNERS_MAX);

	while (owners->index[i] != 0 && !is_same_owner(&owners->slots[owners->index[i] - 1], owner))
		i = (i + 1) % (2 * OWNERS_MAX);
	return i;
}

void owners_reset(struct owners *owners)
{
	if (owners->count != 0)
		memset(owners->index, 0, sizeof(owners->index));
	owners->count = 0;
}

void owners_done(struct owners *owners)
{
	free(owners->slots);
	*owners = (struct owners){ 0 };
}

void owners_reset_states(struct owners *owners)
{
	size_t kept = 0;

	memset(owners->index, 0, sizeof(owners->index));
	for (size_t i = 0; i < owners->count; i++) {
		if (!owners->slots[i].lasting || owners->slots[i].sockets == 0)
			continue;
		owners->slots[kept] = owners->slots[i];
		owners->index[owner_slot(owners, &owners->slots[kept])] = (uint16_t)(kept + 1);
		kept++;
	}
	owners->count = kept;
}

int owners_note(struct owners *owners, const struct census_owner *owner)
{
	size_t i = owner_slot(owners, owner);
	struct census_owner *o;

	if (owners->index[i] == 0) {
		if (owners->count == OWNERS_MAX)
			return 0;
		if (!array_room((void **)&owners->slots, &owners->cap, owners->count, sizeof(*o)))
			return -ENOMEM;
		owners->slots[owners->count] = *owner;
		owners->slots[owners->count].sockets = 0;
		owners->index[i] = (uint16_t)++owners->count;
	}
	o = &owners->slots[owners->index[i] - 1];
	o->sockets++;
	if (owner->oldest_ms > o->oldest_ms)
		o->oldest_ms = owner->oldest_ms;
	return 0;
}

void owners_take_off(struct owners *owners, const struct census_owner *owner)
{
	struct census_owner *best = NULL;
	size_t i = owner_slot(owners, owner);

	if (owners->index[i] != 0 && owners->slots[owners->index[i] - 1].sockets != 0)
		best = &owners->slots[owners->index[i] - 1];
	for (size_t k = 0; k < owners->count && best == NULL; k++) {
		struct census_owner *o = &owners->slots[k];

		if (o->lasting == owner->lasting && o->sockets != 0 && o->port == owner->port &&
		    o->role == owner->role && o->reason == owner->reason)
			best = o;
	}
	if (best != NULL)
		best->sockets--;
}
