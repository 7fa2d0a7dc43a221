/*
 * Tests of connectlog: what is told of a peer to which connects fail, and how much of it.
 */
#include "tcphealth/app/connectlog.h"

#include "tcphealth/base/log.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define NOW    100000u
#define MINUTE 60000u

/* In the place of the real one. */
const char *units_name(struct units *units, uint64_t cgroup_id, uint64_t now_ms)
{
	(void)units;
	(void)now_ms;
	return cgroup_id == 0 ? "" : "load@35111.service";
}

static bool nothing_is_full(void *arg, const struct in6_addr *remote, uint16_t *ret_port)
{
	(void)arg;
	(void)remote;
	(void)ret_port;
	return false;
}

static int take(void *arg, const struct connects_attempt *attempt, enum connects_failure failure)
{
	(void)arg;
	(void)attempt;
	(void)failure;
	return 0;
}

/* Five are refused, by each of so many ports from the first on; 0 is the unknown one. */
static void refuse(struct connects *connects, uint16_t first, uint16_t ports, uint64_t now_ms)
{
	const struct netstat growth = { 0 };
	struct netsysctl sysctl;

	netsysctl_defaults(&sysctl);
	for (uint16_t i = 0; i < ports * 5; i++) {
		struct connects_attempt attempt = { .port = (uint16_t)(first + i % ports),
						    .segs_out = 1,
						    .segs_in = 1,
						    .cgroup_id = first };

		assert_int_equal(inet_pton(AF_INET6, "::ffff:192.0.2.7", &attempt.remote), 1);
		assert_int_equal(connects_add(connects, &attempt), 0);
	}
	assert_int_equal(
		connects_settle(connects, &growth, &sysctl, now_ms, nothing_is_full, take, NULL),
		0);
}

/* How many lines are written at two times; *ret_text is of these, until the next call. Frees `connects`. */
static unsigned int tell(struct connects *connects, uint64_t later_ms, const char **ret_text)
{
	static char text[65536];
	struct loglimit limit;
	unsigned int lines = 0;
	FILE *file = tmpfile();
	int saved = dup(STDERR_FILENO);

	assert_non_null(file);
	assert_true(dup2(fileno(file), STDERR_FILENO) >= 0);
	log_setup(LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT);
	connectlog_init(&limit);
	connectlog_tell(&limit, connects, NULL, NOW);
	connectlog_tell(&limit, connects, NULL, NOW + later_ms);
	connects_free(connects);
	dup2(saved, STDERR_FILENO);
	close(saved);
	rewind(file);
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	(void)fclose(file);
	for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++)
		lines++;
	*ret_text = text;
	return lines;
}

static void test_one_line_tells_all(void **state)
{
	struct connects *connects = connects_new();
	const char *text;

	(void)state;
	refuse(connects, 5432, 1, NOW - 42999);
	refuse(connects, 0, 1, NOW);
	assert_int_equal(tell(connects, 1, &text), 2);
	assert_non_null(strstr(text, "level=warn msg=\"connects fail\" peer=192.0.2.7 port=5432 "
				     "reason=refused count=5 since_seconds=42 "
				     "unit=load@35111.service\n"));
	assert_non_null(strstr(text, " port=unknown reason=refused count=5 since_seconds=0 "
				     "unit=\"\"\n"));
}

static void test_ten_a_minute_and_how_many_were_left_out(void **state)
{
	static const uint64_t later_ms[] = { MINUTE - 1, MINUTE };
	const char *text;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct connects *connects = connects_new();

		refuse(connects, 1, 20, NOW);
		assert_int_equal(tell(connects, later_ms[i], &text), 10 + i);
	}
	assert_non_null(strstr(text, "msg=\"connects fail to more peers\" count=10\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_line_tells_all),
		cmocka_unit_test(test_ten_a_minute_and_how_many_were_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
