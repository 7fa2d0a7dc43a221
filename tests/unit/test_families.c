/*
 * Tests of families and of ports-json, which walks the same table, mostly against the golden pages in tests/fixtures/pages.
 *
 * After an intended change, TCPHEALTH_GOLDEN=write in the environment makes the test write the pages and
 * docs/metrics.md anew instead of comparing them; then read the difference before committing it. Runs in the project's root.
 */
#include "helpers/metrics_doc.h"
#include "tcphealth/render/families.h"
#include "tcphealth/render/ports-json.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PAGES "tests/fixtures/pages/"

/* Quotes, a backslash, a newline, UTF-8, a byte that is none, and a label that wants to be two. */
#define HOSTILE_NETNS "bl\"ue\\\n\xc3\xbc\xff"
#define HOSTILE_UNIT  "evil\",port=\"1\"} 1\n\xf0\x28\x8c.service"

/* -- what is rendered ------------------------------------------------------------------------------- */

/* Figures that differ from one another wherever a mix-up could be. */
static void fill_pair(struct snapshot_pair *pair, enum role role, uint32_t port, uint32_t base)
{
	struct portview *view = &pair->view;

	*pair = (struct snapshot_pair){ .role = role, .port = port };
	for (unsigned int i = 0; i < TCP_STATE_COUNT; i++) {
		view->state[i] = base + i;
		view->oldest_ms[i] = (base + 10 * i) * UINT64_C(1000) + 999;
	}
	for (unsigned int i = 0; i < STALE_REASONS; i++)
		view->stale[i] = base + 20 + i;
	view->keepalive[KEEPALIVE_ON] = base + 40;
	view->keepalive[KEEPALIVE_OFF] = base + 41;
	view->keepalive[KEEPALIVE_UNKNOWN] = base + 42;
	for (unsigned int i = 0; i < LEDGER_COUNTERS; i++)
		pair->counter[i] = (base + i) * UINT64_C(10000000000);
	view->peak[TALLY_SILENCE] = base * UINT64_C(1000) + 499;
	view->sum[TALLY_PROBES] = base + 50;
	view->peak[TALLY_LOSS] = base * UINT64_C(1000) + 500;
	view->sum[TALLY_RECEIVE_QUEUE] = base + 60;
	view->sum[TALLY_SEND_QUEUE] = base + 70;
	view->ephemeral_ratio = base / 1024.0;
}

static void fill_listeners(struct snapshot_listener *rows)
{
	rows[0] = (struct snapshot_listener){
		.port = 22,
		.row = { .port = 22,
			 .sockets = 2,
			 .backlog_known = true,
			 .queue_length = 3,
			 .queue_limit = 256,
			 .saturation = 0.0234375 },
	};
	/* The last listener has closed. */
	rows[1] = (struct snapshot_listener){
		.port = 8080,
		.row = { .port = 8080 },
	};
	/* A record that told no limit. */
	rows[2] = (struct snapshot_listener){
		.port = 9000,
		.row = { .port = 9000, .sockets = 1, .queue_length = 1, .queue_limit = 77 },
	};
	rows[3] = (struct snapshot_listener){
		.port = LEDGER_PORT_OTHER,
		.row = { .sockets = 9, .backlog_known = true, .queue_limit = 1000 },
	};
}

static struct snapshot_unit unit_of(uint32_t port, enum role role, enum stale_reason reason,
				    const char *unit, uint32_t sockets, uint64_t oldest_ms)
{
	return (struct snapshot_unit){ .port = port,
				       .role = role,
				       .reason = reason,
				       .unit = unit,
				       .all = { oldest_ms, sockets } };
}

static void fill_units(struct snapshot_unit *units)
{
	units[0] = unit_of(22, ROLE_SERVER, STALE_CLOSE_WAIT, "ssh.service", 3, 61999);
	units[1] = unit_of(443, ROLE_CLIENT, STALE_IDLE, HOSTILE_UNIT, 2, 7200000);
	units[2] = unit_of(LEDGER_PORT_OTHER, ROLE_CLIENT, STALE_IDLE, "", 1, 7300000);
	units[3] = unit_of(22, ROLE_SERVER, STALE_DEAD, "gone.service", 0, 1);
}

