/* Fuzzes the text of snmp and netstat. */
#include "tcphealth/source/netstat.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int truth)
{
	if (!truth)
		abort();
}

/* A value that is not known is 0, and no other bits are known. */
static void check(const struct netstat *netstat)
{
	require(netstat->known >> NETSTAT_COUNT == 0);
	for (unsigned int i = 0; i < NETSTAT_COUNT; i++)
		require((netstat->known >> i & 1) != 0 || netstat->value[i] == 0);
}

/* What stands behind the end of a line does not change what was read before it. */
static void check_prefix(const char *text, size_t size, uint32_t known)
{
	struct netstat prefix = { 0 };
	const char *newline = size > 0 ? memrchr(text, '\n', size - 1) : NULL;

	if (!newline)
		return;
	netstat_parse(text, (size_t)(newline - text) + 1, &prefix);
	check(&prefix);
	require((prefix.known & ~known) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct netstat netstat = { 0 };

	netstat_parse((const char *)data, size, &netstat);
	check(&netstat);
	check_prefix((const char *)data, size, netstat.known);
	return 0;
}
