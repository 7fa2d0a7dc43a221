/*
 * keepalive: whether the kernel probes a quiet peer, as far as the samples so far show it.
 */
#pragma once

enum keepalive {
	/* Another timer has hidden it in every sample; 0, as in a new entry. */
	KEEPALIVE_UNKNOWN,
	KEEPALIVE_ON,
	KEEPALIVE_OFF,
};
#define KEEPALIVES 3

/* As a label, and in JSON. */
static inline const char *keepalive_name(unsigned int keepalive)
{
	static const char *const names[KEEPALIVES] = {
		[KEEPALIVE_ON] = "on",
		[KEEPALIVE_OFF] = "off",
		[KEEPALIVE_UNKNOWN] = "unknown",
	};

	return names[keepalive];
}
