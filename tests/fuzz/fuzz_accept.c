/* accept: any header gives an answer, reads no byte past its end, and takes time linear in its length. */
#include "tcphealth/web/accept.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t best_of(const char *accept)
{
	static const struct accept_offer offers[] = {
		{ "text", "plain", "0.0.4" }, { "application", "openmetrics-text", "1.0.0" }
	};

	return accept_best(accept, offers, 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *header = malloc(
		size + 1); /* of the exact size, so that a sanitizer sees what is read past it */

	if (!header)
		return 0;
	memcpy(header, data, size);
	header[size] = '\0';
	if (best_of(header) > 1)
		abort();
	/* Who refuses or does not name OpenMetrics, not even by a wildcard, never gets it. */
	if (!strchr(header, '/') && best_of(header) != 0)
		abort();
	if (!strpbrk(header, "gG*") && accept_gzip(header))
		abort();
	accept_gzip(header);
	free(header);
	return 0;
}
