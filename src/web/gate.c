/*
 * gate: the thread that accepts, and the list of connections.
 *
 * Owns listeners, slots and deadlines. Must not know HTTP.
 *
 * A slot is found by its descriptor. That is safe because only this thread fills slots,
 * and because gate_closed() comes before the descriptor is closed: under the lock,
 * shutdown(2) never hits a descriptor that was reused.
 */
#include "tcphealth/web/gate.h"

#include "tcphealth/base/await.h"
#include "tcphealth/base/clock.h"

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BACKOFF_MS  250 /* after accept(2) lacked descriptors or memory */
#define CLIENT_SIZE 16
#define NEVER       UINT64_MAX

/* The part of an address that its user cannot choose: all of IPv4, the network of IPv6. */
struct client {
	unsigned char bytes[CLIENT_SIZE];
};

struct slot {
	int fd; /* -1: free */
	bool connected;
	uint64_t deadline_ms; /* NEVER after the shutdown */
	struct client client;
};

struct gate {
	struct gate_config config;
	int wake; /* eventfd */
	pthread_t thread;
	/* Used by the thread alone: `wake` and the listeners; when to accept again. */
	struct pollfd *polled;
	uint64_t resume_ms;

	pthread_mutex_t lock; /* of all below */
	pthread_cond_t quiet; /* `listening` became false */
	bool running;         /* the thread */
	bool quiescing;
	bool stopping;
	bool listening;
	unsigned int used;
	struct slot *slots; /* config.max_connections of them */
};

static struct client client_of(const struct sockaddr_storage *peer)
{
	struct client client = { { 0 } };
	struct sockaddr_in6 v6;
	struct sockaddr_in v4;

	memcpy(&v6, peer, sizeof(v6));
	memcpy(&v4, peer, sizeof(v4));
	if (peer->ss_family == AF_INET)
		memcpy(client.bytes + 12, &v4.sin_addr, 4);
	else if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr))
		memcpy(client.bytes + 12, v6.sin6_addr.s6_addr + 12, 4);
	else
		memcpy(client.bytes, v6.sin6_addr.s6_addr, 8);
	return client;
}

static void wake(struct gate *gate)
{
	uint64_t one = 1;

	/* It fails only if the counter is full, and then the thread is awake. */
	if (write(gate->wake, &one, sizeof(one)) < 0)
		return;
}

static struct slot *slot_find(struct gate *gate, int fd)
{
	for (unsigned int i = 0; i < gate->config.max_connections; i++) {
		if (gate->slots[i].fd == fd)
			return &gate->slots[i];
	}
	return NULL;
}

static void slot_release(struct gate *gate, struct slot *slot)
{
	slot->fd = -1;
	gate->used--;
}

static unsigned int count_client(const struct gate *gate, const struct client *client)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < gate->config.max_connections; i++) {
		const struct slot *slot = &gate->slots[i];
		if (slot->fd >= 0 && memcmp(&slot->client, client, sizeof(*client)) == 0)
			count++;
	}
	return count;
}

/* False if the client has enough connections. */
static bool slot_take(struct gate *gate, int fd, const struct client *client, uint64_t now_ms)
{
	/* A descriptor that is still listed was closed without a report (out of memory). */
	struct slot *old = slot_find(gate, fd), *slot;

	if (old)
		slot_release(gate, old);
	if (count_client(gate, client) >= gate->config.max_per_client)
		return false;
	slot = slot_find(gate, -1);
	if (!slot)
		return false;
	*slot = (struct slot){
		.fd = fd,
		.deadline_ms = now_ms + gate->config.timeout_s * UINT64_C(1000),
		.client = *client,
	};
	gate->used++;
	return true;
}

/* Ends overdue connections. The next deadline, or NEVER. */
static uint64_t sweep(struct gate *gate, uint64_t now_ms)
{
	uint64_t next = NEVER;

	for (unsigned int i = 0; i < gate->config.max_connections; i++) {
		struct slot *slot = &gate->slots[i];
		if (slot->fd < 0)
			continue;
		if (slot->deadline_ms > now_ms) {
			next = slot->deadline_ms < next ? slot->deadline_ms : next;
		} else if (slot->connected) {
			shutdown(slot->fd, SHUT_RDWR);
			slot->deadline_ms = NEVER;
		} else {
			/* Never served: the descriptor may have been reused. */
			slot_release(gate, slot);
		}
	}
	return next;
}

