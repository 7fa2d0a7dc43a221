/* Unit tests of options: values, error lines, help. */
#include "tcphealth/app/options.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ARGS_MAX     40
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* One at a time: the port sets make it large. */
static struct options options;
static struct options_error error;

/* Arguments without the program's name, ended by NULL. */
static int parse(const char *const *args)
{
	static char *argv[ARGS_MAX + 2];
	int argc = 1;

	argv[0] = (char *)(uintptr_t) "tcphealth_exporter";
	for (; *args && argc <= ARGS_MAX; args++)
		argv[argc++] = (char *)(uintptr_t)*args;
	argv[argc] = NULL;
	return options_parse(argc, argv, &options, &error);
}

#define PARSE(...) parse((const char *const[]){ __VA_ARGS__ __VA_OPT__(, ) NULL })

static void assert_fails(int result, const char *text)
{
	assert_int_equal(result, -EINVAL);
	assert_string_equal(error.text, text);
}

static size_t count_ports(const struct portset *set)
{
	size_t count = 0;

	for (uint32_t port = 0; port <= UINT16_MAX; port++)
		count += portset_has(set, (uint16_t)port);
	return count;
}

static void test_defaults(void **state)
{
	(void)state;
	assert_int_equal(PARSE(), 0);
	assert_string_equal(error.text, "");
	assert_int_equal(options.mode, OPTIONS_SERVE);
	assert_int_equal(options.listen_count, 1);
	assert_string_equal(options.listen[0], ":10793");
	assert_string_equal(options.telemetry_path, "/metrics");
	assert_int_equal(options.max_requests, 40);
	assert_false(options.disable_exporter_metrics);
	assert_int_equal(options.interval_ms, 5000);
	assert_int_equal(options.full_every, 3);
	assert_int_equal(options.source, SOURCE_AUTO);
	assert_true(options.events);
	assert_int_equal(count_ports(&options.ports_include), 0);
	assert_int_equal(count_ports(&options.ports_exclude), 0);
	assert_int_equal(options.ports_max, 256);
	assert_int_equal(options.ports_keep_ms, 3600000);
	assert_int_equal(options.stale.least[STALE_DEAD], 60000);
	assert_int_equal(options.stale.least[STALE_UNACCEPTED], 30000);
	assert_int_equal(options.stale.least[STALE_CLOSE_WAIT], 60000);
	assert_int_equal(options.stale.least[STALE_FIN_WAIT2], 60000);
	assert_int_equal(options.stale.least[STALE_CLOSING], 180000);
	assert_int_equal(options.stale.least[STALE_SYN_SENT], 10000);
	assert_int_equal(options.stale.least[STALE_KEEPALIVE], 2);
	assert_int_equal(options.stale.least[STALE_RETRANSMIT], 10000);
	assert_int_equal(options.stale.least[STALE_ZERO_WINDOW], 60000);
	assert_int_equal(options.stale.least[STALE_UNREAD], 300000);
	assert_int_equal(options.stale.least[STALE_IDLE], 7200000);
	assert_string_equal(options.path_procfs, "/proc");
	assert_string_equal(options.path_cgroupfs, "");
	assert_null(options.output);
	assert_int_equal(options.log_level, LOG_LEVEL_INFO);
	assert_int_equal(options.log_format, LOG_FORMAT_LOGFMT);
	assert_true(options.log_stale);
}

