/*
 * hold_lock: makes the owner of a TCP socket sleep inside send() with the socket's lock held, until standard
 * input ends.
 *
 *   hold_lock
 *
 * The data to send lies in a page that userfaultfd does not fill: the page fault inside send() waits, and with
 * it whoever wants the socket's lock, as a dump with tcp_info does, uninterruptibly. Prints "PORT ready" when the
 * sender sleeps; then the page is filled and the program ends. Needs CAP_SYS_PTRACE: the fault is the kernel's.
 */
#include "helpers/loopback.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define PAGE 4096

struct sender {
	int fd;
	const char *page;
};

static void need(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

static int watch_page(void *page)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = {
		.range = { .start = (uintptr_t)page, .len = PAGE },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);

	need(fd >= 0, "userfaultfd");
	need(ioctl(fd, UFFDIO_API, &api) == 0, "UFFDIO_API");
	need(ioctl(fd, UFFDIO_REGISTER, &range) == 0, "UFFDIO_REGISTER");
	return fd;
}

static void fill_page(int uffd, const void *page)
{
	static char content[PAGE] __attribute__((aligned(PAGE)));
	struct uffdio_copy copy = {
		.dst = (uintptr_t)page,
		.src = (uintptr_t)content,
		.len = PAGE,
	};

	need(ioctl(uffd, UFFDIO_COPY, &copy) == 0, "UFFDIO_COPY");
}

static void *send_page(void *arg)
{
	const struct sender *sender = arg;

	need(send(sender->fd, sender->page, PAGE, MSG_NOSIGNAL) == PAGE, "send");
	return NULL;
}

static uint16_t port_of(int fd)
{
	struct sockaddr_in addr = { 0 };
	socklen_t len = sizeof(addr);

	need(getsockname(fd, (struct sockaddr *)&addr, &len) == 0, "getsockname");
	return ntohs(addr.sin_port);
}

int main(void)
{
	char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int listener = loopback_listen("127.0.0.1", 0, 1);
	struct sender sender = { .page = page };
	struct pollfd fault;
	pthread_t thread;
	char byte;

	need(page != MAP_FAILED, "mmap");
	need(listener >= 0, "listen");
	sender.fd = loopback_connect("127.0.0.1", 0, "127.0.0.1", port_of(listener));
	need(sender.fd >= 0, "connect");
	fault = (struct pollfd){ .fd = watch_page(page), .events = POLLIN };
	need(pthread_create(&thread, NULL, send_page, &sender) == 0, "pthread_create");
	need(poll(&fault, 1, 5000) == 1, "page fault");
	(void)printf("%u ready\n", port_of(listener));
	(void)fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	fill_page(fault.fd, page);
	need(pthread_join(thread, NULL) == 0, "pthread_join");
	return 0;
}
