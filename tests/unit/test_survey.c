/*
 * Tests of survey: what of the live tables comes into a snapshot, in which order, and what is folded.
 */
#include "tcphealth/model/survey.h"

#include "helpers/records.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define KEEP_MS 3600000u

struct scene {
	struct census *census;
	struct census_sample sample;
	struct netstat netstat;
	struct netsysctl sysctl;
	struct stale_thresholds thresholds;
	struct survey_ns ns[2];
	struct survey survey;
	char unit[600];
};

/* In the place of the real ones: `units` is the scene. */
const char *units_name(struct units *units, uint64_t cgroup_id, uint64_t now_ms)
{
	struct scene *s = (void *)units;

	(void)now_ms;
	if (s == NULL || cgroup_id == 0)
		return "";
	if (cgroup_id >= 900)
		memset(s->unit, cgroup_id == 900 ? 'a' : 'b', sizeof(s->unit) - 1);
	else
		(void)snprintf(s->unit, sizeof(s->unit), "unit%u.service",
			       (unsigned int)(cgroup_id / 10));
	return s->unit;
}

static void open_scene(struct scene *s)
{
	struct census_config config = { .keep_ms = KEEP_MS };

	*s = (struct scene){ .sample = { .can = SOURCE_COOKIES | SOURCE_EVENTS,
					 .now_ms = 100000000 } };
	for (int i = 0; i < STALE_REASONS; i++)
		s->thresholds.least[i] = config.thresholds.least[i] = 60000;
	config.thresholds.least[STALE_KEEPALIVE] = s->thresholds.least[STALE_KEEPALIVE] = 2;
	s->census = census_new(&config);
	assert_non_null(s->census);
	netsysctl_defaults(&s->sysctl);
	s->sample.sysctl = s->sysctl;
	s->netstat.value[NETSTAT_OUT_SEGS] = 7;
	s->ns[0] = (struct survey_ns){ .census = s->census,
				       .netstat = &s->netstat,
				       .sysctl = &s->sysctl,
				       .can = SOURCE_INFO };
	s->survey = (struct survey){ .ns = s->ns,
				     .ns_count = 1,
				     .thresholds = &s->thresholds,
				     .ports_max = 256,
				     .keep_ms = KEEP_MS,
				     .timestamp = 12.5,
				     .units = (void *)s };
}

static void begin(struct scene *s)
{
	s->sample.now_ms += 5000;
	s->survey.now_ms = s->sample.now_ms;
	assert_int_equal(census_begin(s->census, &s->sample), 0);
}

static struct snapshot *end(struct scene *s)
{
	struct snapshot *snapshot = NULL;

	assert_int_equal(census_end(s->census), 0);
	assert_int_equal(census_drained(s->census, &s->netstat), 0);
	assert_int_equal(survey_take(&s->survey, &snapshot), 0);
	assert_non_null(snapshot);
	return snapshot;
}

static void see_listener(struct scene *s, uint64_t id, uint16_t port, uint64_t cgroup_id)
{
	struct tcpsock sock = record_listener(id, "0.0.0.0", port);

	sock.rqueue = 2;
	sock.drops = 10;
	sock.cgroup_id = cgroup_id;
	assert_int_equal(census_take(s->census, &sock, 1, s->sample.now_ms), 0);
}

static void see_server(struct scene *s, uint64_t id, uint16_t port)
{
	struct tcpsock sock = record_full(id, TCP_STATE_ESTABLISHED, port, (uint16_t)(40000 + id));

	assert_int_equal(census_take(s->census, &sock, 1, s->sample.now_ms), 0);
}

static void see_client(struct scene *s, uint64_t id, uint16_t port)
{
	struct tcpsock sock = record_full(id, TCP_STATE_ESTABLISHED, (uint16_t)(40000 + id), port);

	sock.bytes_acked = 1;
	assert_int_equal(census_take(s->census, &sock, 1, s->sample.now_ms), 0);
}

static void see_stale(struct scene *s, uint64_t id, uint16_t port, uint64_t cgroup_id,
		      uint32_t age_ms)
{
	struct tcpsock sock = record_full(id, TCP_STATE_CLOSE_WAIT, port, (uint16_t)(40000 + id));

	sock.last_data_recv_ms = sock.last_ack_recv_ms = age_ms;
	sock.cgroup_id = cgroup_id;
	assert_int_equal(census_take(s->census, &sock, 1, s->sample.now_ms), 0);
}

static const struct snapshot_pair *pair_of(const struct snapshot *snapshot, enum role role,
					   uint32_t port)
{
	for (size_t i = 0; i < snapshot->ns[0].pair_count; i++) {
		const struct snapshot_pair *pair = &snapshot->ns[0].pairs[i];

		if (pair->role == role && pair->port == port)
			return pair;
	}
	return NULL;
}

