/*
 * pace: which tier a sample is of: full every so many intervals, or less often, as the processor
 * budget allows.
 *
 * Each interval earns the budget's share of processor time, and each sample spends what it costs. A
 * full sample that is due is taken as soon as it is affordable; the other intervals have a states
 * sample. Pure: the caller measures. One thread.
 */
#pragma once

#include "tcphealth/model/tier.h"

#include <stdbool.h>
#include <stdint.h>

struct pace {
	/* Share of one processor; 0: no limit. */
	double budget;
	double interval_ns;
	uint32_t full_every; /* intervals, at least 1 */
	double purse_ns;     /* negative: a debt */
	/* Cost of one sample of each tier, smoothed; 0: not known yet. */
	double cost_ns[TIERS];
	/* In intervals: since the last full sample, and between the last two. */
	uint32_t since_full, period;
	/* So far: the first ones are always full. */
	uint32_t full_samples;
	/* The next one must be full. */
	bool insists;
};

void pace_init(struct pace *pace, double budget, uint64_t interval_ms, uint32_t full_every);

/* The tier of this interval's sample. Once an interval. */
enum tier pace_choose(struct pace *pace);

/* The next sample must be full at any cost, because the last full one is lost. */
void pace_insist(struct pace *pace);

/* Pays for a sample. */
void pace_pay(struct pace *pace, enum tier tier, uint64_t cpu_ns);

/* The time between two samples of a tier at present. */
uint64_t pace_interval_ms(const struct pace *pace, enum tier tier);
