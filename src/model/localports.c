/*
 * localports: a table of peers, and for each busy local address one of its ports.
 */
#include "tcphealth/model/localports.h"

#include "tcphealth/base/address.h"
#include "tcphealth/base/keyed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PEERS_MAX    65536u
#define POOLS_MAX    16u
#define POOL_NONE    POOLS_MAX
#define TIME_WAIT_MS 60000u

/* An address with less than one connection in so many ports has no table of its ports. */
#define POOL_SHARE 8u

/* Values of net.ipv4.tcp_tw_reuse. */
#define REUSE_ALL      1u
#define REUSE_LOOPBACK 2u

/* As a connect() may meet it that takes the last one between two samples. */
#define FULL     0.95
#define FULL_MAX 64u

/* How a peer's connections get their local ports, as far as it is known. */
enum picker { PICKER_UNKNOWN, PICKER_CONNECT, PICKER_BIND };

/* Connections between two addresses to one remote port. */
struct peer {
	uint64_t key;
	struct in6_addr remote;
	uint32_t sockets[2];  /* at even and at odd offsets */
	uint32_t reusable[2]; /* of them, those in TIME_WAIT that connect() may take over */
	/* Ports that no other connection of the address has: at odd offsets, and those blocked for all. */
	uint32_t alone, blocked;
	uint16_t remote_port;
	uint8_t pool; /* or POOL_NONE */
	uint8_t picker;
	/* Its pool has a table of owners. */
	bool pooled;
	/* Does without timestamps: its TIME_WAIT cannot be taken over. */
	bool plain;
};

/* The ports of one local address. */
struct pool {
	struct in6_addr address;
	/* By offset: index of the peer + 1, 0, or SHARED; NULL where few are used. */
	uint32_t *owner;
	uint32_t sockets, taken;
	uint32_t odd, alone, binders;
	bool binds;
};

#define SHARED UINT32_MAX

struct localports {
	uint32_t low, count;
	/* Ports of the range that can be used at all, and those of them that are blocked; at even and at odd offsets. */
	uint32_t usable[2], blocked[2];
	/* Reserved or blocked. */
	struct portset closed;
	uint32_t reuse, reuse_delay_ms;
	/* Of this sample, and of the last whole one. */
	struct keyed now, before; /* struct peer */
	struct pool pools[POOLS_MAX];
	size_t pool_count;
	/* Those that were full when the last sample ended, as far as there is room. */
	struct peer full[FULL_MAX];
	size_t full_count;
	/* A sample is behind us. */
	bool seasoned;
};

static struct peer *peer_at(const struct keyed *peers, size_t i)
{
	return (struct peer *)peers->elements + i;
}

struct localports *localports_new(void)
{
	return calloc(1, sizeof(struct localports));
}

void localports_free(struct localports *ports)
{
	if (!ports)
		return;
	keyed_done(&ports->now);
	keyed_done(&ports->before);
	for (size_t i = 0; i < ports->pool_count; i++)
		free(ports->pools[i].owner);
	free(ports);
}

static uint32_t usable_ports(const struct localports *ports)
{
	return ports->usable[0] + ports->usable[1];
}

static bool is_busy(const struct localports *ports, const struct pool *pool)
{
	return (uint64_t)pool->sockets * POOL_SHARE >= usable_ports(ports);
}

static int open_pool(struct pool *pool)
{
	if (!pool->owner)
		pool->owner = calloc(65536, sizeof(*pool->owner));
	return pool->owner ? 0 : -ENOMEM;
}

static void close_pool(struct pool *pool)
{
	free(pool->owner);
	pool->owner = NULL;
}

/* An address without connections loses its place. */
static int begin_pools(struct localports *ports)
{
	size_t kept = 0;

	for (size_t i = 0; i < ports->pool_count; i++) {
		struct pool *pool = &ports->pools[kept];

		if (ports->pools[i].sockets == 0) {
			close_pool(&ports->pools[i]);
			continue;
		}
		*pool = ports->pools[i];
		kept++;
	}
	ports->pool_count = kept;
	for (size_t i = 0; i < kept; i++) {
		struct pool *pool = &ports->pools[i];

		if (is_busy(ports, pool) && open_pool(pool) < 0)
			return -ENOMEM;
		if (pool->owner)
			memset(pool->owner, 0, ports->count * sizeof(*pool->owner));
		pool->sockets = pool->taken = pool->odd = pool->alone = pool->binders = 0;
		pool->binds = false;
	}
	return 0;
}

