/*
 * Fuzzes the parsers of a dump: the input is one datagram, and its payload a record.
 */
#include "tcphealth/source/netlink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a record promises to those downstream, who index tables by it. */
static int check_record(void *arg, const struct tcpsock *sock)
{
	size_t *left = arg;

	if (sock->id == 0 || sock->state == 0 || sock->state >= TCP_STATE_COUNT ||
	    sock->info_state == 0 || sock->info_state >= TCP_STATE_COUNT ||
	    !tcpsock_knows(sock, TCPSOCK_COOKIE) || sock->expires_ms > UINT32_C(1) << 31)
		abort();
	if ((sock->known & TCPSOCK_BYTES) && !(sock->known & TCPSOCK_INFO))
		abort();
	/* Each record has 88 bytes at least, so that a datagram bounds their number. */
	if (*left < 88)
		abort();
	*left -= 88;
	/* Now and then the caller has enough. */
	return *left % 7 == 6 ? -EOVERFLOW : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* On the heap at its exact size, aligned as a receive buffer is. */
	uint8_t *copy = calloc(1, size ? size : 1);
	struct netlink_stats stats = { 0 };
	struct tcpsock sock;
	size_t left = size;
	int end;

	if (!copy)
		return 0;
	if (size)
		memcpy(copy, data, size);
	end = netlink_parse_datagram(copy, size, 1, &stats, check_record, &left);
	if (end > 1 || end < -4095)
		abort();
	netlink_parse(copy, size, &sock);
	if (size >= 16 && netlink_parse(copy + 16, size - 16, &sock)) {
		left = 88;
		check_record(&left, &sock);
	}
	free(copy);
	return 0;
}
