/*
 * ratelimit: a token bucket, as Go's x/time/rate has it.
 *
 * Counts; reads no clock. Not thread safe: the caller locks.
 */
#ifndef TCPHEALTH_WEB_RATELIMIT_H
#define TCPHEALTH_WEB_RATELIMIT_H

#include <stdbool.h>
#include <stdint.h>

struct ratelimit {
	uint64_t interval_ns; /* a token each; 0: no limit */
	uint64_t burst;       /* tokens at most */
	uint64_t tokens;
	uint64_t since_ns; /* when the last token came */
};

/* Takes a token, or returns false if there is none. Other settings than before begin with a full bucket. */
bool ratelimit_take(struct ratelimit *limit, uint64_t interval_ns, uint64_t burst, uint64_t now_ns);

#endif
