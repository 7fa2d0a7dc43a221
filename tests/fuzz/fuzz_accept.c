/* accept: any header gives an answer, reads no byte past its end, and takes time linear in its length. */
#include "tcphealth/web/accept.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *header = malloc(
		size + 1); /* of the exact size, so that a sanitizer sees what is read past it */

	if (!header)
		return 0;
	memcpy(header, data, size);
	header[size] = '\0';
	if (accept_format(header) >= EXPO_FORMATS)
		abort();
	/* Who refuses or does not name OpenMetrics, not even by a wildcard, never gets it. */
	if (!strchr(header, '/') && accept_format(header) != EXPO_TEXT)
		abort();
	if (!strpbrk(header, "gG*") && accept_gzip(header))
		abort();
	accept_gzip(header);
	free(header);
	return 0;
}
