/* holders: stat, comm and cgroup of a process, and the stat of the whole host: the holder is found, and what is told of it is sane. */
#include "tcphealth/source/holders.h"

#include "tree.h"

#include <math.h>

#define INODE 77

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int files[4];

static void make_tree(void)
{
	tree_make();
	tree_directory("1");
	tree_directory("1/fd");
	tree_link("1/fd/0", "/dev/null");
	tree_link("1/fd/3", "socket:[77]");
	files[0] = tree_file("1/stat");
	files[1] = tree_file("1/comm");
	files[2] = tree_file("1/cgroup");
	files[3] = tree_file("stat");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint32_t inodes[] = { INODE };
	struct holder holder;
	struct holders_result result;

	if (files[0] == 0)
		make_tree();
	tree_fill(files, 4, data, size);
	memset(&holder, 0xff, sizeof(holder));
	require(holders_find(tree_root, "/nonexistent", inodes, 1, 10000, &holder, 1, &result) ==
		0);
	require(result.count == 1 && result.denied == 0);
	require(holder.inode == INODE && holder.pid == 1 && holder.fd == 3);
	require(isfinite(holder.start_time_seconds) && holder.start_time_seconds >= 0);
	require(strnlen(holder.comm, HOLDER_COMM_LEN) < HOLDER_COMM_LEN);
	require_printable(holder.comm, strlen(holder.comm));
	require(strnlen(holder.unit.claimed, UNIT_CLAIMED_MAX) < UNIT_CLAIMED_MAX);
	require_printable(holder.unit.claimed, strlen(holder.unit.claimed));
	require(holder.unit.name[0] == '\0' && holder.unit.instance[0] == '\0');
	return 0;
}
