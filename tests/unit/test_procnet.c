/* procnet: lines, files, pipes and the running kernel. */
#include "../../src/source/procnet-internal.h"
#include "tcphealth/base/address.h"
#include "tcphealth/base/clock.h"
#include "tcphealth/source/source.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define FIXTURES          "tests/fixtures/proc"
#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#define HEADER                                                                                     \
	"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  "      \
	"timeout "                                                                                 \
	"inode\n"
#define QUIET " 00000000:00000000 00:00000000 00000000   998        0 "
#define TAIL  " 1 00000000624172a6 20 4 30 10 -1"
#define ESTAB "   0: 0100007F:1F90 0200007F:C350 01" QUIET "4711" TAIL
#define ESTAB6                                                                                     \
	"   1: B80D0120000000000000000001000000:01BB B80D0120020001000400030006000500:9C40 "       \
	"01" QUIET "4711" TAIL
#define LISTEN_INODE(inode) "   0: 00000000:1F90 00000000:0000 0A" QUIET inode TAIL

/* What a dump gave. */
struct dump {
	struct tcpsock *socks;
	size_t count;
	size_t size;
	size_t stop_after; /* 0: never */
	uint64_t malformed;
	uint64_t read_ms; /* of the last */
	int err;
};

static int keep(void *arg, const struct tcpsock *socks, size_t count, uint64_t read_ms)
{
	struct dump *dump = arg;

	dump->read_ms = read_ms;
	for (size_t i = 0; i < count; i++) {
		if (dump->count == dump->size) {
			dump->size = dump->size > 0 ? dump->size * 2 : 64;
			dump->socks = realloc(dump->socks, dump->size * sizeof(*dump->socks));
			assert_non_null(dump->socks);
		}
		dump->socks[dump->count++] = socks[i];
		if (dump->count == dump->stop_after)
			return -ENOENT;
	}
	return 0;
}

static void dump_place(struct dump *dump, const char *procfs, pid_t pid, uint32_t states)
{
	const struct source_place place = { .procfs = procfs, .pid = pid };
	const struct source_query query = { .states = states };
	void *source;

	assert_int_equal(source_procfs.open(&place, &source), 0);
	dump->err = source_procfs.dump(source, &query, keep, dump);
	dump->malformed += source_procfs.skipped(source).malformed;
	source_procfs.close(source);
}

static void dump_procfs(struct dump *dump, const char *procfs, uint32_t states)
{
	dump_place(dump, procfs, 0, states);
}

static void dump_done(struct dump *dump)
{
	free(dump->socks);
	*dump = (struct dump){ 0 };
}

/* A procfs with the files net/tcp and net/tcp6. */
struct scratch {
	char dir[64];
	char net[80];
	char tcp[96];
	char tcp6[96];
};

static int make_scratch(void **state)
{
	struct scratch *scratch = calloc(1, sizeof(*scratch));

	assert_non_null(scratch);
	snprintf(scratch->dir, sizeof(scratch->dir), "/tmp/test_procnet.XXXXXX");
	assert_non_null(mkdtemp(scratch->dir));
	snprintf(scratch->net, sizeof(scratch->net), "%s/net", scratch->dir);
	assert_int_equal(mkdir(scratch->net, 0700), 0);
	snprintf(scratch->tcp, sizeof(scratch->tcp), "%s/tcp", scratch->net);
	snprintf(scratch->tcp6, sizeof(scratch->tcp6), "%s/tcp6", scratch->net);
	*state = scratch;
	return 0;
}

static int drop_scratch(void **state)
{
	struct scratch *scratch = *state;

	remove(scratch->tcp);
	remove(scratch->tcp6);
	rmdir(scratch->net);
	rmdir(scratch->dir);
	free(scratch);
	return 0;
}

