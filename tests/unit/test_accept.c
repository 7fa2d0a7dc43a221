/* accept: what real clients send, the ranking rules, and what does not parse. */
#include "tcphealth/web/accept.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { TEXT, OPENMETRICS };

static size_t best_of(const char *accept)
{
	static const struct accept_offer offers[] = {
		[TEXT] = { "text", "plain", "0.0.4" },
		[OPENMETRICS] = { "application", "openmetrics-text", "1.0.0" },
	};

	return accept_best(accept, offers, sizeof(offers) / sizeof(*offers));
}

struct best_case {
	const char *accept;
	size_t expected;
};

static const struct best_case best_cases[] = {
	{ NULL, TEXT },
	{ "", TEXT },
	{ "*/*", TEXT },
	{ "text/html", TEXT },
	/* Prometheus 2.42 */
	{ "application/openmetrics-text;version=1.0.0,application/"
	  "openmetrics-text;version=0.0.1;q=0.75,"
	  "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
	  OPENMETRICS },
	/* Prometheus 3 */
	{ "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
	  "application/openmetrics-text;version=0.0.1;q=0.4,text/"
	  "plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
	  "text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
	  OPENMETRICS },
	/* Prometheus 3 with protobuf first and text preferred after it */
	{ "application/"
	  "vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,"
	  "text/plain;version=0.0.4;q=0.5,application/openmetrics-text;version=1.0.0;q=0.4,*/"
	  "*;q=0.1",
	  TEXT },
	/* a browser */
	{ "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
	  TEXT },
	{ "application/openmetrics-text", OPENMETRICS },
	{ "APPLICATION/OpenMetrics-Text; Version=1.0.0; CharSet=UTF-8", OPENMETRICS },
	{ "application/openmetrics-text; version=\"1.0.0\"; charset=\"utf-8\"", OPENMETRICS },
	{ "application/openmetrics-text; version=\"1\\.0.0\"", OPENMETRICS },
	{ "application/openmetrics-text; version=0.0.1", TEXT },
	{ "application/openmetrics-text; version=2.0.0", TEXT },
	{ "application/openmetrics-text; version=1.0.0; escaping=underscores", OPENMETRICS },
	{ "application/openmetrics-text; charset=iso-8859-1", TEXT },
	{ "application/openmetrics-text;q=0", TEXT },
	{ "application/openmetrics-text;q=0.000, */*", TEXT },
	{ "application/openmetrics-text;q=0.001", OPENMETRICS },
	{ "  application/openmetrics-text\t;\tq=1.000 ", OPENMETRICS },
	{ "application/openmetrics-text;;q=0.5;", OPENMETRICS },
	{ "application/*", OPENMETRICS },
	{ "application/*;q=0.4, text/*;q=0.5", TEXT },
	{ "text/*;q=0.4, application/*;q=0.5", OPENMETRICS },
	/* the more exact range decides a format's q, wherever it stands */
	{ "*/*;q=1, text/plain;q=0.1", OPENMETRICS },
	{ "text/plain;q=0.1, */*;q=1", OPENMETRICS },
	{ "*/*, application/openmetrics-text;q=0.2", TEXT },
	{ "text/plain;q=0, */*", OPENMETRICS },
	/* ties: the more exact, then the earlier */
	{ "*/*;q=0.5, application/openmetrics-text;q=0.5", OPENMETRICS },
	{ "text/plain, application/openmetrics-text;version=1.0.0", OPENMETRICS },
	{ "text/plain, application/openmetrics-text", TEXT },
	{ "application/openmetrics-text, text/plain", OPENMETRICS },
	{ "text/plain;version=0.0.4, application/openmetrics-text", TEXT },
	/* malformed elements are skipped, the others count */
	{ ",,, application/openmetrics-text", OPENMETRICS },
	{ "/, ;q=1, text/, /plain, application/openmetrics-text;q=0.3", OPENMETRICS },
	{ "application/openmetrics-text;q=2", TEXT },
	{ "application/openmetrics-text;q=1.001", TEXT },
	{ "application/openmetrics-text;q=0.1234", TEXT },
	{ "application/openmetrics-text;q=-1", TEXT },
	{ "application/openmetrics-text;q=", TEXT },
	{ "application/openmetrics-text;q=.5", TEXT },
	{ "application/openmetrics-text;q=nan", TEXT },
	{ "application/openmetrics-text;version", TEXT },
	{ "application/openmetrics-text version=1.0.0", TEXT },
	{ "application/openmetrics-text;version=\"1.0.0", TEXT },
	{ "a/b;x=\"application/openmetrics-text, \\\" ,\", text/plain;q=0.1", TEXT },
	{ "a/b c;x=\",application/openmetrics-text,\"", TEXT },
	{ "application/openmetrics-text\xff", TEXT },
	{ "xapplication/openmetrics-text, application/openmetrics-textx", TEXT },
	{ "*/openmetrics-text", TEXT },
};