static void test_empty(void **state)
{
	(void)state;
	struct scene s;
	struct snapshot *snapshot;

	open_scene(&s);
	begin(&s);
	snapshot = end(&s);
	assert_int_equal(snapshot->ns_count, 1);
	assert_null(snapshot->ns[0].name);
	assert_int_equal(snapshot->ns[0].pair_count, 1);
	assert_int_equal(snapshot->ns[0].pairs[0].port, LEDGER_PORT_UNKNOWN);
	assert_int_equal(snapshot->ns[0].pairs[0].role, ROLE_CLIENT);
	assert_int_equal(snapshot->ns[0].listener_count, 0);
	assert_int_equal(snapshot->ns[0].unit_count, 0);
	assert_int_equal(snapshot->ns[0].listener_unit_count, 0);
	assert_int_equal(snapshot->sockets, 0);
	assert_int_equal(snapshot->ns[0].can, SOURCE_INFO);
	assert_true(snapshot->timestamp > 12.4 && snapshot->timestamp < 12.6);
	assert_int_equal(snapshot->thresholds.least[STALE_IDLE], 60000);
	assert_int_equal(snapshot->ns[0].netstat.value[NETSTAT_OUT_SEGS], 7);
	assert_int_equal(snapshot->ns[0].sysctl.value[NETSYSCTL_FIN_TIMEOUT], 60);
	snapshot_unref(snapshot);
	census_free(s.census);
}

static void test_order(void **state)
{
	(void)state;
	static const struct {
		enum role role;
		uint32_t port;
	} expected[] = {
		{ ROLE_SERVER, 22 },
		{ ROLE_SERVER, 443 },
		{ ROLE_SERVER, 8080 },
		{ ROLE_CLIENT, 1 },
		{ ROLE_CLIENT, 80 },
		{ ROLE_CLIENT, 65535 },
		{ ROLE_CLIENT, LEDGER_PORT_UNKNOWN },
	};
	struct scene s;
	struct snapshot *snapshot;
	struct tcpdeath death = record_wiped(999, 40999, false);

	open_scene(&s);
	begin(&s);
	snapshot_unref(end(&s));
	assert_int_equal(census_event(s.census, &death), 0);
	begin(&s);
	see_listener(&s, 100, 8080, 0);
	see_listener(&s, 101, 22, 0);
	see_client(&s, 1, 65535);
	see_client(&s, 2, 80);
	see_client(&s, 3, 1);
	see_server(&s, 4, 443);
	see_server(&s, 5, 8080);
	snapshot = end(&s);
	assert_int_equal(snapshot->ns[0].pair_count, 7);
	for (size_t i = 0; i < 7; i++) {
		assert_int_equal(snapshot->ns[0].pairs[i].role, expected[i].role);
		assert_int_equal(snapshot->ns[0].pairs[i].port, expected[i].port);
	}
	assert_int_equal(snapshot->ns[0].pairs[6].counter[LEDGER_FAILED + CONNECTS_REFUSED], 1);
	assert_int_equal(snapshot->sockets, 7);
	assert_int_equal(snapshot->ns[0].evidence[ROLE_BY_HANDSHAKE], 5);
	snapshot_unref(snapshot);
	/* All gone: the series stay, at zero. What was counted while they were new is seen now. */
	s.sample.now_ms += LEDGER_HELD_MAX_MS;
	begin(&s);
	snapshot = end(&s);
	assert_int_equal(snapshot->ns[0].pair_count, 7);
	assert_int_equal(pair_of(snapshot, ROLE_CLIENT, 80)->view.state[TCP_STATE_ESTABLISHED], 0);
	assert_int_equal(pair_of(snapshot, ROLE_CLIENT, 80)->counter[LEDGER_OPENED], 1);
	assert_int_equal(pair_of(snapshot, ROLE_SERVER, 22)->view.state[TCP_STATE_ESTABLISHED], 0);
	snapshot_unref(snapshot);
	census_free(s.census);
}

