/*
 * portset: a set of TCP ports, a plain value.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct portset {
	uint64_t bits[65536 / 64];
};

static inline bool portset_has(const struct portset *set, uint16_t port)
{
	return set->bits[port / 64] >> (port % 64) & 1;
}

static inline void portset_add(struct portset *set, uint16_t port)
{
	set->bits[port / 64] |= UINT64_C(1) << (port % 64);
}