static void write_text(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

/* Parses from a block that ends with the line, so that AddressSanitizer sees a read past it. */
static bool parse(const char *line, size_t len, bool v6, struct tcpsock *ret_sock)
{
	char *exact = malloc(len > 0 ? len : 1);
	bool good;

	assert_non_null(exact);
	memcpy(exact, line, len);
	good = procnet_parse_line(exact, len, v6, ret_sock);
	free(exact);
	return good;
}

static struct tcpsock parse_good(const char *line, bool v6)
{
	struct tcpsock sock;

	if (!parse(line, strlen(line), v6, &sock))
		fail_msg("not parsed: %s", line);
	assert_true(sock.id != 0);
	return sock;
}

/* One golden record: how the fixture's line must arrive. */
struct golden {
	const char *local;
	uint16_t local_port;
	const char *remote;
	uint16_t remote_port;
	uint8_t state;
	uint8_t timer;
	uint8_t timer_retransmits;
	uint8_t retransmits;
	uint8_t probes;
	uint32_t known;
	uint32_t expires_ms;
	uint32_t wqueue;
	uint32_t rqueue;
	uint32_t uid;
	uint32_t inode;
	uint32_t rto_us;
};

#define V4   "192.0.2.1", 8080, "198.51.100.7"
#define OUT  "192.0.2.1"
#define TO   "203.0.113.9", 443
#define V6   "2001:db8::1", 443
#define FULL TCPSOCK_PROBES
#define MINI TCPSOCK_MINI

static const struct golden goldens[] = {
	{ "0.0.0.0", 8080, "0.0.0.0", 0, 10, 0, 0, 0, 0, FULL, 0, 0, 3, 998, 40001, 0 },
	{ "0.0.0.0", 8080, "0.0.0.0", 0, 10, 0, 0, 0, 0, FULL, 0, 0, 0, 998, 40002, 0 },
	{ V4, 50000, 1, 2, 0, 0, 0, FULL, 7200000, 0, 0, 998, 40010, 200000 },
	{ V4, 50001, 1, 2, 3, 0, 3, FULL, 910, 0, 0, 998, 40011, 200000 },
	{ V4, 50002, 1, 1, 5, 5, 0, FULL, 4120, 1448, 0, 998, 40012, 6520000 },
	{ V4, 50003, 1, 4, 4, 0, 4, FULL, 6490, 3782144, 0, 998, 40013, 200000 },
	{ V4, 50004, 1, 0, 0, 0, 0, FULL, 0, 0, 5, 998, 0, 200000 },
	{ OUT, 50100, TO, 2, 1, 5, 5, 0, FULL, 1090, 1, 0, 1000, 40020, 2000000 },
	{ V4, 50005, 3, 1, 1, 0, 0, MINI, 790, 0, 0, 998, 0, 0 },
	{ OUT, 50101, TO, 4, 1, 2, 2, 0, FULL, 330, 1, 0, 0, 0, 400000 },
	{ OUT, 50102, TO, 5, 0, 0, 0, 0, FULL, 0, 0, 0, 1000, 40022, 200000 },
	{ OUT, 50103, TO, 5, 3, 0, 0, 0, MINI, 58320, 0, 0, 0, 0, 0 },
	{ OUT, 50104, TO, 6, 3, 0, 0, 0, MINI, 59680, 0, 0, 0, 0, 0 },
	{ OUT, 50105, TO, 7, 0, 0, 0, 0, FULL, 0, 0, 0, 1000, 40025, 200000 },
	{ V4, 50006, 8, 0, 0, 0, 0, FULL, 0, 0, 1, 998, 40026, 200000 },
	{ V4, 50007, 9, 1, 3, 3, 0, FULL, 1000, 1, 1, 998, 0, 1630000 },
	{ OUT, 50106, TO, 11, 1, 0, 0, 0, FULL, 200, 1, 1, 0, 0, 200000 },
	{ "::", 443, "::", 0, 10, 0, 0, 0, 0, FULL, 0, 0, 0, 33, 41000, 0 },
	{ V6, "2001:db8:1:2:3:4:5:6", 40000, 1, 2, 0, 0, 0, FULL, 7200000, 0, 0, 33, 41001,
	  200000 },
	{ "192.0.2.1", 443, "198.51.100.7", 40001, 8, 0, 0, 0, 0, FULL, 0, 0, 1, 33, 41002,
	  200000 },
	{ "192.0.2.1", 443, "198.51.100.7", 40002, 6, 3, 0, 0, 0, MINI, 1000, 0, 0, 0, 0, 0 },
};

static void check_addresses(const struct tcpsock *sock, const struct golden *want)
{
	char text[ADDRESS_LEN];

	assert_string_equal(address_text(&sock->local, text), want->local);
	assert_string_equal(address_text(&sock->remote, text), want->remote);
	assert_int_equal(IN6_IS_ADDR_V4MAPPED(&sock->local), strchr(want->local, ':') == NULL);
	assert_int_equal(sock->local_port, want->local_port);
	assert_int_equal(sock->remote_port, want->remote_port);
}

static void check_golden(const struct tcpsock *sock, const struct golden *want)
{
	check_addresses(sock, want);
	assert_true(sock->id != 0);
	assert_int_equal(sock->state, want->state);
	assert_int_equal(sock->info_state, want->state);
	assert_int_equal(sock->timer, want->timer);
	assert_int_equal(sock->timer_retransmits, want->timer_retransmits);
	assert_int_equal(sock->retransmits, want->retransmits);
	assert_int_equal(sock->probes, want->probes);
	assert_int_equal(sock->known, want->known);
	assert_int_equal(sock->expires_ms, want->expires_ms);
	assert_int_equal(sock->wqueue, want->wqueue);
	assert_int_equal(sock->rqueue, want->rqueue);
	assert_int_equal(sock->uid, want->uid);
	assert_int_equal(sock->inode, want->inode);
	assert_int_equal(sock->rto_us, want->rto_us);
}

static void dump_fixtures(void **state)
{
	struct dump dump = { 0 };

	(void)state;
	dump_procfs(&dump, FIXTURES, TCP_STATES_ALL);
	assert_int_equal(dump.err, 0);
	assert_int_equal(dump.malformed, 0);
	assert_int_equal(dump.count, ARRAY_SIZE(goldens));
	for (size_t i = 0; i < dump.count; i++)
		check_golden(&dump.socks[i], &goldens[i]);
	dump_done(&dump);
}

static void dump_states(void **state)
{
	(void)state;
	for (unsigned int bit = 0; bit < TCP_STATE_COUNT; bit++) {
		struct dump dump = { 0 };
		size_t want = 0;

		for (size_t i = 0; i < ARRAY_SIZE(goldens); i++)
			want += goldens[i].state == bit;
		dump_procfs(&dump, FIXTURES, TCP_STATE_BIT(bit));
		assert_int_equal(dump.count, want);
		for (size_t i = 0; i < dump.count; i++)
			assert_int_equal(dump.socks[i].state, bit);
		dump_done(&dump);
	}
}

static void parse_uid(void **state)
{
	static const char line[] =
		"   0: 0100007F:1F90 0200007F:C350 01 00000000:00000000 00:00000000 "
		"00000000 %s        0 4711" TAIL;
	static const struct {
		const char *text;
		bool good;
		uint32_t uid;
	} cases[] = {
		{ "0", true, 0 },
		{ "4294967295", true, UINT32_MAX },
		{ "4294967296", false, 0 },
		{ "-2", true, UINT32_MAX - 1 },
		{ "-2147483648", true, UINT32_C(0x80000000) },
		{ "-2147483649", false, 0 },
		{ "-", false, 0 },
		{ "--2", false, 0 },
		{ "18446744073709551616", false, 0 },
		{ "0x1", false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tcpsock sock;
		char text[256];
		int len = snprintf(text, sizeof(text), line, cases[i].text);

		assert_int_equal(parse(text, (size_t)len, false, &sock), cases[i].good);
		if (cases[i].good)
			assert_int_equal(sock.uid, cases[i].uid);
	}
}

static void parse_expires(void **state)
{
	static const char line[] = "   0: 0100007F:1F90 0200007F:C350 01 00000000:00000000 02:%s "
				   "00000000     0        0 4711" TAIL;
	static const struct {
		const char *text;
		bool good;
		uint32_t ms;
	} cases[] = {
		{ "00000000", true, 0 },           { "00000001", true, 10 },
		{ "0CCCCCCC", true, 2147483640 },  { "0CCCCCCD", true, 0 },
		{ "FFFFFFFF", true, 0 },           { "FFFFFFFFFFFFFFFF", true, 0 },
		{ "FFFFFFFFFFFFFFFF0", false, 0 }, { "0000000", false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tcpsock sock;
		char text[256];
		int len = snprintf(text, sizeof(text), line, cases[i].text);

		assert_int_equal(parse(text, (size_t)len, false, &sock), cases[i].good);
		if (cases[i].good)
			assert_int_equal(sock.expires_ms, cases[i].ms);
	}
}

static void parse_extremes(void **state)
{
	struct tcpsock sock;

	(void)state;
	sock = parse_good(
		"4294967: FFFFFFFF:FFFF FFFFFFFF:FFFF 01 FFFFFFFF:FFFFFFFF FF:FFFFFFFF FFFFFFFF "
		"4294967295 2147483647 18446744073709551615 2147483647 (ptrval) "
		"18446744073709551615 1 1 1 1 more columns",
		false);
	assert_int_equal(sock.local_port, 65535);
	assert_int_equal(sock.wqueue, UINT32_MAX);
	assert_int_equal(sock.rqueue, UINT32_MAX);
	assert_int_equal(sock.timer, 255);
	assert_int_equal(sock.retransmits, 255);
	assert_int_equal(sock.probes, 255);
	assert_int_equal(sock.inode, UINT32_MAX);
	assert_int_equal(sock.rto_us, 0);
	assert_int_equal(sock.expires_ms, 0);
}

/* A request's line ends after the pointer; one with more is a full socket: Fast Open, simultaneous open. */
static void parse_syn_recv(void **state)
{
	static const char addresses[] =
		"   8: 0100007F:1F90 0200007F:C350 03 00000000:00000000 01:0000004F "
		"00000001   998        0 0 1 000000058ff34739%s";
	static const struct {
		const char *tail;
		bool mini;
	} cases[] = { { "", true }, { "     ", true }, { " 100 0 0 10 -1", false } };
	char text[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tcpsock sock;

		snprintf(text, sizeof(text), addresses, cases[i].tail);
		sock = parse_good(text, false);
		assert_int_equal(tcpsock_knows(&sock, TCPSOCK_MINI), cases[i].mini);
		assert_int_equal(tcpsock_knows(&sock, TCPSOCK_PROBES), !cases[i].mini);
		assert_int_equal(sock.timer_retransmits, 1);
		assert_int_equal(sock.retransmits, cases[i].mini ? 0 : 1);
		assert_int_equal(sock.rto_us, cases[i].mini ? 0 : 1000000);
	}
}

static const char *const garbage[] = {
	"",
	" ",
	"\n",
	"x",
	"   0:",
	HEADER,
	"0100007F:1F90 0200007F:C350 01" QUIET "4711" TAIL,
	"   0  0100007F:1F90 0200007F:C350 01" QUIET "4711" TAIL,
	"   0: 0100007F 0200007F:C350 01" QUIET "4711" TAIL,
	"   0: 0100007:1F90 0200007F:C350 01" QUIET "4711" TAIL,
	"   0: 0100007F1:1F90 0200007F:C350 01" QUIET "4711" TAIL,
	"   0: 0100007G:1F90 0200007F:C350 01" QUIET "4711" TAIL,
	"   0: 0100007F:1F9 0200007F:C350 01" QUIET "4711" TAIL,
	"   0: 0100007F:11F90 0200007F:C350 01" QUIET "4711" TAIL,
	"   0: 0100007F:1F90 0200007F:C35 01" QUIET "4711" TAIL,
	"   0: 0100007F:1F90 0200007F:0C350 01" QUIET "4711" TAIL,
	"   0: 0100007F:1F90 0200007F:C350 1" QUIET "4711" TAIL,
	"   0: 0100007F:1F90 0200007F:C350 00" QUIET "4711" TAIL,
	"   0: 0100007F:1F90 0200007F:C350 0C" QUIET "4711" TAIL,
	"   0: 0100007F:1F90 0200007F:C350 0D" QUIET "4711" TAIL,
	"   0: 0100007F:1F90 0200007F:C350 FF" QUIET "4711" TAIL,
	"   0: 0100007F:1F90 0200007F:C350 001" QUIET "4711" TAIL,
	"   0: 0100007F:1F90 0200007F:C350 01" QUIET "18446744073709551616" TAIL,
	"   0: 0100007F:1F90 0200007F:C350 01" QUIET "47x11" TAIL,
	"   0: 0100007F:1F90 0200007F:C350 01" QUIET "4711",
	"   0: 0100007F:1F90 0200007F:C350 01" QUIET "4711 1",
	"   0: 0100007F:1F90 0200007F:C350 01" QUIET "4711 1 ",
	"   0: 0100007F:1F90 0200007F:C350 01 0000000000:00000000 00:00000000 00000000 0 0 "
	"4711" TAIL,
	"   0: 0100007F:1F90 0200007F:C350 01 00000000 00000000 00:00000000 00000000 0 0 4711" TAIL,
	"   0: 0100007F:1F90\t0200007F:C350 01" QUIET "4711" TAIL,
	"   -: 0100007F:1F90 0200007F:C350 01" QUIET "4711" TAIL,
	ESTAB6,
};

static void parse_garbage(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(garbage); i++) {
		struct tcpsock sock = { .id = 77 };

		if (parse(garbage[i], strlen(garbage[i]), false, &sock))
			fail_msg("parsed: %s", garbage[i]);
		assert_int_equal(sock.id, 77);
	}
	assert_false(parse(ESTAB, strlen(ESTAB), true, &(struct tcpsock){ 0 }));
}

/* Good is only what has its pointer, and then it is the same socket. */
static void parse_every_truncation(void **state)
{
	static const char *const lines[] = { ESTAB, ESTAB6 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct tcpsock whole = parse_good(lines[i], i == 1);
		size_t pointer = (size_t)(strstr(lines[i], "624172a6") - lines[i]) - 8;

		for (size_t cut = 0; cut <= strlen(lines[i]); cut++) {
			struct tcpsock sock;

			assert_int_equal(parse(lines[i], cut, i == 1, &sock), cut > pointer);
			if (cut > pointer)
				assert_int_equal(sock.id, whole.id);
		}
	}
}

/* Any byte may be anything. */
static void parse_every_byte_changed(void **state)
{
	char line[] = ESTAB;

	(void)state;
	for (size_t i = 0; i < sizeof(line) - 1; i++) {
		char old = line[i];

		for (int byte = 0; byte < 256; byte++) {
			struct tcpsock sock;

			line[i] = (char)byte;
			if (parse(line, sizeof(line) - 1, false, &sock))
				assert_in_range(sock.state, 1, TCP_STATE_COUNT - 1);
		}
		line[i] = old;
	}
}

static int compare_ids(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a;
	uint64_t right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

/* What a table of 65536 slots would see of neighbouring tuples: a random function fills 63.2 % of them. */
static void ids_are_spread(void **state)
{
	static uint64_t ids[65536];
	static bool slots[65536];
	size_t filled = 0;

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(ids); i++) {
		char line[256];
		struct tcpsock sock;

		snprintf(line, sizeof(line), "0: 0100007F:1F90 0200007F:%04X 01" QUIET "%u" TAIL, i,
			 i);
		sock = parse_good(line, false);
		ids[i] = sock.id;
		filled += !slots[sock.id & 0xffff];
		slots[sock.id & 0xffff] = true;
	}
	qsort(ids, ARRAY_SIZE(ids), sizeof(ids[0]), compare_ids);
	for (size_t i = 1; i < ARRAY_SIZE(ids); i++)
		assert_true(ids[i] != ids[i - 1]);
	assert_in_range(filled, 41000, 42000);
}

static void ids_depend_on_every_part(void **state)
{
	static const char *const lines[] = {
		ESTAB,
		"   0: 0100007F:1F91 0200007F:C350 01" QUIET "4711" TAIL,
		"   0: 0100007F:1F90 0200007F:C351 01" QUIET "4711" TAIL,
		"   0: 0300007F:1F90 0200007F:C350 01" QUIET "4711" TAIL,
		"   0: 0100007F:1F90 0300007F:C350 01" QUIET "4711" TAIL,
		"   0: 0200007F:C350 0100007F:1F90 01" QUIET "4711" TAIL,
		"   0: 0100007F:C350 0200007F:1F90 01" QUIET "4711" TAIL,
		"   0: 0100007F:1F90 0200007F:C350 01" QUIET "4712" TAIL,
	};
	uint64_t ids[ARRAY_SIZE(lines)];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		ids[i] = parse_good(lines[i], false).id;
		for (size_t j = 0; j < i; j++)
			assert_true(ids[i] != ids[j]);
	}
	/* The state, the queues and the place in the file are not what a socket is. */
	assert_int_equal(
		parse_good("  99: 0100007F:1F90 0200007F:C350 08 00000001:00000002 00:00000000 "
			   "00000000 1 1 4711" TAIL,
			   false)
			.id,
		ids[0]);
}

static void dump_errors(void **state)
{
	struct scratch *scratch = *state;
	struct dump dump = { 0 };
	char longer[PATH_MAX];

	dump_procfs(&dump, scratch->dir, TCP_STATES_ALL);
	assert_int_equal(dump.err, -ENOENT);
	write_text(scratch->tcp, HEADER ESTAB "\n");
	dump_procfs(&dump, scratch->dir, TCP_STATES_ALL);
	assert_int_equal(dump.err, 0);
	assert_int_equal(dump.count, 1);
	assert_int_equal(mkdir(scratch->tcp6, 0700), 0);
	dump_procfs(&dump, scratch->dir, TCP_STATES_ALL);
	assert_int_equal(dump.err, -EISDIR);
	assert_int_equal(dump.count, 2);
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	dump_procfs(&dump, longer, TCP_STATES_ALL);
	assert_int_equal(dump.err, -ENAMETOOLONG);
	assert_int_equal(dump.malformed, 0);
	dump_done(&dump);
}

/* In tcp and in tcp6; the error is not taken for a missing file. */
static void dump_ends_when_told(void **state)
{
	(void)state;
	for (size_t stop = 1; stop <= ARRAY_SIZE(goldens); stop++) {
		struct dump dump = { .stop_after = stop };

		dump_procfs(&dump, FIXTURES, TCP_STATES_ALL);
		assert_int_equal(dump.err, -ENOENT);
		assert_int_equal(dump.count, stop);
		dump_done(&dump);
	}
}

struct file_case {
	const char *tcp;
	const char *tcp6;
	size_t count;
	uint64_t malformed;
};

static const struct file_case file_cases[] = {
	{ "", "", 0, 0 },
	{ HEADER, HEADER, 0, 0 },
	{ HEADER ESTAB "\n", HEADER ESTAB6 "\n", 2, 0 },
	{ ESTAB "\n", "", 1, 0 },
	{ HEADER HEADER ESTAB "\n", "", 1, 1 },
	{ "slip\n" ESTAB "\n", "", 1, 1 },
	{ HEADER "\n\nx\n" ESTAB "\n", "y\n", 1, 4 },
	/* cut off: the line is not taken though it looks whole */
	{ HEADER ESTAB, "", 0, 1 },
	{ HEADER ESTAB "\n" ESTAB, "", 1, 1 },
	/* repeated */
	{ HEADER ESTAB "\n" ESTAB "\n", "", 1, 0 },
	{ HEADER LISTEN_INODE("1") "\n" LISTEN_INODE("1") "\n", "", 1, 0 },
	/* listeners of an SO_REUSEPORT group */
	{ HEADER LISTEN_INODE("1") "\n" LISTEN_INODE("2") "\n", "", 2, 0 },
	/* closed between two pages */
	{ HEADER ESTAB
	  "\n   0: 0100007F:1F90 0200007F:C350 06 00000000:00000000 03:00001750 00000000 "
	  "0 0 0 1 624172a6\n",
	  "", 1, 0 },
	/* a request of an IPv6 listener is in tcp, and in tcp6 once it is established */
	{ "   0: 0100007F:1F90 0200007F:C350 03 00000000:00000000 01:0000004F 00000000 0 0 0 1 "
	  "6241\n",
	  "   0: 0000000000000000FFFF00000100007F:1F90 0000000000000000FFFF00000200007F:C350 "
	  "01" QUIET "4711" TAIL "\n",
	  1, 0 },
};

static void dump_files(void **state)
{
	struct scratch *scratch = *state;

	for (size_t i = 0; i < ARRAY_SIZE(file_cases); i++) {
		struct dump dump = { 0 };

		write_text(scratch->tcp, file_cases[i].tcp);
		write_text(scratch->tcp6, file_cases[i].tcp6);
		dump_procfs(&dump, scratch->dir, TCP_STATES_ALL);
		if (dump.count != file_cases[i].count)
			fail_msg("case %zu: %zu sockets", i, dump.count);
		assert_int_equal(dump.err, 0);
		assert_int_equal(dump.malformed, file_cases[i].malformed);
		dump_done(&dump);
	}
}

/* Lines around the size of any buffer are taken or skipped as a whole, and what follows is taken. */
static void dump_long_lines(void **state)
{
	struct scratch *scratch = *state;

	for (int pad = 16000; pad < 70000; pad += pad < 16500 ? 1 : 17777) {
		struct dump dump = { 0 };
		FILE *file = fopen(scratch->tcp, "w");

		assert_non_null(file);
		fprintf(file, HEADER ESTAB "%*s\n" LISTEN_INODE("1") "\n", pad, "");
		assert_int_equal(fclose(file), 0);
		dump_procfs(&dump, scratch->dir, TCP_STATES_ALL);
		assert_int_equal(dump.err, 0);
		assert_int_equal(dump.count + dump.malformed, 2);
		assert_true(dump.count >= 1);
		assert_int_equal(dump.socks[dump.count - 1].state, TCP_STATE_LISTEN);
		dump_done(&dump);
	}
}

/* Every socket twice, in another order the second time. */
static void dump_many(void **state)
{
	struct scratch *scratch = *state;
	struct dump dump = { 0 };
	FILE *file = fopen(scratch->tcp, "w");

	assert_non_null(file);
	for (unsigned int i = 0; i < 40000; i++)
		fprintf(file, "%u: 0100007F:1F90 0200007F:%04X 01" QUIET "%u" TAIL "\n", i,
			i % 20000 * 3, i % 20000 + 1);
	assert_int_equal(fclose(file), 0);
	dump_procfs(&dump, scratch->dir, TCP_STATES_ALL);
	assert_int_equal(dump.err, 0);
	assert_int_equal(dump.count, 20000);
	for (unsigned int i = 0; i < dump.count; i++)
		assert_int_equal(dump.socks[i].remote_port, i * 3);
	dump_done(&dump);
}

/* Writes a text into a pipe in pieces, each once the reader has taken the one before. */
struct feeder {
	const char *path;
	const char *text;
	size_t cut;
	pthread_t reader;
	int signal; /* 0: none */
	bool failed;
};

static bool wait_until_read(int fd)
{
	const struct timespec pause = { .tv_nsec = 50000 };

	for (int i = 0; i < 100000; i++) {
		int left = 0;

		if (ioctl(fd, FIONREAD, &left) < 0)
			return false;
		if (left == 0)
			return true;
		nanosleep(&pause, NULL);
	}
	return false;
}

static void *feed(void *arg)
{
	struct feeder *feeder = arg;
	size_t rest = strlen(feeder->text) - feeder->cut;
	int fd = open(feeder->path, O_WRONLY | O_CLOEXEC);

	feeder->failed = fd < 0 || write(fd, feeder->text, feeder->cut) != (ssize_t)feeder->cut ||
			 !wait_until_read(fd);
	if (feeder->signal != 0)
		feeder->failed |= pthread_kill(feeder->reader, feeder->signal) != 0;
	if (!feeder->failed)
		feeder->failed = write(fd, feeder->text + feeder->cut, rest) != (ssize_t)rest;
	if (fd >= 0)
		close(fd);
	return NULL;
}

static void dump_fed(const struct scratch *scratch, struct feeder *feeder)
{
	struct dump dump = { 0 };
	pthread_t thread;

	feeder->path = scratch->tcp;
	feeder->reader = pthread_self();
	assert_int_equal(pthread_create(&thread, NULL, feed, feeder), 0);
	dump_procfs(&dump, scratch->dir, TCP_STATES_ALL);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_false(feeder->failed);
	assert_int_equal(dump.err, 0);
	assert_int_equal(dump.count, 2);
	assert_int_equal(dump.socks[0].inode, 4711);
	assert_int_equal(dump.socks[1].inode, 4712);
	assert_int_equal(dump.malformed, 0);
	dump_done(&dump);
}

static const char fed_text[] = HEADER ESTAB "\n" LISTEN_INODE("4712") "\n";

static void dump_split_at_every_byte(void **state)
{
	struct scratch *scratch = *state;

	assert_int_equal(mkfifo(scratch->tcp, 0600), 0);
	for (size_t cut = 0; cut <= strlen(fed_text); cut++)
		dump_fed(scratch, &(struct feeder){ .text = fed_text, .cut = cut });
}

static volatile sig_atomic_t signals_taken;

static void take_signal(int number)
{
	(void)number;
	signals_taken++;
}

static void dump_interrupted(void **state)
{
	struct scratch *scratch = *state;
	struct sigaction action = { .sa_handler = take_signal };
	struct sigaction old;

	signals_taken = 0;
	assert_int_equal(sigaction(SIGUSR1, &action, &old), 0);
	assert_int_equal(mkfifo(scratch->tcp, 0600), 0);
	for (int i = 0; i < 50; i++)
		dump_fed(scratch,
			 &(struct feeder){ .text = fed_text, .cut = 150, .signal = SIGUSR1 });
	assert_int_equal(sigaction(SIGUSR1, &old, NULL), 0);
	assert_int_equal(signals_taken, 50);
}

/*
 * The running kernel: a namespace of its own with sockets in most states, compared with what ss says of them.
 */

#define ALIVE_MAX 64

struct alive {
	int fds[ALIVE_MAX];
	size_t count;
};

static int keep_alive(struct alive *alive, int fd)
{
	assert_true(fd >= 0);
	assert_true(alive->count < ALIVE_MAX);
	alive->fds[alive->count++] = fd;
	return fd;
}

static struct sockaddr_in6 address(const char *text, uint16_t port)
{
	struct sockaddr_in6 addr = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct in_addr v4;

	if (inet_pton(AF_INET, text, &v4) == 1)
		addr.sin6_addr = address_v4(v4.s_addr);
	else
		assert_int_equal(inet_pton(AF_INET6, text, &addr.sin6_addr), 1);
	return addr;
}

/* bind() or connect() to a v4-mapped address goes by AF_INET where the socket does. */
static int with_address(int (*call)(int, const struct sockaddr *, socklen_t), int fd, int family,
			struct sockaddr_in6 addr)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = addr.sin6_port };

	if (family == AF_INET6)
		return call(fd, (const struct sockaddr *)&addr, sizeof(addr));
	memcpy(&v4.sin_addr, &addr.sin6_addr.s6_addr[12], sizeof(v4.sin_addr));
	return call(fd, (const struct sockaddr *)&v4, sizeof(v4));
}

