/*
 * Tests of the page at /, of its words and of its assets; mostly against the golden pages
 * tests/fixtures/pages.
 *
 * After an intended change, TCPHEALTH_GOLDEN=write in the environment makes the test write the
 * pages anew instead of comparing them; then read the difference, and run tests/web, before
 * committing it. Runs in the project's root.
 */
#include "tcphealth/render/html.h"
#include "tcphealth/render/words.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PAGES  "tests/fixtures/pages/"
#define ASSETS "src/render/assets"

#define SECOND UINT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

/* Markup, quotes, a newline, a mark that reverses the line, bytes that are no UTF-8. */
#define HOSTILE "</td><script>alert('1')</script>\"&amp;\n\xe2\x80\xae\xc2\x9b\xf0\x28\xff"
#define HOSTILE_ESCAPED                                                                            \
	"&lt;/td&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&quot;&amp;amp;\xef\xbf\xbd"    \
	"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd(\xef\xbf\xbd"

/* -- what is rendered -------------------------------------------------------------------------- */

#define PAIRS 16

struct scene {
	struct snapshot *snapshot;
	struct snapshot_ns *ns;
	struct health health;
	struct html_input input;
	struct buf buf;
};

static struct snapshot_ns *make_ns(struct scene *scene, size_t i, const char *name)
{
	struct snapshot_ns *ns = &scene->snapshot->ns[i];

	ns->name = name;
	ns->can = SOURCE_INFO | SOURCE_BACKLOG | SOURCE_DROPS | SOURCE_EVENTS;
	ns->pairs = snapshot_alloc(scene->snapshot, PAIRS, sizeof(*ns->pairs));
	ns->listeners = snapshot_alloc(scene->snapshot, PAIRS, sizeof(*ns->listeners));
	ns->units = snapshot_alloc(scene->snapshot, PAIRS, sizeof(*ns->units));
	ns->listener_units = snapshot_alloc(scene->snapshot, PAIRS, sizeof(*ns->listener_units));
	assert_true(ns->pairs && ns->listeners && ns->units && ns->listener_units);
	return ns;
}

static void open_scene(struct scene *scene, size_t namespaces)
{
	*scene = (struct scene){ .snapshot = snapshot_new(namespaces) };
	assert_non_null(scene->snapshot);
	scene->snapshot->timestamp = 1700000000.5;
	scene->snapshot->sockets = 321;
	for (unsigned int i = 1; i < STALE_REASONS; i++)
		scene->snapshot->thresholds.least[i] = i * MINUTE;
	scene->snapshot->thresholds.least[STALE_KEEPALIVE] = 2;
	scene->ns = make_ns(scene, 0, NULL);
	scene->health = (struct health){ .success = true,
					 .source = &source_netlink,
					 .events_active = true,
					 .duration_seconds = 0.00123 };
	scene->input = (struct html_input){ .snapshot = scene->snapshot,
					    .health = &scene->health,
					    .telemetry_path = "/metrics",
					    .version = "1.2.3",
					    .interval_ms = 5000,
					    .connections = true };
	buf_init(&scene->buf, 0);
}

static void close_scene(struct scene *scene)
{
	snapshot_unref(scene->snapshot);
	buf_done(&scene->buf);
}

static struct snapshot_pair *add_pair(struct snapshot_ns *ns, enum role role, uint32_t port,
				      uint32_t established, uint32_t keepalive)
{
	struct snapshot_pair *pair = &ns->pairs[ns->pair_count++];

	assert_true(ns->pair_count <= PAIRS);
	*pair = (struct snapshot_pair){ .role = role, .port = port };
	pair->view.state[TCP_STATE_ESTABLISHED] = established;
	pair->view.keepalive[KEEPALIVE_ON] = keepalive;
	pair->view.keepalive[KEEPALIVE_OFF] = established - keepalive;
	pair->view.peak[TALLY_LOSS] = established == keepalive ? 7875 * SECOND : PORTVIEW_NEVER;
	return pair;
}

static void add_stale(struct snapshot_ns *ns, struct snapshot_pair *pair, enum stale_reason reason,
		      uint32_t sockets, uint64_t oldest_ms, const char *unit)
{
	struct stale_group group = { oldest_ms, sockets };

	pair->view.stale[reason] += sockets;
	ns->units[ns->unit_count++] = (struct snapshot_unit){
		.port = pair->port,
		.role = pair->role,
		.reason = reason,
		.unit = unit,
		.all = group,
	};
	ns->units[ns->unit_count - 1].form[stale_form(reason, pair->role, NULL)] = group;
	assert_true(ns->unit_count <= PAIRS);
}

