/*
 * census-tables: addresses, mirrored roles, busy ports and owners of one sample. Bounded.
 */
#include "census-internal.h"
#include "tcphealth/base/array.h"
#include "tcphealth/base/hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MIRROR_MAX 262144u
#define BUSY_MAX   65536u

static uint64_t hash_addr(const struct in6_addr *addr)
{
	return hash_mix_address(hash_seed, addr);
}

void addrset_add(struct addrset *set, const struct in6_addr *addr)
{
	if (set->count == ADDRSET_MAX || addrset_has(set, addr) ||
	    hash_add(&set->hash, hash_addr(addr), set->count) < 0)
		return;
	set->addrs[set->count++] = *addr;
}

bool addrset_has(const struct addrset *set, const struct in6_addr *addr)
{
	uint32_t i;

	for (size_t at = 0; (i = hash_next(&set->hash, hash_addr(addr), &at)) != HASH_END;)
		if (memcmp(&set->addrs[i], addr, sizeof(*addr)) == 0)
			return true;
	return false;
}

void addrset_done(struct addrset *set)
{
	hash_done(&set->hash);
}

void mirror_reset(struct mirror *mirror)
{
	hash_reset(&mirror->hash);
	mirror->count = 0;
}

void mirror_done(struct mirror *mirror)
{
	hash_done(&mirror->hash);
	free(mirror->ends);
	*mirror = (struct mirror){ 0 };
}

int mirror_add(struct mirror *mirror, const struct tcpsock *sock, enum role role)
{
	uint64_t key =
		tcptuple_hash(&sock->local, sock->local_port, &sock->remote, sock->remote_port);

	if (mirror->count >= MIRROR_MAX)
		return 0;
	if (!array_room((void **)&mirror->ends, &mirror->cap, mirror->count,
			sizeof(*mirror->ends)) ||
	    hash_add(&mirror->hash, key, mirror->count) < 0)
		return -ENOMEM;
	mirror->ends[mirror->count++] = (struct mirrored){ key, (uint8_t)role };
	return 0;
}

bool mirror_find(const struct mirror *mirror, const struct tcpsock *sock, enum role *ret_role)
{
	uint64_t key =
		tcptuple_hash(&sock->remote, sock->remote_port, &sock->local, sock->local_port);
	uint32_t i;

	for (size_t at = 0; (i = hash_next(&mirror->hash, key, &at)) != HASH_END;) {
		if (mirror->ends[i].key != key)
			continue;
		*ret_role = (enum role)mirror->ends[i].role;
		return true;
	}
	return false;
}

static struct busyport *find_busy(const struct busyports *busy, uint64_t key)
{
	uint32_t i;

	for (size_t at = 0; (i = hash_next(&busy->hash, key, &at)) != HASH_END;)
		if (busy->ports[i].key == key)
			return &busy->ports[i];
	return NULL;
}

void busyports_reset(struct busyports *busy)
{
	hash_reset(&busy->hash);
	busy->count = 0;
}

void busyports_done(struct busyports *busy)
{
	hash_done(&busy->hash);
	free(busy->ports);
	*busy = (struct busyports){ 0 };
}

int busyports_add(struct busyports *busy, const struct tcpsock *sock)
{
	uint64_t key = tcptuple_hash(&sock->local, 0, &sock->remote, sock->remote_port);
	struct busyport *port = find_busy(busy, key);

	if (port != NULL) {
		port->sockets++;
		return 0;
	}
	if (busy->count >= BUSY_MAX)
		return 0;
	if (!array_room((void **)&busy->ports, &busy->cap, busy->count, sizeof(*port)) ||
	    hash_add(&busy->hash, key, busy->count) < 0)
		return -ENOMEM;
	busy->ports[busy->count++] = (struct busyport){ key, 1, sock->remote_port };
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
	size_t i = hash_mix(hash_mix(hash_seed, owner->cgroup_id), rest) % (2 * OWNERS_MAX);

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
