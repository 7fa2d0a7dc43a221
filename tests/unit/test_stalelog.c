/*
 * Tests of stalelog: what is told of a stuck connection, and how much of it.
 */
#include "tcphealth/app/stalelog.h"

#include "helpers/records.h"
#include "tcphealth/base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define MINUTE 60000u

/* Standard error led into a file meanwhile. */
struct scene {
	struct stalelog log;
	struct tcpsock sock;
	FILE *file;
	int saved;
	char text[65536];
};

static void begin(struct scene *s, bool enabled)
{
	*s = (struct scene){ .sock = record_full(1, TCP_STATE_CLOSE_WAIT, 35111, 40001) };
	log_setup(LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT);
	stalelog_init(&s->log, enabled);
	s->file = tmpfile();
	assert_non_null(s->file);
	s->saved = dup(STDERR_FILENO);
	assert_true(dup2(fileno(s->file), STDERR_FILENO) >= 0);
}

/* How many lines there are. */
static unsigned int end(struct scene *s)
{
	unsigned int lines = 0;

	dup2(s->saved, STDERR_FILENO);
	close(s->saved);
	rewind(s->file);
	s->text[fread(s->text, 1, sizeof(s->text) - 1, s->file)] = '\0';
	(void)fclose(s->file);
	for (const char *at = s->text; (at = strchr(at, '\n')) != NULL; at++)
		lines++;
	return lines;
}

static struct census_stale stale_of(const struct tcpsock *sock)
{
	return (struct census_stale){ .role = ROLE_SERVER,
				      .port = 35111,
				      .reason = STALE_CLOSE_WAIT,
				      .age_ms = 61999,
				      .sock = sock };
}

static void test_one_line_tells_all(void **state)
{
	static struct scene s;
	struct census_stale stale;

	(void)state;
	begin(&s, true);
	stale = stale_of(&s.sock);
	stalelog_tell(&s.log, &stale, "load@35111.service", 1000);
	assert_int_equal(end(&s), 1);
	assert_non_null(strstr(s.text, "level=warn msg=\"stale connection\" port=35111 role=server "
				       "reason=close_wait age_seconds=61 local=10.0.0.1:35111 "
				       "peer=192.0.2.7:40001 unit=load@35111.service\n"));
}

static void test_ipv6_unknown_port_and_no_socket(void **state)
{
	static struct scene s;
	struct census_stale stale;

	(void)state;
	begin(&s, true);
	s.sock.remote = record_addr("2001:db8::1");
	stale = stale_of(&s.sock);
	stalelog_tell(&s.log, &stale, "", 1000);
	stale = stale_of(NULL);
	stale.port = LEDGER_PORT_UNKNOWN;
	stale.reason = STALE_DEAD;
	stalelog_tell(&s.log, &stale, "a b\"c", 1000);
	assert_int_equal(end(&s), 2);
	assert_non_null(strstr(s.text, " peer=[2001:db8::1]:40001 "));
	assert_non_null(strstr(s.text, "port=unknown role=server reason=dead"));
	assert_non_null(strstr(s.text, "unit=\"a b\\\"c\"\n"));
}

static void test_ten_a_minute_and_how_many_were_left_out(void **state)
{
	static struct scene s;
	struct census_stale stale;

	(void)state;
	begin(&s, true);
	stale = stale_of(&s.sock);
	for (unsigned int i = 0; i < 25; i++)
		stalelog_tell(&s.log, &stale, "", 1000 + i);
	stalelog_tick(&s.log, 1000 + MINUTE - 1, false);
	stalelog_tick(&s.log, 1000 + MINUTE, false);
	stalelog_tick(&s.log, 1000 + MINUTE + 1, false);
	assert_int_equal(end(&s), 11);
	assert_non_null(strstr(s.text, "msg=\"more stale connections\" count=15\n"));
}

static void test_the_end_tells_the_rest(void **state)
{
	static struct scene s;
	struct census_stale stale;

	(void)state;
	begin(&s, true);
	stale = stale_of(&s.sock);
	for (unsigned int i = 0; i < 12; i++)
		stalelog_tell(&s.log, &stale, "", 1000);
	stalelog_tick(&s.log, 1001, true);
	stalelog_tick(&s.log, 1002, true);
	assert_int_equal(end(&s), 11);
	assert_non_null(strstr(s.text, "count=2\n"));
}

static void test_off_is_silent(void **state)
{
	static struct scene s;
	struct census_stale stale;

	(void)state;
	begin(&s, false);
	stale = stale_of(&s.sock);
	for (unsigned int i = 0; i < 20; i++)
		stalelog_tell(&s.log, &stale, "", 1000);
	stalelog_tick(&s.log, 1000 + 2 * MINUTE, true);
	assert_int_equal(end(&s), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_line_tells_all),
		cmocka_unit_test(test_ipv6_unknown_port_and_no_socket),
		cmocka_unit_test(test_ten_a_minute_and_how_many_were_left_out),
		cmocka_unit_test(test_the_end_tells_the_rest),
		cmocka_unit_test(test_off_is_silent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
