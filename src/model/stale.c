/*
 * stale: the names of the reasons. Must not know how a socket comes by one.
 */
#include "tcphealth/model/stale.h"

#include <stddef.h>

static const char *const reason_names[STALE_REASONS] = {
	[STALE_NONE] = "none",
	[STALE_DEAD] = "dead",
	[STALE_UNACCEPTED] = "unaccepted",
	[STALE_CLOSE_WAIT] = "close_wait",
	[STALE_FIN_WAIT2] = "fin_wait2",
	[STALE_CLOSING] = "closing",
	[STALE_SYN_SENT] = "syn_sent",
	[STALE_KEEPALIVE] = "keepalive",
	[STALE_RETRANSMIT] = "retransmit",
	[STALE_ZERO_WINDOW] = "zero_window",
	[STALE_UNREAD] = "unread",
	[STALE_IDLE] = "idle",
};

const char *stale_reason_name(enum stale_reason reason)
{
	return (size_t)reason < STALE_REASONS ? reason_names[reason] : reason_names[STALE_NONE];
}
