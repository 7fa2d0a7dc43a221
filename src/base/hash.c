/*
 * hash: open addressing with linear steps, grown by doubling.
 */
#include "tcphealth/base/hash.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#define SMALLEST 256u

uint64_t hash_seed;

/* Without randomness the hashes are still right. */
__attribute__((constructor)) static void seed(void)
{
	if (getrandom(&hash_seed, sizeof(hash_seed), GRND_NONBLOCK) < 0)
		hash_seed = 0;
}

static void put(struct hash *hash, struct hash_slot slot)
{
	size_t at = slot.hash & (hash->size - 1);

	while (hash->slots[at].index != 0)
		at = (at + 1) & (hash->size - 1);
	hash->slots[at] = slot;
}

static int grow(struct hash *hash)
{
	struct hash bigger = { .size = hash->size ? hash->size * 2 : SMALLEST,
			       .count = hash->count };

	bigger.slots = calloc(bigger.size, sizeof(*bigger.slots));
	if (!bigger.slots)
		return -ENOMEM;
	for (size_t i = 0; i < hash->size; i++) {
		if (hash->slots[i].index != 0)
			put(&bigger, hash->slots[i]);
	}
	free(hash->slots);
	*hash = bigger;
	return 0;
}

int hash_add(struct hash *hash, uint64_t h, size_t index)
{
	/* At most two thirds full. */
	if (hash->count >= hash->size / 3 * 2 && grow(hash) < 0)
		return -ENOMEM;
	put(hash, (struct hash_slot){ (uint32_t)h, (uint32_t)index + 1 });
	hash->count++;
	return 0;
}

void hash_reset(struct hash *hash)
{
	if (hash->count != 0)
		memset(hash->slots, 0, hash->size * sizeof(*hash->slots));
	hash->count = 0;
}

void hash_done(struct hash *hash)
{
	free(hash->slots);
	*hash = (struct hash){ 0 };
}
