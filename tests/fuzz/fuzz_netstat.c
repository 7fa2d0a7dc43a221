/* Fuzzes the text of snmp and netstat. */
#include "tcphealth/source/netstat.h"

#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A value that is not known is 0, and no other bits are known. */
static void check(const struct netstat *netstat)
{
	require(netstat->known >> NETSTAT_COUNT == 0);
	for (unsigned int i = 0; i < NETSTAT_COUNT; i++)
		require((netstat->known >> i & 1) != 0 || netstat->value[i] == 0);
}

/* What stands behind the end of a line does not change what was read before it. */
static void check_prefix(char *text, uint32_t known)
{
	struct netstat prefix = { 0 };
	char *newline = text[0] ? memrchr(text, '\n', strlen(text) - 1) : NULL;

	if (!newline)
		return;
	newline[1] = '\0';
	netstat_parse(text, &prefix);
	check(&prefix);
	require((prefix.known & ~known) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = text_copy(data, size);
	struct netstat netstat = { 0 };

	netstat_parse(text, &netstat);
	check(&netstat);
	check_prefix(text, netstat.known);
	free(text);
	return 0;
}
