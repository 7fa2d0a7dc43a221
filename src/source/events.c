/*
 * events: destroy notices of TCP sockets, from the kernel's multicast groups into a ring.
 *
 * Owns the subscription, the thread that reads it and the ring. Must not know what a death means for a
 * counter. The thread copies and counts, nothing else, so that the kernel's buffer is
 * emptied at all times; the consumer takes the events when it suits.
 */
#include "tcphealth/source/events.h"

#include "tcphealth/base/address.h"
#include "tcphealth/base/await.h"
#include "tcphealth/source/netlink.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <limits.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define RING_SIZE    UINT32_C(16384) /* a power of two */
#define RING_WAKE    (RING_SIZE / 8)
#define BATCH        32
#define MESSAGE_SIZE 2048 /* 380 bytes on Linux 6.18 */
#define FULL_WAIT_MS 5

/* The kernel cuts thread names at 15 bytes. */
#define THREAD_NAME "tcphealth-event"

#ifndef SO_MEMINFO
#define SO_MEMINFO 55
#endif

/* The reader writes head and the counters, the consumer tail; both indices run freely. */
struct events {
	struct mnl_socket *nl;
	int fd; /* its own */
	int stop_fd;
	int wake_fd;
	uint32_t rcvbuf_bytes;
	pthread_t thread;
	atomic_bool active;
	atomic_bool stopping;
	_Atomic uint64_t received;
	_Atomic uint64_t lost; /* its low 32 bits are the kernel's drop counter as last seen */
	_Atomic uint64_t overruns;
	_Atomic uint64_t forged;
	_Atomic uint64_t malformed;
	_Atomic uint32_t head;
	struct tcpdeath ring[RING_SIZE];
	_Atomic uint32_t tail; /* behind the ring, away from the reader's cache lines */
	uint8_t messages[BATCH][MESSAGE_SIZE] __attribute__((aligned(8)));
};

/* What recvmmsg(2) needs to fill `messages`. */
struct batch {
	struct mmsghdr headers[BATCH];
	struct iovec vectors[BATCH];
	struct sockaddr_nl senders[BATCH];
};

static void count(_Atomic uint64_t *counter, uint64_t by)
{
	atomic_fetch_add_explicit(counter, by, memory_order_relaxed);
}