/* From the ports that can be used. Mostly there are none. */
static void drop_reserved(struct localports *ports)
{
	for (uint32_t port = 0; port < 65536; port++) {
		uint32_t offset = port - ports->low;

		if (port % 64 == 0 && ports->closed.bits[port / 64] == 0)
			port += 63;
		else if (offset < ports->count && portset_has(&ports->closed, (uint16_t)port))
			ports->usable[offset & 1]--;
	}
}

static void begin_range(struct localports *ports, const struct netsysctl *sysctl,
			const struct portset *reserved)
{
	uint32_t range = sysctl->value[NETSYSCTL_PORT_HIGH] - sysctl->value[NETSYSCTL_PORT_LOW] + 1;

	/* One connect() sees an even number of ports. */
	ports->count = range > 1 ? range & ~1u : range;
	if (!(sysctl->known >> NETSYSCTL_PORT_LOW & 1))
		ports->count = 0;
	ports->low = sysctl->value[NETSYSCTL_PORT_LOW];
	ports->closed = reserved ? *reserved : (struct portset){ { 0 } };
	memset(ports->blocked, 0, sizeof(ports->blocked));
	ports->usable[0] = (ports->count + 1) / 2;
	ports->usable[1] = ports->count / 2;
	if (reserved)
		drop_reserved(ports);
	ports->reuse = sysctl->value[NETSYSCTL_TIMESTAMPS] ? sysctl->value[NETSYSCTL_TW_REUSE] : 0;
	ports->reuse_delay_ms = sysctl->value[NETSYSCTL_TW_REUSE_DELAY_MS];
}

int localports_begin(struct localports *ports, const struct netsysctl *sysctl,
		     const struct portset *reserved)
{
	keyed_reset(&ports->now);
	begin_range(ports, sysctl, reserved);
	return begin_pools(ports);
}

static bool is_open(const struct localports *ports, uint16_t port)
{
	return port - ports->low < ports->count && !portset_has(&ports->closed, port);
}

void localports_block(struct localports *ports, uint16_t port)
{
	if (!is_open(ports, port))
		return;
	portset_add(&ports->closed, port);
	ports->blocked[(port - ports->low) & 1]++;
}

static int find_pool(struct localports *ports, const struct in6_addr *address, uint8_t *ret_pool)
{
	struct pool *pool;

	for (size_t i = 0; i < ports->pool_count; i++) {
		if (memcmp(&ports->pools[i].address, address, sizeof(*address)) == 0) {
			*ret_pool = (uint8_t)i;
			return 0;
		}
	}
	*ret_pool = POOL_NONE;
	if (ports->pool_count == POOLS_MAX)
		return 0;
	pool = &ports->pools[ports->pool_count];
	*pool = (struct pool){ .address = *address };
	if (!ports->seasoned && open_pool(pool) < 0)
		return -ENOMEM;
	*ret_pool = (uint8_t)ports->pool_count++;
	return 0;
}

/* As few steps as keep different pairs apart. A secret is mixed in, so that peers cannot choose the keys. */
static uint64_t peer_key(const struct tcpsock *sock)
{
	uint64_t local[2], remote[2];

	memcpy(local, &sock->local, sizeof(local));
	memcpy(remote, &sock->remote, sizeof(remote));
	local[1] += (local[0] ^ sock->remote_port) * UINT64_C(0x9e3779b97f4a7c15);
	remote[1] += remote[0] * (hash_seed | 1);
	return hash_mix(hash_mix(hash_seed, local[1]), remote[1]);
}

/* *ret_peer is NULL where there is no room for one more. */
static int add_peer(struct localports *ports, const struct tcpsock *sock, uint64_t key,
		    struct peer **ret_peer)
{
	const struct peer *was = keyed_find(&ports->before, sizeof(*was), key);
	struct peer peer = { .key = key, .remote = sock->remote, .remote_port = sock->remote_port };

	*ret_peer = NULL;
	if (ports->now.count >= PEERS_MAX)
		return 0;
	if (was) {
		peer.plain = was->plain;
		peer.picker = was->picker;
	}
	if (find_pool(ports, &sock->local, &peer.pool) < 0)
		return -ENOMEM;
	peer.pooled = peer.pool != POOL_NONE && ports->pools[peer.pool].owner;
	*ret_peer = keyed_add(&ports->now, sizeof(peer), key);
	if (!*ret_peer)
		return -ENOMEM;
	**ret_peer = peer;
	return 0;
}

