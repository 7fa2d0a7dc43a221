/*
 * Tests of stale: what holds for each reason, and the files of the tree with rows made from them: TCPHEALTH_GOLDEN=write makes these
 * anew instead of comparing them. How a reason is found is tested by test_ages.
 */
#include "tcphealth/model/stale.h"

#include "helpers/reasons_doc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT (sizeof(reasons_doc_list) / sizeof(reasons_doc_list[0]))

static void test_each_has_a_name_and_a_flag_of_its_own(void **state)
{
	(void)state;
	assert_int_equal(COUNT, STALE_REASONS - 1);
	for (size_t i = 0; i < COUNT; i++) {
		const struct reasons_doc_reason *r = &reasons_doc_list[i];

		assert_int_equal(r->reason, i + 1);
		assert_string_equal(stale_reason_name(r->reason), r->label);
		assert_int_equal(strspn(r->label, "abcdefghijklmnopqrstuvwxyz0123456789_"),
				 strlen(r->label));
		assert_int_equal(strncmp(r->flag, "stale.", 6), 0);
		for (size_t k = 0; k < i; k++) {
			assert_string_not_equal(r->label, reasons_doc_list[k].label);
			assert_string_not_equal(r->flag, reasons_doc_list[k].flag);
		}
	}
}

/* None is empty before one that is given. A restart is for whose fault it is. */
static void check_forms(const struct stale_rule *rule)
{
	for (int i = 0; i < STALE_FORMS; i++) {
		const struct stale_form *form = &rule->form[i];

		if (form->verdict == NULL) {
			assert_true(i > 0);
			continue;
		}
		assert_true(i == 0 || form[-1].verdict != NULL);
		assert_non_null(form->next);
		assert_true(!form->restart || form->blame == STALE_BLAMES_PROGRAM);
		assert_false(form->restart && form->harmless);
	}
}

static void test_each_has_a_rule(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT; i++) {
		const struct stale_rule *rule = stale_rule(reasons_doc_list[i].reason);

		assert_true(rule->where != 0);
		assert_int_equal(rule->counts != NULL,
				 reasons_doc_list[i].kind == REASONS_DOC_probes);
		assert_true(rule->counts == NULL || rule->clock == STALE_PROBES);
		assert_true(rule->since != STALE_PROBES);
		assert_true(rule->known == 0 || rule->needs != 0);
		assert_non_null(rule->meaning);
		check_forms(rule);
		assert_int_equal(reasons_doc_form(&reasons_doc_list[i], ROLE_SERVER)->blame,
				 reasons_doc_form(&reasons_doc_list[i], ROLE_CLIENT)->blame);
	}
}

/* With nothing but the role known, a connection has one that is said of all, never one that needs proof. */
static void test_a_form_for_each_role(void **state)
{
	(void)state;
	for (int reason = 1; reason < STALE_REASONS; reason++) {
		for (int role = 0; role < ROLE_COUNT; role++) {
			unsigned int i =
				stale_form((enum stale_reason)reason, (enum role)role, NULL);
			const struct stale_form *form =
				&stale_rule((enum stale_reason)reason)->form[i];

			assert_non_null(form->verdict);
			assert_null(form->holds);
		}
	}
}

/* Nobody is told to restart an idle pool, or a program that may be at work. */
static void test_forms_of_half_closed_connections(void **state)
{
	struct track_entry server = { .role = ROLE_SERVER }, client = { .role = ROLE_CLIENT };
	struct stale_look at = { .entry = &server };
	const struct stale_form *form = stale_rule(STALE_CLOSE_WAIT)->form;

	(void)state;
	assert_true(form[stale_form(STALE_CLOSE_WAIT, ROLE_SERVER, &at)].restart);
	at.peer_waits = true;
	assert_false(form[stale_form(STALE_CLOSE_WAIT, ROLE_SERVER, &at)].restart);
	at.entry = &client;
	assert_true(form[stale_form(STALE_CLOSE_WAIT, ROLE_CLIENT, &at)].restart);
	form = stale_rule(STALE_EOF_UNREAD)->form;
	assert_true(form[stale_form(STALE_EOF_UNREAD, ROLE_CLIENT, &at)].harmless);
	assert_false(form[stale_form(STALE_EOF_UNREAD, ROLE_CLIENT, &at)].restart);
	assert_false(form[stale_form(STALE_EOF_UNREAD, ROLE_SERVER, NULL)].harmless);
}

static void test_what_is_no_reason(void **state)
{
	(void)state;
	assert_string_equal(stale_reason_name(STALE_NONE), "none");
	assert_string_equal(stale_reason_name(STALE_REASONS), "none");
	assert_int_equal(stale_rule(STALE_NONE)->where, 0);
	assert_ptr_equal(stale_rule(STALE_REASONS), stale_rule(STALE_NONE));
}

static void write_file(const char *path, const struct buf *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fputs(text->data, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void test_files_are_up_to_date(void **state)
{
	const char *mode = getenv("TCPHEALTH_GOLDEN");

	(void)state;
	for (size_t i = 0; i < REASONS_DOCS; i++) {
		struct buf old, new;

		assert_int_equal(reasons_doc_make(&reasons_docs[i], &old, &new), 0);
		if (mode && strcmp(mode, "write") == 0)
			write_file(reasons_docs[i].path, &new);
		else if (strcmp(old.data, new.data) != 0)
			fail_msg("%s differs (TCPHEALTH_GOLDEN=write writes it anew)",
				 reasons_docs[i].path);
		buf_done(&old);
		buf_done(&new);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_has_a_name_and_a_flag_of_its_own),
		cmocka_unit_test(test_each_has_a_rule),
		cmocka_unit_test(test_a_form_for_each_role),
		cmocka_unit_test(test_forms_of_half_closed_connections),
		cmocka_unit_test(test_what_is_no_reason),
		cmocka_unit_test(test_files_are_up_to_date),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
