/*
 * deny_netlink: runs a program for which netlink is refused, as by a sandbox, while a file exists.
 *
 *   deny_netlink SWITCH PROGRAM [ARGUMENT]...
 *
 * While the file SWITCH exists, socket(AF_NETLINK) and sendto() with an address (which nothing but netlink uses
 * here) fail with EPERM; without it they work. This process becomes the program; a child of it answers the
 * kernel's questions (seccomp user notifications) and ends with it.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOAD(field)        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define ARG_LOW(n)         LOAD(args[n]) /* little endian */
#define IF(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(value), yes, no)
#define RETURN(what)       BPF_STMT(BPF_RET | BPF_K, (uint32_t)(what))

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* Asks for socket(AF_NETLINK, ...) and for sendto() to an address; anything else passes. */
static int install_filter(void)
{
	struct sock_filter filter[] = {
		LOAD(nr),
		IF(__NR_socket, 0, 2),
		ARG_LOW(0),
		IF(AF_NETLINK, 4, 3),
		IF(__NR_sendto, 0, 2),
		ARG_LOW(4),
		IF(0, 0, 1),
		RETURN(SECCOMP_RET_ALLOW),
		RETURN(SECCOMP_RET_USER_NOTIF),
	};
	struct sock_fprog program = { .len = sizeof(filter) / sizeof(filter[0]), .filter = filter };
	long fd;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		die("prctl");
	fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
		     &program);
	if (fd < 0)
		die("seccomp");
	return (int)fd;
}

/* Until the program is gone. */
static void answer(int listener, const char *deny)
{
	for (;;) {
		struct seccomp_notif question = { 0 };
		struct seccomp_notif_resp response = { 0 };

		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &question) < 0) {
			if (errno == EINTR || errno == ENOENT)
				continue;
			return;
		}
		response.id = question.id;
		if (access(deny, F_OK) == 0)
			response.error = -EPERM;
		else
			response.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
		(void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
	}
}

int main(int argc, char *argv[])
{
	pid_t program = getpid();
	int listener;
	pid_t child;

	if (argc < 3) {
		(void)fputs("usage: deny_netlink SWITCH PROGRAM [ARGUMENT]...\n", stderr);
		return 2;
	}
	listener = install_filter();
	child = fork();
	if (child < 0)
		die("fork");
	if (child == 0) {
		(void)signal(SIGTERM, SIG_IGN);
		(void)signal(SIGINT, SIG_IGN);
		if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || getppid() != program)
			return 1;
		answer(listener, argv[1]);
		return 0;
	}
	close(listener);
	execv(argv[2], &argv[2]);
	die(argv[2]);
	return 1;
}
