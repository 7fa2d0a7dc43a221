/*
 * loglimit: a count of lines a minute.
 *
 * Owns the count and the minute. Must not know what is logged, or where.
 */
#include "tcphealth/base/loglimit.h"

#define MINUTE_MS 60000u

void loglimit_init(struct loglimit *limit, unsigned int lines_a_minute)
{
	*limit = (struct loglimit){ .lines_a_minute = lines_a_minute };
}

static bool minute_is_over(const struct loglimit *limit, uint64_t now_ms)
{
	return !limit->open || now_ms - limit->since_ms >= MINUTE_MS;
}

bool loglimit_pass(struct loglimit *limit, uint64_t now_ms)
{
	if (minute_is_over(limit, now_ms)) {
		limit->open = true;
		limit->since_ms = now_ms;
		limit->lines = 0;
	}
	if (limit->lines < limit->lines_a_minute) {
		limit->lines++;
		return true;
	}
	limit->held_back++;
	return false;
}

uint64_t loglimit_report(struct loglimit *limit, uint64_t now_ms, bool final)
{
	uint64_t held_back = limit->held_back;

	if (!final && !minute_is_over(limit, now_ms))
		return 0;
	limit->held_back = 0;
	return held_back;
}
