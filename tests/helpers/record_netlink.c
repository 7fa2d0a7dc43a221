/*
 * record_netlink: writes real datagrams of NETLINK_SOCK_DIAG as fixtures.
 *
 *   make build/tests/record_netlink && sudo build/tests/record_netlink tests/fixtures/netlink
 *
 * In a network namespace of its own it makes the sockets of the table below, and writes each datagram of
 *   legacy.N.bin   one TCPDIAG_GETSOCK dump, all states, INFO and SKMEMINFO
 *   plain.N.bin    the same without extensions
 *   inet.N.bin, inet6.N.bin   the version 2 dumps with INFO and SKMEMINFO
 *   destroy.N.bin  the destroy notices as the connections of ports 6001 and 6002 and the dual-stack listener end
 * The expectations in tests/unit/test_netlink.c and test_events.c are of this scene; cookies, inodes,
 * times and the cgroup differ with each recording.
 *
 *   listener          client             state
 *   127.0.0.1:5001    127.0.0.1:6001     client sent 5 bytes, server 7, which the client has not read
 *   [::1]:5002        [::1]:6002         nothing sent
 *   [::]:5003         127.0.0.1:6003     not accepted (dual-stack: server side is v4-mapped)
 *   127.0.0.1:5001    127.0.0.1:6004     TIME_WAIT at the client
 *   127.0.0.1:5005    127.0.0.1:6005     deferred accept: SYN_RECV at the server
 */
#include "helpers/loopback.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#define SEQ 1

struct scene {
	int listener_v4, listener_v6, listener_dual, listener_deferred;
	int client_v4, server_v4, client_v6, server_v6, client_dual, client_deferred;
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int need(int fd, const char *what)
{
	if (fd < 0)
		die(what);
	return fd;
}

static void need_transfer(int from, int to, const char *text, bool take)
{
	char buffer[16];
	size_t len = strlen(text);

	if (send(from, text, len, 0) != (ssize_t)len)
		die("send");
	if (recv(to, buffer, len, MSG_WAITALL | (take ? 0 : MSG_PEEK)) != (ssize_t)len)
		die("recv");
}

static void make_time_wait(int listener)
{
	char byte;
	int client = need(loopback_connect("127.0.0.1", 6004, "127.0.0.1", 5001), "6004");
	int server = need(accept(listener, NULL, NULL), "accept 6004");

	close(client);
	if (recv(server, &byte, 1, 0) != 0)
		die("recv end");
	close(server);
}

static void make_scene(struct scene *scene)
{
	int seconds = 60;

	scene->listener_v4 = need(loopback_listen("127.0.0.1", 5001, 7), "5001");
	scene->listener_v6 = need(loopback_listen("::1", 5002, 8), "5002");
	scene->listener_dual = need(loopback_listen("::", 5003, 9), "5003");
	scene->listener_deferred = need(loopback_listen("127.0.0.1", 5005, 10), "5005");
	if (setsockopt(scene->listener_deferred, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds,
		       sizeof(seconds)))
		die("TCP_DEFER_ACCEPT");
	scene->client_v4 = need(loopback_connect("127.0.0.1", 6001, "127.0.0.1", 5001), "6001");
	scene->server_v4 = need(accept(scene->listener_v4, NULL, NULL), "accept 6001");
	scene->client_v6 = need(loopback_connect("::1", 6002, "::1", 5002), "6002");
	scene->server_v6 = need(accept(scene->listener_v6, NULL, NULL), "accept 6002");
	scene->client_dual = need(loopback_connect("127.0.0.1", 6003, "127.0.0.1", 5003), "6003");
	make_time_wait(scene->listener_v4);
	scene->client_deferred =
		need(loopback_connect("127.0.0.1", 6005, "127.0.0.1", 5005), "6005");
	need_transfer(scene->client_v4, scene->server_v4, "hello", true);
	need_transfer(scene->server_v4, scene->client_v4, "goodbye", false);
}

static void write_file(const char *dir, const char *name, unsigned int number, const void *data,
		       size_t len)
{
	char path[512];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s.%u.bin", dir, name, number);
	file = fopen(path, "wb");
	if (!file || fwrite(data, 1, len, file) != len || fclose(file))
		die(path);
}

static void put_request(struct nlmsghdr *msg, int family, uint8_t ext)
{
	struct inet_diag_req_v2 *req;
	struct inet_diag_req *legacy;

	msg->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	msg->nlmsg_seq = SEQ;
	if (family == AF_UNSPEC) {
		msg->nlmsg_type = TCPDIAG_GETSOCK;
		legacy = mnl_nlmsg_put_extra_header(msg, sizeof(*legacy));
		legacy->idiag_family = AF_INET;
		legacy->idiag_ext = ext;
		legacy->idiag_states = 0xfff;
		return;
	}
	msg->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	req = mnl_nlmsg_put_extra_header(msg, sizeof(*req));
	req->sdiag_family = (uint8_t)family;
	req->sdiag_protocol = IPPROTO_TCP;
	req->idiag_ext = ext;
	req->idiag_states = 0xfff;
}

static bool has_end(const void *data, size_t len)
{
	const struct nlmsghdr *msg = data;
	int left = (int)len;

	for (; mnl_nlmsg_ok(msg, left); msg = mnl_nlmsg_next(msg, &left)) {
		if (msg->nlmsg_type == NLMSG_DONE || msg->nlmsg_type == NLMSG_ERROR)
			return true;
	}
	return false;
}

static void record_dump(const char *dir, const char *name, int family, uint8_t ext)
{
	static uint8_t buffer[32768] __attribute__((aligned(8)));
	struct mnl_socket *nl = mnl_socket_open(NETLINK_SOCK_DIAG);
	struct nlmsghdr *msg = mnl_nlmsg_put_header(buffer);
	unsigned int number = 0;
	ssize_t len;

	put_request(msg, family, ext);
	if (!nl || mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_sendto(nl, msg, msg->nlmsg_len) < 0)
		die(name);
	do {
		len = mnl_socket_recvfrom(nl, buffer, sizeof(buffer));
		if (len <= 0)
			die(name);
		write_file(dir, name, number++, buffer, (size_t)len);
	} while (!has_end(buffer, (size_t)len));
	mnl_socket_close(nl);
}

static struct mnl_socket *subscribe(void)
{
	struct mnl_socket *nl = mnl_socket_open(NETLINK_SOCK_DIAG);
	int groups[] = { SKNLGRP_INET_TCP_DESTROY, SKNLGRP_INET6_TCP_DESTROY };