static struct listener_port *add_listener(struct snapshot_ns *ns, uint32_t port, const char *unit,
					  uint64_t length, uint64_t limit)
{
	struct snapshot_listener *listener = &ns->listeners[ns->listener_count++];

	assert_true(ns->listener_count <= PAIRS);
	listener->port = port;
	listener->row =
		(struct listener_port){ .sockets = 1,
					.backlog_known = true,
					.queue_length = length,
					.queue_limit = limit,
					.saturation = (double)length / (double)(limit + 1) };
	ns->listener_units[ns->listener_unit_count++] =
		(struct snapshot_listener_unit){ .port = port, .unit = unit };
	return &listener->row;
}

/* The night of which the issue tells: one service never closes. */
static void fill_story(struct scene *scene)
{
	struct snapshot_ns *ns = scene->ns;
	struct snapshot_pair *pair;

	add_pair(ns, ROLE_SERVER, 22, 3, 3);
	add_listener(ns, 22, "ssh.service", 0, 128);
	pair = add_pair(ns, ROLE_SERVER, 8080, 64, 64);
	pair->view.state[TCP_STATE_TIME_WAIT] = 212;
	pair->counter[LEDGER_LISTEN_DROPS] = 17;
	add_listener(ns, 8080, "web.service", 2, 511);
	add_pair(ns, ROLE_SERVER, 9100, 1, 1);
	add_listener(ns, 9100, "prometheus-node-exporter.service", 0, 4096);
	add_pair(ns, ROLE_SERVER, 10793, 1, 1);
	add_listener(ns, 10793, "tcphealth_exporter.service", 0, 128);
	pair = add_pair(ns, ROLE_SERVER, 35111, 12, 0);
	pair->view.state[TCP_STATE_CLOSE_WAIT] = 4;
	add_stale(ns, pair, STALE_CLOSE_WAIT, 4, 2 * HOUR, "load@35111.service");
	add_listener(ns, 35111, "load@35111.service", 0, 128);
	add_pair(ns, ROLE_SERVER, 35112, 9, 0);
	add_listener(ns, 35112, "load@35112.service", 0, 128);
	pair = add_pair(ns, ROLE_CLIENT, 53, 2, 2);
	pair->counter[LEDGER_FAILED + CONNECTS_TIMEOUT] = 2;
	pair = add_pair(ns, ROLE_CLIENT, 443, 18, 18);
	pair->view.state[TCP_STATE_TIME_WAIT] = 31;
	pair->counter[LEDGER_FAILED + CONNECTS_ABANDONED] = 5;
	add_pair(ns, ROLE_CLIENT, 5432, 40, 40);
	pair = add_pair(ns, ROLE_CLIENT, 6379, 8, 8);
	pair->counter[LEDGER_FAILED + CONNECTS_REFUSED] = 12;
	add_pair(ns, ROLE_CLIENT, LEDGER_PORT_UNKNOWN, 0, 0);
	add_pair(ns, ROLE_CLIENT, LEDGER_PORT_OTHER, 0, 0);
}

static void fill_troubled_servers(struct snapshot_ns *ns)
{
	struct snapshot_pair *pair = add_pair(ns, ROLE_SERVER, 80, 7, 2);

	add_listener(ns, 80, "web.service", 129, 128);
	pair->counter[LEDGER_LISTEN_DROPS] = 341;
	ns->listener_units[ns->listener_unit_count++] =
		(struct snapshot_listener_unit){ 80, "web.socket" };
	ns->listener_units[ns->listener_unit_count++] =
		(struct snapshot_listener_unit){ 80, HOSTILE };
	pair->view.state[TCP_STATE_SYN_RECV] = 3;
	add_pair(ns, ROLE_SERVER, 81, 1, 1);
	add_listener(ns, 81, "", 96, 128);
	/* Its listener is gone, and three units share the blame. */
	pair = add_pair(ns, ROLE_SERVER, 7000, 1, 0);
	pair->view.state[TCP_STATE_CLOSE_WAIT] = 6;
	add_stale(ns, pair, STALE_CLOSE_WAIT, 3, 3 * DAY + 4 * HOUR, "a.service");
	add_stale(ns, pair, STALE_CLOSE_WAIT, 2, 90 * SECOND, HOSTILE);
	add_stale(ns, pair, STALE_CLOSE_WAIT, 1, 2 * MINUTE, "docker:0123456789ab");
	add_stale(ns, pair, STALE_DEAD, 1, 61 * SECOND, "");
	add_stale(ns, pair, STALE_UNREAD, 1, 6 * MINUTE, "a.service");
	add_pair(ns, ROLE_SERVER, LEDGER_PORT_OTHER, 5, 5)->view.keepalive[KEEPALIVE_UNKNOWN] = 2;
}

