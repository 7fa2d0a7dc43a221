/*
 * sandbox: which system calls this process may make from now on.
 *
 * A seccomp filter (libseccomp): reading files, serving sockets, netlink and threads; no writing to
 * the file system, no new program, no raw sockets, no executable memory. On i386, where the C
 * library makes sockets by socketcall(2), any socket: its arguments are behind a pointer, which no
 * filter follows. To be entered before the first thread starts: threads inherit it.
 */
#pragma once

#include <stdbool.h>

struct sandbox_config {
	/* setns(2), to look into other network namespaces. */
	bool namespaces;
};

/*
 * 0, or -errno, and then the process is as it was: -ENOSYS where the kernel has no seccomp,
 * -ENOTSUP in a build with a sanitizer: its runtime needs more than the program. A forbidden call
 * gives EPERM (ENOSYS for those that the C library falls back from), an attempt to run another
 * program or to trace one ends the process.
 *
 * *ret_forbidden is NULL, or the call that selftest_run() could make before and cannot make now: on
 * this architecture or with this C library the filter lacks a system call, and serving would fail.
 */
int sandbox_enter(const struct sandbox_config *config, const char **ret_forbidden);
