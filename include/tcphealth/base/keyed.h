/*
 * keyed: elements of one size, found by their keys.
 *
 * Owns the elements: structs that begin with their key, a uint64_t that is a hash (hash_mix()).
 * They are added, and forgotten all at once. Must not know what else is in one. One table, one
 * thread.
 */
#pragma once

#include "tcphealth/base/array.h"
#include "tcphealth/base/hash.h"

/* Empty when zeroed. */
struct keyed {
	void *elements;
	size_t count, cap;
	struct hash hash;
};

/* `size` is that of an element in every call. */

/* The first that was added with this key, or NULL. */
static inline void *keyed_find(const struct keyed *keyed, size_t size, uint64_t key)
{
	size_t at = 0;

	for (uint32_t i; (i = hash_next(&keyed->hash, key, &at)) != HASH_END;) {
		void *element = (char *)keyed->elements + i * size;

		if (memcmp(element, &key, sizeof(key)) == 0)
			return element;
	}
	return NULL;
}

/*
 * A new one behind all others, with its key, which need not be new; the caller fills the rest. NULL
 * when out of memory. Pointers to others are no longer good.
 */
static inline void *keyed_add(struct keyed *keyed, size_t size, uint64_t key)
{
	void *element;

	if (!array_room(&keyed->elements, &keyed->cap, keyed->count, size) ||
	    hash_add(&keyed->hash, key, keyed->count) < 0)
		return NULL;
	element = (char *)keyed->elements + keyed->count++ * size;
	return memcpy(element, &key, sizeof(key));
}

/* Forgets all elements, keeps the memory. */
void keyed_reset(struct keyed *keyed);

/* Frees the memory; the table is empty and may be used again. */
void keyed_done(struct keyed *keyed);
