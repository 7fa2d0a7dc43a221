/*
 * netns: the network namespaces of this host: finding, naming and entering them.
 *
 * Knows /run/netns, PROCFS/PID/ns/net and setns(2); must not know sockets. A namespace is known by the inode of its file.
 * Entering needs CAP_SYS_ADMIN and changes the calling thread only.
 */
#ifndef TCPHEALTH_SOURCE_NETNS_H
#define TCPHEALTH_SOURCE_NETNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define NETNS_NAME_LEN 256
#define NETNS_PATH_LEN 320

/*
 * `inode` and `device` are those of the namespace's file: the same while it lives. `name` is a file name under /run/netns
 * in raw bytes, of several the first in order, "" if it has none. `path` is what to open it by: that or PROCFS/PID/ns/net.
 */
struct netns_found {
	uint64_t inode;
	uint64_t device;
	char name[NETNS_NAME_LEN];
	char path[NETNS_PATH_LEN];
	pid_t pid; /* a process inside, 0 if none is known */
	bool own;  /* the calling thread's: scan at home */
};

struct netns_list {
	struct netns_found *found;
	size_t count;
	size_t cap;
	size_t unreadable; /* processes whose namespace could not be read: privilege is missing */
	bool truncated;    /* more than `max` */
};

/*
 * Lists namespaces, each once, named ones first, at most `max`, by a walk of `run_netns` ("/run/netns") and PROCFS/PID/ns/net.
 * A namespace that only a thread other than its process's first is in, or only an open descriptor keeps, is not found.
 * The list, zeroed before its first use, keeps its memory for the next call. Holds no namespace open.
 * 0 or -errno (-ENOMEM, -EMFILE, no procfs): the list is then a part. No `run_netns` is no error.
 */
int netns_scan(const char *procfs, const char *run_netns, size_t max, struct netns_list *list);
void netns_list_done(struct netns_list *list);

/* A thread's way back home. Closing accepts NULL and what was never opened (fd -1), or was closed. */
struct netns_home {
	int fd;
};
int netns_home_open(struct netns_home *ret_home);
void netns_home_close(struct netns_home *home);

/*
 * Enters a found namespace if it still is the one found (inode and device agree): 0 or -errno (-ESTALE: it is another;
 * -ENOENT: it is gone; -EPERM), the thread being where it was. On success the caller must netns_leave().
 */
int netns_enter(const struct netns_found *found);

/* Back home; a thread that cannot go back must not go on: aborts the process. */
void netns_leave(const struct netns_home *home);

#endif
