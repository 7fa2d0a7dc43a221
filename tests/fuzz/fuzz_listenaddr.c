/* listenaddr: addresses to listen on: what is taken apart is what stands in the text, and the port is one. */
#include "tcphealth/web/listenaddr.h"
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *address, const struct listenaddr *parts)
{
	size_t len = strnlen(parts->host, sizeof(parts->host));
	size_t begin = address[0] == '[' ? 1 : 0;

	require(len < sizeof(parts->host));
	require(strncmp(address + begin, parts->host, len) == 0);
	require(parts->port == address + 2 * begin + len + 1 && parts->port[-1] == ':');
	require(strpbrk(parts->host, "[]") == NULL);
	require(begin == 1 || strchr(parts->host, ':') == NULL);
	require(parts->port[0] != '\0' && parts->port[strspn(parts->port, "0123456789")] == '\0');
	require(strtoul(parts->port, NULL, 10) <= UINT16_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *address = text_copy(data, size);
	struct listenaddr parts;

	if (!listenaddr_parse(address, &parts))
		check(address, &parts);
	free(address);
	return 0;
}
