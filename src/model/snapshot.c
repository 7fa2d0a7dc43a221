/*
 * snapshot: the memory of a snapshot, in chunks that are freed together, and the count of its
 * references. Must not know what the numbers mean.
 */
#include "tcphealth/model/snapshot.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>

/* Below the size from which malloc() uses mmap(): the next sample gets the same memory. */
#define CHUNK_BYTES ((size_t)64 * 1024)

struct chunk {
	struct chunk *next;
	size_t used;
	size_t cap;
	alignas(max_align_t) unsigned char data[];
};

/* Users hold `shown`, the first member. */
struct owner {
	struct snapshot shown;
	atomic_uint references;
	struct chunk *chunks; /* the first one has room */
};

static struct owner *owner_of(struct snapshot *snapshot)
{
	return (struct owner *)snapshot;
}

static struct chunk *new_chunk(size_t cap)
{
	if (cap > SIZE_MAX - sizeof(struct chunk))
		return NULL;
	struct chunk *chunk = calloc(1, sizeof(*chunk) + cap);
	if (chunk)
		chunk->cap = cap;
	return chunk;
}

/* A chunk with room for `len` bytes; one that a big request fills goes behind the one in use. */
static struct chunk *chunk_with_room(struct owner *owner, size_t len)
{
	struct chunk *first = owner->chunks;

	if (first && first->cap - first->used >= len)
		return first;
	bool big = len > CHUNK_BYTES / 4;
	struct chunk *chunk = new_chunk(big ? len : CHUNK_BYTES);
	if (!chunk)
		return NULL;
	if (big && first) {
		chunk->next = first->next;
		first->next = chunk;
		return chunk;
	}
	chunk->next = first;
	owner->chunks = chunk;
	return chunk;
}

void *snapshot_alloc(struct snapshot *snapshot, size_t count, size_t size)
{
	const size_t align = alignof(max_align_t);
	size_t len;

	if (__builtin_mul_overflow(count, size, &len) || len > SIZE_MAX - align)
		return NULL;
	len = (len + align - 1) / align * align;
	struct chunk *chunk = chunk_with_room(owner_of(snapshot), len);
	if (!chunk)
		return NULL;
	void *memory = chunk->data + chunk->used;
	chunk->used += len;
	return memory;
}

struct snapshot *snapshot_new(size_t ns_count)
{
	struct owner *owner = calloc(1, sizeof(*owner));

	if (!owner)
		return NULL;
	atomic_init(&owner->references, 1);
	owner->shown.ns = snapshot_alloc(&owner->shown, ns_count, sizeof(*owner->shown.ns));
	if (!owner->shown.ns) {
		snapshot_unref(&owner->shown);
		return NULL;
	}
	owner->shown.ns_count = ns_count;
	return &owner->shown;
}

const struct snapshot_listener *snapshot_listener_of(const struct snapshot_ns *ns,
						     const struct snapshot_pair *pair)
{
	for (size_t i = 0; pair->role == ROLE_SERVER && i < ns->listener_count; i++) {
		if (ns->listeners[i].port == pair->port)
			return &ns->listeners[i];
	}
	return NULL;
}

struct snapshot *snapshot_ref(struct snapshot *snapshot)
{
	if (snapshot)
		atomic_fetch_add_explicit(&owner_of(snapshot)->references, 1, memory_order_relaxed);
	return snapshot;
}

void snapshot_unref(struct snapshot *snapshot)
{
	if (!snapshot)
		return;
	struct owner *owner = owner_of(snapshot);
	if (atomic_fetch_sub_explicit(&owner->references, 1, memory_order_acq_rel) != 1)
		return;
	for (struct chunk *chunk = owner->chunks, *next; chunk; chunk = next) {
		next = chunk->next;
		free(chunk);
	}
	free(owner);
}
