/*
 * ratelimit: a token bucket, like Go's x/time/rate.
 *
 * Reads no clock. Not thread safe: the caller locks.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct ratelimit {
	uint64_t interval_ns; /* between tokens; 0: no limit */
	uint64_t burst;       /* most tokens */
	uint64_t tokens;
	uint64_t since_ns; /* the last token came */
};

/* Takes a token. False if there is none. Changed settings start with a full bucket. */
bool ratelimit_take(struct ratelimit *limit, uint64_t interval_ns, uint64_t burst, uint64_t now_ns);