static int listen_on(struct alive *alive, int family, const char *addr, uint16_t port, int backlog)
{
	int fd = keep_alive(alive, socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
	int on = 1;

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)), 0);
	assert_int_equal(with_address(bind, fd, family, address(addr, port)), 0);
	assert_int_equal(listen(fd, backlog), 0);
	return fd;
}

static int connect_to(struct alive *alive, int family, const char *addr, uint16_t port)
{
	int fd = keep_alive(alive, socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));

	assert_int_equal(with_address(connect, fd, family, address(addr, port)), 0);
	return fd;
}

static int connect_later(struct alive *alive, const char *addr, uint16_t port)
{
	int fd = keep_alive(alive, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));

	assert_int_equal(with_address(connect, fd, AF_INET, address(addr, port)), -1);
	assert_int_equal(errno, EINPROGRESS);
	return fd;
}

static int accept_from(struct alive *alive, int listener)
{
	return keep_alive(alive, accept4(listener, NULL, NULL, SOCK_CLOEXEC));
}

/* Closes now, to leave an orphan or a mini. */
static void close_now(struct alive *alive, int fd)
{
	for (size_t i = 0; i < alive->count; i++) {
		if (alive->fds[i] == fd)
			alive->fds[i] = alive->fds[--alive->count];
	}
	assert_int_equal(close(fd), 0);
}

