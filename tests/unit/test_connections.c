/*
 * Tests of connections: what may be asked, what is picked from the tables in /proc that a test writes, and how it is shown.
 */
#include "tcphealth/app/connections.h"

#include "helpers/records.h"
#include "tcphealth/app/chooser.h"

#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* The kernel's clock, in the place of the C library's: dumps bear its time. */
static uint64_t clock_ms;

int clock_gettime(clockid_t id, struct timespec *now)
{
	(void)id;
	*now = (struct timespec){ .tv_sec = (time_t)(clock_ms / 1000),
				  .tv_nsec = (long)(clock_ms % 1000 * 1000000) };
	return 0;
}

/* -- what may be asked ------------------------------------------------------------------------------ */

/* "key=value" pairs, one string each; the last is NULL. */
static const char *find_word(void *arg, const char *key)
{
	const char *const *words = arg;
	size_t len = strlen(key);

	for (; *words != NULL; words++) {
		if (strncmp(*words, key, len) == 0 && (*words)[len] == '=')
			return *words + len + 1;
	}
	return NULL;
}

static struct connections_query parse(const char *const *words)
{
	struct connections_query query;
	struct buf why;

	buf_init(&why, 0);
	assert_int_equal(connections_parse(find_word, (void *)(uintptr_t)words, &query, &why), 0);
	assert_int_equal(why.len, 0);
	buf_done(&why);
	return query;
}

static void test_nothing_asked_is_everything_with_a_limit(void **state)
{
	struct connections_query query = parse((const char *const[]){ NULL });

	(void)state;
	assert_false(query.has_port || query.has_role || query.has_state || query.has_reason);
	assert_false(query.stale_only || query.holders);
	assert_int_equal(query.limit, CONNECTIONS_LIMIT);
	assert_int_equal(query.states & TCP_STATE_BIT(TCP_STATE_LISTEN), 0);
	for (unsigned int i = 1; i < TCP_STATE_COUNT; i++)
		assert_true(i == TCP_STATE_LISTEN || query.states & TCP_STATE_BIT(i));
}

static void test_every_word(void **state)
{
	static const char *const words[] = {
		"port=65535", "role=client", "state=fin_wait2", "reason=zero_window", "limit=1000",
		"holders=1",  NULL
	};
	struct connections_query query = parse(words);

	(void)state;
	assert_true(query.has_port && query.has_role && query.has_state && query.has_reason &&
		    query.holders);
	assert_int_equal(query.port, 65535);
	assert_int_equal(query.role, ROLE_CLIENT);
	assert_int_equal(query.states, TCP_STATE_BIT(TCP_STATE_FIN_WAIT2));
	assert_int_equal(query.reason, STALE_ZERO_WINDOW);
	assert_int_equal(query.limit, 1000);
	query = parse((const char *const[]){ "reason=any", "port=unknown", "role=server", NULL });
	assert_true(query.stale_only && query.has_port && !query.has_reason);
	assert_int_equal(query.port, LEDGER_PORT_UNKNOWN);
	assert_int_equal(query.role, ROLE_SERVER);
}

/* 150 bytes. */
#define TEN       "abcdefghij"
#define LONG_NAME TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

static void test_names(void **state)
{
	struct connections_query query = parse((const char *const[]){
		"netns=blue", "unit=load@35111.service", "keepalive=off", NULL });

	(void)state;
	assert_true(query.has_netns && query.has_unit && query.has_keepalive);
	assert_string_equal(query.netns, "blue");
	assert_string_equal(query.unit, "load@35111.service");
	assert_int_equal(query.keepalive, KEEPALIVE_OFF);
	assert_true(connections_want_netns(&query, "blue"));
	assert_false(connections_want_netns(&query, ""));
	query = parse((const char *const[]){ "netns=", NULL });
	assert_true(connections_want_netns(&query, ""));
	assert_false(connections_want_netns(&query, "blue"));
	query = parse((const char *const[]){ NULL });
	assert_true(connections_want_netns(&query, "") && connections_want_netns(&query, "blue"));
}