static void fill_troubled_clients(struct snapshot_ns *ns)
{
	struct snapshot_pair *pair = add_pair(ns, ROLE_CLIENT, 443, 30, 10);

	pair->view.ephemeral_ratio = 0.91;
	pair->counter[LEDGER_FAILED + CONNECTS_REFUSED] = 1;
	pair->counter[LEDGER_FAILED + CONNECTS_TIMEOUT] = 2;
	pair->counter[LEDGER_FAILED + CONNECTS_ABANDONED] = 3;
	pair = add_pair(ns, ROLE_CLIENT, 5432, 9, 0);
	add_stale(ns, pair, STALE_IDLE, 9, 26 * HOUR, "api.service");
	pair = add_pair(ns, ROLE_CLIENT, LEDGER_PORT_UNKNOWN, 0, 0);
	pair->counter[LEDGER_FAILED + CONNECTS_REFUSED] = 1;
}

/* Everything at once, with names that want to be markup. */
static void fill_rich(struct scene *scene)
{
	struct snapshot_ns *ns = scene->ns, *blue;
	struct snapshot_pair *pair;

	fill_troubled_servers(ns);
	fill_troubled_clients(ns);
	ns->folded[ROLE_SERVER] = 37;
	ns->folded[ROLE_CLIENT] = 1;
	blue = make_ns(scene, 1, HOSTILE);
	pair = add_pair(blue, ROLE_SERVER, 7000, 0, 0);
	pair->view.state[TCP_STATE_FIN_WAIT2] = 1;
	add_stale(blue, pair, STALE_FIN_WAIT2, 1, HOUR + 59 * MINUTE, "pod:12:34");
	add_pair(blue, ROLE_SERVER, 80, 0, 0);
	add_listener(blue, 80, "", 0, 1);
	make_ns(scene, 2, "green");
	pair = add_pair(&scene->snapshot->ns[2], ROLE_CLIENT, 443, 1, 1);
	pair->view.state[TCP_STATE_SYN_SENT] = 1;
	add_stale(&scene->snapshot->ns[2], pair, STALE_SYN_SENT, 1, 45 * SECOND, "x\\x2dy.service");
	scene->health.success = false;
	scene->health.errors = 1;
	scene->health.events_lost = 2;
	scene->health.malformed = 3;
	scene->health.forged = 1;
}

static void render(struct scene *scene)
{
	html_render(&scene->input, &scene->buf);
	assert_int_equal(scene->buf.err, 0);
	buf_putc(&scene->buf, '\0');
}

static const char *text_of(const struct scene *scene)
{
	return scene->buf.data;
}

/* -- golden pages ------------------------------------------------------------------------------ */

static void read_file(const char *path, struct buf *ret_buf)
{
	FILE *file = fopen(path, "re");
	char block[4096];
	size_t n;

	buf_init(ret_buf, 0);
	if (file == NULL)
		fail_msg("%s: %s", path, strerror(errno));
	while ((n = fread(block, 1, sizeof(block), file)) > 0)
		buf_put(ret_buf, block, n);
	assert_int_equal(ferror(file), 0);
	fclose(file);
	assert_int_equal(ret_buf->err, 0);
}

