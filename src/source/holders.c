/*
 * holders: see the header. Owns the scan of the descriptors of all processes and
 * what it tells of those it finds; must not know what the sockets are.
 */
#include "tcphealth/source/holders.h"

#include "tcphealth/base/clock.h"
#include "tcphealth/base/escape.h"
#include "tcphealth/base/file.h"
#include "tcphealth/base/number.h"
#include "tcphealth/source/procfs.h"
#include "tcphealth/source/units.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The clock is read once for so many descriptors. */
#define FDS_PER_CHECK 256

#define TEXT_SIZE 4096

struct scan {
	const char *cgroupfs, *root;
	int procfs; /* at root */
	const uint32_t *inodes;
	size_t inode_count;
	uint64_t deadline_ms;
	size_t fds; /* since the clock was read */
	struct holder *holders;
	size_t max;
	struct holders_result *result;
	double boot_seconds;   /* 0: not read yet, or unknown */
	struct holder process; /* what is known of the process at hand */
	bool described;
};

/* --- files of a process --- */

static void read_comm(int dir, struct holder *process)
{
	char text[TEXT_SIZE];

	(void)file_read(dir, "comm", text, sizeof(text));
	size_t len = strlen(text);
	if (len > 0 && text[len - 1] == '\n')
		len--;
	escape_clean(process->comm, sizeof(process->comm), text, len);
}

static void read_boot_time(struct scan *scan)
{
	char line[FILE_LINE_SIZE];
	const char *at = line;
	uint64_t seconds;

	if (file_find_line(scan->procfs, "stat", "btime ", line) &&
	    number_take(&at, NULL, UINT64_MAX, &seconds) == 0)
		scan->boot_seconds = (double)seconds;
}

static void read_start_time(struct scan *scan, int dir, struct holder *process)
{
	long ticks_per_second = sysconf(_SC_CLK_TCK);
	char text[TEXT_SIZE];
	uint64_t ticks;

	(void)file_read(dir, "stat", text, sizeof(text));
	if (!procfs_stat_field(text, PROCFS_STAT_STARTTIME, &ticks) || ticks_per_second <= 0)
		return;
	if (scan->boot_seconds == 0)
		read_boot_time(scan);
	if (scan->boot_seconds > 0)
		process->start_time_seconds =
			scan->boot_seconds + (double)ticks / (double)ticks_per_second;
}

/* --- the scan --- */

static bool is_over(struct scan *scan)
{
	struct holders_result *result = scan->result;

	if (!result->timed_out && clock_mono_ms() >= scan->deadline_ms)
		result->timed_out = true;
	scan->fds = 0;
	return result->timed_out || result->truncated;
}

