/*
 * netlink: the conversation with NETLINK_SOCK_DIAG.
 *
 * Owns the netlink socket, its buffer, and what was learnt of the kernel's habits. Must not know the
 * layout of an answer (netlink-parse.c does) nor what a record is good for.
 */
#include "netlink-internal.h"
#include "tcphealth/base/clock.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define REQUEST_SIZE 256
#define PORT_OPS_MAX 4

/* A comparison of a port, as the kernel's filter wants it: an op and, in the next op's place, the port. */
struct port_op {
	struct inet_diag_bc_op op;
	struct inet_diag_bc_op port;
};

struct port_filter {
	struct port_op ops[PORT_OPS_MAX];
	unsigned int count;
};

static void add_port_op(struct port_filter *filter, unsigned int code, uint16_t port)
{
	struct port_op *op = &filter->ops[filter->count++];

	op->op.code = (unsigned char)code;
	op->port.no = port;
}

static void add_port(struct port_filter *filter, const unsigned char codes[3], bool equal,
		     uint16_t port)
{
	if (port == 0)
		return;
	if (equal) {
		add_port_op(filter, codes[0], port);
	} else {
		add_port_op(filter, codes[1], port);
		add_port_op(filter, codes[2], port);
	}
}

/* All must hold: "yes" goes on to the next, "no" jumps 4 bytes past the end, which rejects. */
static void chain_ops(struct port_filter *filter)
{
	for (unsigned int i = 0; i < filter->count; i++) {
		size_t rest = (filter->count - i) * sizeof(struct port_op);

		filter->ops[i].op.yes = sizeof(struct port_op);
		filter->ops[i].op.no = (unsigned short)(rest + sizeof(struct inet_diag_bc_op));
	}
}

static void put_filter(struct nlmsghdr *msg, const struct source_query *query, bool equal)
{
	static const unsigned char local[] = { INET_DIAG_BC_S_EQ, INET_DIAG_BC_S_GE,
					       INET_DIAG_BC_S_LE };
	static const unsigned char remote[] = { INET_DIAG_BC_D_EQ, INET_DIAG_BC_D_GE,
						INET_DIAG_BC_D_LE };
	struct port_filter filter = { .count = 0 };

	add_port(&filter, local, equal, query->local_port);
	add_port(&filter, remote, equal, query->remote_port);
	if (filter.count == 0)
		return;
	chain_ops(&filter);
	mnl_attr_put(msg, INET_DIAG_REQ_BYTECODE, filter.count * sizeof(struct port_op),
		     filter.ops);
}

static uint8_t extensions(const struct source_query *query)
{
	unsigned int mask = 0;

	if (query->want & SOURCE_INFO)
		mask |= 1U << (INET_DIAG_INFO - 1);
	if (query->want & SOURCE_DROPS)
		mask |= 1U << (INET_DIAG_SKMEMINFO - 1);
	return (uint8_t)mask;
}

/* The request of before Linux 3.3, and the only one that gets both families from one walk of the table. */
static void put_legacy(struct nlmsghdr *msg, const struct source_query *query)
{
	struct inet_diag_req *req = mnl_nlmsg_put_extra_header(msg, sizeof(*req));

	msg->nlmsg_type = TCPDIAG_GETSOCK;
	req->idiag_family = AF_INET;
	req->idiag_ext = extensions(query);
	req->idiag_states = query->states;
}

static struct inet_diag_req_v2 *put_v2(struct nlmsghdr *msg, const struct source_query *query,
				       int family)
{
	struct inet_diag_req_v2 *req = mnl_nlmsg_put_extra_header(msg, sizeof(*req));

	msg->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	req->sdiag_family = (uint8_t)family;
	req->sdiag_protocol = IPPROTO_TCP;
	req->idiag_ext = extensions(query);
	req->idiag_states = query->states;
	return req;
}

/* 0 is never a sequence number, so that it can mean "none". */
static uint32_t next_seq(struct netlink *diag)
{
	if (++diag->seq == 0)
		diag->seq = 1;
	return diag->seq;
}

static int send_request(struct netlink *diag, const struct nlmsghdr *msg)
{
	ssize_t sent;

	do {
		sent = mnl_socket_sendto(diag->nl, msg, msg->nlmsg_len);
	} while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : 0;
}

