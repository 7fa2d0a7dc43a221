/*
 * hash: finds the elements of an array by a hash of their keys.
 *
 * Owns slots, each with a hash and an index. The elements stay in the caller's array, and the
 * caller compares their keys. Elements are added one by one and forgotten all at once. One table,
 * one thread.
 */
#pragma once

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* There is no further element. */
#define HASH_END UINT32_MAX

/* The lower half of the hash, and the index + 1: 0 where the slot is empty. */
struct hash_slot {
	uint32_t hash;
	uint32_t index;
};

/* Empty when zeroed. */
struct hash {
	struct hash_slot *slots;
	/* A power of two, or 0. */
	size_t size;
	size_t count;
};

/*
 * Random, and the same for the life of the process. A hash of anything that peers choose begins
 * with it, so that they cannot choose the slots.
 */
extern uint64_t hash_seed;

/*
 * Mixes a value into a hash. Shifts before and after the product: a multiplication alone carries
 * nothing to lower bits.
 */
static inline uint64_t hash_mix(uint64_t h, uint64_t value)
{
	h ^= value;
	h = (h ^ h >> 32) * UINT64_C(0x9e3779b97f4a7c15);
	return h ^ h >> 29;
}

static inline uint64_t hash_mix_address(uint64_t h, const struct in6_addr *addr)
{
	uint64_t words[2];

	memcpy(words, addr, sizeof(words));
	return hash_mix(hash_mix(h, words[0]), words[1]);
}

/*
 * The index of the next element that may have the hash `h`, or HASH_END. `*at` is 0 for the first
 * call, and the caller does not change it.
 */
static inline uint32_t hash_next(const struct hash *hash, uint64_t h, size_t *at)
{
	while (*at < hash->size) {
		const struct hash_slot *slot =
			&hash->slots[((size_t)h + (*at)++) & (hash->size - 1)];

		if (slot->index == 0)
			break;
		if (slot->hash == (uint32_t)h)
			return slot->index - 1;
	}
	return HASH_END;
}

/* Adds an element, known or not. 0 or -ENOMEM; as many as before the last reset always fit. */
int hash_add(struct hash *hash, uint64_t h, size_t index);

/* Forgets all elements, keeps the memory. */
void hash_reset(struct hash *hash);

/* Frees the memory; the table is empty and may be used again. */
void hash_done(struct hash *hash);
