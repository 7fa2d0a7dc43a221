/*
 * netns: finds, names and enters the network namespaces of this host.
 *
 * Knows /run/netns, PROCFS/PID/ns/net and setns(2); must not know sockets. A namespace is known
 * by the inode of its file. Entering needs CAP_SYS_ADMIN and changes the calling thread only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define NETNS_NAME_LEN 256
/* With a number that tells two of one name apart. */
#define NETNS_LABEL_LEN (NETNS_NAME_LEN + 16)
#define NETNS_PATH_LEN  320

/*
 * `inode` and `device` are those of its file, the same as long as it lives. `name` is a file name
 * under /run/netns, raw bytes, the first in order if there are several, "" if there is none.
 * `path` is what to open it by: that file, or PROCFS/PID/ns/net.
 */
struct netns_found {
	uint64_t inode;
	uint64_t device;
	char name[NETNS_NAME_LEN];
	char path[NETNS_PATH_LEN];
	pid_t pid; /* a process inside, or 0 */
	bool own;  /* of the thread that scanned */
};

struct netns_list {
	struct netns_found *found;
	size_t count;
	size_t cap;
	/* Processes with a namespace that this program may not read. */
	size_t unreadable;
	bool truncated; /* there are more than `max` */
};

/*
 * Lists the namespaces under `run_netns` ("/run/netns"), then others by PROCFS/PID/ns/net, each
 * once and `max` at most. It misses those that only an open descriptor keeps alive, and those that
 * only later threads of a process are in. Holds none of them open. The list, zeroed before its
 * first use, keeps its memory for the next call. 0 or -errno (-ENOMEM, -EMFILE, no procfs): then
 * the list is a part. A missing `run_netns` is no error.
 */
int netns_scan(const char *procfs, const char *run_netns, size_t max, struct netns_list *list);
void netns_list_done(struct netns_list *list);

/* The way back of a thread. Closing accepts NULL and what is not open (fd -1). */
struct netns_home {
	int fd;
};
int netns_home_open(struct netns_home *ret_home);
void netns_home_close(struct netns_home *home);

/*
 * Enters a namespace if it is still the one that was found. 0, and the caller must netns_leave();
 * or -errno (-ESTALE: it is another, -ENOENT: it is gone, -EPERM), and the thread is where it was.
 */
int netns_enter(const struct netns_found *found);

/* Back home. A thread that cannot go back must not continue: aborts the process. */
void netns_leave(const struct netns_home *home);
