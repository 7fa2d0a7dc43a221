/*
 * netlink-mptcp: connections that are half-closed above TCP.
 *
 * MPTCP ends a stream by an option of its own, and its TCP stays ESTABLISHED until both ends have closed: a dump of TCP alone does not show that the
 * peer has gone. The kernel tells the state of MPTCP in a dump apart, with the inode and the ports of the TCP beneath.
 */
#include "netlink-internal.h"
#include "tcphealth/base/array.h"
#include "tcphealth/base/clock.h"
#include "tcphealth/base/file.h"
#include "tcphealth/base/number.h"
#include "tcphealth/source/procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HALF_CLOSED (TCP_STATE_BIT(TCP_STATE_CLOSE_WAIT) | TCP_STATE_BIT(TCP_STATE_FIN_WAIT2))

static uint64_t hash_id(uint64_t id)
{
	return hash_mix(hash_seed, id);
}

static bool has(const struct mptcp *mptcp, uint64_t id)
{
	uint32_t i;

	for (size_t at = 0; (i = hash_next(&mptcp->hash, hash_id(id), &at)) != HASH_END;)
		if (mptcp->socks[i].id == id)
			return true;
	return false;
}

void mptcp_done(struct mptcp *mptcp)
{
	free(mptcp->socks);
	hash_done(&mptcp->hash);
}

/* "MPTCP     1936      3 ...": the second number is of sockets in the namespace. */
static bool has_sockets(int net_dir, const char *name)
{
	char rest[FILE_LINE_SIZE];
	const char *at = rest;
	uint64_t value;

	if (!file_find_line(net_dir, "protocols", name, rest) ||
	    number_take(&at, NULL, UINT64_MAX, &value) < 0)
		return false;
	at += strspn(at, " ");
	return number_take(&at, NULL, UINT64_MAX, &value) == 0 && value != 0;
}

/* Hosts without MPTCP are spared the dumps, and the kernel a search for a module that may be missing. */
static bool is_used(const struct netlink *diag)
{
	char path[PATH_MAX];
	bool used;
	int dir;

	if (!diag->procfs || procfs_net_dir(diag->procfs, 0, path, sizeof(path)) < 0)
		return false;
	dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return false;
	used = has_sockets(dir, "MPTCP ") || has_sockets(dir, "MPTCPv6 ");
	close(dir);
	return used;
}

static int keep(void *arg, const struct tcpsock *socks, size_t count, uint64_t read_ms)
{
	struct mptcp *mptcp = arg;

	(void)read_ms;
	for (size_t i = 0; i < count; i++) {
		if (!array_room((void **)&mptcp->socks, &mptcp->cap, mptcp->count, sizeof(*socks)))
			return -ENOMEM;
		mptcp->socks[mptcp->count++] = socks[i];
	}
	return 0;
}

static int collect(struct netlink *diag, const struct source_query *query)
{
	static const int families[] = { AF_INET, AF_INET6 };
	const struct source_query half = { .states = HALF_CLOSED,
					   .local_port = query->local_port,
					   .remote_port = query->remote_port };
	int err = 0;

	for (size_t i = 0; i < 2 && err == 0; i++) {
		struct netlink_walk walk = {
			.skipped = &diag->skipped,
			.take_fn = keep,
			.arg = &diag->mptcp,
		};

		err = netlink_dump_mptcp(diag, &half, families[i], &walk);
		if (netlink_is_refusal(err, walk.records))
			diag->habits |= NETLINK_NO_MPTCP;
	}
	return err;
}

/* Those that have not been handed over as half-closed. */
static int take_others(void *arg, const struct tcpsock *socks, size_t count, uint64_t read_ms)
{
	const struct mptcp *mptcp = arg;
	int err = 0;

	for (size_t i = 0; i < count && err >= 0; i++) {
		if (!has(mptcp, socks[i].id))
			err = mptcp->take_fn(mptcp->arg, &socks[i], 1, read_ms);
	}
	return err;
}

/* The record of the TCP beneath in the state that the program sees. Nothing tells whether it has read the end. */
static bool find_beneath(struct netlink *diag, const struct tcpsock *half, struct tcpsock *ret_sock)
{
	struct tcpsock other = *half;

	other.local = half->remote;
	other.local_port = half->remote_port;
	other.remote = half->local;
	other.remote_port = half->local_port;
	if (half->inode == 0 || netlink_find(diag, &other, ret_sock) < 0 ||
	    ret_sock->inode != half->inode || ret_sock->state != TCP_STATE_ESTABLISHED)
		return false;
	ret_sock->state = ret_sock->info_state = half->state;
	ret_sock->rqueue = half->rqueue;
	/*
	 * TCP's queue would count the end of the stream behind the data, and its counters our own, which MPTCP sends as an
	 * option: what the handshake left in them cannot be reckoned then.
	 */
	if (half->state == TCP_STATE_CLOSE_WAIT)
		ret_sock->rqueue += half->rqueue != 0;
	else
		ret_sock->known &= ~(uint32_t)TCPSOCK_NOTSENT;
	return true;
}

int mptcp_take(struct netlink *diag, const struct source_query *query, struct netlink_walk *walk)
{
	struct mptcp *mptcp = &diag->mptcp;
	size_t count, found = 0;
	int err = 0;

	mptcp->count = 0;
	hash_reset(&mptcp->hash);
	if (!(query->states & (HALF_CLOSED | TCP_STATE_BIT(TCP_STATE_ESTABLISHED))) ||
	    (diag->habits & NETLINK_NO_MPTCP) || !is_used(diag) || collect(diag, query) < 0)
		return 0;
	count = mptcp->count;
	for (size_t i = 0; i < count && err >= 0; i++) {
		struct tcpsock sock;

		if (!find_beneath(diag, &mptcp->socks[i], &sock))
			continue;
		if (hash_add(&mptcp->hash, hash_id(sock.id), found) < 0)
			return -ENOMEM;
		mptcp->socks[found++] = sock;
		if (query->states & TCP_STATE_BIT(sock.state))
			err = walk->take_fn(walk->arg, &sock, 1, clock_mono_coarse_ms());
	}
	mptcp->take_fn = walk->take_fn;
	mptcp->arg = walk->arg;
	if (found != 0) {
		walk->take_fn = take_others;
		walk->arg = mptcp;
	}
	return err < 0 ? err : 0;
}
