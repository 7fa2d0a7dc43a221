/*
 * tally: what the connections of one sample add up to.
 */
#include "tcphealth/model/tally.h"

static void raise_to(uint64_t *peak, uint64_t value)
{
	if (value > *peak)
		*peak = value;
}

void portview_merge(struct portview *into, const struct portview *from)
{
	for (int i = 0; i < TCP_STATE_COUNT; i++) {
		into->state[i] += from->state[i];
		raise_to(&into->oldest_ms[i], from->oldest_ms[i]);
	}
	for (int i = 0; i < STALE_REASONS; i++)
		into->stale[i] += from->stale[i];
	for (int i = 0; i < KEEPALIVES; i++)
		into->keepalive[i] += from->keepalive[i];
	for (int i = 0; i < TALLY_SUMS; i++)
		into->sum[i] += from->sum[i];
	for (int i = 0; i < TALLY_PEAKS; i++)
		raise_to(&into->peak[i], from->peak[i]);
	if (from->ephemeral_ratio > into->ephemeral_ratio)
		into->ephemeral_ratio = from->ephemeral_ratio;
}