/*
 * One datagram from the kernel into the buffer: its length,
 * or -errno. Anyone may send to a netlink socket.
 */
static ssize_t receive(struct netlink *diag, int flags)
{
	for (;;) {
		struct sockaddr_nl from = { .nl_family = AF_UNSPEC };
		socklen_t from_len = sizeof(from);
		ssize_t len = recvfrom(mnl_socket_get_fd(diag->nl), diag->buffer, NETLINK_DATAGRAM,
				       MSG_TRUNC | flags, (struct sockaddr *)&from, &from_len);

		if (len < 0 && errno == EINTR)
			continue;
		if (len < 0)
			return -errno;
		if (from_len != sizeof(from) || from.nl_family != AF_NETLINK || from.nl_pid != 0) {
			diag->skipped.forged++;
			continue;
		}
		return len > NETLINK_DATAGRAM ? -EBADMSG : len;
	}
}

/*
 * Between batches others may run. Not more often: from Linux 6.18 on who yields at nice 19 forfeits a slice that is 68 times
 * as long as that of others, however short the piece of work was.
 */
static bool ends_batch(struct netlink *diag, size_t len)
{
	diag->unyielded += len;
	if (diag->unyielded < NETLINK_BATCH)
		return false;
	diag->unyielded = 0;
	return true;
}

/* Reads until the answer that `walk` waits for has ended: 0, or a negative error. */
static int read_answer(struct netlink *diag, struct netlink_walk *walk, int flags)
{
	bool dated = false;

	for (;;) {
		ssize_t len = receive(diag, flags);
		int end;

		if (len < 0)
			return (int)len;
		if (!dated)
			walk->read_ms = clock_mono_coarse_ms();
		end = netlink_walk_datagram(walk, diag->buffer, (size_t)len);
		if (end)
			return end > 0 ? 0 : end;
		dated = ends_batch(diag, (size_t)len);
		if (!dated)
			continue;
		/* The kernel has filled the next one already: it is as old as this moment, not as the end of the pause. */
		walk->read_ms = clock_mono_coarse_ms();
		(void)sched_yield();
	}
}

static int ignore(void *arg, const struct tcpsock *socks, size_t count, uint64_t read_ms)
{
	(void)arg;
	(void)socks;
	(void)count;
	(void)read_ms;
	return 0;
}

/*
 * A dump given up half-way goes on as it is read, and holds the socket (-EBUSY) until its end. It is
 * read and the socket not closed, because a new one would belong to the namespace the thread is in
 * now, perhaps another.
 */
static void finish_unfinished(struct netlink *diag, int flags)
{
	struct source_skipped ignored = { 0 };
	struct netlink_walk walk = {
		.seq = diag->unfinished,
		.skipped = &ignored,
		.take_fn = ignore,
	};

	if (diag->unfinished && read_answer(diag, &walk, flags) == 0)
		diag->unfinished = 0;
}

static struct nlmsghdr *build_dump(struct netlink *diag, const struct source_query *query,
				   int family, void *request)
{
	struct nlmsghdr *msg = mnl_nlmsg_put_header(request);

	msg->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	if (family == AF_UNSPEC)
		put_legacy(msg, query);
	else
		put_v2(msg, query, family);
	put_filter(msg, query, !(diag->habits & NETLINK_NO_EQ));
	msg->nlmsg_seq = next_seq(diag);
	return msg;
}

static int exchange(struct netlink *diag, struct nlmsghdr *msg, struct netlink_walk *walk)
{
	int err = send_request(diag, msg);

	if (err)
		return err;
	walk->seq = msg->nlmsg_seq;
	err = read_answer(diag, walk, 0);
	if (err != -EBUSY || walk->records)
		diag->unfinished = err ? walk->seq : 0;
	return err;
}

/*
 * One dump of one family, or of both by the legacy request (AF_UNSPEC). An old dump's rest is read
 * first, so that the queue has room for the answer. That can come to a halt where the kernel had no
 * memory for the next datagram; then the answer is -EBUSY, and reading it sets the old dump going
 * again (af_netlink.c: netlink_recvmsg).
 */