static void test_bad_words_say_what_is_allowed(void **state)
{
	static const char *const cases[][2] = {
		{ "port=0", "65535" },
		{ "port=65536", "65535" },
		{ "port=", "65535" },
		{ "port=+1", "65535" },
		{ "port=1 ", "65535" },
		{ "port=18446744073709551617", "65535" },
		{ "role=both", "client" },
		{ "role=", "server" },
		{ "state=listen", "close_wait" },
		{ "state=none", "closing" },
		{ "state=unknown", "time_wait" },
		{ "reason=none", "unaccepted" },
		{ "reason=", "any" },
		{ "limit=0", "1000" },
		{ "limit=1001", "1000" },
		{ "limit=ten", "1000" },
		{ "holders=2", "0 or 1" },
		{ "holders=", "0 or 1" },
		{ "keepalive=yes", "unknown" },
		{ "unit=" LONG_NAME, "127" },
		{ "netns=" LONG_NAME LONG_NAME, "271" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *words[] = { cases[i][0], NULL };
		struct connections_query query;
		struct buf why;

		buf_init(&why, 0);
		if (connections_parse(find_word, words, &query, &why) != -EINVAL)
			fail_msg("%s was taken", cases[i][0]);
		buf_putc(&why, '\0');
		assert_non_null(strstr(why.data, cases[i][1]));
		assert_null(strchr(why.data, '\n'));
		buf_done(&why);
	}
}

/* -- what is picked --------------------------------------------------------------------------------- */

struct scene {
	char procfs[64];
	char rows[65536];
	size_t len;
	unsigned int count;
	struct chooser *chooser;
	struct census *census;
	uint64_t now_ms;
};

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void write_table(const struct scene *s, const char *name, const char *rows)
{
	char path[128];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/net/%s", s->procfs, name);
	file = fopen(path, "w");
	assert_non_null(file);
	(void)fprintf(
		file,
		"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt\n%s",
		rows);
	assert_int_equal(fclose(file), 0);
}

static void begin(struct scene *s)
{
	struct census_config config = { .keep_ms = 3600000 };
	char path[80];

	*s = (struct scene){ .procfs = "/tmp/test_connections.XXXXXX", .now_ms = 100000000 };
	assert_non_null(mkdtemp(s->procfs));
	(void)snprintf(path, sizeof(path), "%s/net", s->procfs);
	assert_int_equal(mkdir(path, 0755), 0);
	write_table(s, "tcp6", "");
	for (int i = 0; i < STALE_REASONS; i++)
		config.thresholds.least[i] = 4500;
	config.thresholds.least[STALE_KEEPALIVE] = 2;
	s->chooser = chooser_new(SOURCE_procfs, s->procfs);
	s->census = census_new(&config);
	assert_non_null(s->chooser);
	assert_non_null(s->census);
}

static void end(struct scene *s)
{
	chooser_free(s->chooser);
	census_free(s->census);
	assert_int_equal(nftw(s->procfs, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

/* A held socket on 127.0.0.1. */
static void add_socket(struct scene *s, unsigned int local_port, unsigned int remote_port,
		       enum tcp_state state)
{
	s->count++;
	s->len += (size_t)snprintf(
		s->rows + s->len, sizeof(s->rows) - s->len,
		"%4u: 0100007F:%04X 0200007F:%04X %02X 00000000:00000000 00:00000000 00000000"
		"  1000        0 %u 1 000000009e3779b1 20 4 30 10 -1\n",
		s->count, local_port, remote_port, (unsigned int)state, 40000 + s->count);
}

static void sample(struct scene *s)
{
	struct netsysctl sysctl;
	struct netstat netstat = { 0 };
	struct sample sample = { .now_ms = s->now_ms, .sysctl = &sysctl, .netstat = &netstat };
	uint32_t can;

	write_table(s, "tcp", s->rows);
	clock_ms = s->now_ms;
	netsysctl_defaults(&sysctl);
	assert_int_equal(chooser_sample(s->chooser, &sample, s->census, &can), 0);
}

/* Adds what is there, as that of a namespace. */
static int add(struct scene *s, const struct connections_query *query, const char *netns,
	       struct connections_result *result)
{
	struct connections_place place = { .netns = netns, .census = s->census };

	assert_int_equal(chooser_open(s->chooser, &place.ops, &place.source), 0);
	return connections_add(result, query, &place, s->now_ms);
}

static void take(struct scene *s, const struct connections_query *query,
		 struct connections_result *ret_result)
{
	assert_int_equal(connections_begin(query, NULL, ret_result), 0);
	assert_int_equal(add(s, query, "", ret_result), 0);
	connections_end(ret_result, s->now_ms);
}

/* Sockets that got into CLOSE_WAIT one second after the other. */
static void strand(struct scene *s, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		add_socket(s, 8080, 40001 + i, TCP_STATE_CLOSE_WAIT);
		sample(s);
		s->now_ms += 1000;
	}
}

static void test_the_longest_stale_are_kept_and_come_first(void **state)
{
	struct connections_query query = parse((const char *const[]){ "reason=close_wait", NULL });
	struct connections_result result;
	struct scene s;

	(void)state;
	begin(&s);
	strand(&s, 40);
	for (size_t limit = 1; limit <= 40; limit += 13) {
		query.limit = limit;
		take(&s, &query, &result);
		assert_int_equal(result.count, limit < 36 ? limit : 36);
		assert_int_equal(result.limit, limit);
		assert_int_equal(result.matched, 36); /* the last four are younger than 4.5 s */
		for (size_t i = 0; i < result.count; i++) {
			assert_int_equal(result.rows[i].sock.remote_port, 40001 + i);
			assert_in_range(result.rows[i].look.stale_ms, (40 - i) * 1000 - 100,
					(40 - i) * 1000);
		}
		connections_done(&result);
	}
	end(&s);
}

/* The dump's order is not that of the ages. */
static void test_order_of_the_dump_does_not_matter(void **state)
{
	struct connections_query query = parse((const char *const[]){ "limit=7", NULL });
	struct connections_result result;
	char rows[65536] = "";
	struct scene s;
	size_t cut;

	(void)state;
	begin(&s);
	strand(&s, 30);
	for (unsigned int i = 0; i < 30; i++) { /* every seventh, cyclically */
		const char *at = s.rows;

		for (unsigned int skip = 0; skip < i * 7 % 30; skip++)
			at = strchr(at, '\n') + 1;
		cut = (size_t)(strchr(at, '\n') + 1 - at);
		(void)strncat(rows, at, cut);
	}
	write_table(&s, "tcp", rows);
	take(&s, &query, &result);
	assert_int_equal(result.matched, 30);
	for (size_t i = 0; i < 7; i++)
		assert_int_equal(result.rows[i].sock.remote_port, 40001 + i);
	connections_done(&result);
	end(&s);
}

static void test_filters(void **state)
{
	static const struct {
		const char *words[4];
		size_t matched;
	} cases[] = {
		{ { NULL }, 5 },
		{ { "port=8080", NULL }, 3 }, /* among them a client of another host's 8080 */
		{ { "port=8080", "role=server", NULL }, 2 },
		{ { "port=8080", "role=client", NULL }, 1 },
		{ { "port=40001", NULL }, 0 },
		{ { "state=close_wait", NULL }, 1 },
		{ { "reason=any", NULL }, 1 },
		{ { "reason=fin_wait2", NULL }, 0 },
		{ { "role=client", NULL }, 2 },
	};
	struct scene s;

	(void)state;
	begin(&s);
	add_socket(&s, 8080, 40001, TCP_STATE_CLOSE_WAIT);
	add_socket(&s, 8080, 40002, TCP_STATE_ESTABLISHED);
	add_socket(&s, 40003, 8080, TCP_STATE_ESTABLISHED);
	add_socket(&s, 40004, 443, TCP_STATE_ESTABLISHED);
	add_socket(&s, 22, 40005, TCP_STATE_ESTABLISHED);
	add_socket(&s, 9090, 0, TCP_STATE_LISTEN);
	sample(&s);
	s.now_ms += 10000;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct connections_query query = parse(cases[i].words);
		struct connections_result result;

		take(&s, &query, &result);
		if (result.matched != cases[i].matched)
			fail_msg("%s: %u", cases[i].words[0], (unsigned int)result.matched);
		assert_int_equal(result.count, cases[i].matched);
		assert_ptr_equal(result.source, &source_procfs);
		connections_done(&result);
	}
	end(&s);
}

/* What nothing can match says why, and not that there is none. */
static void test_sockets_in_no_dump(void **state)
{
	static const struct {
		const char *words[4];
		bool unseen;
	} cases[] = {
		{ { "reason=dead", NULL }, true },
		{ { "state=close", NULL }, true },
		{ { "state=close_wait", NULL }, false },
		{ { "reason=any", NULL }, false },
	};
	struct scene s;

	(void)state;
	begin(&s);
	sample(&s);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct connections_query query = parse(cases[i].words);
		struct connections_result result;
		struct buf json;

		take(&s, &query, &result);
		buf_init(&json, 0);
		connections_render_json(&result, NULL, &json);
		buf_putc(&json, '\0');
		assert_int_equal(strstr(json.data, "\"note\": \"the kernel no longer") != NULL,
				 cases[i].unseen);
		buf_done(&json);
		connections_done(&result);
	}
	end(&s);
}

static void test_failed_dump(void **state)
{
	struct connections_query query = parse((const char *const[]){ NULL });
	struct connections_result result;
	struct scene s;
	char path[80];

	(void)state;
	begin(&s);
	(void)snprintf(path, sizeof(path), "%s/net/tcp", s.procfs);
	(void)unlink(path);
	assert_int_equal(connections_begin(&query, NULL, &result), 0);
	assert_int_equal(add(&s, &query, "", &result), -ENOENT);
	connections_done(&result);
	connections_done(&result);
	end(&s);
}

/* One order over all, whichever came first, and one limit. */
static void test_several_namespaces(void **state)
{
	struct connections_query query = parse((const char *const[]){ "limit=5", NULL });
	struct connections_result result;
	struct scene s;

	(void)state;
	begin(&s);
	strand(&s, 4);
	assert_int_equal(connections_begin(&query, NULL, &result), 0);
	assert_int_equal(add(&s, &query, "blue", &result), 0);
	assert_null(result.source);
	assert_int_equal(add(&s, &query, "", &result), 0);
	connections_end(&result, s.now_ms);
	assert_ptr_equal(result.source, &source_procfs);
	assert_int_equal(result.matched, 8);
	assert_int_equal(result.count, 5);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(result.rows[i].sock.remote_port, 40001 + i / 2);
	for (size_t i = 0; i < 4; i += 2)
		assert_true((result.rows[i].netns[0] == '\0') !=
			    (result.rows[i + 1].netns[0] == '\0'));
	connections_done(&result);
	end(&s);
}

/* -- how it is shown -------------------------------------------------------------------------------- */

static struct connections_row row_of(uint32_t inode, uint64_t stale_ms)
{
	struct connections_row row = {
		.sock = record_full(inode, TCP_STATE_CLOSE_WAIT, 35111, 40001),
		.place = { .role = ROLE_SERVER, .port = 35111 },
		.look = { .reason = STALE_CLOSE_WAIT,
			  .has_age = true,
			  .stale_ms = stale_ms,
			  .age_ms = stale_ms },
		.unit.name = "load@35111.service",
	};

	row.sock.inode = row.inodes[0] = inode;
	row.inode_count = inode != 0;
	return row;
}

static const char *render_table(const struct connections_result *result,
				const struct connections_holders *holders, unsigned int width,
				struct buf *buf)
{
	buf_init(buf, 0);
	connections_render_table(result, holders, width, buf);
	buf_putc(buf, '\0');
	assert_int_equal(buf->err, 0);
	return buf->data;
}

static void test_table(void **state)
{
	struct connections_row rows[] = { row_of(1, 93784000), row_of(2, 7384000),
					  row_of(0, 187999) };
	struct holder holder[] = { { .inode = 1, .pid = 4711, .fd = 7, .comm = "leak" },
				   { .inode = 2, .pid = 1, .fd = 3, .comm = "systemd" },
				   { .inode = 2, .pid = 4712, .fd = 3, .comm = "web" } };
	struct connections_holders holders = { .holders = holder, .count = 3 };
	struct connections_result result = { .rows = rows, .count = 3, .limit = 3, .matched = 3 };
	struct buf buf;

	(void)state;
	rows[1].unit.name[0] = '\0';
	rows[2].place.port = LEDGER_PORT_UNKNOWN;
	rows[2].sock.remote = record_addr("2001:db8::1");
	assert_string_equal(
		render_table(&result, &holders, 0, &buf),
		"PORT     ROLE    REASON      FOR    PEER                 UNIT                HELD "
		"BY\n"
		"35111    server  close_wait  1d02h  192.0.2.7:40001      load@35111.service  "
		"leak/4711\n"
		"35111    server  close_wait  2h03m  192.0.2.7:40001      -                   "
		"systemd/1 +1\n"
		"unknown  server  close_wait  3m07s  [2001:db8::1]:40001  load@35111.service  -\n");
	buf_done(&buf);
}

static void test_table_fits_every_width(void **state)
{
	struct connections_row rows[] = { row_of(1, 93784000), row_of(2, 1000) };
	struct holder holder[] = { { .inode = 1, .pid = 2147483647, .comm = "fifteen_letters" } };
	struct connections_holders holders = { .holders = holder, .count = 1 };
	struct connections_result result = { .rows = rows, .count = 2, .limit = 2, .matched = 2 };

	(void)state;
	memset(rows[0].unit.name, 'u', UNIT_NAME_MAX - 1);
	strcpy(rows[0].netns, "gr\xc3\xbc\xc3\x9f\x65-gr\xc3\xbc\xc3\x9f\x65");
	rows[0].look.reason = STALE_ZERO_WINDOW;
	rows[1].sock.remote = record_addr("2001:db8:1111:2222:3333:4444:5555:6666");
	(void)snprintf(rows[1].unit.name, sizeof(rows[1].unit.name),
		       "gr\xc3\xbc\xc3\x9f\x65-gr\xc3\xbc\xc3\x9f\x65-"
		       "gr\xc3\xbc\xc3\x9f\x65-gr\xc3\xbc\xc3\x9f\x65.service");
	for (unsigned int width = 80; width <= 260; width++) {
		struct buf buf;
		const char *line = render_table(&result, &holders, width, &buf);

		for (const char *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
			size_t columns = 0;

			for (const char *at = line; at < end; at++)
				columns += ((unsigned char)*at & 0xc0) != 0x80;
			if (columns > width)
				fail_msg("%zu columns of %u", columns, width);
		}
		buf_done(&buf);
	}
}

static const char *render_json(const struct connections_result *result,
			       const struct connections_holders *holders, struct buf *buf)
{
	buf_init(buf, 0);
	connections_render_json(result, holders, buf);
	buf_putc(buf, '\0');
	assert_int_equal(buf->err, 0);
	return buf->data;
}

static void test_namespaces_are_named_where_there_are_some(void **state)
{
	struct connections_row rows[] = { row_of(1, 7384000), row_of(2, 187999) };
	struct connections_result result = {
		.rows = rows, .count = 2, .limit = 2, .matched = 2, .source = &source_procfs
	};
	struct buf buf;
	const char *text;

	(void)state;
	strcpy(rows[0].netns, "podman:fedcba987654");
	assert_string_equal(
		render_table(&result, NULL, 0, &buf),
		"NETNS                PORT   ROLE    REASON      FOR    PEER             UNIT   "
		"             HELD BY\n"
		"podman:fedcba987654  35111  server  close_wait  2h03m  192.0.2.7:40001  "
		"load@35111.service  -\n"
		"-                    35111  server  close_wait  3m07s  192.0.2.7:40001  "
		"load@35111.service  -\n");
	buf_done(&buf);
	text = strstr(render_json(&result, NULL, &buf), "\"netns\": \"podman:fedcba987654\"");
	assert_non_null(text);
	assert_null(strstr(text + 1, "\"netns"));
	buf_done(&buf);
	result.partial = true;
	assert_non_null(strstr(render_json(&result, NULL, &buf), "\"netns_note\""));
	buf_done(&buf);
}

static bool nothing_is_full(void *arg, const struct in6_addr *remote, uint16_t *ret_port)
{
	(void)arg;
	(void)remote;
	(void)ret_port;
	return false;
}

static int take_failure(void *arg, const struct connects_attempt *attempt,
			enum connects_failure failure)
{
	(void)arg;
	(void)attempt;
	(void)failure;
	return 0;
}

static void refuse(struct connects *connects, const char *address, uint16_t port, uint64_t now_ms)
{
	const struct connects_attempt attempt = {
		.remote = record_addr(address), .port = port, .segs_out = 1, .segs_in = 1
	};
	const struct netstat growth = { 0 };
	const struct netsysctl sysctl = { 0 };

	assert_int_equal(connects_add(connects, &attempt), 0);
	assert_int_equal(connects_settle(connects, &growth, &sysctl, now_ms, nothing_is_full,
					 take_failure, NULL),
			 0);
}

/* How many are shown of three peers that refused. */
static size_t count_failed(const char *word, struct connects *connects, struct buf *buf)
{
	struct connections_query query = parse((const char *const[]){ word, NULL });
	struct connections_result result;
	size_t count;

	assert_int_equal(connections_begin(&query, NULL, &result), 0);
	result.source = &source_procfs;
	assert_int_equal(connections_add_failed(&result, &query, connects, 10000), 0);
	connections_end(&result, 10000);
	count = result.failed_count;
	(void)render_json(&result, NULL, buf);
	connections_done(&result);
	return count;
}

static void test_peers_of_failed_connects(void **state)
{
	static const struct {
		const char *word;
		size_t count;
	} cases[] = {
		{ "role=client", 3 }, { "role=server", 0 }, { "port=80", 1 }, { "port=unknown", 1 },
		{ "port=81", 0 },     { "unit=a", 0 },      { "unit=", 3 },   { "state=close", 3 },
	};
	struct connects *connects = connects_new();
	const char *first, *last;
	struct buf buf;

	(void)state;
	refuse(connects, "192.0.2.7", 0, 7000);
	refuse(connects, "2001:db8::1", 443, 8000);
	refuse(connects, "192.0.2.7", 80, 6500);
	refuse(connects, "192.0.2.7", 80, 9000);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (count_failed(cases[i].word, connects, &buf) != cases[i].count)
			fail_msg("%s: %s", cases[i].word, buf.data);
		buf_done(&buf);
	}
	(void)count_failed("role=client", connects, &buf);
	first = strstr(buf.data, "\"failed_connects\"");
	last = strstr(buf.data, "\"port\": \"unknown\"");
	assert_non_null(first);
	assert_non_null(strstr(first, "\"address\": \"192.0.2.7\""));
	assert_non_null(strstr(first, "\"count\": 2"));
	assert_non_null(strstr(first, "\"first_seconds_ago\": 3.5"));
	assert_non_null(strstr(first, "\"last_seconds_ago\": 1"));
	assert_true(last > strstr(first, "\"2001:db8::1\""));
	assert_non_null(strstr(last, "\"last_seconds_ago\": 3"));
	buf_done(&buf);
	connects_free(connects);
}

