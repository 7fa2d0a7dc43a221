/*
 * places: who has one of a bounded number of places, and who leaves for a newcomer.
 *
 * A newcomer gets in. If its share has its part already, the one of that share that has been
 * idle for longest leaves; in a full house, the one of the largest share: the largest IPv6 /48,
 * in it the largest /56, in that the largest /64. A few places beyond those that are given are
 * for newcomers while those that leave are still being closed.
 *
 * Owns the list of connections, each known by its descriptor. Must not touch a descriptor. One
 * thread at a time.
 */
#pragma once

#include "tcphealth/web/share.h"

#include <stdbool.h>
#include <stdint.h>

#define PLACES_NEVER UINT64_MAX

struct place {
	/* -1: free */
	int fd;
	struct share share;
	/* The server has begun to serve it: only then may it be ended. */
	bool connected;
	/* A request is being answered. */
	bool asking;
	/* It has to go, and counts no more. */
	bool leaving;
	/* When the connection began, or its last request was read or answered. */
	uint64_t since_ns;
	/* PLACES_NEVER: it was ended. */
	uint64_t deadline_ms;
};

struct places {
	struct place *at;
	unsigned int count, used, per_share;
};

/* Up to `count` descriptors (at least 2), `per_share` (at least 1) of one. False without memory. */
bool places_init(struct places *places, unsigned int count, unsigned int per_share);
void places_done(struct places *places);

/* NULL: not listed. */
struct place *places_find(struct places *places, int fd);

/* False: so many are still leaving that nobody gets in. */
bool places_has_room(const struct places *places);

/* Gives a newcomer a place, of which there must be one. Returns who is leaving for it, or NULL. */
struct place *places_take(struct places *places, const struct place *newcomer);

/* The descriptor is closed. */
void places_release(struct places *places, struct place *place);