static void test_best(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(best_cases) / sizeof(*best_cases); i++) {
		if (best_of(best_cases[i].accept) != best_cases[i].expected)
			fail_msg("case %zu: %s", i, best_cases[i].accept);
	}
}

static const struct {
	const char *accept;
	bool expected;
} gzip_cases[] = {
	{ NULL, false },
	{ "", false },
	{ "gzip", true },
	{ "GZip", true },
	{ "x-gzip", true },
	{ "deflate, gzip, br, zstd", true },
	{ "gzip;q=0", false },
	{ "gzip;q=0.0, *", false },
	{ "*", true },
	{ "*;q=0", false },
	{ "identity", false },
	{ "deflate, br", false },
	{ "identity, gzip", true },
	{ "identity;q=1, gzip;q=0.5", false },
	{ "identity;q=0.5, gzip;q=1.0", true },
	{ "identity, *;q=0.5", false },
	{ "identity;q=0, *;q=0.5", true },
	{ "gzip;q=0.001", true },
	{ "gzip;q=nonsense", false },
	{ "gzipx", false },
	{ "gzip/*", false },
	{ " ,\t, gzip \t; q=0.7 ,", true },
	{ "compress;q=0.5, gzip;q=1.0", true },
};

static void test_gzip(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(gzip_cases) / sizeof(*gzip_cases); i++) {
		if (accept_gzip(gzip_cases[i].accept) != gzip_cases[i].expected)
			fail_msg("case %zu: %s", i, gzip_cases[i].accept);
	}
}

/* `count` times the element, then `last`; free() it. */
static char *repeat(const char *element, size_t count, const char *last)
{
	size_t len = strlen(element);
	char *text = malloc(len * count + strlen(last) + 1);

	assert_non_null(text);
	for (size_t i = 0; i < count; i++)
		memcpy(text + i * len, element, len);
	memcpy(text + len * count, last, strlen(last) + 1);
	return text;
}

/* A list is read so far and no further, whether its elements are well-formed or not. */
static void test_long_lists_are_bounded(void **state)
{
	static const char *const elements[] = { "a/b,", ",", "/,", "a/b;x=\",\"," };

	(void)state;
	for (size_t i = 0; i < sizeof(elements) / sizeof(*elements); i++) {
		char *near = repeat(elements[i], 63, "application/openmetrics-text");
		char *far = repeat(elements[i], 64, "application/openmetrics-text");
		assert_int_equal(best_of(near), OPENMETRICS);
		assert_int_equal(best_of(far), TEXT);
		free(near);
		free(far);
	}
}

static void test_long_values_equal_nothing(void **state)
{
	char *value = repeat("1.0.0", 4000, "");
	char *accept = repeat("application/openmetrics-text;version=", 1, value);

	(void)state;
	assert_int_equal(best_of(accept), TEXT);
	free(accept);
	free(value);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_best),
		cmocka_unit_test(test_gzip),
		cmocka_unit_test(test_long_lists_are_bounded),
		cmocka_unit_test(test_long_values_equal_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