	if (!nl || mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0)
		die("events");
	for (unsigned int i = 0; i < 2; i++) {
		if (mnl_socket_setsockopt(nl, NETLINK_ADD_MEMBERSHIP, &groups[i], sizeof(int)))
			die("membership");
	}
	return nl;
}

static void record_event(struct mnl_socket *nl, const char *dir, unsigned int number)
{
	struct pollfd fd = { .fd = mnl_socket_get_fd(nl), .events = POLLIN };
	uint8_t buffer[4096];
	ssize_t len;

	errno = ETIMEDOUT;
	if (poll(&fd, 1, 5000) != 1)
		die("event");
	len = mnl_socket_recvfrom(nl, buffer, sizeof(buffer));
	if (len <= 0)
		die("event");
	write_file(dir, "destroy", number, buffer, (size_t)len);
}

/* One end at a time, so that the order is known: orderly, aborted by its own end, reset by the peer, refused. */
static void record_events(const char *dir, struct scene *scene)
{
	struct mnl_socket *nl = subscribe();
	char byte;

	/* The data unread would make it a reset. */
	while (recv(scene->client_v4, &byte, 1, MSG_DONTWAIT) == 1)
		;
	close(scene->client_v4);
	if (recv(scene->server_v4, &byte, 1, 0) != 0)
		die("recv end");
	close(scene->server_v4);
	record_event(nl, dir, 0);
	record_event(nl, dir, 1);
	loopback_close_hard(scene->client_v6);
	record_event(nl, dir, 2);
	close(scene->server_v6);
	record_event(nl, dir, 3);
	close(scene->listener_dual);
	record_event(nl, dir, 4);
	record_event(nl, dir, 5);
	mnl_socket_close(nl);
}

int main(int argc, char **argv)
{
	const uint8_t both = 1U << (INET_DIAG_INFO - 1) | 1U << (INET_DIAG_SKMEMINFO - 1);
	struct scene scene;

	if (argc != 2) {
		fprintf(stderr, "usage: record_netlink DIRECTORY\n");
		return 2;
	}
	if (loopback_enter())
		die("network namespace");
	make_scene(&scene);
	record_dump(argv[1], "legacy", AF_UNSPEC, both);
	record_dump(argv[1], "plain", AF_UNSPEC, 0);
	record_dump(argv[1], "inet", AF_INET, both);
	record_dump(argv[1], "inet6", AF_INET6, both);
	record_events(argv[1], &scene);
	return 0;
}
