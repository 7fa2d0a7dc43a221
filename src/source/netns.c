/*
 * netns: see the header. Owns the search for namespaces and the way into them and
 * back; must not know what is done inside.
 */
#include "tcphealth/source/netns.h"

#include "tcphealth/base/array.h"
#include "tcphealth/base/number.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define NSFS_MAGIC 0x6e736673 /* linux/magic.h */

/* The thread's own: PROCFS may be another host's, and /proc/self the main thread's. */
#define OWN_NETNS "/proc/thread-self/ns/net"

struct scan {
	const char *procfs;
	const char *run_netns;
	size_t max;
	struct stat own; /* st_ino 0: unknown */
};

static bool is_same(const struct netns_found *found, const struct stat *st)
{
	return found->inode == st->st_ino && found->device == st->st_dev;
}

/* The one in the list, or one that is appended to it; NULL if it is full (0) or out of memory. */
static struct netns_found *find_or_add(const struct scan *scan, struct netns_list *list,
				       const struct stat *st, int *ret_err)
{
	*ret_err = 0;
	for (size_t i = 0; i < list->count; i++)
		if (is_same(&list->found[i], st))
			return &list->found[i];
	if (list->count >= scan->max) {
		list->truncated = true;
		return NULL;
	}
	if (!array_room((void **)&list->found, &list->cap, list->count, sizeof(*list->found))) {
		*ret_err = -ENOMEM;
		return NULL;
	}
	struct netns_found *found = &list->found[list->count++];
	*found = (struct netns_found){ .inode = st->st_ino, .device = st->st_dev };
	found->own = is_same(found, &scan->own);
	return found;
}

/* What ends a scan: it would befall whatever comes next too. */
static int keep_fatal(int err)
{
	return err == -EMFILE || err == -ENFILE || err == -ENOMEM ? err : 0;
}

/* --- by name --- */

/*
 * Only a namespace's file is of nsfs: a name that has lost its mount, or has none yet, is a plain file. Looked at without
 * being opened, whatever it is.
 */
static int stat_namespace(int dir, const char *name, struct stat *ret_st)
{
	int fd = openat(dir, name, O_PATH | O_CLOEXEC);
	struct statfs fs;
	int err = 0;

	if (fd < 0)
		return -errno;
	if (fstatfs(fd, &fs) || fstat(fd, ret_st))
		err = -errno;
	else if (fs.f_type != NSFS_MAGIC)
		err = -EINVAL;
	close(fd);
	return err;
}

/* Of several names the first in order, so that a namespace is not called one way now and another way then. */
static void set_name(const struct scan *scan, struct netns_found *found, const char *name)
{
	if (found->name[0] && strcmp(found->name, name) <= 0)
		return;
	size_t dir_len = strlen(scan->run_netns), len = strlen(name);
	if (len >= sizeof(found->name) || dir_len + 1 + len >= sizeof(found->path))
		return;
	memcpy(found->name, name, len + 1);
	snprintf(found->path, sizeof(found->path), "%s/%s", scan->run_netns, found->name);
}

static int add_named(const struct scan *scan, struct netns_list *list, int dir, const char *name)
{
	struct stat st = { 0 };
	int err = stat_namespace(dir, name, &st);

	if (err)
		return keep_fatal(err);
	struct netns_found *found = find_or_add(scan, list, &st, &err);
	if (found)
		set_name(scan, found, name);
	return err;
}

static int scan_names(const struct scan *scan, struct netns_list *list)
{
	DIR *dir = opendir(scan->run_netns);
	const struct dirent *entry;
	int err = 0;

	if (!dir)
		return keep_fatal(-errno);
	while (!err && (entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			err = add_named(scan, list, dirfd(dir), entry->d_name);
	closedir(dir);
	return err;
}

/* --- by process --- */

static int add_process(const struct scan *scan, struct netns_list *list, int procfs, pid_t pid)
{
	char path[64];
	struct stat st;
	int err;

	snprintf(path, sizeof(path), "%d/ns/net", (int)pid);
	if (fstatat(procfs, path, &st, 0)) {
		list->unreadable += errno == EACCES || errno == EPERM;
		return keep_fatal(-errno);
	}
	struct netns_found *found = find_or_add(scan, list, &st, &err);
	if (!found || found->pid)
		return err;
	found->pid = pid;
	if (!found->path[0])
		snprintf(found->path, sizeof(found->path), "%s/%s", scan->procfs, path);
	return 0;
}

static int scan_processes(const struct scan *scan, struct netns_list *list)
{
	DIR *dir = opendir(scan->procfs);
	const struct dirent *entry;
	uint64_t pid;
	int err = 0;

	if (!dir)
		return -errno;
	while (!err && (entry = readdir(dir)))
		if (number_parse(entry->d_name, INT_MAX, &pid) == 0 && pid != 0)
			err = add_process(scan, list, dirfd(dir), (pid_t)pid);
	closedir(dir);
	return err;
}

int netns_scan(const char *procfs, const char *run_netns, size_t max, struct netns_list *list)
{
	struct scan scan = { .procfs = procfs, .run_netns = run_netns, .max = max };

	list->count = 0;
	list->unreadable = 0;
	list->truncated = false;
	/* The longest that may follow: "/PID/ns/net". A name that is too long is left out for itself. */
	if (strlen(procfs) + sizeof("/2147483647/ns/net") > NETNS_PATH_LEN)
		return -ENAMETOOLONG;
	if (stat(OWN_NETNS, &scan.own))
		scan.own.st_ino = 0;
	int err = scan_names(&scan, list);
	return err ? err : scan_processes(&scan, list);
}

void netns_list_done(struct netns_list *list)
{
	if (!list)
		return;
	free(list->found);
	*list = (struct netns_list){ 0 };
}

/* --- entering --- */

int netns_home_open(struct netns_home *ret_home)
{
	int fd = open(OWN_NETNS, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	ret_home->fd = fd;
	return 0;
}

void netns_home_close(struct netns_home *home)
{
	if (!home || home->fd < 0)
		return;
	close(home->fd);
	home->fd = -1;
}

/* O_NONBLOCK: what has that name by now may be a FIFO. */
static int open_found(const struct netns_found *found)
{
	int fd = open(found->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	int err = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st))
		err = -errno;
	else if (!is_same(found, &st))
		err = -ESTALE;
	if (!err)
		return fd;
	close(fd);
	return err;
}

int netns_enter(const struct netns_found *found)
{
	int fd = open_found(found), err = 0;

	if (fd < 0)
		return fd;
	if (setns(fd, CLONE_NEWNET))
		err = -errno;
	close(fd);
	return err;
}

void netns_leave(const struct netns_home *home)
{
	if (setns(home->fd, CLONE_NEWNET))
		abort();
}
