/* dead: a page that anybody may have written; what is taken from it can be shown. */
#include "tcphealth/app/dead.h"
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *page = text_copy(data, size);
	struct dead dead;

	if (dead_parse(page, &dead) == 0) {
		require(dead.count <= DEAD_MAX);
		for (size_t i = 0; i < dead.count; i++)
			require_printable(dead.rows[i].unit, strlen(dead.rows[i].unit));
	}
	dead_done(&dead);
	free(page);
	return 0;
}
