/*
 * listeners: who listens, who did, and the accept queues by port. Knows no connections.
 */
#include "tcphealth/model/listeners.h"

#include "tcphealth/base/address.h"
#include "tcphealth/base/array.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A program may listen on ever new ports. */
#define GONE_MAX 16384u

struct listeners {
	struct listener *sockets;
	size_t count, cap;
	struct listener_port *rows; /* ordered by port between samples */
	size_t row_count, row_cap;
	uint32_t *row_of;  /* by port: index of its row + 1, or 0 */
	uint32_t *head_of; /* by port: index of its first socket + 1, or 0 */
	uint64_t keep_ms;
	/* Of ListenDrops: dropped between a look at the listeners and one at the counter, perhaps. */
	uint64_t unclaimed;
	/* Of this sample: those that TPROXY may divert connections to. */
	uint32_t transparent;
	/* A sample has ended: the drops of a new listener count from 0. */
	bool counting;
	/* Until a sample ends: a source may fail before it has shown all. */
	bool forget_ids;
};

static int compare_rows(const void *a, const void *b)
{
	const struct listener_port *x = a, *y = b;

	return (x->port > y->port) - (x->port < y->port);
}

static struct listener_port *row(struct listeners *ls, uint16_t port)
{
	if (ls->row_of[port] != 0)
		return &ls->rows[ls->row_of[port] - 1];
	if (!array_room((void **)&ls->rows, &ls->row_cap, ls->row_count, sizeof(*ls->rows)))
		return NULL;
	ls->rows[ls->row_count] = (struct listener_port){ .port = port };
	ls->row_of[port] = (uint32_t)++ls->row_count;
	return &ls->rows[ls->row_count - 1];
}

static void chain(struct listeners *ls, size_t i)
{
	uint16_t port = ls->sockets[i].port;

	ls->sockets[i].next = ls->head_of[port];
	ls->head_of[port] = (uint32_t)i + 1;
}

static struct listener *first(const struct listeners *ls, uint16_t port)
{
	return ls->head_of[port] != 0 ? &ls->sockets[ls->head_of[port] - 1] : NULL;
}

static struct listener *next(const struct listeners *ls, const struct listener *socket)
{
	return socket->next != 0 ? &ls->sockets[socket->next - 1] : NULL;
}

static struct listener *find(const struct listeners *ls, uint64_t id, uint16_t port)
{
	for (struct listener *l = first(ls, port); l != NULL; l = next(ls, l)) {
		if (l->id == id)
			return l;
	}
	return NULL;
}

/* A socket that another source knew by another id. */
static struct listener *find_nameless(const struct listeners *ls, const struct tcpsock *sock)
{
	for (struct listener *l = first(ls, sock->local_port); l != NULL; l = next(ls, l)) {
		if (l->id == 0 && memcmp(&l->addr, &sock->local, sizeof(l->addr)) == 0)
			return l;
	}
	return NULL;
}

static struct listener *add_socket(struct listeners *ls, uint64_t id, uint16_t port)
{
	if (!array_room((void **)&ls->sockets, &ls->cap, ls->count, sizeof(*ls->sockets)))
		return NULL;
	ls->sockets[ls->count] = (struct listener){ .id = id, .port = port };
	chain(ls, ls->count);
	return &ls->sockets[ls->count++];
}

static void add_queue(struct listener_port *r, const struct tcpsock *sock)
{
	double length = sock->rqueue, limit = sock->wqueue;

	r->sockets++;
	r->queue_length += sock->rqueue;
	if (!tcpsock_knows(sock, TCPSOCK_BACKLOG))
		return;
	r->backlog_known = true;
	r->queue_limit += sock->wqueue;
	if (length / (limit + 1) > r->saturation)
		r->saturation = length / (limit + 1);
}

struct listeners *listeners_new(uint64_t keep_ms)
{
	struct listeners *ls = calloc(1, sizeof(*ls));

	if (ls == NULL)
		return NULL;
	ls->keep_ms = keep_ms;
	ls->row_of = calloc(65536, sizeof(*ls->row_of));
	ls->head_of = calloc(65536, sizeof(*ls->head_of));
	if (ls->row_of == NULL || ls->head_of == NULL) {
		listeners_free(ls);
		return NULL;
	}
	return ls;
}

void listeners_free(struct listeners *ls)
{
	if (ls == NULL)
		return;
	free(ls->sockets);
	free(ls->rows);
	free(ls->row_of);
	free(ls->head_of);
	free(ls);
}