static void close_all(struct alive *alive)
{
	while (alive->count > 0)
		close(alive->fds[--alive->count]);
}

static void set_int(int fd, int level, int option, int value)
{
	assert_int_equal(setsockopt(fd, level, option, &value, sizeof(value)), 0);
}

static void make_pairs(struct alive *alive)
{
	int listener = listen_on(alive, AF_INET, "127.0.0.1", 8001, 16);
	int client = connect_to(alive, AF_INET, "127.0.0.1", 8001);
	int server = accept_from(alive, listener);

	assert_int_equal(send(client, "hello", 5, 0), 5);
	set_int(server, SOL_SOCKET, SO_KEEPALIVE, 1);
	connect_to(alive, AF_INET, "127.0.0.1", 8001); /* nobody accepts it */
	listener = listen_on(alive, AF_INET6, "::1", 8002, 16);
	connect_to(alive, AF_INET6, "::1", 8002);
	accept_from(alive, listener);
	listener = listen_on(alive, AF_INET6, "::", 8003, 16);
	connect_to(alive, AF_INET, "127.0.0.3", 8003);
	accept_from(alive, listener);
	connect_to(alive, AF_INET6, "::ffff:127.0.0.4", 8003);
	accept_from(alive, listener);
	listen_on(alive, AF_INET, "0.0.0.0", 8006, 5);
	listen_on(alive, AF_INET, "0.0.0.0", 8006, 5);
}

