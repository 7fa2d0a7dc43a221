/*
 * Tests of mailbox: one question, one answer, and those who no longer wait.
 */
#include "tcphealth/app/mailbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>

#define PATIENCE_MS 20000
#define ROUNDS      2000

/* One who asks, in a thread of its own. */
struct asker {
	struct mailbox *box;
	uint64_t wait_ms;
	uint16_t port;
	pthread_t thread;
	struct connections_result result;
	int r;
};

static void *ask(void *arg)
{
	struct asker *asker = arg;
	struct connections_query query = { .port = asker->port };

	asker->r = mailbox_ask(asker->box, &query, asker->wait_ms, &asker->result);
	return NULL;
}

static void begin(struct asker *asker, struct mailbox *box, uint64_t wait_ms, uint16_t port)
{
	*asker = (struct asker){ .box = box, .wait_ms = wait_ms, .port = port };
	assert_int_equal(pthread_create(&asker->thread, NULL, ask, asker), 0);
}

static int end(struct asker *asker)
{
	pthread_join(asker->thread, NULL);
	return asker->r;
}

/* Waits for a question and takes it: its port. */
static uint16_t take(struct mailbox *box)
{
	struct pollfd fd = { .fd = mailbox_fd(box), .events = POLLIN };
	struct connections_query query;

	assert_int_equal(poll(&fd, 1, PATIENCE_MS), 1);
	assert_true(mailbox_take(box, &query));
	return query.port;
}

/* A result that has to be freed, and tells which question it answers. */
static struct connections_result result_for(uint16_t port)
{
	struct connections_result result = { .rows = calloc(1, sizeof(*result.rows)),
					     .matched = port };

	assert_non_null(result.rows);
	return result;
}

static void test_nothing_asked(void **state)
{
	struct mailbox *box = mailbox_new();
	struct connections_query query;

	(void)state;
	assert_non_null(box);
	assert_false(mailbox_take(box, &query));
	mailbox_free(box);
	mailbox_free(NULL);
}

static void test_answer_reaches_who_asked(void **state)
{
	struct mailbox *box = mailbox_new();

	(void)state;
	for (uint16_t port = 1; port <= ROUNDS; port++) {
		struct connections_result result = result_for(port);
		struct asker asker;

		begin(&asker, box, PATIENCE_MS, port);
		assert_int_equal(take(box), port);
		mailbox_answer(box, 0, &result);
		assert_int_equal(end(&asker), 0);
		assert_int_equal(asker.result.matched, port);
		connections_done(&asker.result);
	}
	mailbox_free(box);
}

/* It frees what a failed dump has left. */
static void test_failure_reaches_who_asked(void **state)
{
	struct mailbox *box = mailbox_new();
	struct connections_result result = result_for(1);
	struct asker asker;

	(void)state;
	begin(&asker, box, PATIENCE_MS, 1);
	(void)take(box);
	mailbox_answer(box, -ENOBUFS, &result);
	assert_int_equal(end(&asker), -ENOBUFS);
	mailbox_free(box);
}

static void test_one_at_a_time(void **state)
{
	struct mailbox *box = mailbox_new();
	struct connections_query query = { 0 };
	struct connections_result result = result_for(1), other;
	struct asker asker;

	(void)state;
	begin(&asker, box, PATIENCE_MS, 1);
	(void)take(box);
	assert_int_equal(mailbox_ask(box, &query, PATIENCE_MS, &other), -EBUSY);
	mailbox_answer(box, 0, &result);
	assert_int_equal(end(&asker), 0);
	connections_done(&asker.result);
	mailbox_free(box);
}

/* A question that nobody took is gone with its asker, and the next one is not held up by it. */
static void test_too_late_to_be_taken(void **state)
{
	struct mailbox *box = mailbox_new();
	struct connections_query query = { .port = 1 };
	struct connections_result result;

	(void)state;
	assert_int_equal(mailbox_ask(box, &query, 1, &result), -ETIMEDOUT);
	assert_false(mailbox_take(box, &query));
	assert_int_equal(mailbox_ask(box, &query, 1, &result), -ETIMEDOUT);
	mailbox_free(box);
}

static void test_too_late_to_be_answered(void **state)
{
	struct mailbox *box = mailbox_new();
	struct connections_query query = { .port = 1 };
	struct connections_result late = result_for(1), result = result_for(2), none;
	struct asker asker;

	(void)state;
	begin(&asker, box, 50, 1);
	(void)take(box);
	assert_int_equal(end(&asker), -ETIMEDOUT);
	assert_int_equal(mailbox_ask(box, &query, 1, &none), -EBUSY);
	mailbox_answer(box, 0, &late); /* thrown away */

	begin(&asker, box, PATIENCE_MS, 2);
	assert_int_equal(take(box), 2);
	mailbox_answer(box, 0, &result);
	assert_int_equal(end(&asker), 0);
	assert_int_equal(asker.result.matched, 2);
	connections_done(&asker.result);
	mailbox_free(box);
}

static void test_interruption(void **state)
{
	struct mailbox *box = mailbox_new();
	struct connections_result late = result_for(1);
	struct asker asker;

	(void)state;
	begin(&asker, box, UINT32_MAX, 1);
	(void)take(box);
	mailbox_interrupt(box);
	assert_int_equal(end(&asker), -ETIMEDOUT);
	mailbox_answer(box, 0, &late);
	begin(&asker, box, UINT32_MAX, 2); /* and from now on */
	assert_int_equal(end(&asker), -ETIMEDOUT);
	mailbox_free(box);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_asked),
		cmocka_unit_test(test_answer_reaches_who_asked),
		cmocka_unit_test(test_failure_reaches_who_asked),
		cmocka_unit_test(test_one_at_a_time),
		cmocka_unit_test(test_too_late_to_be_taken),
		cmocka_unit_test(test_too_late_to_be_answered),
		cmocka_unit_test(test_interruption),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
