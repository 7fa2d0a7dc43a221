/* share: which clients are one. */
#include "tcphealth/web/share.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <string.h>

static struct share share_at(const char *text)
{
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	struct sockaddr_in v4 = { .sin_family = AF_INET };

	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
		return share_of((const struct sockaddr *)&v4);
	assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
	return share_of((const struct sockaddr *)&v6);
}

static void test_widths(void **state)
{
	static const struct {
		const char *a, *b;
		bool same[SHARE_WIDTHS];
	} cases[] = {
		{ "10.0.0.1", "10.0.0.1", { true, true, true } },
		{ "10.0.0.1", "::ffff:10.0.0.1", { true, true, true } },
		{ "10.0.0.1", "10.0.0.2", { false, false, false } },
		{ "127.0.0.1", "127.9.8.7", { true, true, true } },
		{ "127.0.0.1", "::ffff:127.0.0.2", { true, true, true } },
		{ "127.0.0.1", "::1", { true, true, true } },
		{ "::1", "::2", { false, false, false } },
		{ "::2", "::3", { true, true, true } },
		{ "10.0.0.1", "::2", { false, false, false } },
		{ "2001:db8:0:1::1", "2001:db8:0:1:ffff::", { true, true, true } },
		{ "2001:db8:0:1::1", "2001:db8:0:2::1", { false, true, true } },
		{ "2001:db8:0:1::1", "2001:db8:0:100::1", { false, false, true } },
		{ "2001:db8:0:1::1", "2001:db8:1:1::1", { false, false, false } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct share a = share_at(cases[i].a), b = share_at(cases[i].b);
		for (unsigned int width = 0; width < SHARE_WIDTHS; width++) {
			assert_int_equal(share_is_same(&a, &b, width), cases[i].same[width]);
			assert_int_equal(share_is_same(&b, &a, width), cases[i].same[width]);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_widths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