static uint64_t counted(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

/* All drops ever, or what was known before where the kernel cannot say (before Linux 4.12). */
static uint64_t read_lost(const struct events *events)
{
	uint32_t info[SK_MEMINFO_VARS] = { 0 };
	socklen_t len = sizeof(info);
	uint64_t known = counted(&events->lost);
	uint32_t delta;

	if (getsockopt(events->fd, SOL_SOCKET, SO_MEMINFO, info, &len) ||
	    len < (SK_MEMINFO_DROPS + 1) * sizeof(info[0]))
		return known;
	/* The counter wraps; a "negative" step is a reader that was faster than this thread. */
	delta = info[SK_MEMINFO_DROPS] - (uint32_t)known;
	return delta > INT32_MAX ? known : known + delta;
}

/* Each overrun lost one event at least, which is all that is known where the kernel does not count. */
static void note_overrun(struct events *events)
{
	uint64_t overruns = counted(&events->overruns) + 1;
	uint64_t lost = read_lost(events);

	atomic_store_explicit(&events->lost, lost > overruns ? lost : overruns,
			      memory_order_relaxed);
	count(&events->overruns, 1);
}

static uint32_t ring_used(const struct events *events)
{
	return atomic_load_explicit(&events->head, memory_order_acquire) -
	       atomic_load_explicit(&events->tail, memory_order_acquire);
}

static void wake_consumer(struct events *events)
{
	eventfd_write(events->wake_fd, 1);
}

/* Sleeps until stop, or until the time is over or `fd` (unless -1) has something. */
static void wait_for(struct events *events, int fd, int timeout_ms)
{
	struct pollfd fds[] = {
		{ .fd = events->stop_fd, .events = POLLIN },
		{ .fd = fd, .events = POLLIN },
	};

	(void)await_fds(fds, 2, timeout_ms);
}

static void prepare_batch(struct events *events, struct batch *batch)
{
	memset(batch, 0, sizeof(*batch));
	for (unsigned int i = 0; i < BATCH; i++) {
		batch->vectors[i].iov_base = events->messages[i];
		batch->vectors[i].iov_len = MESSAGE_SIZE;
		batch->headers[i].msg_hdr.msg_iov = &batch->vectors[i];
		batch->headers[i].msg_hdr.msg_iovlen = 1;
		batch->headers[i].msg_hdr.msg_name = &batch->senders[i];
	}
}

/* How many datagrams came, 0 if there is none, or a negative error. */
static int receive_batch(struct events *events, struct batch *batch, uint32_t room)
{
	int taken;

	for (unsigned int i = 0; i < BATCH; i++)
		batch->headers[i].msg_hdr.msg_namelen = sizeof(batch->senders[i]);
	taken = recvmmsg(events->fd, batch->headers, room < BATCH ? room : BATCH, MSG_DONTWAIT,
			 NULL);
	if (taken >= 0)
		return taken;
	return errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

/* Whoever has CAP_NET_ADMIN in the namespace may send to the group: only the kernel's word counts. */
static bool is_from_kernel(const struct msghdr *header, const struct sockaddr_nl *sender)
{
	return header->msg_namelen == sizeof(*sender) && sender->nl_family == AF_NETLINK &&
	       sender->nl_pid == 0;
}

/* Parses into the ring, which has room for all of the batch, and then shows it to the consumer. */
static void take_batch(struct events *events, const struct batch *batch, unsigned int taken)
{
	uint32_t start = atomic_load_explicit(&events->head, memory_order_relaxed);
	uint32_t head = start;

	for (unsigned int i = 0; i < taken; i++) {
		const struct msghdr *header = &batch->headers[i].msg_hdr;

		if (!is_from_kernel(header, &batch->senders[i]))
			count(&events->forged, 1);
		else if (!(header->msg_flags & MSG_TRUNC) &&
			 events_parse(events->messages[i], batch->headers[i].msg_len,
				      &events->ring[head % RING_SIZE]))
			head++;
		else
			count(&events->malformed, 1);
	}
	atomic_store_explicit(&events->head, head, memory_order_release);
	count(&events->received, head - start);
}

/* One step of the reader; false if the socket is of no use any more. */
static bool read_step(struct events *events, struct batch *batch)
{
	uint32_t room = RING_SIZE - ring_used(events);
	int taken;

	/* What finds no room stays in the kernel's buffer; its overruns are announced and counted. */
	if (room == 0) {
		wake_consumer(events);
		wait_for(events, -1, FULL_WAIT_MS);
		return true;
	}
	taken = receive_batch(events, batch, room);
	if (taken == 0) {
		wait_for(events, events->fd, -1);
	} else if (taken > 0) {
		take_batch(events, batch, (unsigned int)taken);
		if (ring_used(events) >= RING_WAKE)
			wake_consumer(events);
	} else if (taken == -ENOBUFS) {
		note_overrun(events);
		wake_consumer(events);
	} else {
		return false;
	}
	return true;
}

static void *read_events(void *arg)
{
	struct events *events = arg;
	struct batch batch;

	prctl(PR_SET_NAME, THREAD_NAME);
	prepare_batch(events, &batch);
	while (!atomic_load(&events->stopping)) {
		if (!read_step(events, &batch))
			break;
	}
	atomic_store(&events->active, false);
	wake_consumer(events);
	return NULL;
}

static int open_fds(struct events *events)
{
	events->nl = mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC);
	if (!events->nl)
		return -errno;
	events->fd = mnl_socket_get_fd(events->nl);
	events->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	events->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return events->stop_fd < 0 || events->wake_fd < 0 ? -errno : 0;
}

/*
 * Without the capability the kernel caps it at
 * net.core.rmem_max; either way it doubles what was asked for.
 */
static int set_rcvbuf(struct events *events, uint32_t bytes)
{
	int value = bytes > INT_MAX / 2 ? INT_MAX / 2 : (int)bytes;
	socklen_t len = sizeof(value);

	if (bytes && setsockopt(events->fd, SOL_SOCKET, SO_RCVBUFFORCE, &value, sizeof(value)) &&
	    setsockopt(events->fd, SOL_SOCKET, SO_RCVBUF, &value, sizeof(value)))
		return -errno;
	if (getsockopt(events->fd, SOL_SOCKET, SO_RCVBUF, &value, &len))
		return -errno;
	events->rcvbuf_bytes = (uint32_t)value;
	return 0;
}

/* Bound first: a netlink socket without an address gets no multicast, although it may join. */
static int subscribe(struct events *events)
{
	int groups[] = { SKNLGRP_INET_TCP_DESTROY, SKNLGRP_INET6_TCP_DESTROY };

	if (mnl_socket_bind(events->nl, 0, MNL_SOCKET_AUTOPID))
		return -errno;
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		if (mnl_socket_setsockopt(events->nl, NETLINK_ADD_MEMBERSHIP, &groups[i],
					  sizeof(groups[i])))
			return -errno;
	}
	return 0;
}

