/*
 * keepalive: whether the kernel probes a quiet peer, as far as the samples so far show it.
 */
#ifndef TCPHEALTH_MODEL_KEEPALIVE_H
#define TCPHEALTH_MODEL_KEEPALIVE_H

enum keepalive {
	/* Another timer has hidden it in every sample; 0, as in a new entry. */
	KEEPALIVE_UNKNOWN,
	KEEPALIVE_ON,
	KEEPALIVE_OFF,
};
#define KEEPALIVES 3

#endif