static void make_closing(struct alive *alive)
{
	int listener = listen_on(alive, AF_INET, "127.0.0.1", 8010, 16);
	int client = connect_to(alive, AF_INET, "127.0.0.1", 8010);
	int server;

	accept_from(alive, listener);
	assert_int_equal(shutdown(client, SHUT_WR), 0); /* FIN_WAIT2 and CLOSE_WAIT */
	client = connect_to(alive, AF_INET, "127.0.0.1", 8010);
	accept_from(alive, listener);
	close_now(alive, client); /* a FIN_WAIT2 mini and CLOSE_WAIT */
	client = connect_to(alive, AF_INET, "127.0.0.1", 8010);
	server = accept_from(alive, listener);
	close_now(alive, client);
	close_now(alive, server); /* TIME_WAIT */
}

static void make_opening(struct alive *alive)
{
	int listener = listen_on(alive, AF_INET, "127.0.0.1", 8020, 16);

	set_int(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, 60);
	connect_to(alive, AF_INET, "127.0.0.1", 8020); /* SYN_RECV until data comes */
	listen_on(alive, AF_INET, "127.0.0.1", 8021, 0);
	connect_to(alive, AF_INET, "127.0.0.1", 8021);
	connect_later(alive, "127.0.0.1", 8021); /* SYN_SENT: the accept queue is full */
}