__attribute__((noinline)) static bool is_reusable(const struct localports *ports,
						  const struct tcpsock *sock)
{
	bool allowed = ports->reuse == REUSE_ALL ||
		       (ports->reuse == REUSE_LOOPBACK &&
			(address_is_loopback(&sock->local) || address_is_loopback(&sock->remote)));

	return allowed && (uint64_t)sock->expires_ms + ports->reuse_delay_ms <= TIME_WAIT_MS;
}

static void note_owner(struct localports *ports, const struct peer *peer, uint32_t offset,
		       const struct tcpsock *sock)
{
	uint32_t *owner = &ports->pools[peer->pool].owner[offset];

	if (*owner != 0 || tcpsock_knows(sock, TCPSOCK_BIND_NO_PORT))
		*owner = SHARED;
	else
		*owner = (uint32_t)(peer - peer_at(&ports->now, 0)) + 1;
}

static inline void count(struct localports *ports, struct peer *peer, uint32_t offset,
			 const struct tcpsock *sock)
{
	peer->sockets[offset & 1]++;
	if (sock->state == TCP_STATE_TIME_WAIT)
		peer->reusable[offset & 1] += is_reusable(ports, sock);
	else if (ports->reuse == REUSE_ALL && sock->state == TCP_STATE_ESTABLISHED)
		peer->plain |= (sock->known & (TCPSOCK_INFO | TCPSOCK_TIMESTAMPS)) == TCPSOCK_INFO;
	if (peer->pooled)
		note_owner(ports, peer, offset, sock);
}

/* Apart, so that those that follow need no room on the stack. */
__attribute__((noinline)) static int add_first(struct localports *ports, const struct tcpsock *sock,
					       uint64_t key)
{
	struct peer *peer;
	int err = add_peer(ports, sock, key, &peer);

	if (err == 0 && peer)
		count(ports, peer, sock->local_port - ports->low, sock);
	return err;
}

int localports_add(struct localports *ports, const struct tcpsock *sock)
{
	struct peer *peer;
	uint64_t key;

	if (!is_open(ports, sock->local_port))
		return 0;
	key = peer_key(sock);
	peer = keyed_find(&ports->now, sizeof(*peer), key);
	if (!peer)
		return add_first(ports, sock, key);
	count(ports, peer, sock->local_port - ports->low, sock);
	return 0;
}

/* Of its connections at even or odd offsets, those with a port that a further connect() cannot have. */
static uint32_t used_ports(const struct peer *peer, uint32_t odd)
{
	return peer->sockets[odd] - (peer->plain ? 0 : peer->reusable[odd]);
}

/*
 * Only where a connect() finds hardly an even port left does it take odd ones. Those stay longer than that is so: what is known once
 * holds as long as there are any.
 */
static void judge_peer(const struct localports *ports, struct peer *peer)
{
	uint64_t even = (uint64_t)used_ports(peer, 0) + ports->blocked[0];

	if (peer->picker != PICKER_UNKNOWN && peer->sockets[1] != 0)
		return;
	peer->picker =
		even * 10 >= (uint64_t)ports->usable[0] * 9 ? PICKER_CONNECT : PICKER_UNKNOWN;
}

static struct pool *pool_of(struct localports *ports, const struct peer *peer)
{
	return peer->pooled ? &ports->pools[peer->pool] : NULL;
}

static struct peer *owner_at(const struct localports *ports, const struct pool *pool,
			     uint32_t offset)
{
	uint32_t owner = pool->owner[offset];

	return owner == 0 || owner == SHARED ? NULL : peer_at(&ports->now, owner - 1);
}

/* Fewer ports that only one connection of the address has tell nothing. */
static uint32_t least_alone(const struct localports *ports)
{
	uint32_t least = usable_ports(ports) / 50;

	return least > 4 ? least : 4;
}

static void count_alone(struct localports *ports, struct pool *pool)
{
	for (uint32_t i = 1; i < ports->count; i += 2) {
		struct peer *peer = owner_at(ports, pool, i);

		if (peer && peer->picker != PICKER_CONNECT)
			peer->alone++;
	}
}

/*
 * Whether programs bind before they connect from this address. Others that take odd ports (IP_LOCAL_PORT_RANGE) share them between peers.
 * What remains of a burst of connect() looks the same at the first look, if it was to one peer.
 */
static void judge_pool(const struct localports *ports, struct pool *pool)
{
	pool->binds = pool->alone >= least_alone(ports) &&
		      (uint64_t)pool->alone * 10 >= (uint64_t)pool->odd * 8 &&
		      (ports->seasoned || pool->binders >= 2);
}

