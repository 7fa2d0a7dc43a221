/*
 * sandbox: the system calls that serving and sampling need, and no others.
 *
 * The lists were taken from traces of the program at work and of its libraries' fall-backs; a call that is missing here fails with an
 * error like any other, it does not end the process.
 */
#include "tcphealth/base/sandbox.h"

#include "tcphealth/base/selftest.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
	__has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* Free of arguments that matter. */
static const int allowed[] = {
	/* files: what opens them is below */
	SCMP_SYS(read),
	SCMP_SYS(pread64),
	SCMP_SYS(readv),
	SCMP_SYS(write),
	SCMP_SYS(writev),
	SCMP_SYS(close),
	SCMP_SYS(fstat),
	SCMP_SYS(stat),
	SCMP_SYS(lstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(statx),
	SCMP_SYS(fstatfs),
	SCMP_SYS(statfs),
	SCMP_SYS(lseek),
	SCMP_SYS(access),
	SCMP_SYS(faccessat),
	SCMP_SYS(faccessat2),
	SCMP_SYS(readlink),
	SCMP_SYS(readlinkat),
	SCMP_SYS(getdents64),
	SCMP_SYS(fcntl),
	SCMP_SYS(dup),
	SCMP_SYS(pipe2),
	/* waiting */
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(select),
	SCMP_SYS(pselect6),
	SCMP_SYS(eventfd2),
	SCMP_SYS(signalfd4),
	SCMP_SYS(nanosleep),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(restart_syscall),
	/* sockets: which families is below */
	SCMP_SYS(bind),
	SCMP_SYS(listen),
	SCMP_SYS(accept),
	SCMP_SYS(accept4),
	SCMP_SYS(connect),
	SCMP_SYS(getsockname),
	SCMP_SYS(getpeername),
	SCMP_SYS(getsockopt),
	SCMP_SYS(setsockopt),
	SCMP_SYS(sendto),
	SCMP_SYS(sendmsg),
	SCMP_SYS(sendmmsg),
	SCMP_SYS(sendfile),
	SCMP_SYS(recvfrom),
	SCMP_SYS(recvmsg),
	SCMP_SYS(recvmmsg),
	SCMP_SYS(shutdown),
	/* memory: executable memory is below */
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(brk),
	/* threads, time, identity */
	SCMP_SYS(futex),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(get_robust_list),
	SCMP_SYS(rseq),
	SCMP_SYS(set_tid_address),
	SCMP_SYS(sched_yield),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(setpriority),
	SCMP_SYS(prctl),
	SCMP_SYS(arch_prctl),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(tgkill),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(getuid),
	SCMP_SYS(geteuid),
	SCMP_SYS(getgid),
	SCMP_SYS(getegid),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_getres),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(time),
	SCMP_SYS(getrandom),
	SCMP_SYS(getrusage),
	SCMP_SYS(sysinfo),
	SCMP_SYS(uname),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
};

/* What other architectures have in place of some of them. */
static const int allowed_elsewhere[] = {
	/* 32 bits */
	SCMP_SYS(stat64),
	SCMP_SYS(lstat64),
	SCMP_SYS(fstat64),
	SCMP_SYS(fstatat64),
	SCMP_SYS(statfs64),
	SCMP_SYS(fstatfs64),
	SCMP_SYS(_llseek),
	SCMP_SYS(fcntl64),
	SCMP_SYS(_newselect),
	SCMP_SYS(sendfile64),
	SCMP_SYS(getuid32),
	SCMP_SYS(geteuid32),
	SCMP_SYS(getgid32),
	SCMP_SYS(getegid32),
	SCMP_SYS(ugetrlimit),
	SCMP_SYS(sigreturn),
	SCMP_SYS(clock_gettime64),
	SCMP_SYS(clock_getres_time64),
	SCMP_SYS(clock_nanosleep_time64),
	SCMP_SYS(ppoll_time64),
	SCMP_SYS(pselect6_time64),
	SCMP_SYS(futex_time64),
	SCMP_SYS(recvmmsg_time64),
	/* socketcall(2): i386 and s390x */
	SCMP_SYS(recv),
	SCMP_SYS(send),
};

/* Nothing in this program does that: whoever does is not this program any more. */
static const int deadly[] = {
	SCMP_SYS(execve),           SCMP_SYS(execveat),          SCMP_SYS(ptrace),
	SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(bpf),
	SCMP_SYS(init_module),      SCMP_SYS(finit_module),
};

struct rule {
	int call;
	unsigned int arg_count;
	struct scmp_arg_cmp args[2];
};

/* The library's own macros leave a field out, which clang minds. */
#define ARG_IS(arg, value)                                                                         \
	{                                                                                          \
		(arg), SCMP_CMP_EQ, (scmp_datum_t)(value), 0                                       \
	}
#define ARG_HAS(arg, mask, value)                                                                  \
	{                                                                                          \
		(arg), SCMP_CMP_MASKED_EQ, (scmp_datum_t)(mask), (scmp_datum_t)(value)             \
	}