static void write_file(const char *path, const char *data, size_t len)
{
	FILE *file = fopen(path, "we");

	if (file == NULL)
		fail_msg("%s: %s", path, strerror(errno));
	assert_int_equal(fwrite(data, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

static size_t line_of_difference(const struct buf *a, const struct buf *b, size_t len)
{
	size_t line = 1;

	for (size_t i = 0; i < len && i < a->len && a->data[i] == b->data[i]; i++)
		line += a->data[i] == '\n';
	return line;
}

/* Without the NUL that render() put behind it. */
static void check_golden(const struct scene *scene, const char *path)
{
	const char *mode = getenv("TCPHEALTH_GOLDEN");
	size_t len = scene->buf.len - 1;
	struct buf golden;

	if (mode != NULL && strcmp(mode, "write") == 0) {
		write_file(path, scene->buf.data, len);
		return;
	}
	read_file(path, &golden);
	if (golden.len != len || memcmp(golden.data, scene->buf.data, len) != 0)
		fail_msg("%s differs from line %zu on", path,
			 line_of_difference(&golden, &scene->buf, len));
	buf_done(&golden);
}

/* -- well-formedness --------------------------------------------------------------------------- */

#define DEPTH 32

struct checker {
	const char *at;
	char open[DEPTH][16];
	size_t depth;
};

static bool is_void(const char *name)
{
	return strcmp(name, "meta") == 0 || strcmp(name, "link") == 0 || strcmp(name, "input") == 0;
}

static void check_entity(const char *at)
{
	static const char *const entities[] = { "&amp;", "&lt;", "&gt;", "&quot;", "&#39;" };

	for (size_t i = 0; i < sizeof(entities) / sizeof(entities[0]); i++)
		if (strncmp(at, entities[i], strlen(entities[i])) == 0)
			return;
	fail_msg("a bare & before: %.40s", at);
}

/* Attributes without a value, or with one in double quotes without < in it. */
static void check_attributes(struct checker *checker)
{
	while (*checker->at != '>') {
		assert_int_equal(*checker->at, ' ');
		checker->at += 1 + strspn(checker->at + 1, "abcdefghijklmnopqrstuvwxyz-");
		if (*checker->at != '=')
			continue;
		assert_int_equal(checker->at[1], '"');
		for (checker->at += 2; *checker->at != '"'; checker->at++) {
			assert_true(*checker->at != '<' && *checker->at != '\0');
			if (*checker->at == '&')
				check_entity(checker->at);
		}
		checker->at++;
	}
	checker->at++;
}

static void check_tag(struct checker *checker)
{
	bool closes = checker->at[1] == '/';
	const char *begin = checker->at + 1 + closes;
	size_t len = strspn(begin, "abcdefghijklmnopqrstuvwxyz123456");
	char name[16] = "";

	assert_in_range(len, 1, sizeof(name) - 1);
	memcpy(name, begin, len);
	checker->at = begin + len;
	check_attributes(checker);
	if (closes) {
		assert_true(checker->depth > 0);
		assert_string_equal(checker->open[--checker->depth], name);
	} else if (!is_void(name)) {
		assert_true(checker->depth < DEPTH);
		memcpy(checker->open[checker->depth++], name, sizeof(name));
	}
}

static void check_well_formed(const char *page)
{
	static const char doctype[] = "<!DOCTYPE html>\n";
	struct checker checker = { .at = page };

	assert_memory_equal(page, doctype, strlen(doctype));
	checker.at += strlen(doctype);
	while (*checker.at != '\0') {
		if (*checker.at == '<') {
			check_tag(&checker);
			continue;
		}
		if (*checker.at == '&')
			check_entity(checker.at);
		assert_int_not_equal(*checker.at, '>');
		checker.at++;
	}
	assert_int_equal(checker.depth, 0);
}

/* -- tests of pages ---------------------------------------------------------------------------- */

static void test_story(void **state)
{
	struct scene scene;

	(void)state;
	open_scene(&scene, 1);
	fill_story(&scene);
	render(&scene);
	assert_non_null(strstr(text_of(&scene), ">4 stale connections on 1 port</h1>"));
	assert_non_null(strstr(text_of(&scene),
			       "4 connections: closed by the client and read to the end, but "
			       "load@35111.service has not closed for 2 h</p>"));
	assert_non_null(strstr(text_of(&scene),
			       "href=\"./api/v1/connections?port=35111&amp;role=server\""));
	check_well_formed(text_of(&scene));
	check_golden(&scene, PAGES "story.html");
	close_scene(&scene);
}

static void test_rich(void **state)
{
	struct scene scene;

	(void)state;
	open_scene(&scene, 3);
	fill_rich(&scene);
	render(&scene);
	check_well_formed(text_of(&scene));
	check_golden(&scene, PAGES "rich.html");
	close_scene(&scene);
}

static void test_no_sample(void **state)
{
	struct scene scene;

	(void)state;
	open_scene(&scene, 1);
	scene.input.snapshot = NULL;
	scene.health = (struct health){ .errors = 1, .source = &source_procfs };
	render(&scene);
	check_well_formed(text_of(&scene));
	check_golden(&scene, PAGES "nosample.html");
	/* Before the first one, good or bad, nothing is said of source and events. */
	scene.input.health = NULL;
	buf_reset(&scene.buf);
	render(&scene);
	check_well_formed(text_of(&scene));
	assert_non_null(
		strstr(text_of(&scene), "<ul id=\"facts\"></ul>\n<ul id=\"notices\"></ul>"));
	close_scene(&scene);
}

static void test_hostile_names_are_text(void **state)
{
	struct scene scene;

	(void)state;
	open_scene(&scene, 3);
	fill_rich(&scene);
	scene.input.telemetry_path = "/\"><b>";
	scene.input.version = "<b>";
	render(&scene);
	assert_null(strstr(text_of(&scene), "<script>"));
	assert_null(strstr(text_of(&scene), "<b>"));
	assert_null(strstr(text_of(&scene), "\xe2\x80\xae"));
	assert_non_null(
		strstr(text_of(&scene), "<span class=\"netns\">in " HOSTILE_ESCAPED "</span>"));
	assert_non_null(strstr(text_of(&scene), "data-key=\"server/7000/" HOSTILE_ESCAPED "\""));
	assert_non_null(strstr(text_of(&scene), "a.service, " HOSTILE_ESCAPED
						" and 1 other has not closed for 3 d 4 h;"));
	check_well_formed(text_of(&scene));
	close_scene(&scene);
}

/*
 * The worst first: stale by somebody's fault, stale, a full queue, close to a limit, a past
 * event, the busiest.
 */
static void test_order(void **state)
{
	static const char *const keys[] = {
		"server/7000",  "client/443/green", "server/7000/&lt;", "server/80",
		"client/5432",  "server/81",        "client/443",       "client/unknown",
		"server/other", "server/80/&lt;",
	};
	struct scene scene;
	const char *at;

	(void)state;
	open_scene(&scene, 3);
	fill_rich(&scene);
	render(&scene);
	at = text_of(&scene);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		char expected[64];

		at = strstr(at, "data-key=\"");
		assert_non_null(at);
		snprintf(expected, sizeof(expected), "data-key=\"%s", keys[i]);
		if (strncmp(at, expected, strlen(expected)) != 0)
			fail_msg("row %zu is %.40s, not %s", i, at, expected);
		at++;
	}
	assert_null(strstr(at, "data-key=\""));
	close_scene(&scene);
}

/* What is said of a port, up to the tag's end: the innocent neighbour of each case comes first. */
static void test_all_well_is_said_only_of_what_is(void **state)
{
	static const struct {
		const char *says;
		enum role role;
		uint32_t established, eof_unread, listeners;
		uint64_t refused;
		uint32_t can;
	} rows[] = {
		{ "fine\">fine</span> 2 connections, all well", ROLE_CLIENT, 2, 0, 1, 0,
		  UINT32_MAX },
		{ "fine\">fine</span> 2 connections, all well", ROLE_SERVER, 2, 0, 1, 0,
		  UINT32_MAX },
		{ "note\">note</span> 2 connections, and nobody listens on this port any more",
		  ROLE_SERVER, 2, 0, 0, 0, UINT32_MAX },
		{ "note\">note</span> 3 connects refused", ROLE_CLIENT, 2, 0, 1, 3, UINT32_MAX },
		{ "fine\">fine</span> 2 connections, nothing wrong as far as /proc tells",
		  ROLE_CLIENT, 2, 0, 1, 0, 0 },
		{ "watch\">watch</span> 2 connections: closed by the peer 1 h ago, unnoticed by "
		  "pool.service",
		  ROLE_CLIENT, 2, 2, 1, 0, UINT32_MAX },
		{ "stale\">stale</span> 2 connections: closed by the peer 1 h ago, unnoticed by "
		  "pool.service",
		  ROLE_CLIENT, 2, 2, 0, 0, UINT32_MAX },
		{ "stale\">stale</span> 2 connections: closed by the client 1 h ago, unnoticed by "
		  "pool.service",
		  ROLE_SERVER, 2, 2, 1, 0, UINT32_MAX },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct scene scene;
		struct snapshot_pair *pair;

		open_scene(&scene, 1);
		scene.ns->can = rows[i].can;
		pair = add_pair(scene.ns, rows[i].role, 80, rows[i].established, 2);
		pair->counter[LEDGER_FAILED + CONNECTS_REFUSED] = rows[i].refused;
		add_listener(scene.ns, 80, "", 0, 128)->sockets = rows[i].listeners;
		if (rows[i].eof_unread != 0)
			add_stale(scene.ns, pair, STALE_EOF_UNREAD, rows[i].eof_unread, HOUR,
				  "pool.service");
		render(&scene);
		if (!strstr(text_of(&scene), rows[i].says))
			fail_msg("row %zu: not %s", i, rows[i].says);
		assert_int_equal(strstr(text_of(&scene), " stale connections on 1 port</h1>") !=
					 NULL,
				 strstr(rows[i].says, "stale") != NULL);
		assert_int_equal(strstr(text_of(&scene), ">Only idle connections are stale</h1>") !=
					 NULL,
				 strstr(rows[i].says, "watch") != NULL);
		assert_null(strstr(text_of(&scene), rows[i].role == ROLE_CLIENT
							    ? "systemctl restart"
							    : "no such text"));
		close_scene(&scene);
	}
}

/* Two of a reason whose fault differs: each is told, and only what is somebody's here is to be restarted. */
static void test_forms_are_told_apart(void **state)
{
	struct scene scene;
	struct snapshot_pair *pair;

	(void)state;
	open_scene(&scene, 1);
	pair = add_pair(scene.ns, ROLE_SERVER, 80, 0, 0);
	pair->view.state[TCP_STATE_CLOSE_WAIT] = 4;
	add_stale(scene.ns, pair, STALE_CLOSE_WAIT, 1, HOUR, "rsh.service");
	memmove(&scene.ns->units[0].form[0], &scene.ns->units[0].form[1],
		sizeof(struct stale_group));
	scene.ns->units[0].form[1] = (struct stale_group){ 0 };
	add_stale(scene.ns, pair, STALE_CLOSE_WAIT, 2, 2 * HOUR, "leak.service");
	/* One that no unit's row counts. */
	pair->view.stale[STALE_CLOSE_WAIT]++;
	render(&scene);
	assert_non_null(strstr(text_of(&scene),
			       "1 connection: the client closed its half and still waits, "
			       "rsh.service has not closed for 1 h"));
	assert_non_null(strstr(text_of(&scene),
			       "3 connections: closed by the client and read to the end, "
			       "but leak.service has not closed for 2 h"));
	assert_non_null(strstr(text_of(&scene), "systemctl restart leak.service"));
	assert_null(strstr(text_of(&scene), "systemctl restart rsh.service"));
	close_scene(&scene);
}

static void test_links_only_where_allowed(void **state)
{
	struct scene scene;

	(void)state;
	open_scene(&scene, 1);
	fill_story(&scene);
	scene.input.connections = false;
	scene.input.telemetry_path = "/m&m";
	render(&scene);
	assert_null(strstr(text_of(&scene), "api/v1"));
	assert_non_null(strstr(text_of(&scene), "<a href=\"./m&amp;m\">Metrics</a>"));
	close_scene(&scene);
}

/* Nothing to say of a port yet, and sources that know less. */
static void test_no_all_clear_for_what_was_not_looked_at(void **state)
{
	struct scene scene;

	(void)state;
	open_scene(&scene, 1);
	scene.health.netns.partial = true;
	add_pair(scene.ns, ROLE_CLIENT, 22, 1, 0);
	render(&scene);
	assert_non_null(strstr(text_of(&scene), ">Nothing is stale, as far as is known</h1>"));
	assert_non_null(strstr(text_of(&scene), "<li>Some network namespaces are missing: "));
	close_scene(&scene);
}

static void test_procfs(void **state)
{
	struct scene scene;

	(void)state;
	open_scene(&scene, 1);
	scene.ns->can = 0;
	scene.health.source = &source_procfs;
	add_pair(scene.ns, ROLE_SERVER, 22, 0, 0);
	*add_listener(scene.ns, 22, "", 3, 0) =
		(struct listener_port){ .sockets = 1, .queue_length = 3 };
	render(&scene);
	assert_non_null(strstr(text_of(&scene), ">Nothing is stale, as far as is known</h1>"));
	assert_non_null(strstr(text_of(&scene), "<li>Source: procfs</li>"));
	assert_non_null(strstr(text_of(&scene), "<td class=\"queue\" data-n=\"3\">3</td>"));
	check_well_formed(text_of(&scene));
	close_scene(&scene);
}

static void test_same_snapshot_same_bytes(void **state)
{
	struct scene a, b;

	(void)state;
	open_scene(&a, 3);
	open_scene(&b, 3);
	fill_rich(&a);
	fill_rich(&b);
	render(&a);
	render(&b);
	assert_string_equal(text_of(&a), text_of(&b));
	close_scene(&a);
	close_scene(&b);
}

static void test_large(void **state)
{
	enum { MANY = 512 };
	struct scene scene;
	size_t rows = 0;

	(void)state;
	open_scene(&scene, 1);
	scene.ns->pairs = snapshot_alloc(scene.snapshot, MANY, sizeof(*scene.ns->pairs));
	for (uint32_t i = 0; i < MANY; i++)
		scene.ns->pairs[i] =
			(struct snapshot_pair){ .role = i < MANY / 2 ? ROLE_SERVER : ROLE_CLIENT,
						.port = 1 + i % (MANY / 2) };
	scene.ns->pair_count = MANY;
	for (uint32_t i = 0; i < MANY; i++)
		scene.ns->pairs[i].view.stale[STALE_UNREAD] = scene.ns->pairs[i].view.state[1] = 1;
	render(&scene);
	for (const char *at = text_of(&scene); (at = strstr(at, "<tr class=")) != NULL; at++)
		rows++;
	assert_int_equal(rows, MANY);
	assert_non_null(strstr(text_of(&scene), ">512 stale connections on 256 ports</h1>"));
	check_well_formed(text_of(&scene));
	close_scene(&scene);
}

static void test_full_buffer(void **state)
{
	struct scene scene;

	(void)state;
	open_scene(&scene, 1);
	fill_story(&scene);
	buf_init(&scene.buf, 1000);
	html_render(&scene.input, &scene.buf);
	assert_int_equal(scene.buf.err, -EFBIG);
	close_scene(&scene);
}

/* -- tests of words ---------------------------------------------------------------------------- */

static void check_put(void (*put)(struct buf *buf, const struct finding *finding),
		      const struct finding *finding, const char *expected)
{
	struct buf buf;

	buf_init(&buf, 0);
	put(&buf, finding);
	buf_putc(&buf, '\0');
	assert_string_equal(buf.data, expected);
	buf_done(&buf);
}

static const struct finding leak = {
	.kind = STALE_CLOSE_WAIT,
	.form = 1,
	.role = ROLE_SERVER,
	.port_known = true,
	.port = 35111,
	.count = 4,
	.age_ms = 2 * HOUR,
	.unit = { "load@35111.service" },
	.units = 1,
};

static void test_words_of_a_leak(void **state)
{
	struct finding finding = leak;

	(void)state;
	check_put(words_put_verdict, &finding,
		  "4 connections: closed by the client and read to the end, but load@35111.service "
		  "has not closed for 2 h");
	check_put(words_put_next, &finding,
		  "Unless work for them is still under way, this is a leak of descriptors: restart "
		  "load@35111.service, then find the missing close().");
	check_put(words_put_look, &finding, "ss -tnp state close-wait 'sport = :35111'");
	check_put(words_put_restart, &finding, "systemctl restart load@35111.service");
	finding.count = 1;
	finding.age_ms = 0;
	finding.units = 0;
	finding.role = ROLE_CLIENT;
	finding.form = 2;
	finding.netns = "blue";
	check_put(words_put_verdict, &finding,
		  "1 connection: closed by the peer and read to the end, but not closed by the "
		  "local program");
	check_put(words_put_next, &finding,
		  "This is a leak of descriptors, and nothing else frees them: restart the local "
		  "program, then find the missing close().");
	check_put(words_put_look, &finding,
		  "ip netns exec blue ss -tnp state close-wait 'dport = :35111'");
	check_put(words_put_restart, &finding, "");
	finding.port_known = false;
	finding.netns = NULL;
	check_put(words_put_look, &finding, "ss -tnp state close-wait");
}

/* A restart is for a service of this host. */
static void test_restarts_only_what_systemctl_can(void **state)
{
	static const char *const names[] = {
		"machine:web1/nginx.service",
		"machine:nginx.service",
		"docker:0123456789ab",
		"docker:0123456789ab/nginx.service",
		"pod:0b5b0ef7-a2c6-4b4d-9f0e-6a4c9c8f1d23:4c01db0b339c/nginx.service",
		"/boxes/web1/system.slice/nginx.service",
		"session-3.scope",
		"user@1000.service",
		"check@.service",
		"docker.service",
		"containerd.service",
	};
	struct finding finding = leak;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		finding.unit[0] = names[i];
		check_put(words_put_restart, &finding, "");
	}
	finding.unit[0] = "x\\x2dy.service";
	check_put(words_put_restart, &finding, "systemctl restart 'x\\x2dy.service'");
}

static void test_words_of_who_is_to_be_restarted(void **state)
{
	static const struct {
		const char *name, *next;
	} cases[] = {
		{ "a.service", "restart a.service, then" },
		{ "machine:web1/nginx.service", "restart machine:web1/nginx.service, then" },
		{ "user@1000.service",
		  "end the program that holds them in user@1000.service, then" },
		{ "check@.service",
		  "stop that instance (unit_instance in the list of connections) of "
		  "check@.service, then" },
		{ "docker.service", "restart the container behind docker.service, then" },
	};
	struct finding finding = leak;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf buf;

		finding.unit[0] = cases[i].name;
		buf_init(&buf, 0);
		words_put_next(&buf, &finding);
		buf_putc(&buf, '\0');
		assert_non_null(strstr(buf.data, cases[i].next));
		buf_done(&buf);
	}
}

