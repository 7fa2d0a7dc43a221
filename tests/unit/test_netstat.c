/* netstat: counters and settings from fixtures, broken texts and the running kernel. */
#include "tcphealth/source/netstat.h"

#include "tcphealth/base/file.h"
#include "tcphealth/source/procfs.h"

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define FIXTURES "tests/fixtures/proc"
#define BIT(key) (UINT32_C(1) << (key))

static struct netstat parse(const char *text)
{
	struct netstat netstat = { 0 };
	char *exact = strdup(text);

	assert_non_null(exact);
	netstat_parse(exact, &netstat);
	free(exact);
	return netstat;
}

/* The fixtures number the counters in the order of the enumeration, from 101. */
static void read_fixtures(void **state)
{
	struct netstat netstat;

	(void)state;
	netstat_read(FIXTURES "/net", &netstat);
	assert_int_equal(netstat.known, BIT(NETSTAT_COUNT) - 1);
	for (unsigned int i = 0; i < NETSTAT_COUNT; i++)
		assert_int_equal(netstat.value[i], 101 + i);
}

static void read_nothing(void **state)
{
	struct netstat netstat;
	char longer[PATH_MAX];

	(void)state;
	memset(&netstat, 0xff, sizeof(netstat));
	netstat_read("/nonexistent", &netstat);
	assert_int_equal(netstat.known, 0);
	assert_int_equal(netstat.value[NETSTAT_OUT_SEGS], 0);
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	netstat_read(longer, &netstat);
	assert_int_equal(netstat.known, 0);
}

static void read_own_kernel(void **state)
{
	struct netstat netstat;
	char dir[PATH_MAX];

	(void)state;
	if (access("/proc/thread-self/net/netstat", R_OK) < 0)
		skip();
	assert_int_equal(procfs_net_dir("/proc", 0, dir, sizeof(dir)), 0);
	netstat_read(dir, &netstat);
	assert_int_equal(netstat.known, BIT(NETSTAT_COUNT) - 1);
}

struct parse_case {
	const char *text;
	uint32_t known;
	uint64_t active_opens;
	uint64_t out_rsts;
	uint64_t listen_drops;
};

#define OPENS BIT(NETSTAT_ACTIVE_OPENS)
#define RSTS  BIT(NETSTAT_OUT_RSTS)
#define DROPS BIT(NETSTAT_LISTEN_DROPS)

static const struct parse_case parse_cases[] = {
	{ "", 0, 0, 0, 0 },
	{ "\n\n", 0, 0, 0, 0 },
	{ "Tcp: ActiveOpens OutRsts\nTcp: 1 2\n", OPENS | RSTS, 1, 2, 0 },
	/* reordered, with strange neighbours */
	{ "Tcp: OutRsts New ActiveOpens MaxConn\nTcp: 3 4 5 -1\n", OPENS | RSTS, 5, 3, 0 },
	/* one of the lines is shorter */
	{ "Tcp: OutRsts ActiveOpens\nTcp: 3\n", RSTS, 0, 3, 0 },
	{ "Tcp: OutRsts\nTcp: 3 4 5\n", RSTS, 0, 3, 0 },
	{ "Tcp:\nTcp: 3 4 5\n", 0, 0, 0, 0 },
	{ "Tcp: OutRsts\nTcp:\n", 0, 0, 0, 0 },
	/* the last word of a text without a final newline may be half a number */
	{ "Tcp: ActiveOpens OutRsts\nTcp: 1 2", OPENS, 1, 0, 0 },
	{ "Tcp: ActiveOpens OutRsts\nTcp:", 0, 0, 0, 0 },
	{ "Tcp: ActiveOpens OutRsts\n", 0, 0, 0, 0 },
	{ "Tcp: ActiveOpens OutRsts", 0, 0, 0, 0 },
	/* not a counter's number: that one is not known, its neighbours are */
	{ "Tcp: ActiveOpens OutRsts\nTcp: -1 2\n", RSTS, 0, 2, 0 },
	{ "Tcp: ActiveOpens OutRsts\nTcp: 0x1 2\n", RSTS, 0, 2, 0 },
	{ "Tcp: ActiveOpens OutRsts\nTcp: +1 2\n", RSTS, 0, 2, 0 },
	{ "Tcp: ActiveOpens OutRsts\nTcp: 1k 2\n", RSTS, 0, 2, 0 },
	{ "Tcp: ActiveOpens OutRsts\nTcp: 18446744073709551615 18446744073709551616\n", OPENS,
	  UINT64_MAX, 0, 0 },
	/* a name is of its group */
	{ "TcpExt: ActiveOpens ListenDrops\nTcpExt: 1 2\n", DROPS, 0, 0, 2 },
	{ "Tcp: ListenDrops OutRsts\nTcp: 1 2\n", RSTS, 0, 2, 0 },
	{ "UdpTcp: OutRsts\nUdpTcp: 1\n", 0, 0, 0, 0 },
	{ "Tcp: OutRstsX XOutRsts OutRst\nTcp: 1 2 3\n", 0, 0, 0, 0 },
	/* lines that make no pair */
	{ "Tcp: OutRsts\nUdp: OutRsts\nTcp: 1\n", 0, 0, 0, 0 },
	{ "Tcp: OutRsts\n\nTcp: 1\n", 0, 0, 0, 0 },
	{ "Tcp: OutRsts\nTcp 1\n", 0, 0, 0, 0 },
	{ "OutRsts\n1\n", 0, 0, 0, 0 },
	{ ": OutRsts\n: 1\n", 0, 0, 0, 0 },
	{ "Udp: A\nTcp: OutRsts\nTcp: 7\nTcpExt: ListenDrops\nTcpExt: 8\n", RSTS | DROPS, 0, 7, 8 },
	{ "Tcp:  OutRsts \tActiveOpens \r\nTcp:\t7   8\r\n", OPENS | RSTS, 8, 7, 0 },
};

