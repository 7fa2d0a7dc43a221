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
		assert_non_null(rule->verdict);
		assert_non_null(rule->next);
	}
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
		cmocka_unit_test(test_what_is_no_reason),
		cmocka_unit_test(test_files_are_up_to_date),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
