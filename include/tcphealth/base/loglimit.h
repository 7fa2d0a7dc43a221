/*
 * loglimit: how often something may be logged that others can provoke.
 *
 * Counts; writes nothing and reads no clock. Not thread safe: the caller locks.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct loglimit {
	unsigned int lines_a_minute;
	bool open;          /* a minute is running */
	uint64_t since_ms;  /* when it began */
	unsigned int lines; /* passed in it */
	/* Not passed, and not reported yet. */
	uint64_t held_back;
};

void loglimit_init(struct loglimit *limit, unsigned int lines_a_minute);

/* True if a line may be written now, else it is counted. */
bool loglimit_pass(struct loglimit *limit, uint64_t now_ms);

/*
 * How many lines were held back in the minute that is over (with `final`: so far), reported once; 0
 * if none.
 */
uint64_t loglimit_report(struct loglimit *limit, uint64_t now_ms, bool final);