static void test_words_of_one_and_many(void **state)
{
	struct finding finding = leak;

	(void)state;
	finding.form = 0;
	finding.kind = STALE_DEAD;
	check_put(words_put_verdict, &finding,
		  "4 connections: reset or timed out 2 h ago, still held by load@35111.service");
	finding.count = 1;
	check_put(words_put_verdict, &finding,
		  "1 connection: reset or timed out 2 h ago, still held by load@35111.service");
	finding.kind = FINDING_REFUSED;
	check_put(words_put_verdict, &finding, "1 connect refused since the exporter started");
	finding.unit[1] = "b";
	finding.units = 4;
	finding.kind = STALE_FIN_WAIT2;
	check_put(words_put_verdict, &finding,
		  "1 connection: shut down by load@35111.service, b and 2 others 2 h ago, but no "
		  "close of the peer has arrived");
}

/* What a shell would take apart must not be in a command that is there to be pasted. */
static void test_commands_are_safe(void **state)
{
	static const char *const names[] = { "a b.service",   "$(id).service",
					     "-f.service",    "a;b.service",
					     ".service",      "'.service",
					     "x\\'y.service", "" };
	struct finding finding = leak;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		finding.unit[0] = names[i];
		check_put(words_put_restart, &finding, "");
	}
	finding.netns = "blue; reboot";
	check_put(words_put_look, &finding, "");
}