static void loopback_up(void)
{
	struct ifreq request = { .ifr_name = "lo" };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &request), 0);
	request.ifr_flags |= IFF_UP;
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &request), 0);
	close(fd);
}

static void dump_own(struct dump *dump)
{
	dump_done(dump);
	dump_procfs(dump, "/proc", TCP_STATES_ALL);
	assert_int_equal(dump->err, 0);
	assert_int_equal(dump->malformed, 0);
}

static const size_t expected_states[TCP_STATE_COUNT] = {
	[TCP_STATE_ESTABLISHED] = 2 + 2 + 2 + 2 + 2 + 1 + 2,
	[TCP_STATE_SYN_SENT] = 1,
	[TCP_STATE_SYN_RECV] = 1,
	[TCP_STATE_FIN_WAIT2] = 2,
	[TCP_STATE_TIME_WAIT] = 1,
	[TCP_STATE_CLOSE_WAIT] = 2,
	[TCP_STATE_LISTEN] = 8,
};

static bool states_reached(const struct dump *dump)
{
	size_t states[TCP_STATE_COUNT] = { 0 };

	for (size_t i = 0; i < dump->count; i++)
		states[dump->socks[i].state]++;
	return memcmp(states, expected_states, sizeof(states)) == 0;
}

/* The last FINs and handshakes may take a moment. */
static void dump_settled(struct dump *dump)
{
	const struct timespec pause = { .tv_nsec = 10000000 };

	for (int i = 0; i < 500; i++) {
		dump_own(dump);
		if (states_reached(dump))
			return;
		nanosleep(&pause, NULL);
	}
	fail_msg("the states were not reached, %zu sockets", dump->count);
}

