/*
 * dump_families: writes docs/metrics.md to standard output.
 *
 *   build/tests/dump_families >docs/metrics.md
 */
#include "helpers/metrics_doc.h"

#include <stdio.h>

int main(void)
{
	struct buf buf;

	buf_init(&buf, 0);
	metrics_doc_write(&buf);
	size_t written = buf.err ? 0 : fwrite(buf.data, 1, buf.len, stdout);
	int status = buf.err || written != buf.len || fflush(stdout) ? 1 : 0;
	buf_done(&buf);
	return status;
}
