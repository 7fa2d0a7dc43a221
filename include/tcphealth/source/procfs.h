/*
 * procfs: where things are below --path.procfs.
 *
 * Works on a real procfs (own mount or the host's, mounted elsewhere) and on a directory of fixtures. Any thread.
 */
#ifndef TCPHEALTH_SOURCE_PROCFS_H
#define TCPHEALTH_SOURCE_PROCFS_H

#include <limits.h>
#include <stddef.h>

/*
 * The net directory of the calling thread's namespace: ROOT/thread-self/net where that exists
 * (/proc/self/net would be the main thread's), else ROOT/net. -ENAMETOOLONG or 0.
 */
int procfs_net_dir(const char *root, char *dst, size_t size);

#endif
