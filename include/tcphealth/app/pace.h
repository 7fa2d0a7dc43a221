/*
 * pace: which tier of a sample the processor budget allows now.
 *
 * A purse of processor time: every interval puts the budget's share in, every sample takes out what it cost. While a full
 * dump fits, every interval has one. Where it does not, the cheap tier (every state but ESTABLISHED) keeps the interval, and the
 * full dump comes when the purse has saved for it. Pure arithmetic: the caller measures. One thread.
 */
#ifndef TCPHEALTH_APP_PACE_H
#define TCPHEALTH_APP_PACE_H

#include "tcphealth/model/tier.h"

#include <stdbool.h>
#include <stdint.h>

struct pace {
	double budget; /* share of one processor; 0: no limit */
	double interval_ns;
	double purse_ns;       /* may be negative: a debt */
	double cost_ns[TIERS]; /* of one sample, smoothed; 0: not known yet */
	uint32_t since_full;   /* ticks since the last full dump began */
	uint32_t period;       /* ticks from one full dump to the next, as seen last */
	uint32_t full_samples; /* so far: the first ones are always full */
	bool insists;          /* the next one must be full */
};

void pace_init(struct pace *pace, double budget, uint64_t interval_ms);

/* What this tick shall do. Called once a tick. */
enum tier pace_choose(struct pace *pace);

/* The next sample shall be full, whatever it costs: what the last full one found is not to be had. */
void pace_insist(struct pace *pace);

/* What that cost. */
void pace_pay(struct pace *pace, enum tier tier, uint64_t cpu_ns);

/* Time between two samples of a tier, as it is now, in milliseconds. */
uint64_t pace_interval_ms(const struct pace *pace, enum tier tier);

#endif