static int dump_as_is(struct netlink *diag, const struct source_query *query, int family,
		      struct netlink_walk *walk)
{
	uint8_t request[REQUEST_SIZE] __attribute__((aligned(8)));
	struct nlmsghdr *msg = build_dump(diag, query, family, request);
	int err;

	finish_unfinished(diag, MSG_DONTWAIT);
	err = exchange(diag, msg, walk);
	if (err != -EBUSY || walk->records)
		return err;
	finish_unfinished(diag, 0);
	msg->nlmsg_seq = next_seq(diag);
	return exchange(diag, msg, walk);
}

/* The same, with the port filter spelt for older kernels where the modern form is refused. */
static int dump_family(struct netlink *diag, const struct source_query *query, int family,
		       struct netlink_walk *walk)
{
	bool filtered = query->local_port || query->remote_port;
	int err = dump_as_is(diag, query, family, walk);

	if (err != -EINVAL || walk->records || !filtered || (diag->habits & NETLINK_NO_EQ))
		return err;
	diag->habits |= NETLINK_NO_EQ;
	err = dump_as_is(diag, query, family, walk);
	if (err == -EINVAL)
		diag->habits &= ~(unsigned int)NETLINK_NO_EQ;
	return err;
}

static int dump_v2(struct netlink *diag, const struct source_query *query,
		   struct netlink_walk *walk)
{
	uint64_t before;
	int err = dump_family(diag, query, AF_INET, walk);

	if (err)
		return err;
	before = walk->records;
	err = dump_family(diag, query, AF_INET6, walk);
	/* A kernel without IPv6 has no such sockets. */
	if (walk->records == before && (err == -EAFNOSUPPORT || netlink_is_refusal(err, 0)))
		return 0;
	return err;
}

/* Asked as version 2, by an attribute: the field of the protocol has a byte. */
int netlink_dump_mptcp(struct netlink *diag, const struct source_query *query, int family,
		       struct netlink_walk *walk)
{
	uint8_t request[REQUEST_SIZE] __attribute__((aligned(8)));
	struct nlmsghdr *msg = mnl_nlmsg_put_header(request);
	struct inet_diag_req_v2 *req = put_v2(msg, query, family);

	msg->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	req->sdiag_protocol = 0;
	put_filter(msg, query, true);
	mnl_attr_put_u32(msg, INET_DIAG_REQ_PROTOCOL, IPPROTO_MPTCP);
	msg->nlmsg_seq = next_seq(diag);
	finish_unfinished(diag, MSG_DONTWAIT);
	return exchange(diag, msg, walk);
}

/* The socket that is looked for: the other end of `sock`. */
struct wanted {
	const struct tcpsock *sock;
	bool found;
	struct tcpsock *ret_other;
};

/* The kernel may answer with the listener of that port. */
static int take_wanted(void *arg, const struct tcpsock *other, size_t count, uint64_t read_ms)
{
	struct wanted *wanted = arg;
	const struct tcpsock *sock = wanted->sock;

	(void)count;
	(void)read_ms;
	if (other->state == TCP_STATE_LISTEN || other->local_port != sock->remote_port ||
	    other->remote_port != sock->local_port ||
	    !IN6_ARE_ADDR_EQUAL(&other->local, &sock->remote) ||
	    !IN6_ARE_ADDR_EQUAL(&other->remote, &sock->local))
		return -ENOENT;
	*wanted->ret_other = *other;
	wanted->found = true;
	return 0;
}

static void put_address(uint32_t words[4], int family, const struct in6_addr *addr)
{
	if (family == AF_INET)
		words[0] = addr->s6_addr32[3];
	else
		memcpy(words, addr, sizeof(*addr));
}

static struct nlmsghdr *build_find(struct netlink *diag, const struct tcpsock *sock, int family,
				   void *request)
{
	static const struct source_query query = {
		.states = TCP_STATES_ALL,
		.want = SOURCE_INFO | SOURCE_DROPS,
	};
	struct nlmsghdr *msg = mnl_nlmsg_put_header(request);
	struct inet_diag_req_v2 *req = put_v2(msg, &query, family);

	msg->nlmsg_flags = NLM_F_REQUEST;
	msg->nlmsg_seq = next_seq(diag);
	put_address(req->id.idiag_src, family, &sock->remote);
	put_address(req->id.idiag_dst, family, &sock->local);
	req->id.idiag_sport = htons(sock->remote_port);
	req->id.idiag_dport = htons(sock->local_port);
	req->id.idiag_cookie[0] = INET_DIAG_NOCOOKIE;
	req->id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
	return msg;
}

