/*
 * procself: see the header. Owns the parsing of this process's files under
 * /proc (proc(5)); must not know what is published of it.
 */
#include "tcphealth/source/procself.h"

#include "tcphealth/base/file.h"
#include "tcphealth/base/number.h"
#include "tcphealth/source/procfs.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#define STAT_SIZE 1024

/* A number, and a blank or nothing behind it. */
static bool parse_u64(const char *text, uint64_t *ret_value)
{
	return number_take(&text, NULL, UINT64_MAX, ret_value) == 0 &&
	       (!*text || isspace((unsigned char)*text));
}

static bool read_limit(int dir, const char *name, uint64_t *ret_limit)
{
	static const char unlimited[] = "unlimited";
	char rest[FILE_LINE_SIZE];

	if (!file_find_line(dir, "limits", name, rest))
		return false;
	/* The soft limit comes first. */
	if (strncmp(rest, unlimited, strlen(unlimited)) == 0) {
		*ret_limit = UINT64_MAX;
		return true;
	}
	return parse_u64(rest, ret_limit);
}

static void add_cpu(const char *stat, double ticks_per_second, struct procself *self)
{
	uint64_t user, system;

	if (!procfs_stat_field(stat, PROCFS_STAT_UTIME, &user) ||
	    !procfs_stat_field(stat, PROCFS_STAT_STIME, &system))
		return;
	self->cpu_seconds = ((double)user + (double)system) / ticks_per_second;
	self->known |= PROCSELF_CPU;
}

static void add_memory(const char *stat, uint64_t pages, struct procself *self)
{
	long page_size = sysconf(_SC_PAGESIZE);

	if (procfs_stat_field(stat, PROCFS_STAT_VSIZE, &self->virtual_bytes))
		self->known |= PROCSELF_VM;
	if (page_size > 0 &&
	    !__builtin_mul_overflow(pages, (uint64_t)page_size, &self->resident_bytes))
		self->known |= PROCSELF_RSS;
}

static void add_start(const char *stat, int dir, double ticks_per_second, struct procself *self)
{
	char rest[FILE_LINE_SIZE];
	uint64_t start_ticks, boot_seconds;

	if (!procfs_stat_field(stat, PROCFS_STAT_STARTTIME, &start_ticks))
		return;
	/* One above /proc/self, through the link, is /proc. */
	if (!file_find_line(dir, "../stat", "btime ", rest) || !parse_u64(rest, &boot_seconds))
		return;
	self->start_time_seconds = (double)boot_seconds + (double)start_ticks / ticks_per_second;
	self->known |= PROCSELF_START;
}

static void add_stat(int dir, struct procself *self)
{
	long ticks_per_second = sysconf(_SC_CLK_TCK);
	char stat[STAT_SIZE];
	uint64_t pages;

	(void)file_read(dir, "stat", stat, sizeof(stat));
	/* Without the last field the line was cut, perhaps within a number. */
	if (ticks_per_second <= 0 || !procfs_stat_field(stat, PROCFS_STAT_RSS, &pages))
		return;
	add_cpu(stat, (double)ticks_per_second, self);
	add_memory(stat, pages, self);
	add_start(stat, dir, (double)ticks_per_second, self);
}

static void add_fds(int proc_self, struct procself *self)
{
	DIR *dir = file_open_dir(proc_self, "fd");
	uint64_t count = 0, number;

	if (!dir)
		return;
	errno = 0;
	for (struct dirent *entry; (entry = readdir(dir));)
		if (parse_u64(entry->d_name, &number) && number != (uint64_t)dirfd(dir) &&
		    number != (uint64_t)proc_self)
			count++;
	bool complete = errno == 0;
	closedir(dir);
	if (!complete)
		return;
	self->open_fds = count;
	self->known |= PROCSELF_FDS;
}

void procself_read(const char *proc_self, struct procself *ret_procself)
{
	int dir = open(proc_self, O_PATH | O_DIRECTORY | O_CLOEXEC);

	*ret_procself = (struct procself){ 0 };
	if (dir < 0)
		return;
	add_stat(dir, ret_procself);
	add_fds(dir, ret_procself);
	if (read_limit(dir, "Max open files", &ret_procself->max_fds))
		ret_procself->known |= PROCSELF_MAX_FDS;
	if (read_limit(dir, "Max address space", &ret_procself->virtual_max_bytes))
		ret_procself->known |= PROCSELF_VM_MAX;
	close(dir);
}
