/*
 * census-tables: addresses, mirrored roles, busy ports and services.
 */
#include "census-internal.h"

#include <errno.h>
#include <string.h>

#define MIRROR_MAX 262144u
#define BUSY_MAX   65536u
#define FULL       0.95 /* of the local ports: some are reserved */

static uint64_t hash_addr(const struct in6_addr *addr)
{
	return hash_mix_address(hash_seed, addr);
}

void addrset_add(struct addrset *set, const struct in6_addr *addr)
{
	if (set->count == ADDRSET_MAX || addrset_has(set, addr) ||
	    hash_add(&set->hash, hash_addr(addr), set->count) < 0)
		return;
	set->addrs[set->count++] = *addr;
}

bool addrset_has(const struct addrset *set, const struct in6_addr *addr)
{
	uint32_t i;

	for (size_t at = 0; (i = hash_next(&set->hash, hash_addr(addr), &at)) != HASH_END;)
		if (memcmp(&set->addrs[i], addr, sizeof(*addr)) == 0)
			return true;
	return false;
}

int mirror_add(struct keyed *mirror, const struct tcpsock *sock, enum role role)
{
	uint64_t key =
		tcptuple_hash(&sock->local, sock->local_port, &sock->remote, sock->remote_port);
	struct mirrored *end;

	if (mirror->count >= MIRROR_MAX)
		return 0;
	end = keyed_add(mirror, sizeof(*end), key);
	if (!end)
		return -ENOMEM;
	end->role = (uint8_t)role;
	return 0;
}

bool mirror_find(const struct keyed *mirror, const struct tcpsock *sock, enum role *ret_role)
{
	uint64_t key =
		tcptuple_hash(&sock->remote, sock->remote_port, &sock->local, sock->local_port);
	const struct mirrored *end = keyed_find(mirror, sizeof(*end), key);

	if (end)
		*ret_role = (enum role)end->role;
	return end;
}

int busyports_add(struct busyports *busy, const struct tcpsock *sock)
{
	uint64_t key = tcptuple_hash(&sock->local, 0, &sock->remote, sock->remote_port);
	struct busyport *port = keyed_find(&busy->all, sizeof(*port), key);

	if (port) {
		port->sockets++;
		return 0;
	}
	if (busy->all.count >= BUSY_MAX)
		return 0;
	port = keyed_add(&busy->all, sizeof(*port), key);
	if (!port)
		return -ENOMEM;
	*port = (struct busyport){ key, sock->remote, 1, sock->remote_port };
	return 0;
}

void busyports_judge(struct busyports *busy, uint32_t local_ports)
{
	const struct busyport *ports = busy->all.elements;

	busy->full_count = 0;
	for (size_t i = 0; i < busy->all.count && busy->full_count < BUSYPORTS_FULL; i++)
		if (ports[i].sockets >= FULL * local_ports)
			busy->full[busy->full_count++] = ports[i];
}

bool busyports_full(const struct busyports *busy, const struct in6_addr *remote, uint16_t *ret_port)
{
	size_t found = 0;

	for (size_t i = 0; i < busy->full_count; i++)
		if (memcmp(&busy->full[i].remote, remote, sizeof(*remote)) == 0)
			*ret_port = found++ == 0 ? busy->full[i].port : 0;
	return found != 0;
}

/* The end that the other one connected to. */
static uint64_t service_key(const struct tcpsock *sock, enum role role)
{
	bool server = role == ROLE_SERVER;
	uint64_t h = hash_mix_address(hash_seed, server ? &sock->local : &sock->remote);

	return hash_mix(h, (uint64_t)role << 16 | (server ? sock->local_port : sock->remote_port));
}

void services_add(struct services *services, const struct tcpsock *sock, enum role role)
{
	uint64_t key = service_key(sock, role);

	services->keys[key % SERVICES] = key;
}

static bool has_service(const struct services *services, const struct tcpsock *sock, enum role role)
{
	uint64_t key = service_key(sock, role);

	return services->keys[key % SERVICES] == key;
}

bool services_find(const struct services *services, const struct tcpsock *sock, enum role *ret_role)
{
	bool client = has_service(services, sock, ROLE_CLIENT);

	*ret_role = client ? ROLE_CLIENT : ROLE_SERVER;
	return client != has_service(services, sock, ROLE_SERVER);
}