static void test_folding(void **state)
{
	(void)state;
	struct scene s;
	struct snapshot *snapshot;
	const struct snapshot_pair *other;

	open_scene(&s);
	s.survey.ports_max = 3;
	begin(&s);
	snapshot_unref(end(&s));
	begin(&s);
	see_listener(&s, 100, 8080, 0);
	for (uint64_t id = 1; id <= 10; id++)
		see_server(&s, id, (uint16_t)(id <= 8 ? 1000 + id : 8080));
	for (uint64_t id = 11; id <= 13; id++)
		see_client(&s, id, (uint16_t)id);
	snapshot = end(&s);
	assert_int_equal(snapshot->ns[0].folded[ROLE_SERVER], 6);
	assert_int_equal(snapshot->ns[0].folded[ROLE_CLIENT], 0);
	assert_int_equal(snapshot->ns[0].pair_count, 3 + 1 + 3 + 1);
	assert_int_equal(snapshot->ns[0].pairs[3].port, LEDGER_PORT_OTHER);
	other = &snapshot->ns[0].pairs[3];
	assert_int_equal(other->role, ROLE_SERVER);
	assert_int_equal(other->view.state[TCP_STATE_ESTABLISHED], 6);
	assert_int_equal(other->counter[LEDGER_OPENED], 0);
	assert_int_equal(pair_of(snapshot, ROLE_SERVER, 8080)->counter[LEDGER_OPENED], 0);
	assert_null(pair_of(snapshot, ROLE_CLIENT, LEDGER_PORT_OTHER));
	snapshot_unref(snapshot);
	/* Nothing is folded any more, but what was counted there stays on the page. */
	s.sample.now_ms += LEDGER_HELD_MAX_MS;
	begin(&s);
	snapshot = end(&s);
	assert_int_equal(snapshot->ns[0].folded[ROLE_SERVER], 0);
	other = pair_of(snapshot, ROLE_SERVER, LEDGER_PORT_OTHER);
	assert_non_null(other);
	assert_int_equal(other->counter[LEDGER_OPENED], 6);
	assert_int_equal(other->view.state[TCP_STATE_ESTABLISHED], 0);
	snapshot_unref(snapshot);
	census_free(s.census);
}

static void test_listeners(void **state)
{
	(void)state;
	struct scene s;
	struct snapshot *snapshot;
	const struct snapshot_listener *l;

	open_scene(&s);
	s.survey.ports_max = 2;
	begin(&s);
	see_listener(&s, 1, 443, 0);
	see_listener(&s, 2, 80, 0);
	see_listener(&s, 3, 80, 0);
	snapshot_unref(end(&s));
	begin(&s);
	for (uint16_t port = 1000; port < 1005; port++)
		see_listener(&s, port, port, 0);
	see_listener(&s, 2, 80, 0);
	see_listener(&s, 1, 443, 0);
	see_listener(&s, 3, 80, 0);
	snapshot = end(&s);
	assert_int_equal(snapshot->ns[0].listener_count, 3);
	l = snapshot->ns[0].listeners;
	assert_int_equal(l[0].port, 80);
	assert_int_equal(l[0].row.sockets, 2);
	assert_int_equal(l[0].row.queue_length, 4);
	assert_int_equal(l[1].port, 443);
	assert_int_equal(l[2].port, LEDGER_PORT_OTHER);
	assert_int_equal(l[2].row.sockets, 5);
	assert_int_equal(l[2].row.queue_length, 10);
	assert_int_equal(l[2].row.queue_limit, 5 * 128);
	assert_true(l[2].row.saturation > 0.015 && l[2].row.saturation < 0.016);
	assert_int_equal(snapshot->ns[0].folded[ROLE_SERVER], 5);
	snapshot_unref(snapshot);
	/* Gone: shown empty for as long as they are kept. */
	begin(&s);
	snapshot = end(&s);
	assert_int_equal(snapshot->ns[0].listeners[0].port, 80);
	assert_int_equal(snapshot->ns[0].listeners[0].row.sockets, 0);
	assert_int_equal(snapshot->ns[0].listeners[0].row.queue_length, 0);
	snapshot_unref(snapshot);
	s.sample.now_ms += KEEP_MS;
	begin(&s);
	snapshot = end(&s);
	assert_int_equal(snapshot->ns[0].listener_count, 0);
	assert_int_equal(snapshot->ns[0].pair_count, 2);
	assert_non_null(pair_of(snapshot, ROLE_CLIENT, LEDGER_PORT_UNKNOWN));
	assert_non_null(pair_of(snapshot, ROLE_SERVER, LEDGER_PORT_OTHER));
	snapshot_unref(snapshot);
	census_free(s.census);
}

static void check_unit(const struct snapshot_unit *unit, uint32_t port, const char *name,
		       uint32_t sockets, uint64_t oldest_ms)
{
	assert_int_equal(unit->port, port);
	assert_string_equal(unit->unit, name);
	assert_int_equal(unit->all.sockets, sockets);
	assert_in_range(unit->all.oldest_ms, oldest_ms - 32, oldest_ms);
	assert_int_equal(unit->role, ROLE_SERVER);
	assert_int_equal(unit->reason, STALE_CLOSE_WAIT);
}