void listeners_begin(struct listeners *ls, bool forget_ids)
{
	ls->forget_ids |= forget_ids;
	ls->transparent = 0;
	for (size_t i = 0; i < ls->count; i++) {
		ls->sockets[i].alive = false;
		if (ls->forget_ids)
			ls->sockets[i].id = 0;
	}
	for (size_t i = 0; i < ls->row_count; i++) {
		struct listener_port *r = &ls->rows[i];

		r->sockets = 0;
		r->diverted = false;
		r->queue_length = r->queue_limit = 0;
		r->saturation = 0;
	}
}

/* Drops before first sight do not count, unless the listener is younger than the sample before. */
static void count_drops(struct listeners *ls, struct listener *socket, uint32_t drops, bool is_new)
{
	if (!is_new)
		socket->new_drops += drops - socket->drops;
	else if (ls->counting && !ls->forget_ids)
		socket->new_drops += drops;
	socket->drops = drops;
}

/* More connections wait than the backlog allows: the kernel takes one more than that. */
static bool is_full(const struct tcpsock *sock)
{
	return tcpsock_knows(sock, TCPSOCK_BACKLOG) && sock->rqueue > sock->wqueue;
}

int listeners_add(struct listeners *ls, const struct tcpsock *sock, uint64_t now_ms)
{
	struct listener *socket = find(ls, sock->id, sock->local_port);
	struct listener_port *r = row(ls, sock->local_port);
	bool is_new = socket == NULL;

	if (is_new && ls->forget_ids)
		socket = find_nameless(ls, sock);
	if (socket == NULL)
		socket = add_socket(ls, sock->id, sock->local_port);
	if (socket == NULL || r == NULL)
		return -ENOMEM;
	socket->id = sock->id;
	if (!is_new && socket->alive)
		return 0; /* the kernel may show one twice */
	if (tcpsock_knows(sock, TCPSOCK_DROPS))
		count_drops(ls, socket, sock->drops, is_new);
	socket->was_full = socket->full;
	socket->full = is_full(sock);
	socket->was_full |= socket->full;
	ls->transparent += tcpsock_knows(sock, TCPSOCK_TRANSPARENT);
	socket->addr = sock->local;
	socket->v6only = sock->v6only;
	socket->cgroup_id = sock->cgroup_id;
	socket->inode = sock->inode;
	socket->queue_length = sock->rqueue;
	socket->last_seen_ms = now_ms;
	socket->alive = true;
	r->last_alive_ms = now_ms;
	add_queue(r, sock);
	return 0;
}

int listeners_divert(struct listeners *ls, uint16_t port, uint64_t now_ms)
{
	struct listener_port *r = row(ls, port);

	if (r == NULL)
		return -ENOMEM;
	r->diverted_ms = now_ms;
	return 0;
}

/* Nobody else listens there, and nobody has to. */
static void count_diverted(struct listeners *ls, struct listener_port *r, uint64_t now_ms)
{
	r->diverted = r->sockets == 0 && ls->transparent != 0 && r->diverted_ms != 0 &&
		      now_ms - r->diverted_ms < ls->keep_ms;
	if (!r->diverted)
		return;
	r->sockets = ls->transparent;
	r->last_alive_ms = now_ms;
}

static size_t keep_sockets(struct listeners *ls, uint64_t now_ms, uint64_t keep_ms)
{
	size_t kept = 0, gone = 0;

	for (size_t i = 0; i < ls->count; i++) {
		if (!ls->sockets[i].alive && now_ms - ls->sockets[i].last_seen_ms >= keep_ms)
			continue;
		gone += !ls->sockets[i].alive;
		ls->sockets[kept++] = ls->sockets[i];
	}
	ls->count = kept;
	return gone;
}

/*
 * Clears only what was in use: of a small namespace most of the index is never touched, and takes
 * no memory.
 */
static void unchain_all(struct listeners *ls)
{
	for (size_t i = 0; i < ls->count; i++)
		ls->head_of[ls->sockets[i].port] = 0;
}

static void index_all(struct listeners *ls)
{
	for (size_t i = 0; i < ls->count; i++)
		chain(ls, i);
	for (size_t i = 0; i < ls->row_count; i++)
		ls->row_of[ls->rows[i].port] = (uint32_t)i + 1;
}

void listeners_end(struct listeners *ls, uint64_t now_ms)
{
	uint64_t keep_ms = ls->keep_ms;

	unchain_all(ls);
	while (keep_sockets(ls, now_ms, keep_ms) > GONE_MAX)
		keep_ms /= 2;
	for (size_t i = 0; i < ls->row_count; i++) {
		struct listener_port *r = &ls->rows[i];

		count_diverted(ls, r, now_ms);
		r->kept = r->sockets != 0 || now_ms - r->last_alive_ms < ls->keep_ms;
	}
	if (ls->row_count != 0)
		qsort(ls->rows, ls->row_count, sizeof(*ls->rows), compare_rows);
	index_all(ls);
	ls->counting = true;
	ls->forget_ids = false;
}