static bool is_wanted(const struct scan *scan, uint32_t inode)
{
	size_t low = 0, high = scan->inode_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (scan->inodes[middle] == inode)
			return true;
		if (scan->inodes[middle] < inode)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

/* The inode of a descriptor that is a socket, 0 if it is none, or -errno. */
static int64_t read_inode(int dir, const char *name)
{
	static const char prefix[] = "socket:[";
	char link[64];
	const char *at = link + strlen(prefix);
	uint64_t inode;
	ssize_t len = readlinkat(dir, name, link, sizeof(link) - 1);

	if (len < 0)
		return -errno;
	link[len] = '\0';
	if (strncmp(link, prefix, strlen(prefix)) != 0 ||
	    number_take(&at, NULL, UINT32_MAX, &inode) || *at != ']')
		return 0;
	return (int64_t)inode;
}

static void describe(struct scan *scan, int dir)
{
	struct holder *process = &scan->process;

	if (scan->described)
		return;
	scan->described = true;
	read_comm(dir, process);
	read_start_time(scan, dir, process);
	units_of_process(scan->cgroupfs, scan->root, dir, "cgroup", &process->unit);
}

static void add_holder(struct scan *scan, int dir, uint32_t inode, int fd)
{
	struct holders_result *result = scan->result;

	if (result->count == scan->max) {
		result->truncated = true;
		return;
	}
	describe(scan, dir);
	scan->process.inode = inode;
	scan->process.fd = fd;
	scan->holders[result->count++] = scan->process;
}

/* Looks at one process's descriptors: 0 or -errno. */
static int scan_fds(struct scan *scan, int dir, DIR *fds)
{
	const struct dirent *entry;
	uint64_t fd;

	errno = 0;
	while ((entry = readdir(fds))) {
		if (number_parse(entry->d_name, INT_MAX, &fd))
			continue;
		if (++scan->fds >= FDS_PER_CHECK && is_over(scan))
			return 0;
		int64_t inode = read_inode(dirfd(fds), entry->d_name);
		if (inode == -EACCES || inode == -EPERM)
			return (int)inode;
		if (inode > 0 && is_wanted(scan, (uint32_t)inode))
			add_holder(scan, dir, (uint32_t)inode, (int)fd);
		errno = 0;
	}
	return -errno;
}

static int scan_process(struct scan *scan, int dir)
{
	DIR *fds = file_open_dir(dir, "fd");
	int err;

	if (!fds)
		return -errno;
	err = scan_fds(scan, dir, fds);
	closedir(fds);
	return err;
}

/*
 * The kernel refuses the links of a process that ended a moment ago as it does those of one that
 * may not be seen (EACCES, proc_pid_readlink() in fs/proc/base.c). The former has no state left to
 * read.
 */
static int tell_gone(int dir, int err)
{
	char text[TEXT_SIZE];
	ssize_t len;

	if (err != -EACCES && err != -EPERM)
		return err;
	len = file_read(dir, "stat", text, sizeof(text));
	return len < 0 ? (int)len : err;
}

/*
 * By its directory's descriptor, so that all that is read is of one process, though its number be
 * used again.
 */
static int visit(struct scan *scan, const char *name, pid_t pid)
{
	int dir = openat(scan->procfs, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return -errno;
	scan->process = (struct holder){ .pid = pid };
	scan->described = false;
	int err = tell_gone(dir, scan_process(scan, dir));
	close(dir);
	return err;
}

/*
 * Counts a process that cannot be looked at. Only what would befall all the others too is an error.
 */
static int judge(struct scan *scan, int err)
{
	if (err == -EACCES || err == -EPERM)
		scan->result->denied++;
	return err == -EMFILE || err == -ENFILE || err == -ENOMEM ? err : 0;
}

static int scan_processes(struct scan *scan, DIR *procfs)
{
	const struct dirent *entry;
	uint64_t pid;
	int err = 0;

	while (!err && !is_over(scan) && (entry = readdir(procfs))) {
		if (number_parse(entry->d_name, INT_MAX, &pid))
			continue;
		scan->result->processes++;
		err = judge(scan, visit(scan, entry->d_name, (pid_t)pid));
	}
	return err;
}

static int compare_holders(const void *left, const void *right)
{
	const struct holder *a = left, *b = right;

	if (a->inode != b->inode)
		return a->inode < b->inode ? -1 : 1;
	if (a->pid != b->pid)
		return a->pid < b->pid ? -1 : 1;
	return (a->fd > b->fd) - (a->fd < b->fd);
}

int holders_find(const char *procfs, const char *cgroupfs, const uint32_t *inodes,
		 size_t inode_count, uint64_t budget_ms, struct holder *ret_holders, size_t max,
		 struct holders_result *ret_result)
{
	struct scan scan = {
		.cgroupfs = cgroupfs,
		.root = procfs,
		.inodes = inodes,
		.inode_count = inode_count,
		.holders = ret_holders,
		.max = max,
		.result = ret_result,
	};

	*ret_result = (struct holders_result){ 0 };
	if (__builtin_add_overflow(clock_mono_ms(), budget_ms, &scan.deadline_ms))
		scan.deadline_ms = UINT64_MAX;
	DIR *dir = opendir(procfs);
	if (!dir)
		return -errno;
	scan.procfs = dirfd(dir);
	int err = scan_processes(&scan, dir);
	closedir(dir);
	if (ret_result->count > 1)
		qsort(ret_holders, ret_result->count, sizeof(*ret_holders), compare_holders);
	return err;
}
