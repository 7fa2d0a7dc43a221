/*
 * gate: the thread that accepts, and ends who is overdue or leaves for a newcomer.
 *
 * Owns listeners and deadlines. Must not know HTTP.
 *
 * A place is found by its descriptor. That is safe because only this thread gives places,
 * and because gate_closed() comes before the descriptor is closed: under the lock,
 * shutdown(2) never hits a descriptor that was reused.
 */
#include "tcphealth/web/gate.h"

#include "tcphealth/base/address.h"
#include "tcphealth/base/await.h"
#include "tcphealth/base/clock.h"
#include "tcphealth/web/places.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BACKOFF_MS 250 /* after accept(2) lacked descriptors or memory */
#define NEVER      PLACES_NEVER

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
	bool called; /* by gate_is_alive() */
	struct places places;
};

static void wake(struct gate *gate)
{
	uint64_t one = 1;

	/* It fails only if the counter is full, and then the thread is awake. */
	if (write(gate->wake, &one, sizeof(one)) < 0)
		return;
}

/* Its server then closes it. */
static void end_connection(struct place *place)
{
	shutdown(place->fd, SHUT_RDWR);
	place->leaving = true;
	place->deadline_ms = NEVER;
}

/* Ends overdue connections. The next deadline, or NEVER. */
static uint64_t sweep(struct gate *gate, uint64_t now_ms)
{
	uint64_t next = NEVER;

	for (unsigned int i = 0; i < gate->places.count; i++) {
		struct place *place = &gate->places.at[i];
		if (place->fd < 0)
			continue;
		if (place->deadline_ms > now_ms) {
			next = place->deadline_ms < next ? place->deadline_ms : next;
		} else if (place->connected) {
			end_connection(place);
		} else {
			/* Never served: the descriptor may have been reused. */
			places_release(&gate->places, place);
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

/* Gives the newcomer a place, and ends whoever leaves for it. */
static void give_place(struct gate *gate, const struct place *newcomer)
{
	struct place *leaver;
	char peer[ADDRESS_LEN] = "";

	pthread_mutex_lock(&gate->lock);
	leaver = places_take(&gate->places, newcomer);
	if (leaver)
		address_text(&leaver->share.addr, peer);
	if (leaver && leaver->connected)
		end_connection(leaver);
	pthread_mutex_unlock(&gate->lock);
	if (peer[0])
		complain(gate, "too many http connections", "peer", peer);
}

static void hand_over(struct gate *gate, int fd, const struct sockaddr *peer, socklen_t peer_len)
{
	uint64_t now_ms = clock_mono_ms();
	struct place newcomer = {
		.fd = fd,
		.share = share_of(peer),
		.since_ns = clock_mono_ns(),
		.deadline_ms = now_ms + gate->config.timeout_s * UINT64_C(1000),
	};
	int err;

	give_place(gate, &newcomer);
	err = gate->config.admit(gate->config.arg, fd, peer, peer_len);
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
		hand_over(gate, fd, (const struct sockaddr *)&peer, peer_len);
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
	bool accepts, go_on, waits = now_ms < gate->resume_ms;

	pthread_mutex_lock(&gate->lock);
	gate->called = false;
	if (gate->quiescing && gate->listening)
		close_listeners(gate);
	until_ms = sweep(gate, now_ms);
	accepts = gate->listening && places_has_room(&gate->places);
	go_on = !gate->stopping;
	pthread_mutex_unlock(&gate->lock);

	if (accepts && waits && gate->resume_ms < until_ms)
		until_ms = gate->resume_ms;
	*ret_count = accepts && !waits ? 1 + gate->config.listener_count : 1;
	*ret_timeout = wait_ms(now_ms, until_ms);
	return go_on;
}

static bool has_room(struct gate *gate)
{
	bool room;

	pthread_mutex_lock(&gate->lock);
	room = places_has_room(&gate->places);
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
	gate->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (!places_init(&gate->places, config->max_connections, config->max_per_share) ||
	    !gate->polled || gate->wake < 0)
		return -ENOMEM;
	gate->polled[0] = (struct pollfd){ .fd = gate->wake, .events = POLLIN };
	for (size_t i = 0; i < config->listener_count; i++)
		gate->polled[i + 1] =
			(struct pollfd){ .fd = config->listeners[i], .events = POLLIN };
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
	places_done(&gate->places);
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

bool gate_is_alive(struct gate *gate)
{
	bool alive;

	pthread_mutex_lock(&gate->lock);
	alive = !gate->called;
	gate->called = true;
	pthread_mutex_unlock(&gate->lock);
	wake(gate);
	return alive;
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
	struct place *place;

	pthread_mutex_lock(&gate->lock);
	place = places_find(&gate->places, fd);
	if (place) {
		place->connected = true;
		if (place->leaving)
			end_connection(place);
	}
	pthread_mutex_unlock(&gate->lock);
}

void gate_asked(struct gate *gate, int fd)
{
	uint64_t now_ns = clock_mono_ns();
	struct place *place;

	pthread_mutex_lock(&gate->lock);
	place = places_find(&gate->places, fd);
	if (place) {
		place->asking = true;
		place->since_ns = now_ns;
	}
	pthread_mutex_unlock(&gate->lock);
}

/*
 * The start of the next request is not reported, but the connection may be idle for one
 * timeout before it. Two timeouts from here on never cut a request that keeps to its own.
 */
void gate_answered(struct gate *gate, int fd)
{
	uint64_t now_ns = clock_mono_ns();
	struct place *place;

	pthread_mutex_lock(&gate->lock);
	place = places_find(&gate->places, fd);
	if (place) {
		place->asking = false;
		place->since_ns = now_ns;
		if (place->deadline_ms != NEVER)
			place->deadline_ms =
				now_ns / 1000000 + 2 * gate->config.timeout_s * UINT64_C(1000);
	}
	pthread_mutex_unlock(&gate->lock);
}

void gate_closed(struct gate *gate, int fd)
{
	struct place *place;

	pthread_mutex_lock(&gate->lock);
	place = places_find(&gate->places, fd);
	if (place) {
		if (!places_has_room(&gate->places))
			wake(gate); /* it had stopped accepting */
		places_release(&gate->places, place);
	}
	pthread_mutex_unlock(&gate->lock);
}