static void fill_kernel(struct snapshot_ns *ns, uint64_t base, uint32_t unknown_counters)
{
	netsysctl_defaults(&ns->sysctl);
	ns->sysctl.known = (UINT32_C(1) << NETSYSCTL_COUNT) - 1;
	ns->netstat.known = ((UINT32_C(1) << NETSTAT_COUNT) - 1) & ~unknown_counters;
	for (unsigned int i = 0; i < NETSTAT_COUNT; i++)
		ns->netstat.value[i] = base + i;
	for (unsigned int i = 0; i < ROLE_EVIDENCE_COUNT; i++)
		ns->evidence[i] = base + 100 + i;
	for (unsigned int i = 0; i < ROLE_COUNT; i++)
		ns->folded[i] = base + 200 + i;
}

static void fill_own(struct snapshot *snapshot, struct snapshot_ns *ns)
{
	static struct snapshot_listener_unit listener_units[] = {
		{ 22, "ssh.service" }, { 22, "ssh.socket" }, { 9000, HOSTILE_UNIT }, { 8080, "" }
	};

	ns->pair_count = 4;
	ns->pairs = snapshot_alloc(snapshot, ns->pair_count, sizeof(*ns->pairs));
	fill_pair(&ns->pairs[0], ROLE_SERVER, 22, 100);
	fill_pair(&ns->pairs[1], ROLE_CLIENT, 443, 200);
	fill_pair(&ns->pairs[2], ROLE_CLIENT, LEDGER_PORT_UNKNOWN, 300);
	fill_pair(&ns->pairs[3], ROLE_CLIENT, LEDGER_PORT_OTHER, 400);
	ns->pairs[1].view.peak[TALLY_LOSS] = PORTVIEW_NEVER;
	ns->listener_count = 4;
	ns->listeners = snapshot_alloc(snapshot, ns->listener_count, sizeof(*ns->listeners));
	fill_listeners(ns->listeners);
	ns->unit_count = 4;
	ns->units = snapshot_alloc(snapshot, ns->unit_count, sizeof(*ns->units));
	fill_units(ns->units);
	ns->listener_units = listener_units;
	ns->listener_unit_count = 4;
	fill_kernel(ns, 1000, 0);
}

static void fill_foreign(struct snapshot *snapshot, struct snapshot_ns *ns)
{
	ns->name = HOSTILE_NETNS;
	ns->timestamp = 1700000001.5;
	ns->pair_count = 2;
	ns->pairs = snapshot_alloc(snapshot, ns->pair_count, sizeof(*ns->pairs));
	fill_pair(&ns->pairs[0], ROLE_SERVER, 65535, 500);
	fill_pair(&ns->pairs[1], ROLE_CLIENT, 443, 600);
	ns->listener_count = 1;
	ns->listeners = snapshot_alloc(snapshot, ns->listener_count, sizeof(*ns->listeners));
	ns->listeners[0] = (struct snapshot_listener){ .port = 65535, .row = { .sockets = 1 } };
	ns->unit_count = 1;
	ns->units = snapshot_alloc(snapshot, ns->unit_count, sizeof(*ns->units));
	ns->units[0] = unit_of(443, ROLE_CLIENT, STALE_IDLE, HOSTILE_UNIT, 4, 8000);
	fill_kernel(ns, 2000, 1 << NETSTAT_SYN_RETRANS | 1 << NETSTAT_ABORT_FAILED);
	ns->sysctl.known &= ~(1U << NETSYSCTL_RETRIES2 | 1U << NETSYSCTL_PORT_HIGH);
}

static struct snapshot *make_snapshot(uint32_t can, size_t ns_count)
{
	struct snapshot *snapshot = snapshot_new(ns_count);

	assert_non_null(snapshot);
	snapshot->timestamp = 1700000000.25;
	snapshot->states_timestamp = 1700000005.25;
	snapshot->sockets = 12345;
	for (unsigned int i = 0; i < STALE_REASONS; i++)
		snapshot->thresholds.least[i] = 1500 * i;
	snapshot->thresholds.least[STALE_KEEPALIVE] = 2;
	fill_own(snapshot, &snapshot->ns[0]);
	snapshot->ns[0].can = can;
	if (ns_count > 1) {
		fill_foreign(snapshot, &snapshot->ns[1]);
		snapshot->ns[1].can = can & ~(uint32_t)SOURCE_EVENTS;
	}
	return snapshot;
}

static const uint32_t all_needs = SOURCE_INFO | SOURCE_BACKLOG | SOURCE_DROPS | SOURCE_EVENTS;