/* What is left to be given to listeners, and the drops of those that have not had their turn. */
struct settling {
	struct listeners *ls;
	uint64_t left, claims;
	listeners_drops_fn fn;
	void *arg;
};

static int settle_one(struct settling *s, struct listener *socket, uint64_t drops)
{
	socket->new_drops = 0;
	s->left -= drops;
	return drops != 0 ? s->fn(s->arg, socket->port, drops) : 0;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Not one of them dropped anything but connections. */
static int settle_all(struct settling *s)
{
	int r = 0;

	for (size_t i = 0; i < s->ls->count && r == 0; i++)
		r = settle_one(s, &s->ls->sockets[i], s->ls->sockets[i].new_drops);
	return r;
}

/* A final ACK that finds the queue full counts twice at the socket, and once in ListenDrops. */
static int settle_full(struct settling *s)
{
	int r = 0;

	for (size_t i = 0; i < s->ls->count && r == 0; i++) {
		struct listener *socket = &s->ls->sockets[i];

		if (!socket->was_full)
			continue;
		s->claims -= socket->new_drops;
		r = settle_one(s, socket, least(socket->new_drops, s->left));
	}
	return r;
}

/* What even all others together cannot have dropped. */
static int settle_certain(struct settling *s)
{
	uint64_t left = s->left;
	int r = 0;

	for (size_t i = 0; i < s->ls->count && r == 0; i++) {
		struct listener *socket = &s->ls->sockets[i];
		uint64_t others = s->claims - socket->new_drops;

		if (socket->new_drops != 0)
			r = settle_one(s, socket,
				       left > others ? least(left - others, socket->new_drops) : 0);
	}
	return r;
}

int listeners_settle_drops(struct listeners *ls, uint64_t listen_drops, listeners_drops_fn fn,
			   void *arg)
{
	struct settling s = {
		.ls = ls, .left = listen_drops + ls->unclaimed, .fn = fn, .arg = arg
	};
	int r;

	ls->unclaimed = 0;
	for (size_t i = 0; i < ls->count; i++)
		s.claims += ls->sockets[i].new_drops;
	if (s.claims <= s.left) {
		r = settle_all(&s);
		/* The next look may show who had the newest. */
		ls->unclaimed = least(s.left, listen_drops);
		s.left -= ls->unclaimed;
	} else {
		r = settle_full(&s);
		if (r == 0)
			r = settle_certain(&s);
	}
	return r == 0 && s.left != 0 ? fn(arg, 0, s.left) : r;
}

static bool takes(const struct listener *socket, const struct in6_addr *addr)
{
	if (memcmp(&socket->addr, addr, sizeof(*addr)) == 0)
		return true;
	if (!address_is_any(&socket->addr))
		return false;
	if (IN6_IS_ADDR_V4MAPPED(&socket->addr))
		return IN6_IS_ADDR_V4MAPPED(addr);
	return !socket->v6only || !IN6_IS_ADDR_V4MAPPED(addr);
}

enum listeners_match listeners_match(const struct listeners *ls, const struct in6_addr *addr,
				     uint16_t port)
{
	enum listeners_match best = LISTENERS_NONE;

	for (const struct listener *l = first(ls, port); l != NULL; l = next(ls, l)) {
		if (addr && !takes(l, addr))
			continue;
		if (l->alive)
			return LISTENERS_ALIVE;
		best = LISTENERS_FORMER;
	}
	return best;
}

/* How likely the connection waits there; 0: not at all. The kernel prefers a listener on the very address. */
static unsigned int rank(const struct listener *socket, const struct in6_addr *addr)
{
	bool exact = memcmp(&socket->addr, addr, sizeof(*addr)) == 0;

	if (!socket->alive || !takes(socket, addr))
		return 0;
	return 1u + (exact ? 2u : 0u) + (socket->queue_length != 0 ? 1u : 0u);
}

size_t listeners_queueing(const struct listeners *ls, const struct in6_addr *addr, uint16_t port,
			  uint32_t *ret_inodes, size_t max)
{
	unsigned int best = 1;
	size_t n = 0;

	for (const struct listener *l = first(ls, port); l != NULL; l = next(ls, l)) {
		unsigned int likely = rank(l, addr);

		if (likely > best)
			n = 0;
		if (likely >= best && n < max)
			ret_inodes[n++] = l->inode;
		best = likely > best ? likely : best;
	}
	return n;
}

const struct listener_port *listeners_ports(const struct listeners *ls, size_t *ret_count)
{
	*ret_count = ls->row_count;
	return ls->rows;
}

const struct listener *listeners_all(const struct listeners *ls, size_t *ret_count)
{
	*ret_count = ls->count;
	return ls->sockets;
}
