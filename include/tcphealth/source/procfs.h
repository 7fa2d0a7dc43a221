/*
 * procfs: where things are below --path.procfs, a procfs of this host or a directory of fixtures.
 */
#ifndef TCPHEALTH_SOURCE_PROCFS_H
#define TCPHEALTH_SOURCE_PROCFS_H

#include <sys/types.h>

/*
 * The net directory of process `pid`, or with 0 of the calling thread: ROOT/thread-self/net if it
 * exists (/proc/self/net is the main thread's), else ROOT/net. 0 or -ENAMETOOLONG.
 */
int procfs_net_dir(const char *root, pid_t pid, char *dst, size_t size);

#endif
