/* ratelimit: see the header. Must not know what is limited. */
#include "tcphealth/web/ratelimit.h"

bool ratelimit_take(struct ratelimit *limit, uint64_t interval_ns, uint64_t burst, uint64_t now_ns)
{
	uint64_t come;

	if (limit->interval_ns != interval_ns || limit->burst != burst)
		*limit = (struct ratelimit){
			.interval_ns = interval_ns,
			.burst = burst,
			.tokens = burst,
			.since_ns = now_ns,
		};
	if (interval_ns == 0)
		return true;
	come = now_ns > limit->since_ns ? (now_ns - limit->since_ns) / interval_ns : 0;
	limit->since_ns += come * interval_ns;
	limit->tokens = come >= burst - limit->tokens ? burst : limit->tokens + come;
	if (limit->tokens == 0)
		return false;
	if (limit->tokens == burst)
		limit->since_ns = now_ns; /* a full bucket saves no fraction */
	limit->tokens--;
	return true;
}
