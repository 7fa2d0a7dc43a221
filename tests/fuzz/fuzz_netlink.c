/*
 * Fuzzes the parsers of a dump: the input is one datagram, and its payload a record.
 */
#include "../../src/source/netlink-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a record promises to those downstream, who index tables by it. */
static void check_record(const struct tcpsock *sock)
{
	if (sock->id == 0 || sock->state == 0 || sock->state >= TCP_STATE_COUNT ||
	    sock->info_state == 0 || sock->info_state >= TCP_STATE_COUNT ||
	    !tcpsock_knows(sock, TCPSOCK_COOKIE) || sock->expires_ms > UINT32_C(1) << 31)
		abort();
	if ((sock->known & TCPSOCK_BYTES) && !(sock->known & TCPSOCK_INFO))
		abort();
}

/* Each record has 88 bytes at least, so that a datagram bounds their number. */
static int take(void *arg, const struct tcpsock *socks, size_t count, uint64_t read_ms)
{
	size_t *left = arg;

	(void)read_ms;
	for (size_t i = 0; i < count; i++) {
		check_record(&socks[i]);
		if (*left < 88)
			abort();
		*left -= 88;
	}
	/* Now and then the caller has enough. */
	return *left % 7 == 6 ? -EOVERFLOW : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* On the heap at its exact size, aligned as a receive buffer is. */
	uint8_t *copy = calloc(1, size ? size : 1);
	struct source_skipped skipped = { 0 };
	struct tcpsock sock;
	size_t left = size;
	struct netlink_walk walk = { .seq = 1, .skipped = &skipped, .take_fn = take, .arg = &left };
	int end;

	if (!copy)
		return 0;
	if (size)
		memcpy(copy, data, size);
	end = netlink_walk_datagram(&walk, copy, size);
	if (end > 1 || end < -4095)
		abort();
	netlink_parse(copy, size, &sock);
	if (size >= 16 && netlink_parse(copy + 16, size - 16, &sock))
		check_record(&sock);
	free(copy);
	return 0;
}