static void test_json_leaves_out_what_is_not_known(void **state)
{
	struct connections_row rows[] = { row_of(1, 1500) };
	struct connections_result result = {
		.rows = rows, .count = 1, .limit = 1, .matched = 2, .source = &source_procfs
	};
	struct buf buf;
	const char *text;

	(void)state;
	text = render_json(&result, NULL, &buf);
	assert_non_null(strstr(text, "\"truncated\": true"));
	assert_non_null(strstr(text, "\"reason\": \"close_wait\""));
	assert_non_null(strstr(text, "\"stale_seconds\": 1.5"));
	assert_non_null(strstr(text, "\"retransmitted_segments\""));
	assert_non_null(strstr(text, "\"uid\": 1000"));
	assert_null(strstr(text, "holders"));
	buf_done(&buf);

	rows[0].sock = record_mini(1, TCP_STATE_TIME_WAIT, 0, 40001);
	rows[0].place = (struct census_place){ ROLE_CLIENT, .port = LEDGER_PORT_UNKNOWN };
	rows[0].look = (struct look){ 0 };
	text = render_json(&result, NULL, &buf);
	assert_non_null(strstr(text, "\"port\": \"unknown\""));
	assert_non_null(strstr(text, "\"reason\": null"));
	assert_null(strstr(text, "state_age_seconds"));
	assert_null(strstr(text, "\"uid\""));
	assert_null(strstr(text, "retransmitted_segments"));
	buf_done(&buf);
}