static void close_listeners(struct gate *gate)
{
	for (size_t i = 0; i < gate->config.listener_count; i++)
		close(gate->polled[i + 1].fd);
	gate->listening = false;
	pthread_cond_broadcast(&gate->quiet);
}

static int wait_ms(uint64_t now_ms, uint64_t until_ms)
{
	if (until_ms == NEVER)
		return -1;
	if (until_ms <= now_ms)
		return 0;
	return until_ms - now_ms < INT_MAX ? (int)(until_ms - now_ms) : INT_MAX;
}

static void complain(const struct gate *gate, const char *what, const char *key, const char *value)
{
	gate->config.complain(gate->config.arg, what, key, value);
}

static void refuse(struct gate *gate, int fd, const struct sockaddr_storage *peer,
		   socklen_t peer_len)
{
	char text[INET6_ADDRSTRLEN] = "";

	close(fd);
	getnameinfo((const struct sockaddr *)peer, peer_len, text, sizeof(text), NULL, 0,
		    NI_NUMERICHOST);
	complain(gate, "too many http connections from one address", "peer", text);
}

static void hand_over(struct gate *gate, int fd, const struct sockaddr_storage *peer,
		      socklen_t peer_len)
{
	struct client client = client_of(peer);
	bool taken;
	int err;

	pthread_mutex_lock(&gate->lock);
	taken = slot_take(gate, fd, &client, clock_mono_ms());
	pthread_mutex_unlock(&gate->lock);
	if (!taken) {
		refuse(gate, fd, peer, peer_len);
		return;
	}
	err = gate->config.admit(gate->config.arg, fd, (const struct sockaddr *)peer, peer_len);
	if (!err)
		return;
	gate_closed(gate, fd);
	complain(gate, "http connection not served", "err", strerror(-err));
}

/*
 * Errors of accept(2) that concern one connection. After any other the gate waits a
 * little.
 */
static bool error_is_of_peer(int err)
{
	static const int of_peer[] = {
		EAGAIN,    ECONNABORTED, EINTR,       EPROTO,      ENETDOWN,
		EHOSTDOWN, EHOSTUNREACH, ENETUNREACH, ENOPROTOOPT, ENONET,
	};

	for (size_t i = 0; i < sizeof(of_peer) / sizeof(*of_peer); i++) {
		if (err == of_peer[i])
			return true;
	}
	return false;
}

static void accept_one(struct gate *gate, int listener)
{
	struct sockaddr_storage peer = { 0 };
	socklen_t peer_len = sizeof(peer);
	int fd = accept4(listener, (struct sockaddr *)&peer, &peer_len,
			 SOCK_NONBLOCK | SOCK_CLOEXEC);
	int err = errno;

	if (fd >= 0) {
		hand_over(gate, fd, &peer, peer_len);
		return;
	}
	if (error_is_of_peer(err))
		return;
	gate->resume_ms = clock_mono_ms() + BACKOFF_MS;
	complain(gate, "cannot accept http connections", "err", strerror(err));
}

/* Sweeps, and decides what to wait for. False at the end. */
static bool plan(struct gate *gate, nfds_t *ret_count, int *ret_timeout)
{
	uint64_t now_ms = clock_mono_ms(), until_ms;
	bool has_room, go_on, waits = now_ms < gate->resume_ms;

	pthread_mutex_lock(&gate->lock);
	if (gate->quiescing && gate->listening)
		close_listeners(gate);
	until_ms = sweep(gate, now_ms);
	has_room = gate->listening && gate->used < gate->config.max_connections;
	go_on = !gate->stopping;
	pthread_mutex_unlock(&gate->lock);

	if (has_room && waits && gate->resume_ms < until_ms)
		until_ms = gate->resume_ms;
	*ret_count = has_room && !waits ? 1 + gate->config.listener_count : 1;
	*ret_timeout = wait_ms(now_ms, until_ms);
	return go_on;
}

static bool has_room(struct gate *gate)
{
	bool room;

	pthread_mutex_lock(&gate->lock);
	room = gate->used < gate->config.max_connections;
	pthread_mutex_unlock(&gate->lock);
	return room;
}

static void drain_wake(struct gate *gate)
{
	uint64_t count;

	if (read(gate->wake, &count, sizeof(count)) < 0)
		return; /* it was read before */
}