/* Every flag reaches its own field: all values differ. */
static void test_all_flags(void **state)
{
	(void)state;
	assert_int_equal(
		PARSE("--web.listen-address=127.0.0.1:1", "--web.telemetry-path=/m",
		      "--web.max-requests=3", "--web.disable-exporter-metrics",
		      "--collector.interval=7s", "--collector.source=procfs",
		      "--no-collector.events", "--ports.include=22", "--ports.exclude=23,24",
		      "--ports.max=65536", "--ports.keep=11s", "--stale.dead=12s",
		      "--stale.unaccepted=13s", "--stale.close-wait=14s", "--stale.fin-wait2=15s",
		      "--stale.closing=16s", "--stale.syn-sent=17s", "--stale.keepalive-probes=18",
		      "--stale.retransmit=19s", "--stale.zero-window=20s", "--stale.unread=21s",
		      "--stale.idle=22s", "--path.procfs=/p", "--path.cgroupfs=/c", "--once",
		      "--output=/o", "--log.level=error", "--log.format=json", "--no-log.stale"),
		0);
	assert_int_equal(options.mode, OPTIONS_ONCE);
	assert_int_equal(options.listen_count, 1);
	assert_string_equal(options.listen[0], "127.0.0.1:1");
	assert_string_equal(options.telemetry_path, "/m");
	assert_int_equal(options.max_requests, 3);
	assert_true(options.disable_exporter_metrics);
	assert_int_equal(options.interval_ms, 7000);
	assert_int_equal(options.source, SOURCE_procfs);
	assert_false(options.events);
	assert_true(portset_has(&options.ports_include, 22));
	assert_int_equal(count_ports(&options.ports_include), 1);
	assert_true(portset_has(&options.ports_exclude, 23));
	assert_int_equal(count_ports(&options.ports_exclude), 2);
	assert_int_equal(options.ports_max, 65536);
	assert_int_equal(options.ports_keep_ms, 11000);
	assert_int_equal(options.stale.least[STALE_DEAD], 12000);
	assert_int_equal(options.stale.least[STALE_UNACCEPTED], 13000);
	assert_int_equal(options.stale.least[STALE_CLOSE_WAIT], 14000);
	assert_int_equal(options.stale.least[STALE_FIN_WAIT2], 15000);
	assert_int_equal(options.stale.least[STALE_CLOSING], 16000);
	assert_int_equal(options.stale.least[STALE_SYN_SENT], 17000);
	assert_int_equal(options.stale.least[STALE_KEEPALIVE], 18);
	assert_int_equal(options.stale.least[STALE_RETRANSMIT], 19000);
	assert_int_equal(options.stale.least[STALE_ZERO_WINDOW], 20000);
	assert_int_equal(options.stale.least[STALE_UNREAD], 21000);
	assert_int_equal(options.stale.least[STALE_IDLE], 22000);
	assert_string_equal(options.path_procfs, "/p");
	assert_string_equal(options.path_cgroupfs, "/c");
	assert_string_equal(options.output, "/o");
	assert_int_equal(options.log_level, LOG_LEVEL_ERROR);
	assert_int_equal(options.log_format, LOG_FORMAT_JSON);
	assert_false(options.log_stale);
}

static void test_forms(void **state)
{
	(void)state;
	assert_int_equal(PARSE("--collector.interval", "9s"), 0);
	assert_int_equal(options.interval_ms, 9000);
	assert_int_equal(PARSE("-collector.interval=8s"), 0);
	assert_int_equal(options.interval_ms, 8000);
	assert_int_equal(PARSE("-collector.interval", "7s", "-no-log.stale"), 0);
	assert_int_equal(options.interval_ms, 7000);
	assert_false(options.log_stale);
	assert_int_equal(PARSE("--log.stale=false"), 0);
	assert_false(options.log_stale);
	assert_int_equal(PARSE("--no-log.stale", "--log.stale"), 0);
	assert_true(options.log_stale);
	assert_int_equal(PARSE("--no-log.stale", "--log.stale=true"), 0);
	assert_true(options.log_stale);
	assert_int_equal(PARSE("--collector.source=netlink"), 0);
	assert_int_equal(options.source, SOURCE_netlink);
	assert_int_equal(PARSE("--once", "--output=-x=y"), 0);
	assert_string_equal(options.output, "-x=y");
	assert_int_equal(PARSE("--log.level=debug", "--"), 0);
	assert_int_equal(options.log_level, LOG_LEVEL_DEBUG);
}