static const struct health good_health = {
	.success = true,
	.source = &source_netlink,
	.events_active = true,
	.duration_seconds = 0.0125,
	.cpu_ns = 1500000000,
	.errors = 1,
	.events = 2,
	.events_lost = 3,
	.event_overruns = 4,
	.forged = 5,
	.malformed = 6,
	.wiped_closes = 7,
	.log_dropped = 12,
	.full_interval_seconds = 15,
	.states_interval_seconds = 5,
	.netns = { .used = true, .sampled = 8, .denied = 9, .over_limit = 10, .unreadable = 11 },
};

static const struct procself whole_process = {
	.known = PROCSELF_CPU | PROCSELF_FDS | PROCSELF_MAX_FDS | PROCSELF_VM | PROCSELF_VM_MAX |
		 PROCSELF_RSS | PROCSELF_START,
	.cpu_seconds = 0.07,
	.open_fds = 11,
	.max_fds = 1024,
	.virtual_bytes = 4096000,
	.virtual_max_bytes = UINT64_MAX,
	.resident_bytes = 2048000,
	.start_time_seconds = 1699999000.5,
};

static void render(struct families_input input, enum expo_format format, struct buf *ret_page)
{
	struct expo expo;

	input.version = "0.1.0";
	input.revision = "0123456789ab";
	input.microhttpd = "0.9.75";
	buf_init(ret_page, 0);
	expo_init(&expo, ret_page, format);
	families_render(&input, &expo);
	assert_int_equal(ret_page->err, 0);
}

/* -- golden files ----------------------------------------------------------------------------------- */

static void write_file(const char *path, const struct buf *content)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_int_equal(fwrite(content->data, 1, content->len, file), content->len);
	assert_int_equal(fclose(file), 0);
}

static void read_file(const char *path, struct buf *ret_content)
{
	char piece[4096];
	size_t len;
	FILE *file = fopen(path, "re");

	if (!file)
		fail_msg("no %s: run in the project's root", path);
	buf_init(ret_content, 0);
	while ((len = fread(piece, 1, sizeof(piece), file)) > 0)
		buf_put(ret_content, piece, len);
	fclose(file);
	assert_int_equal(ret_content->err, 0);
}

static int first_different_line(const struct buf *a, const struct buf *b)
{
	int line = 1;

	for (size_t i = 0; i < a->len && i < b->len && a->data[i] == b->data[i]; i++)
		if (a->data[i] == '\n')
			line++;
	return line;
}

static void check_file(const char *path, const struct buf *content)
{
	const char *mode = getenv("TCPHEALTH_GOLDEN");
	struct buf golden;

	if (mode && strcmp(mode, "write") == 0)
		write_file(path, content);
	read_file(path, &golden);
	if (golden.len != content->len || memcmp(golden.data, content->data, golden.len) != 0)
		fail_msg("%s:%d differs (TCPHEALTH_GOLDEN=write writes it anew)", path,
			 first_different_line(&golden, content));
	buf_done(&golden);
}

/* -- what holds for every page ---------------------------------------------------------------------- */

static size_t find_family(const char *name, size_t len)
{
	const struct families_row *row;

	for (size_t i = 0; (row = families_row(i)); i++)
		if (strlen(row->family.name) == len && memcmp(row->family.name, name, len) == 0)
			return i;
	fail_msg("no family '%.*s' in the table", (int)len, name);
	return 0;
}

/* Names of the labels of a sample: "role, port". Values may hold anything, escaped. */
static void label_names(const char *line, struct buf *ret_names)
{
	const char *at = strpbrk(line, "{ ");

	buf_init(ret_names, 0);
	while (*at == '{' || *at == ',') {
		const char *end = strchr(++at, '=');
		buf_puts(ret_names, ret_names->len ? ", " : "");
		buf_put(ret_names, at, (size_t)(end - at));
		for (at = end + 2; *at != '"'; at++)
			if (*at == '\\')
				at++;
		at++;
	}
	buf_putc(ret_names, '\0');
	assert_int_equal(ret_names->err, 0);
}