static void *run(void *arg)
{
	struct gate *gate = arg;
	nfds_t count;
	int timeout;

	pthread_setname_np(pthread_self(), "http-accept");
	while (plan(gate, &count, &timeout)) {
		if (await_fds(gate->polled, count, timeout) == 0)
			continue;
		if (gate->polled[0].revents)
			drain_wake(gate);
		for (nfds_t i = 1; i < count; i++) {
			if (gate->polled[i].revents && has_room(gate))
				accept_one(gate, gate->polled[i].fd);
		}
	}
	return NULL;
}

static int copy_config(struct gate *gate, const struct gate_config *config)
{
	gate->config = *config;
	gate->config.listeners = NULL;
	gate->polled = calloc(config->listener_count + 1, sizeof(*gate->polled));
	gate->slots = calloc(config->max_connections, sizeof(*gate->slots));
	gate->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (!gate->polled || !gate->slots || gate->wake < 0)
		return -ENOMEM;
	gate->polled[0] = (struct pollfd){ .fd = gate->wake, .events = POLLIN };
	for (size_t i = 0; i < config->listener_count; i++)
		gate->polled[i + 1] =
			(struct pollfd){ .fd = config->listeners[i], .events = POLLIN };
	for (unsigned int i = 0; i < config->max_connections; i++)
		gate->slots[i].fd = -1;
	gate->listening = true;
	return 0;
}

struct gate *gate_new(const struct gate_config *config)
{
	struct gate *gate = calloc(1, sizeof(*gate));

	if (gate) {
		gate->wake = -1;
		pthread_mutex_init(&gate->lock, NULL);
		pthread_cond_init(&gate->quiet, NULL);
		if (copy_config(gate, config) == 0)
			return gate;
	}
	gate_free(gate);
	return NULL;
}

void gate_free(struct gate *gate)
{
	if (!gate)
		return;
	gate_stop(gate);
	if (gate->wake >= 0)
		close(gate->wake);
	pthread_cond_destroy(&gate->quiet);
	pthread_mutex_destroy(&gate->lock);
	free(gate->polled);
	free(gate->slots);
	free(gate);
}

int gate_start(struct gate *gate)
{
	int err;

	pthread_mutex_lock(&gate->lock);
	err = pthread_create(&gate->thread, NULL, run, gate);
	gate->running = err == 0;
	pthread_mutex_unlock(&gate->lock);
	return -err;
}

void gate_quiesce(struct gate *gate)
{
	pthread_mutex_lock(&gate->lock);
	gate->quiescing = true;
	if (gate->running)
		wake(gate);
	else if (gate->listening)
		close_listeners(gate);
	while (gate->listening)
		pthread_cond_wait(&gate->quiet, &gate->lock);
	pthread_mutex_unlock(&gate->lock);
}

void gate_stop(struct gate *gate)
{
	bool running;

	gate_quiesce(gate);
	pthread_mutex_lock(&gate->lock);
	running = gate->running;
	gate->running = false;
	gate->stopping = true;
	pthread_mutex_unlock(&gate->lock);
	if (!running)
		return;
	wake(gate);
	pthread_join(gate->thread, NULL);
}

void gate_connected(struct gate *gate, int fd)
{
	struct slot *slot;

	pthread_mutex_lock(&gate->lock);
	slot = slot_find(gate, fd);
	if (slot)
		slot->connected = true;
	pthread_mutex_unlock(&gate->lock);
}

/*
 * The start of the next request is not reported, but the connection may be idle for one
 * timeout before it. Two timeouts from here on never cut a request that keeps to its own.
 */
void gate_answered(struct gate *gate, int fd)
{
	uint64_t deadline_ms = clock_mono_ms() + 2 * gate->config.timeout_s * UINT64_C(1000);
	struct slot *slot;

	pthread_mutex_lock(&gate->lock);
	slot = slot_find(gate, fd);
	if (slot && slot->deadline_ms != NEVER)
		slot->deadline_ms = deadline_ms;
	pthread_mutex_unlock(&gate->lock);
}

void gate_closed(struct gate *gate, int fd)
{
	struct slot *slot;

	pthread_mutex_lock(&gate->lock);
	slot = slot_find(gate, fd);
	if (slot) {
		if (gate->used == gate->config.max_connections)
			wake(gate); /* it had stopped accepting */
		slot_release(gate, slot);
	}
	pthread_mutex_unlock(&gate->lock);
}