static void parse_texts(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(parse_cases) / sizeof(parse_cases[0]); i++) {
		const struct parse_case *c = &parse_cases[i];
		struct netstat netstat = parse(c->text);

		if (netstat.known != c->known)
			fail_msg("case %zu: known %#x, not %#x", i, netstat.known, c->known);
		assert_int_equal(netstat.value[NETSTAT_ACTIVE_OPENS], c->active_opens);
		assert_int_equal(netstat.value[NETSTAT_OUT_RSTS], c->out_rsts);
		assert_int_equal(netstat.value[NETSTAT_LISTEN_DROPS], c->listen_drops);
	}
}

static void parse_adds(void **state)
{
	static const char tcp[] = "Tcp: OutRsts\nTcp: 7\n";
	static const char ext[] = "TcpExt: ListenDrops\nTcpExt: 8\n";
	struct netstat netstat = { 0 };

	(void)state;
	netstat_parse(tcp, &netstat);
	netstat_parse(ext, &netstat);
	netstat_parse("", &netstat);
	assert_int_equal(netstat.known, RSTS | DROPS);
	assert_int_equal(netstat.value[NETSTAT_OUT_RSTS], 7);
	assert_int_equal(netstat.value[NETSTAT_LISTEN_DROPS], 8);
}

/* However much of the text is there, what is known is right. */
static void parse_every_truncation(void **state)
{
	static const char *const files[] = { FIXTURES "/net/snmp", FIXTURES "/net/netstat" };
	char text[16 * 1024];

	(void)state;
	for (size_t f = 0; f < 2; f++) {
		ssize_t len = file_read(AT_FDCWD, files[f], text, sizeof(text));

		assert_true(len > 0);
		for (size_t cut = 0; cut <= (size_t)len; cut++) {
			struct netstat netstat = { 0 };
			char *exact = strndup(text, cut);

			assert_non_null(exact);
			netstat_parse(exact, &netstat);
			free(exact);
			for (unsigned int i = 0; i < NETSTAT_COUNT; i++)
				assert_int_equal(netstat.value[i],
						 netstat.known & BIT(i) ? 101 + i : 0);
		}
	}
}

static void sysctl_fixtures(void **state)
{
	static const uint32_t want[NETSYSCTL_COUNT] = { 600,   20, 6, 8, 30, 100000, 20000,
							29999, 3,  2, 0, 1,  2500 };
	struct netsysctl sysctl;

	(void)state;
	netsysctl_defaults(&sysctl);
	netsysctl_read(FIXTURES, &sysctl);
	assert_int_equal(sysctl.known, BIT(NETSYSCTL_COUNT) - 1);
	assert_memory_equal(sysctl.value, want, sizeof(want));
}

static void sysctl_defaults(void **state)
{
	static const uint32_t want[NETSYSCTL_COUNT] = { 7200,  75, 9, 15, 60, 200000, 32768,
							60999, 6,  0, 1,  2,  1000 };
	struct netsysctl sysctl;

	(void)state;
	memset(&sysctl, 0xff, sizeof(sysctl));
	netsysctl_defaults(&sysctl);
	assert_int_equal(sysctl.known, 0);
	assert_memory_equal(sysctl.value, want, sizeof(want));
	netsysctl_read("/nonexistent", &sysctl);
	assert_int_equal(sysctl.known, 0);
	assert_memory_equal(sysctl.value, want, sizeof(want));
}

/* Out of descriptors, say. */
static void sysctl_stays(void **state)
{
	struct netsysctl sysctl, before;

	(void)state;
	netsysctl_defaults(&sysctl);
	netsysctl_read(FIXTURES, &sysctl);
	before = sysctl;
	netsysctl_read("/nonexistent", &sysctl);
	assert_memory_equal(&sysctl, &before, sizeof(before));
}

static void reserved_ports(void **state)
{
	static const uint16_t in[] = { 20000, 20002, 20003, 20004, 65535 },
			      out[] = { 0, 1, 19999, 20001, 20005, 65534 };
	struct portset set;

	(void)state;
	netsysctl_read_reserved(FIXTURES, &set);
	for (size_t i = 0; i < sizeof(in) / sizeof(in[0]); i++)
		assert_true(portset_has(&set, in[i]));
	for (size_t i = 0; i < sizeof(out) / sizeof(out[0]); i++)
		assert_false(portset_has(&set, out[i]));
	netsysctl_read_reserved("/nonexistent", &set);
	assert_false(portset_has(&set, 20000));
}