static void test_unit_as_named_and_as_claimed(void **state)
{
	struct connections_row rows[] = { row_of(1, 1500), row_of(2, 1000) };
	struct holder holder[] = { { .inode = 1,
				     .pid = 7,
				     .unit = { .name = "machine:web1/nginx.service",
					       .claimed = "system.slice/nginx.service" } } };
	struct connections_holders holders = { .holders = holder, .count = 1 };
	struct connections_result result = {
		.rows = rows, .count = 2, .limit = 2, .matched = 2, .source = &source_procfs
	};
	struct buf buf;
	const char *text;

	(void)state;
	rows[0].unit =
		(struct unit){ .name = "user@1000.service", .claimed = "postgresql.service" };
	rows[1].unit = (struct unit){ .name = "check@.service",
				      .instance = "check@4-10.0.0.1:7-10.0.0.2:9.service" };
	text = render_json(&result, &holders, &buf);
	assert_non_null(strstr(text, "\"unit\": \"user@1000.service\""));
	assert_non_null(strstr(text, "\"unit_claimed\": \"postgresql.service\""));
	assert_non_null(strstr(text, "\"unit\": \"check@.service\""));
	assert_non_null(
		strstr(text, "\"unit_instance\": \"check@4-10.0.0.1:7-10.0.0.2:9.service\""));
	assert_non_null(strstr(text, "\"unit\": \"machine:web1/nginx.service\""));
	assert_non_null(strstr(text, "\"unit_claimed\": \"system.slice/nginx.service\""));
	buf_done(&buf);

	rows[0].unit.claimed[0] = '\0';
	rows[1].unit.instance[0] = '\0';
	text = render_json(&result, NULL, &buf);
	assert_null(strstr(text, "unit_"));
	buf_done(&buf);
}

