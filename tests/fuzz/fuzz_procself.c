/* procself: stat and limits of this process and the stat of the host: figures that are known are numbers, and none is negative. */
#include "tcphealth/source/procself.h"

#include "tree.h"

#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int files[3];
static char self[64];

static void make_tree(void)
{
	tree_make();
	tree_directory("self");
	tree_directory("self/fd");
	tree_path(self, sizeof(self), "self");
	files[0] = tree_file("self/stat");
	files[1] = tree_file("self/limits");
	files[2] = tree_file("stat");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct procself found;

	if (files[0] == 0)
		make_tree();
	tree_fill(files, 3, data, size);
	memset(&found, 0xff, sizeof(found));
	procself_read(self, &found);
	require((found.known & ~(uint32_t)(PROCSELF_START * 2 - 1)) == 0);
	require(!(found.known & PROCSELF_CPU) ||
		(isfinite(found.cpu_seconds) && found.cpu_seconds >= 0));
	require(!(found.known & PROCSELF_START) ||
		(isfinite(found.start_time_seconds) && found.start_time_seconds >= 0));
	require((found.known & PROCSELF_FDS) && found.open_fds == 0);
	return 0;
}