/* "ESTAB 5 0 127.0.0.1:8001 127.0.0.1:40000" */
#define ROW_LEN 256
struct rows {
	char text[ALIVE_MAX][ROW_LEN];
	size_t count;
};

static const char *const ss_names[TCP_STATE_COUNT] = {
	"?",         "ESTAB",  "SYN-SENT",   "SYN-RECV", "FIN-WAIT-1", "FIN-WAIT-2",
	"TIME-WAIT", "UNCONN", "CLOSE-WAIT", "LAST-ACK", "LISTEN",     "CLOSING",
};

static void add_row(struct rows *rows, const char *state, const char *queues, const char *local,
		    const char *remote)
{
	assert_true(rows->count < ALIVE_MAX);
	snprintf(rows->text[rows->count++], ROW_LEN, "%s %s %s %s", state, queues, local, remote);
}

static void add_record(struct rows *rows, const struct tcpsock *sock)
{
	char queues[32];
	char local[64];
	char remote[64];
	char text[ADDRESS_LEN];

	snprintf(queues, sizeof(queues), "%u %u", sock->rqueue, sock->wqueue);
	snprintf(local, sizeof(local), "%s:%u", address_text(&sock->local, text), sock->local_port);
	snprintf(remote, sizeof(remote), "%s:%u", address_text(&sock->remote, text),
		 sock->remote_port);
	add_row(rows, ss_names[sock->state], queues, local, remote);
}

/* ss writes [::1]:80, [::ffff:127.0.0.1]:80, *:80 and 0.0.0.0:*. */
static void plain_address(const char *text, char *dst, size_t size)
{
	const char *colon = strrchr(text, ':');
	int len;

	assert_non_null(colon);
	len = (int)(colon - text);
	if (text[0] == '[') {
		text++;
		len -= 2;
	}
	if (strncmp(text, "::ffff:", 7) == 0) {
		text += 7;
		len -= 7;
	}
	if (text[0] == '*') {
		text = "::";
		len = 2;
	}
	snprintf(dst, size, "%.*s:%s", len, text, colon[1] == '*' ? "0" : colon + 1);
}