/* What somebody made up is not in the table, what may be stopped is. */
static void test_table_names_the_instance(void **state)
{
	struct connections_row rows[] = { row_of(1, 1500), row_of(2, 1000) };
	struct connections_result result = { .rows = rows, .count = 2, .limit = 2, .matched = 2 };
	struct buf buf;
	const char *text;

	(void)state;
	rows[0].unit =
		(struct unit){ .name = "user@1000.service", .claimed = "postgresql.service" };
	rows[1].unit = (struct unit){ .name = "check@.service",
				      .instance = "check@4-10.0.0.1:7-10.0.0.2:9.service" };
	text = render_table(&result, NULL, 0, &buf);
	assert_non_null(strstr(text, "  user@1000.service  "));
	assert_null(strstr(text, "postgresql"));
	assert_non_null(strstr(text, "  check@4-10.0.0.1:7-10.0.0.2:9.service  "));
	buf_done(&buf);
}

/* As on hosts with cgroup v1, where a socket does not tell its cgroup. */
static void test_unit_of_the_holder_where_the_socket_names_none(void **state)
{
	struct connections_row rows[] = { row_of(1, 2000), row_of(2, 1500), row_of(3, 1000) };
	struct holder holder[] = { { .inode = 1, .pid = 7, .unit.name = "leak.service" },
				   { .inode = 1, .pid = 8, .unit.name = "other.service" },
				   { .inode = 2, .pid = 9, .unit.name = "web.service" } };
	struct connections_holders holders = { .holders = holder, .count = 3 };
	struct connections_result result = {
		.rows = rows, .count = 3, .limit = 3, .matched = 3, .source = &source_procfs
	};
	struct buf buf;
	const char *text;

	(void)state;
	rows[0].unit.name[0] = rows[2].unit.name[0] = '\0';
	text = render_table(&result, &holders, 0, &buf);
	assert_non_null(strstr(text, "  leak.service        /7 +1\n"));
	assert_non_null(strstr(text, "  load@35111.service  /9\n"));
	assert_non_null(strstr(text, "  -                   -\n"));
	buf_done(&buf);
	text = render_json(&result, &holders, &buf);
	assert_non_null(strstr(text, "\"unit\": \"leak.service\""));
	buf_done(&buf);
	text = render_json(&result, NULL, &buf);
	assert_null(strstr(text, "leak.service"));
	buf_done(&buf);
}