static void check_labels(const char *line, size_t family)
{
	const char *labels = families_row(family)->labels, *declared = labels ? labels : "";
	size_t len = strlen(declared);
	struct buf names;

	label_names(line, &names);
	bool same = strncmp(names.data, declared, len) == 0;
	const char *rest = names.data + len;
	if (!same || (strcmp(rest, "") != 0 && strcmp(rest, len ? ", netns" : "netns") != 0))
		fail_msg("labels '%s', declared '%s': %s", names.data, declared, line);
	buf_done(&names);
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* No parser of Prometheus's makes sure of this. */
static void check_no_duplicates(const char **series, size_t count)
{
	qsort(series, count, sizeof(*series), compare_lines);
	for (size_t i = 1; i < count; i++)
		if (strcmp(series[i - 1], series[i]) == 0)
			fail_msg("duplicate series %s", series[i]);
}

struct page_check {
	const char *series[4096];
	size_t count;
	size_t family;  /* of the last sample */
	bool seen[512]; /* families that have begun */
};

static void check_sample(struct page_check *check, char *line)
{
	size_t family = find_family(line, strcspn(line, "{ "));

	if (check->count == 0 || family != check->family) {
		assert_false(check->seen[family]);
		check->seen[family] = true;
		check->family = family;
	}
	check_labels(line, family);
	*strrchr(line, ' ') = '\0';
	assert_true(check->count < sizeof(check->series) / sizeof(check->series[0]));
	check->series[check->count++] = line;
}

/* Each family in one piece, labels as declared, no series twice. */
static void check_page(const struct buf *page)
{
	struct page_check *check = calloc(1, sizeof(*check));
	char *text = strndup(page->data, page->len);
	char *rest = text;

	assert_non_null(check);
	assert_non_null(text);
	for (char *line; (line = strsep(&rest, "\n")) && rest;) {
		assert_string_not_equal(line, "");
		if (line[0] != '#')
			check_sample(check, line);
	}
	check_no_duplicates(check->series, check->count);
	free(text);
	free(check);
}

static void check_both(const char *name, struct families_input input)
{
	static const char *const endings[EXPO_FORMATS] = { "prom", "om" };
	char path[128];
	struct buf page;

	for (unsigned int format = 0; format < EXPO_FORMATS; format++) {
		render(input, format, &page);
		check_page(&page);
		snprintf(path, sizeof(path), PAGES "%s.%s", name, endings[format]);
		check_file(path, &page);
		buf_done(&page);
	}
}

static bool page_has(const struct buf *page, const char *text)
{
	return memmem(page->data, page->len, text, strlen(text)) != NULL;
}

/* -- tests ------------------------------------------------------------------------------------------ */

static void test_rich_page(void **state)
{
	(void)state;
	struct snapshot *snapshot = make_snapshot(all_needs, 2);

	check_both("rich", (struct families_input){ .snapshot = snapshot,
						    .health = &good_health,
						    .procself = &whole_process });
	snapshot_unref(snapshot);
}

static void test_every_family_is_on_the_rich_page(void **state)
{
	(void)state;
	struct snapshot *snapshot = make_snapshot(all_needs, 2);
	struct families_input input = { .snapshot = snapshot,
					.health = &good_health,
					.procself = &whole_process };
	struct buf page;
	char line[256];

	render(input, EXPO_TEXT, &page);
	for (size_t i = 0; families_row(i); i++) {
		snprintf(line, sizeof(line), "# TYPE %s ", families_row(i)->family.name);
		if (!page_has(&page, line))
			fail_msg("%s has no sample", families_row(i)->family.name);
	}
	buf_done(&page);
	snapshot_unref(snapshot);
}

static void test_procfs_page(void **state)
{
	(void)state;
	struct health health = good_health;
	struct procself process = whole_process;
	struct snapshot *snapshot = make_snapshot(0, 1);

	health.source = &source_procfs;
	health.events_active = false;
	process.known = PROCSELF_FDS | PROCSELF_CPU;
	check_both("procfs", (struct families_input){ .snapshot = snapshot,
						      .health = &health,
						      .procself = &process });
	snapshot_unref(snapshot);
}

static void test_page_before_the_first_sample(void **state)
{
	(void)state;
	struct health health = { .source = &source_netlink, .errors = 1 };

	check_both("nosample",
		   (struct families_input){ .health = &health, .procself = &whole_process });
}

static void test_page_of_a_single_sample(void **state)
{
	(void)state;
	struct snapshot *snapshot = make_snapshot(all_needs & ~(uint32_t)SOURCE_EVENTS, 2);

	check_both("once", (struct families_input){ .snapshot = snapshot,
						    .health = &good_health,
						    .procself = &whole_process,
						    .once = true });
	snapshot_unref(snapshot);
}

static void test_what_is_not_known_is_absent(void **state)
{
	(void)state;
	static const struct {
		uint32_t can;
		const char *text;
		bool expected;
	} cases[] = {
		{ 0, "tcphealth_connections{role=\"server\",port=\"22\",state=\"close\"} 107\n",
		  true },
		{ 0, "reason=\"close_wait\"} 127\n", true },
		{ 0, "tcphealth_stale_connections{role=\"server\",port=\"22\",reason=\"dead\"}",
		  false },
		{ 0, "tcphealth_stale_connections{role=\"server\",port=\"22\",reason=\"idle\"}",
		  false },
		{ 0, "tcphealth_keepalive_connections{", true },
		{ 0, "tcphealth_longest_silence_seconds", false },
		{ 0, "tcphealth_sent_bytes_total", false },
		{ 0, "tcphealth_listen_queue_length{", true },
		{ 0, "tcphealth_listen_queue_limit", false },
		{ 0, "tcphealth_listen_drops_total", false },
		{ 0, "tcphealth_failed_connects_total", false },
		{ SOURCE_INFO, "tcphealth_sent_bytes_total{", true },
		{ SOURCE_INFO, "port=\"22\",reason=\"idle\"} 133\n", true },
		{ SOURCE_INFO,
		  "tcphealth_stale_connections{role=\"server\",port=\"22\",reason=\"dead\"}",
		  false },
		{ SOURCE_INFO, "tcphealth_failed_connects_total", false },
		{ SOURCE_INFO | SOURCE_EVENTS, "port=\"22\",reason=\"dead\"} 121\n", true },
		{ SOURCE_EVENTS,
		  "tcphealth_failed_connects_total{port=\"unknown\",reason=\"refused\"} ", true },
		{ SOURCE_EVENTS, "tcphealth_failed_connects_total{port=\"22\"", false },
		{ SOURCE_BACKLOG, "tcphealth_listen_queue_limit{port=\"22\"} 256\n", true },
		{ SOURCE_BACKLOG, "tcphealth_listen_queue_limit{port=\"8080\"} 0\n", true },
		{ SOURCE_BACKLOG, "tcphealth_listen_queue_limit{port=\"9000\"}", false },
		{ SOURCE_DROPS, "tcphealth_listen_drops_total{port=\"22\"} 1060000000000\n", true },
		{ SOURCE_DROPS, "tcphealth_listen_drops_total{port=\"443\"}", false },
	};
	struct buf page;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct snapshot *snapshot = make_snapshot(cases[i].can, 1);
		render((struct families_input){ .snapshot = snapshot, .health = &good_health },
		       EXPO_TEXT, &page);
		if (page_has(&page, cases[i].text) != cases[i].expected)
			fail_msg("case %zu: '%s' is %s", i, cases[i].text,
				 cases[i].expected ? "missing" : "there");
		buf_done(&page);
		snapshot_unref(snapshot);
	}
}

