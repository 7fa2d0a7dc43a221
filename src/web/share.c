/* share: see the header. */
#include "tcphealth/web/share.h"

#include "tcphealth/base/address.h"

#include <string.h>

struct share share_of(const struct sockaddr *peer)
{
	struct share share = { IN6ADDR_ANY_INIT };

	(void)address_of(peer, &share.addr);
	if (address_is_loopback(&share.addr))
		share.addr = (struct in6_addr)IN6ADDR_LOOPBACK_INIT;
	return share;
}

/* An address that counts as a whole. */
static bool is_single(const struct share *share)
{
	return IN6_IS_ADDR_V4MAPPED(&share->addr) || IN6_IS_ADDR_LOOPBACK(&share->addr);
}

bool share_is_same(const struct share *a, const struct share *b, enum share_width width)
{
	size_t bytes = is_single(a) || is_single(b) ? sizeof(a->addr) : 8 - (size_t)width;

	return memcmp(&a->addr, &b->addr, bytes) == 0;
}