/* Which argument of clone(2) has the flags. */
#ifdef __s390__
#define CLONE_FLAGS 1
#else
#define CLONE_FLAGS 0
#endif

#define READ_ONLY_MASK (O_ACCMODE | O_CREAT | O_TRUNC)

static const struct rule conditional[] = {
	{ SCMP_SYS(open), 1, { ARG_HAS(1, READ_ONLY_MASK, O_RDONLY) } },
	{ SCMP_SYS(openat), 1, { ARG_HAS(2, READ_ONLY_MASK, O_RDONLY) } },
#ifdef __s390__
	{ SCMP_SYS(mmap), 0, { { 0 } } }, /* its arguments are behind a pointer */
#else
	{ SCMP_SYS(mmap), 1, { ARG_HAS(2, PROT_EXEC, 0) } },
	{ SCMP_SYS(mmap2), 1, { ARG_HAS(2, PROT_EXEC, 0) } },
#endif
	{ SCMP_SYS(mprotect), 1, { ARG_HAS(2, PROT_EXEC, 0) } },
	/* Threads, not processes. */
	{ SCMP_SYS(clone), 1, { ARG_HAS(CLONE_FLAGS, CLONE_THREAD, CLONE_THREAD) } },
	/* Limits may be read. */
	{ SCMP_SYS(prlimit64), 1, { ARG_IS(2, 0) } },
	{ SCMP_SYS(socket), 2, { ARG_IS(0, AF_NETLINK), ARG_IS(2, NETLINK_SOCK_DIAG) } },
	{ SCMP_SYS(socket), 2, { ARG_IS(0, AF_NETLINK), ARG_IS(2, NETLINK_ROUTE) } },
	{ SCMP_SYS(socket), 1, { ARG_IS(0, AF_UNIX) } },
	/* Streams to serve; datagrams to look up the name of a listening address. */
	{ SCMP_SYS(socket), 2, { ARG_IS(0, AF_INET), ARG_HAS(1, 0xf, SOCK_STREAM) } },
	{ SCMP_SYS(socket), 2, { ARG_IS(0, AF_INET6), ARG_HAS(1, 0xf, SOCK_STREAM) } },
	{ SCMP_SYS(socket), 2, { ARG_IS(0, AF_INET), ARG_HAS(1, 0xf, SOCK_DGRAM) } },
	{ SCMP_SYS(socket), 2, { ARG_IS(0, AF_INET6), ARG_HAS(1, 0xf, SOCK_DGRAM) } },
	{ SCMP_SYS(ioctl), 1, { ARG_IS(1, FIONREAD) } },
	{ SCMP_SYS(ioctl), 1, { ARG_IS(1, FIONBIO) } },
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A call that this architecture does not have is no error. */
static int add(scmp_filter_ctx filter, uint32_t action, int call, unsigned int arg_count,
	       const struct scmp_arg_cmp *args)
{
	int r = seccomp_rule_add_array(filter, action, call, arg_count, args);

	return r == -EDOM || r == -EEXIST ? 0 : r;
}

static int add_rules(scmp_filter_ctx filter, const struct sandbox_config *config)
{
	int r = 0;

	for (size_t i = 0; i < COUNT(allowed) && r == 0; i++)
		r = add(filter, SCMP_ACT_ALLOW, allowed[i], 0, NULL);
	for (size_t i = 0; i < COUNT(allowed_elsewhere) && r == 0; i++)
		r = add(filter, SCMP_ACT_ALLOW, allowed_elsewhere[i], 0, NULL);
	for (size_t i = 0; i < COUNT(conditional) && r == 0; i++)
		r = add(filter, SCMP_ACT_ALLOW, conditional[i].call, conditional[i].arg_count,
			conditional[i].args);
	for (size_t i = 0; i < COUNT(deadly) && r == 0; i++)
		r = add(filter, SCMP_ACT_KILL_PROCESS, deadly[i], 0, NULL);
	/* Its flags are behind a pointer: the C library takes clone(2) instead. */
	if (r == 0)
		r = add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0, NULL);
	if (r == 0 && config->namespaces)
		r = add(filter, SCMP_ACT_ALLOW, SCMP_SYS(setns), 0, NULL);
	return r;
}

static int load(const struct sandbox_config *config)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int r;

	if (filter == NULL)
		return -ENOMEM;
	r = add_rules(filter, config);
	if (r == 0)
		r = seccomp_load(filter);
	seccomp_release(filter);
	return r;
}

int sandbox_enter(const struct sandbox_config *config, const char **ret_forbidden)
{
	bool worked;
	int r;

	*ret_forbidden = NULL;
	if (SANITIZED)
		return -ENOTSUP;
	worked = selftest_run() == NULL;
	r = load(config);
	if (r == 0 && worked)
		*ret_forbidden = selftest_run();
	return r;
}