struct sysctl_case {
	const char *file;
	const char *text;
	uint32_t known;
	uint32_t first;
	uint32_t second;
};

#define RANGE (BIT(NETSYSCTL_PORT_LOW) | BIT(NETSYSCTL_PORT_HIGH))
#define TIME  BIT(NETSYSCTL_KEEPALIVE_TIME)

static const struct sysctl_case sysctl_cases[] = {
	{ "ip_local_port_range", "1\t65535\n", RANGE, 1, 65535 },
	{ "ip_local_port_range", "5000 5000\n", RANGE, 5000, 5000 },
	{ "ip_local_port_range", "0\t65535\n", 0, 32768, 60999 },
	{ "ip_local_port_range", "1\t65536\n", 0, 32768, 60999 },
	{ "ip_local_port_range", "5000\t4999\n", 0, 32768, 60999 },
	{ "ip_local_port_range", "-1\t4999\n", 0, 32768, 60999 },
	{ "ip_local_port_range", "5000\n", 0, 32768, 60999 },
	{ "ip_local_port_range", "1 2 3\n", 0, 32768, 60999 },
	{ "ip_local_port_range", "1\t65535", 0, 32768, 60999 },
	{ "tcp_keepalive_time", "0\n", TIME, 0, 75 },
	{ "tcp_keepalive_time", "2147483647\n", TIME, INT32_MAX, 75 },
	{ "tcp_keepalive_time", "2147483648\n", 0, 7200, 75 },
	{ "tcp_keepalive_time", "99999999999999999999999\n", 0, 7200, 75 },
	{ "tcp_keepalive_time", "-5\n", 0, 7200, 75 },
	{ "tcp_keepalive_time", "\n", 0, 7200, 75 },
	{ "tcp_keepalive_time", "", 0, 7200, 75 },
	{ "tcp_keepalive_time", "72 00\n", 0, 7200, 75 },
	{ "tcp_keepalive_time", "72x\n", 0, 7200, 75 },
	{ "tcp_keepalive_time", "1                                                              \n",
	  0, 7200, 75 },
};

static void write_text(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void try_sysctl(const char *root, const struct sysctl_case *c)
{
	bool range = strcmp(c->file, "ip_local_port_range") == 0;
	unsigned int first = range ? NETSYSCTL_PORT_LOW : NETSYSCTL_KEEPALIVE_TIME;
	struct netsysctl sysctl;
	char path[256];

	snprintf(path, sizeof(path), "%s/sys/net/ipv4/%s", root, c->file);
	write_text(path, c->text);
	netsysctl_defaults(&sysctl);
	netsysctl_read(root, &sysctl);
	unlink(path);
	if (sysctl.known != c->known)
		fail_msg("%s \"%s\": known %#x", c->file, c->text, sysctl.known);
	assert_int_equal(sysctl.value[first], c->first);
	assert_int_equal(sysctl.value[first + 1], c->second);
}

static void sysctl_texts(void **state)
{
	static const char *const dirs[] = { "", "/sys", "/sys/net", "/sys/net/ipv4" };
	char root[] = "/tmp/test_netstat.XXXXXX";
	char path[256];

	(void)state;
	assert_non_null(mkdtemp(root));
	for (size_t i = 1; i < 4; i++) {
		snprintf(path, sizeof(path), "%s%s", root, dirs[i]);
		assert_int_equal(mkdir(path, 0700), 0);
	}
	for (size_t i = 0; i < sizeof(sysctl_cases) / sizeof(sysctl_cases[0]); i++)
		try_sysctl(root, &sysctl_cases[i]);
	for (size_t i = 4; i-- > 0;) {
		snprintf(path, sizeof(path), "%s%s", root, dirs[i]);
		assert_int_equal(rmdir(path), 0);
	}
}

static void sysctl_own_kernel(void **state)
{
	struct netsysctl sysctl;

	(void)state;
	if (access("/proc/sys/net/ipv4/tcp_retries2", R_OK) < 0)
		skip();
	netsysctl_defaults(&sysctl);
	netsysctl_read("/proc", &sysctl);
	assert_int_equal(sysctl.known, BIT(NETSYSCTL_COUNT) - 1);
	assert_true(sysctl.value[NETSYSCTL_PORT_LOW] <= sysctl.value[NETSYSCTL_PORT_HIGH]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(read_fixtures),     cmocka_unit_test(read_nothing),
		cmocka_unit_test(read_own_kernel),   cmocka_unit_test(parse_texts),
		cmocka_unit_test(parse_adds),        cmocka_unit_test(parse_every_truncation),
		cmocka_unit_test(sysctl_fixtures),   cmocka_unit_test(sysctl_defaults),
		cmocka_unit_test(sysctl_stays),      cmocka_unit_test(sysctl_texts),
		cmocka_unit_test(sysctl_own_kernel), cmocka_unit_test(reserved_ports),
	};

	return cmocka_run_group_tests_name("netstat", tests, NULL, NULL);
}