/* A request without NLM_F_DUMP is answered by one record or one error, and nothing marks the end. */
static int find_in_family(struct netlink *diag, struct wanted *wanted, int family)
{
	uint8_t request[REQUEST_SIZE] __attribute__((aligned(8)));
	struct nlmsghdr *msg = build_find(diag, wanted->sock, family, request);
	struct netlink_walk walk = {
		.seq = msg->nlmsg_seq,
		.skipped = &diag->skipped,
		.take_fn = take_wanted,
		.arg = wanted,
	};
	uint64_t malformed = diag->skipped.malformed;
	int err;

	finish_unfinished(diag, MSG_DONTWAIT);
	err = send_request(diag, msg);
	while (!err && !wanted->found) {
		ssize_t len = receive(diag, 0);

		if (len < 0)
			return (int)len;
		err = netlink_walk_datagram(&walk, diag->buffer, (size_t)len);
		if (err > 0 || diag->skipped.malformed != malformed)
			return -EBADMSG;
	}
	return err;
}

bool netlink_is_refusal(int err, uint64_t records)
{
	return records == 0 && (err == -EINVAL || err == -EOPNOTSUPP || err == -ENOENT);
}

static void close_netlink(void *source)
{
	struct netlink *diag = source;

	if (!diag)
		return;
	if (diag->nl)
		mnl_socket_close(diag->nl);
	mptcp_done(&diag->mptcp);
	free(diag);
}

static int open_netlink(const struct source_place *place, void **ret_source)
{
	struct netlink *diag = calloc(1, sizeof(*diag));
	int err;

	if (!diag)
		return -ENOMEM;
	diag->procfs = place->procfs;
	diag->nl = mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC);
	if (!diag->nl || mnl_socket_bind(diag->nl, 0, MNL_SOCKET_AUTOPID) < 0) {
		err = -errno;
		close_netlink(diag);
		return err;
	}
	*ret_source = diag;
	return 0;
}

/* By the legacy request in one walk of the kernel's table where it answers that, else by two version 2 dumps. */
static int dump_netlink(void *source, const struct source_query *query, source_take_fn take_fn,
			void *arg)
{
	struct netlink *diag = source;
	struct netlink_walk walk = {
		.skipped = &diag->skipped,
		.take_fn = take_fn,
		.arg = arg,
	};
	int err = mptcp_take(diag, query, &walk);

	if (err < 0)
		return err;
	if (diag->habits & NETLINK_NO_LEGACY)
		return dump_v2(diag, query, &walk);
	err = dump_family(diag, query, AF_UNSPEC, &walk);
	if (!netlink_is_refusal(err, walk.records))
		return err;
	/* Learnt only when it works: a module that is not loaded today may be tomorrow. */
	err = dump_v2(diag, query, &walk);
	if (!err)
		diag->habits |= NETLINK_NO_LEGACY;
	return err;
}

int netlink_find(void *source, const struct tcpsock *sock, struct tcpsock *ret_other)
{
	struct wanted wanted = { .sock = sock, .ret_other = ret_other };
	bool v4 = IN6_IS_ADDR_V4MAPPED(&sock->local) && IN6_IS_ADDR_V4MAPPED(&sock->remote);
	int err = find_in_family(source, &wanted, v4 ? AF_INET : AF_INET6);

	if (v4 && err == -ENOENT)
		err = find_in_family(source, &wanted, AF_INET6);
	return err;
}

static struct source_skipped netlink_skipped(const void *source)
{
	return ((const struct netlink *)source)->skipped;
}

const struct source_ops source_netlink = {
	.name = "netlink",
	.can = SOURCE_INFO | SOURCE_BACKLOG | SOURCE_DROPS | SOURCE_EVENTS | SOURCE_COOKIES |
	       SOURCE_STATES | SOURCE_PORTS | SOURCE_FIND,
	.open = open_netlink,
	.close = close_netlink,
	.dump = dump_netlink,
	.find = netlink_find,
	.skipped = netlink_skipped,
};
