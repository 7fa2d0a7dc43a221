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
	FILE *file;
	int saved;
	char text[65536];
};

/* In the place of the real ones. */
const char *units_name(struct units *units, uint64_t cgroup_id, uint64_t now_ms)
{
	(void)units;
	(void)now_ms;
	return cgroup_id == 0 ? "" : cgroup_id == 1 ? "load@35111.service" : "a b\"c";
}

static void begin(struct scene *s)
{
	*s = (struct scene){ .saved = -1 };
	log_setup(LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT);
	stalelog_init(&s->log);
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

static struct census_news news_of(uint64_t cgroup_id)
{
	struct census_news news = { .role = ROLE_SERVER,
				    .port = 35111,
				    .reason = STALE_CLOSE_WAIT,
				    .age_ms = 61999,
				    .sock = record_full(1, TCP_STATE_CLOSE_WAIT, 35111, 40001) };

	news.sock.cgroup_id = cgroup_id;
	return news;
}

static void test_one_line_tells_all(void **state)
{
	static struct scene s;
	struct census_news news = news_of(1);

	(void)state;
	begin(&s);
	stalelog_tell(&s.log, &news, 1, NULL, NULL, 1000);
	stalelog_tell(&s.log, &news, 1, "blue", NULL, 1000);
	assert_int_equal(end(&s), 2);
	assert_non_null(strstr(s.text, " unit=load@35111.service netns=blue\n"));
	assert_non_null(strstr(s.text, "level=warn msg=\"stale connection\" port=35111 role=server "
				       "reason=close_wait age_seconds=61 local=10.0.0.1:35111 "
				       "peer=192.0.2.7:40001 unit=load@35111.service\n"));
}

static void test_ipv6_unknown_port_and_no_socket(void **state)
{
	static struct scene s;
	struct census_news news[] = { news_of(2), news_of(0) };

	(void)state;
	begin(&s);
	news[0].sock.remote = record_addr("2001:db8::1");
	news[1].sock = (struct tcpsock){ 0 };
	news[1].port = LEDGER_PORT_UNKNOWN;
	news[1].reason = STALE_DEAD;
	stalelog_tell(&s.log, news, 2, NULL, NULL, 1000);
	assert_int_equal(end(&s), 2);
	assert_non_null(strstr(s.text, " peer=[2001:db8::1]:40001 "));
	assert_non_null(strstr(s.text, "unit=\"a b\\\"c\"\n"));
	assert_non_null(strstr(s.text, "port=unknown role=server reason=dead age_seconds=61 "
				       "local=\"\" peer=\"\" unit=\"\"\n"));
}

static void test_ten_a_minute_and_how_many_were_left_out(void **state)
{
	static struct scene s;
	struct census_news news[5];

	(void)state;
	begin(&s);
	for (unsigned int i = 0; i < 5; i++)
		news[i] = news_of(0);
	for (unsigned int i = 0; i < 5; i++)
		stalelog_tell(&s.log, news, 5, NULL, NULL, 1000 + i);
	stalelog_tell(&s.log, news, 0, NULL, NULL, 1000 + MINUTE - 1);
	stalelog_tell(&s.log, news, 0, NULL, NULL, 1000 + MINUTE);
	stalelog_tell(&s.log, news, 0, NULL, NULL, 1000 + MINUTE + 1);
	assert_int_equal(end(&s), 11);
	assert_non_null(strstr(s.text, "msg=\"more stale connections\" count=15\n"));
}

/* What the census kept no record of is counted. */
static void test_more_than_are_kept(void **state)
{
	static struct scene s;
	static struct census_news news[CENSUS_NEWS_MAX];

	(void)state;
	begin(&s);
	for (unsigned int i = 0; i < CENSUS_NEWS_MAX; i++)
		news[i] = news_of(0);
	stalelog_tell(&s.log, news, CENSUS_NEWS_MAX + 76, NULL, NULL, 1000);
	stalelog_tell(&s.log, news, 0, NULL, NULL, 1000 + MINUTE);
	assert_int_equal(end(&s), 11);
	assert_non_null(strstr(s.text, "msg=\"more stale connections\" count=1090\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_line_tells_all),
		cmocka_unit_test(test_ipv6_unknown_port_and_no_socket),
		cmocka_unit_test(test_ten_a_minute_and_how_many_were_left_out),
		cmocka_unit_test(test_more_than_are_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
