/*
 * Tests of api: who is answered, how often, and with what, by a collector that samples this host.
 */
#include "tcphealth/app/api.h"

#include "tcphealth/app/collector.h"
#include "tcphealth/base/clock.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_MS 20000u

struct scene {
	struct options options;
	struct publisher *publisher;
	struct mailbox *mailbox;
	struct collector *collector;
	struct api *api;
	struct httpd_answer answer;
};

/* What a query string says, in pairs. */
struct words {
	struct httpd_request asked;
	const char *const *pairs;
};

static const char *arg_of(const struct httpd_request *asked, const char *key)
{
	const struct words *words = (const struct words *)asked;

	for (const char *const *pair = words->pairs; pair != NULL && pair[0] != NULL; pair += 2) {
		if (strcmp(pair[0], key) == 0)
			return pair[1];
	}
	return NULL;
}

enum { PORTS, CONNECTIONS };

/* The status; the body is text in s->answer.text. */
static unsigned int ask(struct scene *s, int what, bool local, const char *const *pairs)
{
	struct words words = { .asked = { .arg = arg_of, .local = local }, .pairs = pairs };

	buf_done(&s->answer.text);
	s->answer = (struct httpd_answer){ .status = 200 };
	buf_init(&s->answer.text, 0);
	(what == PORTS ? api_ports : api_connections)(s->api, &words.asked, &s->answer);
	assert_string_equal(s->answer.type, "application/json; charset=utf-8");
	buf_putc(&s->answer.text, '\0');
	assert_int_equal(s->answer.text.err, 0);
	return s->answer.status;
}

static struct scene *begin(const char *flag)
{
	char *argv[] = { (char[]){ "test" }, NULL, (char[]){ "--no-log.stale" }, NULL };
	struct scene *s = calloc(1, sizeof(*s));
	struct publisher_config config;
	struct options_error error;
	uint64_t end_ms = clock_mono_ms() + PATIENCE_MS;

	assert_non_null(s);
	argv[1] = strdup(flag);
	assert_int_equal(options_parse(3, argv, &s->options, &error), 0);
	free(argv[1]);
	config = (struct publisher_config){ .options = &s->options, .microhttpd = "1" };
	s->publisher = publisher_new(&config);
	s->mailbox = mailbox_new();
	assert_int_equal(collector_new(&s->options, s->publisher, s->mailbox, &s->collector), 0);
	assert_int_equal(collector_start(s->collector), 0);
	s->api = api_new(&s->options, s->publisher, s->mailbox);
	assert_non_null(s->api);
	while (ask(s, PORTS, true, NULL) == 503 && clock_mono_ms() < end_ms)
		(void)usleep(10000);
	assert_int_equal(s->answer.status, 200);
	return s;
}

static void end(struct scene *s)
{
	buf_done(&s->answer.text);
	api_free(s->api);
	assert_true(collector_stop(s->collector, PATIENCE_MS));
	publisher_free(s->publisher);
	mailbox_free(s->mailbox);
	free(s);
}

static void test_who_may_ask(void **state)
{
	static const struct {
		const char *flag;
		unsigned int local, remote;
	} cases[] = { { "--web.connections=loopback", 200, 403 },
		      { "--web.connections=all", 200, 429 },
		      { "--web.connections=none", 403, 403 } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct scene *s = begin(cases[i].flag);

		assert_int_equal(ask(s, CONNECTIONS, true, NULL), cases[i].local);
		assert_int_equal(ask(s, CONNECTIONS, false, NULL), cases[i].remote);
		end(s);
	}
}

static void test_once_a_second(void **state)
{
	struct scene *s = begin("--web.connections=loopback");
	uint64_t begun_ms = clock_mono_ms(), end_ms = begun_ms + PATIENCE_MS;

	(void)state;
	assert_int_equal(ask(s, CONNECTIONS, true, NULL), 200);
	assert_null(s->answer.name);
	assert_int_equal(ask(s, CONNECTIONS, true, NULL), 429);
	assert_string_equal(s->answer.name, "Retry-After");
	assert_string_equal(s->answer.value, "1");
	assert_non_null(strstr(s->answer.text.data, "\"error\""));
	while (ask(s, CONNECTIONS, true, NULL) == 429 && clock_mono_ms() < end_ms)
		(void)usleep(10000);
	assert_int_equal(s->answer.status, 200);
	assert_true(clock_mono_ms() - begun_ms >= 1000);
	end(s);
}

static void test_bad_question_says_why_and_costs_nothing(void **state)
{
	static const char *const bad[] = { "port", "http", NULL };
	struct scene *s = begin("--web.connections=loopback");

	(void)state;
	for (int what = PORTS; what <= CONNECTIONS; what++) {
		assert_int_equal(ask(s, what, true, bad), 400);
		assert_non_null(strstr(s->answer.text.data, "65535"));
	}
	assert_int_equal(ask(s, CONNECTIONS, true, NULL), 200);
	end(s);
}

static void test_after_an_interruption(void **state)
{
	struct scene *s = begin("--web.connections=loopback");

	(void)state;
	mailbox_interrupt(s->mailbox);
	assert_int_equal(ask(s, CONNECTIONS, true, NULL), 503);
	assert_string_equal(s->answer.name, "Retry-After");
	assert_string_equal(s->answer.value, "1");
	end(s);
}

/* A connection of this process to itself: both ends are of the listener's port. */
static void test_own_connection(void **state)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), server;
	const char *words[] = { "port", NULL, "holders", "1", "state", "established", NULL };
	socklen_t len = sizeof(addr);
	char port[8], flag[32], wanted[32];
	struct scene *s;

	(void)state;
	assert_int_equal(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
	assert_int_equal(connect(client, (struct sockaddr *)&addr, sizeof(addr)), 0);
	server = accept(listener, NULL, NULL);
	assert_true(server >= 0);
	(void)snprintf(port, sizeof(port), "%u", ntohs(addr.sin_port));
	words[1] = port;
	/* However many other ports this host uses, this one has series. */
	(void)snprintf(flag, sizeof(flag), "--ports.include=%s", port);
	s = begin(flag);
	assert_int_equal(ask(s, CONNECTIONS, true, words), 200);
	assert_non_null(strstr(s->answer.text.data, "\"matched\": 2,"));
	(void)snprintf(wanted, sizeof(wanted), "\"pid\": %d,", (int)getpid());
	assert_non_null(strstr(s->answer.text.data, wanted));
	assert_int_equal(ask(s, PORTS, false, words), 200);
	assert_non_null(strstr(s->answer.text.data, "\"matched\": 2,"));
	words[5] = "syn_recv";
	assert_int_equal(ask(s, PORTS, false, words), 200);
	assert_non_null(strstr(s->answer.text.data, "\"matched\": 0,"));
	end(s);
	close(server);
	close(client);
	close(listener);
}

static void test_ports_have_a_limit(void **state)
{
	static const char *const one[] = { "limit", "1", NULL };
	struct scene *s = begin("--ports.include=1000-1100");

	(void)state;
	assert_int_equal(ask(s, PORTS, true, one), 200);
	assert_non_null(strstr(s->answer.text.data, "\"limit\": 1,"));
	assert_non_null(strstr(s->answer.text.data, "\"truncated\": true"));
	end(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_may_ask),
		cmocka_unit_test(test_once_a_second),
		cmocka_unit_test(test_bad_question_says_why_and_costs_nothing),
		cmocka_unit_test(test_after_an_interruption),
		cmocka_unit_test(test_own_connection),
		cmocka_unit_test(test_ports_have_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
