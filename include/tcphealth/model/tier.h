/*
 * tier: how much of the kernel's tables a sample reads.
 */
#pragma once

/*
 * A states sample is cheap: connections in ESTABLISHED are many and rarely change. What the last
 * full sample found of them, and of those that left the dumps, is kept until the next; a connection
 * that a states sample finds in another state, or that has had its destroy event, is not.
 */
enum tier {
	/* Every state; 0, so that a zeroed sample is one. */
	TIER_FULL,
	TIER_STATES, /* every state but ESTABLISHED */
};
#define TIERS 2