static void test_last_wins(void **state)
{
	(void)state;
	assert_int_equal(PARSE("--ports.max=5", "--ports.max=6"), 0);
	assert_int_equal(options.ports_max, 6);
	assert_int_equal(PARSE("--ports.include=1,2", "--ports.include=3"), 0);
	assert_int_equal(count_ports(&options.ports_include), 1);
	assert_true(portset_has(&options.ports_include, 3));
	assert_int_equal(PARSE("--ports.include=1,2", "--ports.include="), 0);
	assert_int_equal(count_ports(&options.ports_include), 0);
}

static void test_modes(void **state)
{
	(void)state;
	assert_int_equal(PARSE("--once"), 0);
	assert_int_equal(options.mode, OPTIONS_ONCE);
	assert_int_equal(PARSE("--version"), 0);
	assert_int_equal(options.mode, OPTIONS_VERSION);
	assert_int_equal(PARSE("--help"), 0);
	assert_int_equal(options.mode, OPTIONS_HELP);
	assert_int_equal(PARSE("-h"), 0);
	assert_int_equal(options.mode, OPTIONS_HELP);
	/* What follows is not looked at, what stands before is. */
	assert_int_equal(PARSE("--help", "--nonsense"), 0);
	assert_int_equal(options.mode, OPTIONS_HELP);
	assert_int_equal(PARSE("--nonsense", "--help"), -EINVAL);
}

static void test_output_needs_once(void **state)
{
	(void)state;
	assert_int_equal(PARSE("--output=x", "--once"), 0);
	assert_fails(PARSE("--output=x"), "--output: \"x\" is used only with --once");
}

static void test_listen_list(void **state)
{
	static const char *args[ARGS_MAX];

	(void)state;
	assert_int_equal(PARSE("--web.listen-address=:1", "--web.listen-address", "[::1]:2"), 0);
	assert_int_equal(options.listen_count, 2);
	assert_string_equal(options.listen[0], ":1");
	assert_string_equal(options.listen[1], "[::1]:2");

	for (size_t i = 0; i < OPTIONS_LISTEN_MAX; i++)
		args[i] = "--web.listen-address=:0";
	assert_int_equal(parse(args), 0);
	assert_int_equal(options.listen_count, OPTIONS_LISTEN_MAX);
	args[OPTIONS_LISTEN_MAX] = "--web.listen-address=:17";
	assert_int_equal(parse(args), -EINVAL);
	assert_non_null(
		strstr(error.text, "\":17\" is one address too many (allowed: up to 16 times"));
}

