/*
 * deaths: what a destroy event does to the census.
 */
#include "census-internal.h"
#include "tcphealth/model/account.h"
#include "tcphealth/model/census.h"
#include "tcphealth/model/track.h"

#include <errno.h>
#include <stdlib.h>

/* Slots, by cookie and by hash of addresses and ports: who comes later takes the place. */
#define TOMBS  65536u
#define DEATHS 16384u
/* Full dumps after an overrun in which what is missing may have died unseen. */
#define OVERRUN_DUMPS 2u

int deaths_init(struct census *c)
{
	c->deaths = calloc(DEATHS, sizeof(*c->deaths));
	c->tombs = calloc(TOMBS, sizeof(*c->tombs));
	return c->deaths && c->tombs ? 0 : -ENOMEM;
}

void deaths_done(struct census *c)
{
	free(c->deaths);
	free(c->tombs);
}

bool deaths_find_role(const struct census *c, const struct tcpsock *sock, enum role *ret_role)
{
	uint32_t hash = (uint32_t)tcptuple_hash(&sock->local, sock->local_port, &sock->remote,
						sock->remote_port);
	const struct death_role *death = &c->deaths[hash % DEATHS];

	if (!death->used || death->tuple_hash != hash || death->local_port != sock->local_port ||
	    death->remote_port != sock->remote_port)
		return false;
	*ret_role = (enum role)death->role;
	return true;
}

void deaths_bury(struct census *c, uint64_t id)
{
	c->tombs[id % TOMBS] = id;
}

/* The pair of a socket that no dump has shown. A listener tells more than ports, which a wiped socket has lost in part. */
static struct ledger_pair *pair_of_stranger(struct census *c, const struct tcpdeath *death,
					    enum role *ret_role)
{
	struct role_ports range = {
		(uint16_t)c->sample.sysctl.value[NETSYSCTL_PORT_LOW],
		(uint16_t)c->sample.sysctl.value[NETSYSCTL_PORT_HIGH],
	};
	bool listened = listeners_match(c->listeners, NULL, death->local_port) != LISTENERS_NONE;

	if (!role_from_death(death, ret_role)) {
		if (listened)
			*ret_role = ROLE_SERVER;
		else if (death->remote_port == 0)
			*ret_role = ROLE_CLIENT;
		else
			*ret_role =
				role_from_ports(death->local_port, death->remote_port, range).role;
	}
	return ledger_pair(c->ledger, *ret_role,
			   *ret_role == ROLE_SERVER ? death->local_port : death->remote_port);
}

/* Of a wiped socket only that it lived and died. */
static void count_life(struct census *c, const struct tcpdeath *death, struct ledger_pair *pair,
		       struct track_entry *entry)
{
	struct account_numbers numbers = account_numbers_of_death(death);

	if (death->remote_port == 0)
		c->wiped_closes++;
	else
		account_add(pair, entry, &numbers);
	account_open(pair, entry);
	account_close(pair, entry);
}

static int count_stranger(struct census *c, const struct tcpdeath *death)
{
	struct track_entry life = { .id = death->id };
	enum role role;
	struct ledger_pair *pair;

	if (!c->counting || c->tombs[death->id % TOMBS] == death->id)
		return 0;
	pair = pair_of_stranger(c, death, &role);
	if (!pair)
		return -ENOMEM;
	count_life(c, death, pair, &life);
	if (death->remote_port != 0)
		c->deaths[death->tuple_hash % DEATHS] =
			(struct death_role){ death->tuple_hash, death->local_port,
					     death->remote_port, (uint8_t)role, true };
	return 0;
}

static int count_known(struct census *c, const struct tcpdeath *death, struct track_entry *entry)
{
	struct ledger_pair *pair = ledger_pair(c->ledger, (enum role)entry->role, entry->port);

	if (entry->final)
		return 0;
	if (!pair)
		return -ENOMEM;
	census_take_off(c, entry);
	count_life(c, death, pair, entry);
	/* It stays: its TIME_WAIT inherits pair and role. */
	entry->final = true;
	if (entry->state == TCP_STATE_CLOSE)
		entry->miss = 3;
	return 0;
}

/* Why it failed is settled by the counters, in census_drained(). */
static int keep_attempt(struct census *c, const struct tcpdeath *death,
			const struct track_entry *entry)
{
	struct connects_attempt attempt = connects_attempt_of(death);

	if (!c->counting)
		return 0;
	if (entry && entry->role == ROLE_CLIENT)
		attempt.port = entry->port;
	if (entry)
		attempt.cgroup_id = track_cgroup(c->cookies, entry);
	return connects_add(c->connects, &attempt);
}

/* A new record that waits when its socket dies is as good as unseen. */
static struct track_entry *find_known(struct census *c, uint64_t id)
{
	struct track_entry *entry = track_find(c->cookies, id);

	if (!entry || entry->state != TCP_STATE_NONE)
		return entry;
	track_remove(c->cookies, entry);
	return NULL;
}

int census_event(struct census *c, const struct tcpdeath *death)
{
	struct track_entry *entry = find_known(c, death->id);
	bool syn_sent = entry && !entry->opened && entry->role == ROLE_CLIENT &&
			entry->evidence == ROLE_BY_STATE;
	enum account_end account = account_end(death, syn_sent);

	if (account == ACCOUNT_NOISE)
		return 0;
	if (account == ACCOUNT_ESTABLISHED)
		return entry ? count_known(c, death, entry) : count_stranger(c, death);
	if (entry) {
		if (entry->final)
			return 0;
		census_take_off(c, entry);
		entry->final = true;
	}
	return keep_attempt(c, death, entry);
}

static int count(struct census *c, enum role role, uint16_t port, unsigned int counter,
		 uint64_t amount)
{
	struct ledger_pair *pair = ledger_pair(c->ledger, role, port);

	if (!pair)
		return -ENOMEM;
	ledger_add(pair, counter, amount);
	return 0;
}

static int count_failure(void *arg, const struct connects_attempt *attempt,
			 enum connects_failure failure)
{
	return count(arg, ROLE_CLIENT, attempt->port, LEDGER_FAILED + (unsigned int)failure, 1);
}

static int count_drops(void *arg, uint16_t port, uint64_t drops)
{
	return count(arg, ROLE_SERVER, port, LEDGER_LISTEN_DROPS, drops);
}

static bool has_full_ports(void *arg, const struct in6_addr *remote, uint16_t *ret_port)
{
	struct census *c = arg;

	return localports_full(c->localports, remote, ret_port);
}

int census_drained(struct census *c, const struct netstat *counters)
{
	struct netstat growth = netstat_growth(&c->counters, counters);
	int r = connects_settle(c->connects, &growth, &c->sample.sysctl, c->sample.now_ms,
				has_full_ports, count_failure, c);

	if (r == 0 && c->sample.can & SOURCE_DROPS)
		r = listeners_settle_drops(c->listeners, growth.value[NETSTAT_LISTEN_DROPS],
					   count_drops, c);
	c->counters = *counters;
	c->counting = c->baseline;
	return r;
}

void census_overrun(struct census *c)
{
	c->suspicious = OVERRUN_DUMPS;
}