/* Blocks what is bound, for everybody. */
static void block_bound(struct localports *ports, struct pool *pool)
{
	for (uint32_t i = 0; i < ports->count; i++) {
		struct peer *peer = owner_at(ports, pool, i);

		pool->taken += pool->owner[i] != 0;
		if (!peer || peer->picker != PICKER_BIND)
			continue;
		localports_block(ports, (uint16_t)(ports->low + i));
		peer->blocked++;
	}
}

static void judge_pools(struct localports *ports)
{
	const struct keyed *now = &ports->now;

	for (size_t i = 0; i < now->count; i++) {
		struct pool *pool = pool_of(ports, peer_at(now, i));

		if (pool && peer_at(now, i)->picker != PICKER_CONNECT)
			pool->odd += peer_at(now, i)->sockets[1];
	}
	for (size_t i = 0; i < ports->pool_count; i++) {
		if (ports->pools[i].odd >= least_alone(ports))
			count_alone(ports, &ports->pools[i]);
	}
	for (size_t i = 0; i < now->count; i++) {
		struct pool *pool = pool_of(ports, peer_at(now, i));

		if (!pool || peer_at(now, i)->picker == PICKER_CONNECT)
			continue;
		pool->alone += peer_at(now, i)->alone;
		pool->binders += peer_at(now, i)->alone != 0;
	}
	for (size_t i = 0; i < ports->pool_count; i++)
		judge_pool(ports, &ports->pools[i]);
}

static void judge(struct localports *ports)
{
	const struct keyed *now = &ports->now;

	for (size_t i = 0; i < now->count; i++) {
		struct peer *peer = peer_at(now, i);

		judge_peer(ports, peer);
		if (peer->pool != POOL_NONE)
			ports->pools[peer->pool].sockets += peer->sockets[0] + peer->sockets[1];
	}
	judge_pools(ports);
	for (size_t i = 0; i < now->count; i++) {
		const struct pool *pool = pool_of(ports, peer_at(now, i));

		if (pool && pool->binds && peer_at(now, i)->alone != 0)
			peer_at(now, i)->picker = PICKER_BIND;
	}
	for (size_t i = 0; i < ports->pool_count; i++) {
		if (ports->pools[i].binds)
			block_bound(ports, &ports->pools[i]);
	}
}

static double share(const struct localports *ports, uint64_t count)
{
	uint32_t usable = usable_ports(ports);

	return count < usable ? (double)count / usable : 1;
}

/* Where its ports are bound first, each has to differ from all of its address, whoever the peer is. */
static double used_share(struct localports *ports, const struct peer *peer, uint32_t listening)
{
	const struct pool *pool = pool_of(ports, peer);
	uint64_t used = (uint64_t)used_ports(peer, 0) + used_ports(peer, 1),
		 all = (uint64_t)ports->blocked[0] + ports->blocked[1];
	double ratio = share(ports, all + (used > peer->blocked ? used - peer->blocked : 0));

	if (pool && pool->binds && peer->picker == PICKER_BIND &&
	    share(ports, (uint64_t)pool->taken + listening) > ratio)
		ratio = share(ports, (uint64_t)pool->taken + listening);
	return ratio;
}

int localports_end(struct localports *ports, localports_fn fn, void *arg)
{
	uint32_t listening = ports->blocked[0] + ports->blocked[1];
	struct keyed now;
	int r = 0;

	judge(ports);
	ports->full_count = 0;
	for (size_t i = 0; i < ports->now.count && r == 0; i++) {
		const struct peer *peer = peer_at(&ports->now, i);
		double ratio = used_share(ports, peer, listening);

		if (ratio >= FULL && ports->full_count < FULL_MAX)
			ports->full[ports->full_count++] = *peer;
		r = fn(arg, peer->remote_port, ratio);
	}
	for (size_t i = 0; i < ports->pool_count; i++) {
		if (!is_busy(ports, &ports->pools[i]))
			close_pool(&ports->pools[i]);
	}
	now = ports->now;
	ports->now = ports->before;
	ports->before = now;
	ports->seasoned = true;
	return r;
}

bool localports_full(const struct localports *ports, const struct in6_addr *remote,
		     uint16_t *ret_port)
{
	size_t found = 0;

	for (size_t i = 0; i < ports->full_count; i++)
		if (memcmp(&ports->full[i].remote, remote, sizeof(*remote)) == 0)
			*ret_port = found++ == 0 || *ret_port == ports->full[i].remote_port
					    ? ports->full[i].remote_port
					    : 0;
	return found != 0;
}
