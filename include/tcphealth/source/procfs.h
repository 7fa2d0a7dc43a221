/*
 * procfs: where things are below --path.procfs.
 *
 * Works on a real procfs (own mount or the host's, mounted elsewhere) and on a directory of fixtures. Any thread.
 */
#ifndef TCPHEALTH_SOURCE_PROCFS_H
#define TCPHEALTH_SOURCE_PROCFS_H

#include <limits.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * The net directory of the namespace of process `pid`; for 0 of the calling thread's: ROOT/thread-self/net where that exists
 * (/proc/self/net would be the main thread's), else ROOT/net. 0 or -ENAMETOOLONG.
 */
int procfs_net_dir(const char *root, pid_t pid, char *dst, size_t size);

#endif
