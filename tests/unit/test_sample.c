/*
 * Tests of take_sample(): in which order it asks a source that a test makes up, and what becomes of errors.
 */
#include "tcphealth/app/sample.h"

#include "helpers/records.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define LISTENERS   TCP_STATE_BIT(TCP_STATE_LISTEN)
#define CONNECTIONS (TCP_STATES_ALL & ~LISTENERS)

/* What the source has, and what it was asked. */
struct scene {
	struct census *census;
	struct netsysctl sysctl;
	struct netstat netstat;
	struct sample sample;
	struct tcpsock socks[4];
	size_t count;
	struct tcpsock other; /* what find() finds, if its id is not 0 */
	struct source_query asked[4];
	size_t dumps, finds;
	size_t fails_at; /* dump that fails, from 1; 0: none */
};

static int dump(void *source, const struct source_query *query, source_take_fn take_fn, void *arg)
{
	struct scene *s = source;
	int err = 0;

	s->asked[s->dumps++] = *query;
	for (size_t i = 0; i < s->count && err == 0; i++)
		if (query->states & TCP_STATE_BIT(s->socks[i].state))
			err = take_fn(arg, &s->socks[i], 1, s->sample.now_ms);
	return s->dumps == s->fails_at ? -EBADMSG : err;
}

static int find(void *source, const struct tcpsock *sock, struct tcpsock *ret_other)
{
	struct scene *s = source;

	(void)sock;
	s->finds++;
	*ret_other = s->other;
	return s->other.id != 0 ? 0 : -ENOENT;
}

static const struct source_ops with_find = {
	.name = "made up",
	.can = SOURCE_INFO | SOURCE_EVENTS | SOURCE_COOKIES | SOURCE_STATES | SOURCE_FIND,
	.dump = dump,
	.find = find,
};

static void begin(struct scene *s)
{
	const struct census_config config = { .keep_ms = 3600000 };

	*s = (struct scene){ .census = census_new(&config),
			     .sample = { .now_ms = 100000000,
					 .place.procfs = "/nonexistent",
					 .sysctl = &s->sysctl,
					 .netstat = &s->netstat } };
	assert_non_null(s->census);
	netsysctl_defaults(&s->sysctl);
}

static void end(struct scene *s)
{
	census_free(s->census);
}

static int take(struct scene *s, const struct source_ops *ops, uint32_t *ret_can)
{
	s->dumps = s->finds = 0;
	s->sample.now_ms += 5000;
	return take_sample(&s->sample, ops, s, s->census, ret_can);
}

static void test_listeners_come_first(void **state)
{
	struct scene s;
	uint32_t can = 0;

	(void)state;
	begin(&s);
	s.socks[s.count++] = record_full(1, TCP_STATE_ESTABLISHED, 8080, 40001);
	s.socks[s.count++] = record_listener(2, "0.0.0.0", 8080);
	assert_int_equal(take(&s, &with_find, &can), 0);
	assert_int_equal(s.dumps, 2);
	assert_int_equal(s.asked[0].states, LISTENERS);
	assert_int_equal(s.asked[0].want, SOURCE_DROPS);
	assert_int_equal(s.asked[1].states, CONNECTIONS);
	assert_int_equal(s.asked[1].want, SOURCE_INFO);
	assert_int_equal(census_sockets(s.census), 2);
	/* Nobody brings events. */
	assert_int_equal(can, with_find.can & ~(uint32_t)SOURCE_EVENTS);
	end(&s);
}

static void test_few_states_are_asked_for(void **state)
{
	struct scene s;
	uint32_t can;

	(void)state;
	begin(&s);
	assert_int_equal(take(&s, &with_find, &can), 0);
	s.sample.tier = TIER_STATES;
	assert_int_equal(take(&s, &with_find, &can), 0);
	assert_int_equal(s.asked[1].states, CONNECTIONS & ~TCP_STATE_BIT(TCP_STATE_ESTABLISHED));
	end(&s);
}

/* A connection of loopback that does not tell who opened it: a client by its ports, but its other end opened it. */
static void make_mute(struct scene *s)
{
	struct tcpsock *mute = &s->socks[s->count++];

	*mute = record_full(1, TCP_STATE_ESTABLISHED, 50001, 1024);
	mute->local = mute->remote = record_addr("127.0.0.1");
	mute->bytes_acked = 100;
	mute->known &= ~(uint32_t)TCPSOCK_SENT;
	s->other = record_full(2, TCP_STATE_ESTABLISHED, 1024, 50001);
	s->other.local = s->other.remote = record_addr("127.0.0.1");
	s->other.bytes_acked = 1;
}

static void test_other_ends_are_looked_up(void **state)
{
	struct source_ops without = with_find;
	struct scene s;
	uint32_t can;

	(void)state;
	begin(&s);
	make_mute(&s);
	assert_int_equal(take(&s, &with_find, &can), 0);
	assert_int_equal(s.finds, 1);
	assert_int_equal(census_evidence(s.census, ROLE_BY_OTHER_END), 1);
	end(&s);

	begin(&s);
	make_mute(&s);
	s.other.id = 0;
	assert_int_equal(take(&s, &with_find, &can), 0);
	assert_int_equal(s.finds, 1);
	assert_int_equal(census_evidence(s.census, ROLE_BY_OTHER_END), 0);
	end(&s);

	begin(&s);
	make_mute(&s);
	without.can &= ~(uint32_t)SOURCE_FIND;
	without.find = NULL;
	assert_int_equal(take(&s, &without, &can), 0);
	assert_int_equal(census_sockets(s.census), 1);
	end(&s);
}

static void test_a_dump_that_breaks_off(void **state)
{
	struct scene s;
	uint32_t can = 4711;

	(void)state;
	begin(&s);
	s.socks[s.count++] = record_full(1, TCP_STATE_ESTABLISHED, 8080, 40001);
	for (s.fails_at = 1; s.fails_at <= 2; s.fails_at++) {
		assert_int_equal(take(&s, &with_find, &can), -EBADMSG);
		assert_int_equal(s.dumps, s.fails_at);
		assert_int_equal(can, 4711);
	}
	assert_int_equal(take(&s, &with_find, &can), 0);
	assert_int_equal(census_sockets(s.census), 1);
	end(&s);
}

/* Settings are those of the thread's namespace: not of a process's. */
static void test_settings(void **state)
{
	struct scene s;
	uint32_t can;

	(void)state;
	begin(&s);
	s.sample.place = (struct source_place){ .procfs = "/proc", .pid = 1 };
	assert_int_equal(take(&s, &with_find, &can), 0);
	assert_int_equal(s.sysctl.known, 0);
	s.sample.place.pid = 0;
	assert_int_equal(take(&s, &with_find, &can), 0);
	assert_true(s.sysctl.known & 1u << NETSYSCTL_KEEPALIVE_TIME);
	assert_true(s.netstat.known & 1u << NETSTAT_OUT_SEGS);
	end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_listeners_come_first),
		cmocka_unit_test(test_few_states_are_asked_for),
		cmocka_unit_test(test_other_ends_are_looked_up),
		cmocka_unit_test(test_a_dump_that_breaks_off),
		cmocka_unit_test(test_settings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
