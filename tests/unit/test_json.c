/*
 * Tests of json: what is written, byte for byte.
 */
#include "tcphealth/render/json.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

struct scene {
	struct buf buf;
	struct json json;
};

static void begin(struct scene *s)
{
	buf_init(&s->buf, 0);
	json_init(&s->json, &s->buf);
}

static void end(struct scene *s, const char *wanted)
{
	json_end(&s->json);
	buf_putc(&s->buf, '\0');
	assert_int_equal(s->buf.err, 0);
	assert_string_equal(s->buf.data, wanted);
	buf_done(&s->buf);
}

static void test_nesting(void **state)
{
	struct scene s;

	(void)state;
	begin(&s);
	json_open(&s.json, NULL, '{');
	json_open(&s.json, "none", '[');
	json_close(&s.json, ']');
	json_open(&s.json, "list", '[');
	json_u64(&s.json, NULL, 1);
	json_open(&s.json, NULL, '{');
	json_close(&s.json, '}');
	json_text(&s.json, NULL, "a");
	json_close(&s.json, ']');
	json_null(&s.json, "last");
	json_close(&s.json, '}');
	end(&s, "{\n  \"none\": [],\n  \"list\": [\n    1,\n    {},\n    \"a\"\n  ],\n  \"last\": "
		"null\n}\n");
}

static void test_values(void **state)
{
	struct scene s;

	(void)state;
	begin(&s);
	json_open(&s.json, NULL, '[');
	json_u64(&s.json, NULL, UINT64_MAX);
	json_double(&s.json, NULL, 0.5);
	json_double(&s.json, NULL, -3);
	json_double(&s.json, NULL, (double)NAN);
	json_double(&s.json, NULL, (double)INFINITY);
	json_double(&s.json, NULL, -(double)INFINITY);
	json_bool(&s.json, NULL, true);
	json_bool(&s.json, NULL, false);
	json_text(&s.json, NULL, NULL);
	json_close(&s.json, ']');
	end(&s, "[\n  18446744073709551615,\n  0.5,\n  -3,\n  null,\n  null,\n  null,\n  true,\n  "
		"false,\n  null\n]\n");
}

static void test_hostile_texts(void **state)
{
	static const struct {
		const char *text, *wanted;
	} cases[] = {
		{ "", "\"\"" },
		{ "a\"b\\c", "\"a\\\"b\\\\c\"" },
		{ "\n\t\x1b\x7f", "\"\\u000a\\u0009\\u001b\\u007f\"" },
		{ "gr\xc3\xbc\xc3\x9f\x65 \xf0\x9f\x90\x8c",
		  "\"gr\xc3\xbc\xc3\x9f\x65 \xf0\x9f\x90\x8c\"" },
		{ "\xff\xc3(", "\"\xef\xbf\xbd\xef\xbf\xbd(\"" },
		{ "cut\xe2\x82", "\"cut\xef\xbf\xbd\xef\xbf\xbd\"" },
		{ "\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char wanted[128] = "";
		struct scene s;

		begin(&s);
		json_text(&s.json, NULL, cases[i].text);
		strcat(strcpy(wanted, cases[i].wanted), "\n");
		end(&s, wanted);
	}
}

static void test_keys_are_escaped(void **state)
{
	struct scene s;

	(void)state;
	begin(&s);
	json_open(&s.json, NULL, '{');
	json_u64(&s.json, "a\"\n", 1);
	json_close(&s.json, '}');
	end(&s, "{\n  \"a\\\"\\u000a\": 1\n}\n");
}

static void test_error_is_the_buffers(void **state)
{
	struct scene s;

	(void)state;
	buf_init(&s.buf, 4);
	json_init(&s.json, &s.buf);
	json_open(&s.json, NULL, '[');
	json_text(&s.json, NULL, "longer than that");
	json_close(&s.json, ']');
	json_end(&s.json);
	assert_true(s.buf.err < 0);
	assert_true(s.buf.len <= 4);
	buf_done(&s.buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nesting),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_hostile_texts),
		cmocka_unit_test(test_keys_are_escaped),
		cmocka_unit_test(test_error_is_the_buffers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