/* Two cgroups of one name, and ports that share `other`: one series each. */
static void test_units(void **state)
{
	(void)state;
	struct scene s;
	struct snapshot *snapshot;
	const struct snapshot_unit *u;

	open_scene(&s);
	s.survey.ports_max = 1;
	begin(&s);
	see_listener(&s, 100, 80, 0);
	snapshot_unref(end(&s));
	begin(&s);
	see_listener(&s, 100, 80, 0);
	see_stale(&s, 1, 80, 31, 70000);
	see_stale(&s, 2, 80, 32, 80000); /* the same name */
	see_stale(&s, 3, 80, 0, 90000);
	see_stale(&s, 4, 80, 11, 61000);
	see_stale(&s, 5, 8001, 31, 65000);
	see_stale(&s, 6, 8002, 31, 75000);
	snapshot = end(&s);
	u = snapshot->ns[0].units;
	assert_int_equal(snapshot->ns[0].unit_count, 4);
	check_unit(&u[0], 80, "", 1, 90000);
	check_unit(&u[1], 80, "unit1.service", 1, 61000);
	check_unit(&u[2], 80, "unit3.service", 2, 80000);
	check_unit(&u[3], LEDGER_PORT_OTHER, "unit3.service", 2, 75000);
	snapshot_unref(snapshot);
	s.survey.units = NULL;
	assert_int_equal(survey_take(&s.survey, &snapshot), 0);
	assert_int_equal(snapshot->ns[0].unit_count, 2);
	check_unit(&snapshot->ns[0].units[0], 80, "", 4, 90000);
	snapshot_unref(snapshot);
	census_free(s.census);
}

/* What is cut on the page to the same text is the same here. */
static void test_long_names(void **state)
{
	(void)state;
	struct scene s;
	struct snapshot *snapshot;

	open_scene(&s);
	begin(&s);
	see_stale(&s, 1, 80, 900, 70000);
	see_stale(&s, 2, 80, 901, 70000);
	snapshot = end(&s);
	assert_int_equal(snapshot->ns[0].unit_count, 2);
	assert_in_range(strlen(snapshot->ns[0].units[0].unit), 200, 256);
	snapshot_unref(snapshot);
	census_free(s.census);
}

static void test_listener_units(void **state)
{
	(void)state;
	struct scene s;
	struct snapshot *snapshot;
	const struct snapshot_listener_unit *u;

	open_scene(&s);
	begin(&s);
	see_listener(&s, 1, 80, 21);
	see_listener(&s, 2, 80, 22); /* the same name */
	see_listener(&s, 3, 80, 11);
	see_listener(&s, 4, 22, 31);
	see_listener(&s, 5, 23, 0);
	snapshot = end(&s);
	u = snapshot->ns[0].listener_units;
	assert_int_equal(snapshot->ns[0].listener_unit_count, 3);
	assert_int_equal(u[0].port, 22);
	assert_string_equal(u[0].unit, "unit3.service");
	assert_int_equal(u[1].port, 80);
	assert_string_equal(u[1].unit, "unit1.service");
	assert_string_equal(u[2].unit, "unit2.service");
	snapshot_unref(snapshot);
	begin(&s); /* gone */
	snapshot = end(&s);
	assert_int_equal(snapshot->ns[0].listener_unit_count, 0);
	snapshot_unref(snapshot);
	census_free(s.census);
}

static void test_two_namespaces(void **state)
{
	(void)state;
	struct scene a, b;
	struct snapshot *snapshot;
	char name[] = "blue";

	open_scene(&a);
	open_scene(&b);
	begin(&a);
	see_client(&a, 1, 80);
	assert_int_equal(census_end(a.census), 0);
	begin(&b);
	see_client(&b, 1, 80);
	see_client(&b, 2, 81);
	assert_int_equal(census_end(b.census), 0);
	a.ns[1] = b.ns[0];
	a.ns[1].name = name;
	a.ns[1].can = SOURCE_INFO | SOURCE_DROPS;
	a.survey.ns_count = 2;
	a.survey.ports_max = 2; /* over both */
	assert_int_equal(survey_take(&a.survey, &snapshot), 0);
	name[0] = 'g';
	assert_int_equal(snapshot->ns_count, 2);
	assert_null(snapshot->ns[0].name);
	assert_string_equal(snapshot->ns[1].name, "blue");
	assert_int_equal(snapshot->ns[1].can, SOURCE_INFO); /* drops are unknown in the own */
	assert_int_equal(snapshot->sockets, 3);
	assert_int_equal(snapshot->ns[0].folded[ROLE_CLIENT] + snapshot->ns[1].folded[ROLE_CLIENT],
			 1);
	snapshot_unref(snapshot);
	a.survey.ns_count = 257;
	assert_int_equal(survey_take(&a.survey, &snapshot), -EINVAL);
	census_free(a.census);
	census_free(b.census);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),          cmocka_unit_test(test_order),
		cmocka_unit_test(test_folding),        cmocka_unit_test(test_listeners),
		cmocka_unit_test(test_units),          cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_listener_units), cmocka_unit_test(test_two_namespaces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