/* Each kind has a verdict without a gap left open, and each trouble a next step. */
static void test_all_kinds_have_words(void **state)
{
	struct finding finding = leak;

	(void)state;
	finding.form = 0;
	for (finding.kind = 0; finding.kind < FINDING_KINDS; finding.kind++) {
		struct buf buf;
		size_t verdict;

		buf_init(&buf, 0);
		words_put_verdict(&buf, &finding);
		verdict = buf.len;
		assert_true(verdict > 0);
		words_put_next(&buf, &finding);
		assert_int_equal(buf.len > verdict, words_level(&finding) > LEVEL_FINE);
		words_put_look(&buf, &finding);
		buf_putc(&buf, '\0');
		assert_null(strpbrk(buf.data, "{}[]"));
		buf_done(&buf);
	}
}

static void test_ages(void **state)
{
	static const struct {
		uint64_t ms;
		const char *text;
	} ages[] = {
		{ 999, "0 s" },
		{ 119 * SECOND, "119 s" },
		{ 2 * MINUTE, "2 min" },
		{ HOUR - 1, "59 min" },
		{ 2 * HOUR, "2 h" },
		{ 2 * HOUR + 5 * MINUTE, "2 h 5 min" },
		{ 10 * HOUR + 59 * MINUTE, "10 h" },
		{ 3 * DAY + 4 * HOUR, "3 d 4 h" },
		{ 4 * DAY, "4 d" },
		{ 12 * DAY + 4 * HOUR, "12 d" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(ages) / sizeof(ages[0]); i++) {
		struct buf buf;

		buf_init(&buf, 0);
		words_put_age(&buf, ages[i].ms);
		buf_putc(&buf, '\0');
		assert_string_equal(buf.data, ages[i].text);
		buf_done(&buf);
	}
}

/* -- assets ------------------------------------------------------------------------------------ */

/* What is compiled in is what lies in the source tree now. */
static void test_assets(void **state)
{
	(void)state;
	for (size_t i = 0; i < HTML_ASSETS; i++) {
		const struct html_asset *asset = &html_assets[i];
		char path[128];
		struct buf file;

		snprintf(path, sizeof(path), ASSETS "%s", asset->path);
		read_file(path, &file);
		assert_int_equal(file.len, asset->end - asset->data);
		assert_memory_equal(file.data, asset->data, file.len);
		buf_done(&file);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_story),
		cmocka_unit_test(test_rich),
		cmocka_unit_test(test_no_sample),
		cmocka_unit_test(test_hostile_names_are_text),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_all_well_is_said_only_of_what_is),
		cmocka_unit_test(test_forms_are_told_apart),
		cmocka_unit_test(test_links_only_where_allowed),
		cmocka_unit_test(test_no_all_clear_for_what_was_not_looked_at),
		cmocka_unit_test(test_procfs),
		cmocka_unit_test(test_same_snapshot_same_bytes),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_full_buffer),
		cmocka_unit_test(test_words_of_a_leak),
		cmocka_unit_test(test_restarts_only_what_systemctl_can),
		cmocka_unit_test(test_words_of_who_is_to_be_restarted),
		cmocka_unit_test(test_words_of_one_and_many),
		cmocka_unit_test(test_commands_are_safe),
		cmocka_unit_test(test_all_kinds_have_words),
		cmocka_unit_test(test_ages),
		cmocka_unit_test(test_assets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