static void test_local_ports_need_the_range(void **state)
{
	(void)state;
	struct snapshot *snapshot = make_snapshot(all_needs, 1);
	struct buf page;

	for (int round = 0; round < 2; round++) {
		render((struct families_input){ .snapshot = snapshot, .health = &good_health },
		       EXPO_TEXT, &page);
		assert_int_equal(page_has(&page, "tcphealth_ephemeral_ports_used_ratio{"),
				 round == 0);
		buf_done(&page);
		snapshot->ns[0].sysctl.known &= ~(UINT32_C(1) << NETSYSCTL_PORT_LOW);
	}
	snapshot_unref(snapshot);
}

/* Events come from the own namespace alone. */
static void test_foreign_namespaces_have_no_events(void **state)
{
	(void)state;
	struct snapshot *snapshot = make_snapshot(all_needs, 2);
	struct buf page;

	snapshot->ns[1].name = "blue";
	render((struct families_input){ .snapshot = snapshot, .health = &good_health }, EXPO_TEXT,
	       &page);
	assert_true(page_has(&page, "port=\"443\",reason=\"idle\",netns=\"blue\"} 633\n"));
	assert_false(page_has(&page, "reason=\"dead\",netns="));
	assert_false(page_has(&page, "reason=\"refused\",netns="));
	buf_done(&page);
	snapshot_unref(snapshot);
}