static void test_listen_syntax(void **state)
{
	static const struct {
		const char *address;
		const char *wrong; /* NULL: fine */
	} cases[] = {
		{ ":0", NULL },
		{ ":65535", NULL },
		{ "localhost:80", NULL },
		{ "host-1.example.org:80", NULL },
		{ "0.0.0.0:80", NULL },
		{ "[::]:80", NULL },
		{ "[fe80::1%eth0]:80", NULL },
		{ "[::ffff:127.0.0.1]:80", NULL },
		{ "", "has no port" },
		{ "10793", "has no port" },
		{ "[", "has no port" },
		{ ":", "has no valid port" },
		{ "localhost:", "has no valid port" },
		{ ":65536", "has no valid port" },
		{ ":99999999999999999999999", "has no valid port" },
		{ ":000080", "has no valid port" },
		{ ":-1", "has no valid port" },
		{ ":+1", "has no valid port" },
		{ ": 1", "has no valid port" },
		{ ":1x", "has no valid port" },
		{ "[::1]", "has no valid port" },
		{ "::1:80", "is not a host" },
		{ "256.1.1.1:80", "is not a host" },
		{ "1.2.3:80", "is not a host" },
		{ "a b:80", "is not a host" },
		{ "http://a:80", "is not a host" },
		{ "a\n:80", "is not a host" },
		{ "[]:80", "is not an IPv6 address in brackets" },
		{ "[:80", "is not an IPv6 address in brackets" },
		{ "[::1:80", "is not an IPv6 address in brackets" },
		{ "[::g]:80", "is not an IPv6 address in brackets" },
		{ "[::1%fifteen_letters]:80", NULL },
		{ "[::1%sixteen__letters]:80", "is not an IPv6 address in brackets" },
		{ "[::1%]:80", "is not an IPv6 address in brackets" },
		{ "[::1%a/b]:80", "is not an IPv6 address in brackets" },
		{ "[127.0.0.1]:80", "is not an IPv6 address in brackets" },
		{ "[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc]:80",
		  "is not an IPv6 address in brackets" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		int result = PARSE("--web.listen-address", cases[i].address);
		assert_int_equal(result, cases[i].wrong ? -EINVAL : 0);
		if (cases[i].wrong)
			assert_non_null(strstr(error.text, cases[i].wrong));
		else
			assert_string_equal(options.listen[0], cases[i].address);
	}
}

static void test_long_host(void **state)
{
	char address[300];

	(void)state;
	memset(address, 'a', sizeof(address));
	strcpy(address + 253, ":80");
	assert_int_equal(PARSE("--web.listen-address", address), 0);
	memset(address, 'a', sizeof(address));
	strcpy(address + 254, ":80");
	assert_int_equal(PARSE("--web.listen-address", address), -EINVAL);
}

static void test_telemetry_path(void **state)
{
	static const struct {
		const char *path;
		const char *wrong;
	} cases[] = {
		{ "/m", NULL },
		{ "/a/b.c~d", NULL },
		{ "/apiary", NULL },
		{ "/-", NULL },
		{ "", "does not begin with /" },
		{ "metrics", "does not begin with /" },
		{ "/", "taken by another page" },
		{ "/-/healthy", "taken by another page" },
		{ "/-/", "taken by another page" },
		{ "/api/v1/ports", "taken by another page" },
		{ "/a?b", "a character that is not allowed" },
		{ "/a#b", "a character that is not allowed" },
		{ "/a%41", "a character that is not allowed" },
		{ "/a b", "a character that is not allowed" },
		{ "/a\n", "a character that is not allowed" },
		{ "/\x7f", "a character that is not allowed" },
		{ "/\xc3\xbc", "a character that is not allowed" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		int result = PARSE("--web.telemetry-path", cases[i].path);
		assert_int_equal(result, cases[i].wrong ? -EINVAL : 0);
		if (cases[i].wrong)
			assert_non_null(strstr(error.text, cases[i].wrong));
		else
			assert_string_equal(options.telemetry_path, cases[i].path);
	}
}

static void test_text_lengths(void **state)
{
	static char text[1100];

	(void)state;
	memset(text, '/', sizeof(text) - 1);
	text[256] = '\0';
	assert_int_equal(PARSE("--web.telemetry-path", text), -EINVAL);
	text[255] = '\0';
	assert_int_equal(PARSE("--web.telemetry-path", text), 0);
	memset(text, '/', sizeof(text) - 1);
	text[1024] = '\0';
	assert_int_equal(PARSE("--path.procfs", text), -EINVAL);
	assert_non_null(strstr(error.text, "too long (allowed: a path of 1 to 1023 bytes)"));
	text[1023] = '\0';
	assert_int_equal(PARSE("--path.procfs", text), 0);
	assert_int_equal(PARSE("--path.cgroupfs="), 0);
	assert_fails(PARSE("--path.procfs="),
		     "--path.procfs: \"\" is empty (allowed: a path of 1 to 1023 bytes)");
	assert_fails(PARSE("--once", "--output="),
		     "--output: \"\" is empty (allowed: a path of 1 to 1023 bytes)");
}

static void test_duration(void **state)
{
	static const struct {
		const char *text;
		int result;
		uint64_t ms;
	} cases[] = {
		{ "0", 0, 0 },
		{ "0s", 0, 0 },
		{ "250ms", 0, 250 },
		{ "90s", 0, 90000 },
		{ "05s", 0, 5000 },
		{ "1m", 0, 60000 },
		{ "1h30m", 0, 5400000 },
		{ "2d", 0, 172800000 },
		{ "1w", 0, 604800000 },
		{ "1w1d1h1m1s1ms", 0, 694861001 },
		{ "1d1ms", 0, 86400001 },
		{ "18446744073709551614ms", 0, UINT64_MAX - 1 },
		{ "18446744073709551616ms", -ERANGE, 0 },
		{ "18446744073709552s", -ERANGE, 0 },
		{ "99999999999999999999999999d", -ERANGE, 0 },
		{ "30500568904943w", -ERANGE, 0 },
		{ "18446744073709551s999999ms", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "5", -EINVAL, 0 },
		{ "00", -EINVAL, 0 },
		{ "s", -EINVAL, 0 },
		{ "-5s", -EINVAL, 0 },
		{ "+5s", -EINVAL, 0 },
		{ " 5s", -EINVAL, 0 },
		{ "5s ", -EINVAL, 0 },
		{ "5 s", -EINVAL, 0 },
		{ "1.5h", -EINVAL, 0 },
		{ "5S", -EINVAL, 0 },
		{ "5sec", -EINVAL, 0 },
		{ "5us", -EINVAL, 0 },
		{ "1h30", -EINVAL, 0 },
		{ "30m1h", -EINVAL, 0 },
		{ "1m1m", -EINVAL, 0 },
		{ "1ms1s", -EINVAL, 0 },
		{ "1msx", -EINVAL, 0 },
		{ "99999999999999999999999999x", -EINVAL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		uint64_t ms = 4711;
		assert_int_equal(options_duration_ms(cases[i].text, &ms), cases[i].result);
		assert_int_equal(ms, cases[i].result ? 4711 : cases[i].ms);
	}
}

static void test_ranges(void **state)
{
	static const struct {
		const char *flag, *value;
		int result;
	} cases[] = {
		{ "--collector.interval", "100ms", 0 },
		{ "--collector.interval", "1h", 0 },
		{ "--collector.interval", "99ms", -EINVAL },
		{ "--collector.interval", "1h1ms", -EINVAL },
		{ "--collector.interval", "0", -EINVAL },
		{ "--collector.interval", "99999999999999999999d", -EINVAL },
		{ "--ports.keep", "0", 0 },
		{ "--ports.keep", "365d", 0 },
		{ "--ports.keep", "365d1ms", -EINVAL },
		{ "--stale.idle", "0s", 0 },
		{ "--stale.idle", "53w", -EINVAL },
		{ "--ports.max", "1", 0 },
		{ "--ports.max", "65536", 0 },
		{ "--ports.max", "0", -EINVAL },
		{ "--ports.max", "65537", -EINVAL },
		{ "--ports.max", "4294967297", -EINVAL },
		{ "--ports.max", "18446744073709551617", -EINVAL },
		{ "--ports.max", "1x", -EINVAL },
		{ "--ports.max", "0x10", -EINVAL },
		{ "--ports.max", " 1", -EINVAL },
		{ "--ports.max", "+1", -EINVAL },
		{ "--ports.max", "", -EINVAL },
		{ "--stale.keepalive-probes", "1", 0 },
		{ "--stale.keepalive-probes", "255", 0 },
		{ "--stale.keepalive-probes", "0", -EINVAL },
		{ "--stale.keepalive-probes", "256", -EINVAL },
		{ "--web.max-requests", "0", 0 },
		{ "--web.max-requests", "10001", -EINVAL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		assert_int_equal(PARSE(cases[i].flag, cases[i].value), cases[i].result);
}

static void test_portsets(void **state)
{
	static const struct {
		const char *text, *wrong;
		size_t count;
	} cases[] = {
		{ "", NULL, 0 },
		{ "1", NULL, 1 },
		{ "65535", NULL, 1 },
		{ "22,8000-8100", NULL, 102 },
		{ "1-65535", NULL, 65535 },
		{ "63-64,127-128", NULL, 4 },
		{ "80,80,79-81", NULL, 3 },
		{ "5-5", NULL, 1 },
		{ "0080", NULL, 1 },
		{ "0", "has a port out of range", 0 },
		{ "0-5", "has a port out of range", 0 },
		{ "65536", "has a port out of range", 0 },
		{ "1-65536", "has a port out of range", 0 },
		{ "99999999999999999999999", "has a port out of range", 0 },
		{ "6-5", "has a reversed range", 0 },
		{ "abc", "not a list of ports", 0 },
		{ "80x", "not a list of ports", 0 },
		{ ",", "not a list of ports", 0 },
		{ "80,", "not a list of ports", 0 },
		{ ",80", "not a list of ports", 0 },
		{ "80,,81", "not a list of ports", 0 },
		{ "80, 81", "not a list of ports", 0 },
		{ "80-", "not a list of ports", 0 },
		{ "1-2-3", "not a list of ports", 0 },
		{ "ssh", "not a list of ports", 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		int result = PARSE("--ports.include", cases[i].text);
		assert_int_equal(result, cases[i].wrong ? -EINVAL : 0);
		if (cases[i].wrong)
			assert_non_null(strstr(error.text, cases[i].wrong));
		else
			assert_int_equal(count_ports(&options.ports_include), cases[i].count);
	}
	assert_int_equal(PARSE("--ports.exclude=1,64-66,65535"), 0);
	assert_true(portset_has(&options.ports_exclude, 1));
	assert_false(portset_has(&options.ports_exclude, 63));
	assert_true(portset_has(&options.ports_exclude, 64));
	assert_true(portset_has(&options.ports_exclude, 66));
	assert_false(portset_has(&options.ports_exclude, 67));
	assert_true(portset_has(&options.ports_exclude, 65535));
}

static void test_error_lines(void **state)
{
	(void)state;
	assert_fails(PARSE("--collector.interval=5"),
		     "--collector.interval: \"5\" is not a duration (allowed: 100ms to 1h, such as "
		     "5s or "
		     "1m30s)");
	assert_fails(
		PARSE("--collector.interval=2h"),
		"--collector.interval: \"2h\" is out of range (allowed: 100ms to 1h, such as 5s or "
		"1m30s)");
	assert_fails(PARSE("--ports.max=many"),
		     "--ports.max: \"many\" is not a whole number (allowed: 1 to 65536)");
	assert_fails(PARSE("--log.level=INFO"),
		     "--log.level: \"INFO\" is unknown (allowed: debug|info|warn|error)");
	assert_fails(PARSE("--log.level="),
		     "--log.level: \"\" is unknown (allowed: debug|info|warn|error)");
	assert_fails(PARSE("--log.stale=yes"),
		     "--log.stale: \"yes\" is neither true nor false (allowed: true|false)");
	assert_fails(PARSE("--no-log.stale=true"),
		     "--no-log.stale: takes no value, but got \"true\" (allowed: --no-log.stale)");
	assert_fails(PARSE("--once=1"), "--once: takes no value, but got \"1\" (allowed: --once)");
	assert_fails(PARSE("--ports.max"), "--ports.max: needs a value (allowed: 1 to 65536)");
	assert_fails(PARSE("--once", "--output", "--log.stale"),
		     "--output: needs a value (allowed: a path of 1 to 1023 bytes)");
	assert_fails(PARSE("extra"), "\"extra\" is not a flag (--help lists all)");
	assert_fails(PARSE("--log.stale", "true"), "\"true\" is not a flag (--help lists all)");
	assert_fails(PARSE("-"), "\"-\" is not a flag (--help lists all)");
	assert_fails(PARSE(""), "\"\" is not a flag (--help lists all)");
	assert_fails(PARSE("--", "--once"), "\"--once\" is not a flag (--help lists all)");
}

static void test_unknown_flags(void **state)
{
	static const struct {
		const char *arg, *error;
	} cases[] = {
		{ "--log.levl=info", "--log.levl: unknown flag (did you mean --log.level?)" },
		{ "--log-level", "--log-level: unknown flag (did you mean --log.level?)" },
		{ "--Once", "--Once: unknown flag (did you mean --once?)" },
		{ "--verson", "--verson: unknown flag (did you mean --version?)" },
		{ "-stale.finwait2=1s",
		  "--stale.finwait2: unknown flag (did you mean --stale.fin-wait2?)" },
		{ "--no-log.stal", "--no-log.stal: unknown flag (did you mean --no-log.stale?)" },
		{ "--no-once", "--no-once: unknown flag (--help lists all)" },
		{ "--no-log.level", "--no-log.level: unknown flag (did you mean --log.level?)" },
		{ "--no-", "--no-: unknown flag (--help lists all)" },
		{ "--completely.different",
		  "--completely.different: unknown flag (--help lists all)" },
		{ "--=5", "--: unknown flag (--help lists all)" },
		{ "--log.level\n=x", "--log.level?: unknown flag (did you mean --log.level?)" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		assert_fails(PARSE(cases[i].arg), cases[i].error);
}

static void test_hostile_values_are_cleaned(void **state)
{
	static char value[100000];

	(void)state;
	assert_fails(PARSE("--log.level=\x1b[2J\n\xff\xc2\x9b\x7f"),
		     "--log.level: \"?[2J?????\" is unknown (allowed: debug|info|warn|error)");

	memset(value, 'w', sizeof(value) - 1);
	assert_int_equal(PARSE("--log.level", value), -EINVAL);
	assert_non_null(strstr(error.text, "www...\" is unknown (allowed"));
	assert_true(strlen(error.text) < 200);
	assert_int_equal(PARSE(value), -EINVAL);
	assert_true(strlen(error.text) < 200);
	value[0] = '-';
	assert_int_equal(PARSE(value), -EINVAL);
	assert_true(strlen(error.text) < 200);
}

static char *help_text(void)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	options_help(out);
	fclose(out);
	return text;
}

static void test_help_layout(void **state)
{
	static const char *const headings[] = { "Web:",       "Collector:", "Ports:",  "Staleness",
						"\nPaths:\n", "\nLog:\n",   "Program:" };
	char *text = help_text();
	const char *at = text;

	(void)state;
	for (size_t i = 0; i < COUNT(headings); i++) {
		at = strstr(at, headings[i]);
		assert_non_null(at);
	}
	assert_non_null(strstr(text, "  --collector.interval=DURATION  "));
	assert_non_null(strstr(text, "(default: 5s; allowed: 100ms to 1h)"));
	assert_non_null(strstr(text, "  --[no-]log.stale  "));
	assert_non_null(strstr(text, "  -h, --help  "));
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		assert_in_range(strlen(line), 1, 100);
		assert_int_not_equal(line[strlen(line) - 1], ' ');
	}
	free(text);
}

struct visit {
	const char *help;
	size_t count;
};

/* Each flag is in --help, in the same order, and takes its own default as a value. */
static void visit_flag(void *arg, const char *name, const char *values, const char *def,
		       const char *help)
{
	struct visit *visit = arg;
	char text[256];

	assert_in_range(strlen(name), 1, 64);
	assert_true(strlen(help) > 0);
	visit->help = strstr(visit->help, name);
	assert_non_null(visit->help);
	visit->count++;
	if (*def == '\0')
		return;
	assert_true(strlen(values) > 0);
	snprintf(text, sizeof(text), "--%s=%s", name, def);
	assert_int_equal(PARSE(text), 0);
}

static void test_each(void **state)
{
	char *text = help_text();
	struct visit visit = { .help = text };

	(void)state;
	options_each(visit_flag, &visit);
	assert_int_equal(visit.count, 43);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_all_flags),
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_last_wins),
		cmocka_unit_test(test_modes),
		cmocka_unit_test(test_output_needs_once),
		cmocka_unit_test(test_listen_list),
		cmocka_unit_test(test_listen_syntax),
		cmocka_unit_test(test_long_host),
		cmocka_unit_test(test_telemetry_path),
		cmocka_unit_test(test_text_lengths),
		cmocka_unit_test(test_duration),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_portsets),
		cmocka_unit_test(test_error_lines),
		cmocka_unit_test(test_unknown_flags),
		cmocka_unit_test(test_hostile_values_are_cleaned),
		cmocka_unit_test(test_help_layout),
		cmocka_unit_test(test_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