/* The reader takes no signals: they are for the main thread. */
static int start_reader(struct events *events)
{
	sigset_t all, before;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	atomic_store(&events->active, true);
	err = pthread_create(&events->thread, NULL, read_events, events);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -err;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void free_events(struct events *events)
{
	if (events->nl)
		mnl_socket_close(events->nl);
	close_fd(events->stop_fd);
	close_fd(events->wake_fd);
	free(events);
}

int events_start(uint32_t rcvbuf_bytes, struct events **ret_events)
{
	struct events *events = calloc(1, sizeof(*events));
	int err;

	if (!events)
		return -ENOMEM;
	events->stop_fd = events->wake_fd = -1;
	err = open_fds(events);
	if (!err)
		err = set_rcvbuf(events, rcvbuf_bytes);
	if (!err)
		err = subscribe(events);
	if (!err)
		err = start_reader(events);
	if (err) {
		free_events(events);
		return err;
	}
	*ret_events = events;
	return 0;
}

void events_stop(struct events *events)
{
	if (!events)
		return;
	atomic_store(&events->stopping, true);
	eventfd_write(events->stop_fd, 1);
	pthread_join(events->thread, NULL);
	free_events(events);
}

/* After the reset the ring is looked at again: what came in between must not wait for the next event. */
static void reset_wake(struct events *events)
{
	eventfd_t ignored;

	eventfd_read(events->wake_fd, &ignored);
	if (ring_used(events) >= RING_WAKE)
		wake_consumer(events);
}

size_t events_take(struct events *events, struct tcpdeath *ret_deaths, size_t max)
{
	uint32_t tail = atomic_load_explicit(&events->tail, memory_order_relaxed);
	uint32_t used = ring_used(events);
	uint32_t taken = used < max ? used : (uint32_t)max;
	uint32_t at = tail % RING_SIZE;
	uint32_t first = taken < RING_SIZE - at ? taken : RING_SIZE - at;

	memcpy(ret_deaths, &events->ring[at], first * sizeof(*ret_deaths));
	memcpy(ret_deaths + first, events->ring, (taken - first) * sizeof(*ret_deaths));
	atomic_store_explicit(&events->tail, tail + taken, memory_order_release);
	if (taken == used)
		reset_wake(events);
	return taken;
}

int events_fd(const struct events *events)
{
	return events->wake_fd;
}

struct events_stats events_stats(const struct events *events)
{
	return (struct events_stats){
		.received = counted(&events->received),
		.lost = read_lost(events),
		.overruns = counted(&events->overruns),
		.forged = counted(&events->forged),
		.malformed = counted(&events->malformed),
		.rcvbuf_bytes = events->rcvbuf_bytes,
		.active = atomic_load(&events->active),
	};
}

static uint8_t death_flags(const struct tcpsock *sock)
{
	static const struct {
		uint32_t known;
		uint8_t flag;
	} rows[] = {
		{ TCPSOCK_INFO | TCPSOCK_BYTES | TCPSOCK_SEGS, TCPDEATH_INFO },
		{ TCPSOCK_DELIVERED, TCPDEATH_DELIVERED },
		{ TCPSOCK_SENT | TCPSOCK_DATA_SEGS, TCPDEATH_SENT },
		{ TCPSOCK_MIN_RTT, TCPDEATH_MIN_RTT },
		{ TCPSOCK_NOTSENT, TCPDEATH_NOTSENT },
	};
	uint8_t flags = address_is_any(&sock->remote) ? 0 : TCPDEATH_REMOTE;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (tcpsock_knows(sock, rows[i].known))
			flags |= rows[i].flag;
	}
	return flags;
}

static void copy_death(const struct tcpsock *sock, struct tcpdeath *death)
{
	*death = (struct tcpdeath){
		.id = sock->id,
		.bytes_acked = sock->bytes_acked,
		.bytes_received = sock->bytes_received,
		.bytes_sent = sock->bytes_sent,
		.bytes_retrans = sock->bytes_retrans,
		.remote = sock->remote,
		.total_retrans = sock->total_retrans,
		.segs_out = sock->segs_out,
		.segs_in = sock->segs_in,
		.delivered = sock->delivered,
		.data_segs_out = sock->data_segs_out,
		.unacked = sock->unacked,
		.wqueue = sock->wqueue,
		.notsent_bytes = sock->notsent_bytes,
		.min_rtt_us = sock->min_rtt_us,
		.local_port = sock->local_port,
		.remote_port = sock->remote_port,
		.retransmits = sock->retransmits,
		.flags = death_flags(sock),
		.tuple_hash = (uint32_t)tcptuple_hash(&sock->local, sock->local_port, &sock->remote,
						      sock->remote_port),
	};
}

bool events_parse(const void *msg, size_t len, struct tcpdeath *ret_death)
{
	const struct nlmsghdr *header = msg;
	struct tcpsock sock;

	if (len < sizeof(*header) || header->nlmsg_len < sizeof(*header) ||
	    header->nlmsg_len > len || header->nlmsg_type != SOCK_DIAG_BY_FAMILY)
		return false;
	if (!netlink_parse(header + 1, header->nlmsg_len - sizeof(*header), &sock))
		return false;
	copy_death(&sock, ret_death);
	if (((const struct inet_diag_msg *)(header + 1))->idiag_family == AF_INET6)
		ret_death->flags |= TCPDEATH_IPV6;
	return true;
}