static void test_a_full_buffer_is_an_error(void **state)
{
	(void)state;
	struct snapshot *snapshot = make_snapshot(all_needs, 2);
	struct families_input input = { .snapshot = snapshot,
					.health = &good_health,
					.version = "",
					.revision = "",
					.microhttpd = "" };
	struct expo expo;
	struct buf page;

	for (size_t limit = 1; limit < 20000; limit += 997) {
		buf_init(&page, limit);
		expo_init(&expo, &page, EXPO_OPENMETRICS);
		families_render(&input, &expo);
		assert_int_equal(page.err, -EFBIG);
		assert_true(page.len <= limit);
		buf_done(&page);
	}
	snapshot_unref(snapshot);
}

static void run_on_pages(const char *command, const char *ending)
{
	static const char *const names[] = { "rich", "procfs", "nosample", "once" };
	char line[512];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(line, sizeof(line), "%s <" PAGES "%s.%s", command, names[i], ending);
		if (system(line) != 0)
			fail_msg("%s", line);
	}
}

static void test_promtool_accepts_the_pages(void **state)
{
	(void)state;
	if (system("command -v promtool >/dev/null") != 0)
		skip();
	run_on_pages("promtool check metrics >&2", "prom");
}

/* Debian's package is for Debian's Python. */
static void test_the_openmetrics_parser_accepts_the_pages(void **state)
{
	(void)state;
	if (system("/usr/bin/python3 -c 'import prometheus_client' 2>/dev/null") != 0)
		skip();
	run_on_pages("/usr/bin/python3 -c 'import sys\n"
		     "from prometheus_client.openmetrics.parser import text_fd_to_metric_families\n"
		     "sys.exit(not list(text_fd_to_metric_families(sys.stdin)))'",
		     "om");
}

static void test_table(void **state)
{
	(void)state;
	size_t count = 0;

	for (; families_row(count); count++) {
		const struct expo_family *family = &families_row(count)->family;
		const char *total = strstr(family->name, "_total");

		assert_int_equal(find_family(family->name, strlen(family->name)), count);
		assert_true(total == NULL || strcmp(total, "_total") == 0);
		assert_int_equal(family->help[strlen(family->help) - 1], '.');
	}
	assert_true(count > 0);
}

/* All pairs of a snapshot, as in /api/v1/ports. */
static void check_json(const char *path, const struct snapshot *snapshot)
{
	struct buf text;
	struct json json;

	buf_init(&text, 0);
	json_init(&json, &text);
	json_open(&json, NULL, '[');
	for (size_t i = 0; i < snapshot->ns_count; i++)
		for (size_t j = 0; j < snapshot->ns[i].pair_count; j++)
			ports_json_pair(&json, &snapshot->ns[i], &snapshot->ns[i].pairs[j]);
	json_close(&json, ']');
	json_end(&json);
	assert_int_equal(text.err, 0);
	check_file(path, &text);
	buf_done(&text);
}

static void test_ports_as_json(void **state)
{
	(void)state;
	struct snapshot *rich = make_snapshot(all_needs, 2), *procfs = make_snapshot(0, 1);

	/* A listener that told no limit, and connections of its port. */
	fill_pair(&rich->ns[0].pairs[2], ROLE_SERVER, 9000, 300);
	/* Younger than a second is an age, but 0 is none. */
	rich->ns[0].pairs[3].view.oldest_ms[TCP_STATE_SYN_RECV] = 1;
	rich->ns[0].pairs[3].view.oldest_ms[TCP_STATE_CLOSING] = 0;
	check_json(PAGES "rich.json", rich);
	check_json(PAGES "procfs.json", procfs);
	snapshot_unref(rich);
	snapshot_unref(procfs);
}

static void test_documentation_is_up_to_date(void **state)
{
	(void)state;
	struct buf text;

	buf_init(&text, 0);
	metrics_doc_write(&text);
	assert_int_equal(text.err, 0);
	check_file("docs/metrics.md", &text);
	buf_done(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_rich_page),
		cmocka_unit_test(test_every_family_is_on_the_rich_page),
		cmocka_unit_test(test_procfs_page),
		cmocka_unit_test(test_page_before_the_first_sample),
		cmocka_unit_test(test_page_of_a_single_sample),
		cmocka_unit_test(test_what_is_not_known_is_absent),
		cmocka_unit_test(test_local_ports_need_the_range),
		cmocka_unit_test(test_foreign_namespaces_have_no_events),
		cmocka_unit_test(test_a_full_buffer_is_an_error),
		cmocka_unit_test(test_promtool_accepts_the_pages),
		cmocka_unit_test(test_the_openmetrics_parser_accepts_the_pages),
		cmocka_unit_test(test_ports_as_json),
		cmocka_unit_test(test_documentation_is_up_to_date),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
