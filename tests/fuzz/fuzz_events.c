/*
 * Fuzzes the parser of destroy notices: the input is one netlink message.
 */
#include "tcphealth/source/events.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_death(const struct tcpdeath *death)
{
	unsigned int flags = death->flags;

	if (death->id == 0)
		abort();
	/* tcp_info only grows at its end: what is younger is there only with what is older. */
	if ((flags & TCPDEATH_SENT) && !(flags & TCPDEATH_DELIVERED))
		abort();
	if ((flags & (TCPDEATH_DELIVERED | TCPDEATH_MIN_RTT | TCPDEATH_NOTSENT)) &&
	    !(flags & TCPDEATH_INFO))
		abort();
	if (!(flags & TCPDEATH_DELIVERED) && death->delivered != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* On the heap at its exact size, aligned as a receive buffer is. */
	uint8_t *copy = calloc(1, size ? size : 1);
	struct tcpdeath death;

	if (!copy)
		return 0;
	if (size)
		memcpy(copy, data, size);
	if (events_parse(copy, size, &death))
		check_death(&death);
	free(copy);
	return 0;
}