static void test_note_says_why_a_holder_is_missing(void **state)
{
	struct connections_row rows[] = { row_of(1, 1500), row_of(0, 1000) };
	struct holder holder[] = { { .inode = 1, .pid = 7 } };
	struct connections_holders holders = { .holders = holder, .count = 1, .result.denied = 5 };
	struct connections_result result = { .rows = rows, .count = 2, .limit = 2, .matched = 2 };

	(void)state;
	assert_string_equal(connections_holders_note(&result, &holders),
			    ""); /* nobody can hold the second */
	holders.count = 0;
	assert_non_null(strstr(connections_holders_note(&result, &holders), "CAP_SYS_PTRACE"));
	holders.result.timed_out = true; /* whoever was refused, others were not even asked */
	assert_non_null(strstr(connections_holders_note(&result, &holders), "time"));
	holders.result = (struct holders_result){ 0 };
	assert_non_null(strstr(connections_holders_note(&result, &holders), "PID namespace"));
	holders.error = -ENOENT;
	assert_non_null(strstr(connections_holders_note(&result, &holders), "cannot be read"));
}

static void test_holders_of_this_process(void **state)
{
	struct connections_row rows[] = { row_of(0, 1), row_of(0, 1) };
	struct connections_result result = { .rows = rows, .count = 2, .limit = 2, .matched = 2 };
	struct connections_holders holders;
	struct stat st;
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(fstat(fds[0], &st), 0);
	rows[1].inodes[0] = (uint32_t)st.st_ino;
	rows[1].inode_count = 1;
	assert_int_equal(connections_find_holders(&result, "/proc", "", 60000, &holders), 0);
	assert_int_equal(holders.error, 0);
	assert_int_equal(holders.count, 1);
	assert_int_equal(holders.holders[0].pid, getpid());
	assert_int_equal(holders.holders[0].fd, fds[0]);
	assert_string_equal(connections_holders_note(&result, &holders), "");
	connections_holders_done(&holders);
	assert_int_equal(connections_find_holders(&result, "/nonexistent", "", 60000, &holders), 0);
	assert_int_equal(holders.error, -ENOENT);
	connections_holders_done(&holders);
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_asked_is_everything_with_a_limit),
		cmocka_unit_test(test_every_word),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_bad_words_say_what_is_allowed),
		cmocka_unit_test(test_the_longest_stale_are_kept_and_come_first),
		cmocka_unit_test(test_order_of_the_dump_does_not_matter),
		cmocka_unit_test(test_filters),
		cmocka_unit_test(test_sockets_in_no_dump),
		cmocka_unit_test(test_failed_dump),
		cmocka_unit_test(test_several_namespaces),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_namespaces_are_named_where_there_are_some),
		cmocka_unit_test(test_table_fits_every_width),
		cmocka_unit_test(test_peers_of_failed_connects),
		cmocka_unit_test(test_json_leaves_out_what_is_not_known),
		cmocka_unit_test(test_unit_as_named_and_as_claimed),
		cmocka_unit_test(test_table_names_the_instance),
		cmocka_unit_test(test_unit_of_the_holder_where_the_socket_names_none),
		cmocka_unit_test(test_note_says_why_a_holder_is_missing),
		cmocka_unit_test(test_holders_of_this_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