static void add_ss_line(struct rows *rows, const char *line)
{
	char state[16];
	char rqueue[16];
	char wqueue[16];
	char local[64];
	char remote[64];
	char queues[40];
	char plain[2][80];

	assert_int_equal(
		sscanf(line, "%15s %15s %15s %63s %63s", state, rqueue, wqueue, local, remote), 5);
	/* Only netlink knows the backlog. */
	snprintf(queues, sizeof(queues), "%s %s", rqueue,
		 strcmp(state, "LISTEN") == 0 ? "0" : wqueue);
	plain_address(local, plain[0], sizeof(plain[0]));
	plain_address(remote, plain[1], sizeof(plain[1]));
	add_row(rows, state, queues, plain[0], plain[1]);
}

static void read_ss(struct rows *rows)
{
	char line[1024];
	FILE *pipe = popen("ss -tanH", "r");

	assert_non_null(pipe);
	while (fgets(line, sizeof(line), pipe))
		add_ss_line(rows, line);
	assert_int_equal(pclose(pipe), 0);
}

static int compare_rows(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void compare_with_ss(const struct dump *dump)
{
	static struct rows own;
	static struct rows theirs;

	own.count = 0;
	theirs.count = 0;
	for (size_t i = 0; i < dump->count; i++)
		add_record(&own, &dump->socks[i]);
	read_ss(&theirs);
	qsort(own.text, own.count, ROW_LEN, compare_rows);
	qsort(theirs.text, theirs.count, ROW_LEN, compare_rows);
	for (size_t i = 0; i < own.count && i < theirs.count; i++)
		assert_string_equal(own.text[i], theirs.text[i]);
	assert_int_equal(own.count, theirs.count);
}

/* A descriptor's record by its inode. */
static struct tcpsock find_record(const struct dump *dump, int fd)
{
	struct stat stat;

	assert_int_equal(fstat(fd, &stat), 0);
	for (size_t i = 0; i < dump->count; i++) {
		if (dump->socks[i].inode == stat.st_ino)
			return dump->socks[i];
	}
	fail_msg("no record of inode %lu", (unsigned long)stat.st_ino);
	return (struct tcpsock){ 0 };
}

static void check_keepalive(const struct tcpsock *sock, int fd)
{
	int keepalive = 0;
	socklen_t len = sizeof(keepalive);

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &keepalive, &len), 0);
	assert_int_equal(sock->timer, keepalive ? TCP_TIMER_KEEPALIVE : TCP_TIMER_NONE);
	if (keepalive)
		assert_in_range(sock->expires_ms, 7100000, 7200000);
}

static void compare_with_tcp_info(const struct dump *dump, int fd)
{
	struct tcpsock sock = find_record(dump, fd);
	struct tcp_info info;
	socklen_t len = sizeof(info);

	assert_int_equal(sock.uid, getuid());
	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
	assert_int_equal(sock.state, info.tcpi_state);
	if (sock.state != TCP_STATE_ESTABLISHED)
		return;
	assert_int_equal(sock.probes, info.tcpi_probes);
	assert_int_equal(sock.rto_us, info.tcpi_rto / 10000 * 10000);
	check_keepalive(&sock, fd);
}

static void check_minis(const struct dump *dump)
{
	size_t minis = 0;

	for (size_t i = 0; i < dump->count; i++) {
		const struct tcpsock *sock = &dump->socks[i];

		if (!tcpsock_knows(sock, TCPSOCK_MINI))
			continue;
		minis++;
		assert_int_equal(sock->inode, 0);
		assert_int_equal(sock->timer, sock->state == TCP_STATE_SYN_RECV ? 1 : 3);
		assert_in_range(sock->expires_ms, 0, 60000);
	}
	assert_int_equal(minis, 3);
}

static void dump_running_kernel(void **state)
{
	struct alive alive = { 0 };
	struct dump dump = { 0 }, inside = { 0 };
	uint64_t before_ms = clock_mono_ms();

	(void)state;
	if (system("command -v ss >/dev/null") != 0 || unshare(CLONE_NEWNET) < 0)
		skip();
	loopback_up();
	make_pairs(&alive);
	make_closing(&alive);
	make_opening(&alive);
	dump_settled(&dump);
	compare_with_ss(&dump);
	for (size_t i = 0; i < alive.count; i++)
		compare_with_tcp_info(&dump, alive.fds[i]);
	check_minis(&dump);
	assert_in_range(dump.read_ms, before_ms, clock_mono_coarse_ms());
	dump_place(&inside, "/proc", getpid(), TCP_STATES_ALL);
	assert_int_equal(inside.count, dump.count);
	dump_done(&inside);
	dump_done(&dump);
	close_all(&alive);
}

#define SCRATCH_TEST(test) cmocka_unit_test_setup_teardown(test, make_scratch, drop_scratch)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dump_fixtures),
		cmocka_unit_test(dump_states),
		cmocka_unit_test(dump_ends_when_told),
		cmocka_unit_test(parse_uid),
		cmocka_unit_test(parse_expires),
		cmocka_unit_test(parse_extremes),
		cmocka_unit_test(parse_syn_recv),
		cmocka_unit_test(parse_garbage),
		cmocka_unit_test(parse_every_truncation),
		cmocka_unit_test(parse_every_byte_changed),
		cmocka_unit_test(ids_are_spread),
		cmocka_unit_test(ids_depend_on_every_part),
		SCRATCH_TEST(dump_errors),
		SCRATCH_TEST(dump_files),
		SCRATCH_TEST(dump_long_lines),
		SCRATCH_TEST(dump_many),
		SCRATCH_TEST(dump_split_at_every_byte),
		SCRATCH_TEST(dump_interrupted),
		/* The last: it leaves this thread in a namespace of its own. */
		cmocka_unit_test(dump_running_kernel),
	};

	/* A reader that gave up early is a failed test, not the end of the program. */
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("procnet", tests, NULL, NULL);
}
