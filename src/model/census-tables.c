/*
 * census-tables: addresses, mirrored roles and services.
 */
#include "census-internal.h"

#include <errno.h>
#include <string.h>

#define MIRROR_MAX 262144u

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
