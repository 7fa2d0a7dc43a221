/* origin: Host headers and names of headers; what is own is localhost or an address. */
#include "tcphealth/web/origin.h"
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char of_addresses[] = "0123456789abcdefABCDEF.:[]";
	char *host = text_copy(data, size);

	if (origin_host_is_own(host)) {
		const char *begin = host[0] == '[' ? host + 1 : host;

		require(strncasecmp(begin, "localhost", 9) == 0 ||
			host[strspn(host, of_addresses)] == '\0');
	}
	if (origin_is_proxy_header(host))
		require_printable(host, strcspn(host, "-"));
	free(host);
	return 0;
}
