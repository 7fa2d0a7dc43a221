/*
 * pace: saves processor time for full dumps. Pure arithmetic.
 */
#include "tcphealth/app/pace.h"

/* Weight of the newest cost: a single slow dump does not change the tier for long, the end of a load soon does. */
#define SMOOTHING_UP   0.3
#define SMOOTHING_DOWN 0.7
#define FIRST_FULL     2u   /* the first dump also fills caches and tables: its cost says little */
#define PERIOD_MAX     120u /* ticks: at any cost, a full sample is taken now and then */

void pace_init(struct pace *pace, double budget, uint64_t interval_ms, uint32_t full_every)
{
	*pace = (struct pace){
		.budget = budget,
		.interval_ns = (double)interval_ms * 1e6,
		.full_every = full_every,
		.period = full_every,
	};
}

/* The first ones, and the one after a full one that was lost. */
static bool must_be_full(const struct pace *pace)
{
	return pace->full_samples < FIRST_FULL || pace->insists;
}

static double income_ns(const struct pace *pace)
{
	return pace->budget * pace->interval_ns;
}

/*
 * What does not cost more than an interval's income is paid at once. Else the purse has to hold the price; it holds little
 * more than that, the change of one tick, so that a quiet night does not pay for a busy hour.
 */
static bool affords_full(const struct pace *pace)
{
	return pace->budget <= 0 || pace->cost_ns[TIER_FULL] <= income_ns(pace) ||
	       pace->purse_ns >= pace->cost_ns[TIER_FULL] || pace->since_full >= PERIOD_MAX;
}

enum tier pace_choose(struct pace *pace)
{
	double most = pace->cost_ns[TIER_FULL] + income_ns(pace);

	pace->purse_ns += income_ns(pace);
	if (pace->purse_ns > most)
		pace->purse_ns = most;
	pace->since_full++;
	if (!must_be_full(pace) && (pace->since_full < pace->full_every || !affords_full(pace)))
		return TIER_STATES;
	if (!must_be_full(pace))
		pace->period = pace->since_full;
	pace->since_full = 0;
	pace->insists = false;
	pace->full_samples += pace->full_samples < FIRST_FULL;
	return TIER_FULL;
}

void pace_insist(struct pace *pace)
{
	pace->insists = true;
}

void pace_pay(struct pace *pace, enum tier tier, uint64_t cpu_ns)
{
	double cost = (double)cpu_ns;
	double *smooth = &pace->cost_ns[tier];

	pace->purse_ns -= cost;
	/* A debt is not older than one full dump: it must not outlast the load that made it. */
	if (pace->purse_ns < -*smooth - income_ns(pace))
		pace->purse_ns = -*smooth - income_ns(pace);
	if (tier == TIER_FULL && pace->full_samples < FIRST_FULL)
		return;
	if (*smooth <= 0)
		*smooth = cost;
	*smooth += (cost > *smooth ? SMOOTHING_UP : SMOOTHING_DOWN) * (cost - *smooth);
}

uint64_t pace_interval_ms(const struct pace *pace, enum tier tier)
{
	uint32_t ticks = tier == TIER_FULL ? pace->period : 1;

	/* While the next is saved for longer than the last was, the interval is longer already. */
	if (tier == TIER_FULL && pace->since_full > ticks)
		ticks = pace->since_full;
	return (uint64_t)(pace->interval_ns / 1e6) * ticks;
}
