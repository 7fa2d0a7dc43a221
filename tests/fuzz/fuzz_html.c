/* html: whatever units and namespaces are called, the document is UTF-8, its elements are balanced, and there is none that names made. */
#include "tcphealth/render/html.h"
#include "tcphealth/source/unit.h"
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DEPTH_MAX 32

/* The name of an element at `text`: its length. */
static size_t name_length(const char *text)
{
	return strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789");
}

static bool is_void(const char *name, size_t len)
{
	static const char *const names[] = { "meta", "link", "br", "hr", "input" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strlen(names[i]) == len && memcmp(name, names[i], len) == 0)
			return true;
	return false;
}

struct elements {
	const char *open[DEPTH_MAX]; /* their names in the document */
	size_t depth;
	size_t scripts;
};

/* Each returns the position behind the tag at `at`. */

static const char *read_begin(struct elements *elements, const char *at)
{
	const char *name = at + 1;
	size_t len = name_length(name);

	require(len > 0);
	for (at = name + len; *at != '>'; at++) {
		require(*at != '\0' && *at != '<');
		require(strncmp(at, " on", 3) != 0); /* handlers of events are scripts, too */
		if (*at == '"')
			at = strchr(at + 1, '"');
		require(at != NULL);
	}
	elements->scripts += len == 6 && memcmp(name, "script", len) == 0;
	if (!is_void(name, len)) {
		require(elements->depth < DEPTH_MAX);
		elements->open[elements->depth++] = name;
	}
	return at + 1;
}

static const char *read_end(struct elements *elements, const char *at)
{
	const char *name = at + 2;
	size_t len = name_length(name);

	require(elements->depth > 0 && name[len] == '>');
	const char *opened = elements->open[--elements->depth];
	require(name_length(opened) == len && memcmp(opened, name, len) == 0);
	return name + len + 1;
}

static size_t count_scripts(const char *text)
{
	struct elements elements = { .depth = 0 };

	while ((text = strchr(text, '<'))) {
		if (text[1] == '!')
			text++;
		else
			text = text[1] == '/' ? read_end(&elements, text)
					      : read_begin(&elements, text);
	}
	require(elements.depth == 0);
	return elements.scripts;
}

static void fill(struct snapshot *snapshot, struct snapshot_ns *ns, const char *name)
{
	ns->pairs = snapshot_alloc(snapshot, 1, sizeof(*ns->pairs));
	ns->units = snapshot_alloc(snapshot, 1, sizeof(*ns->units));
	ns->listeners = snapshot_alloc(snapshot, 1, sizeof(*ns->listeners));
	ns->listener_units = snapshot_alloc(snapshot, 1, sizeof(*ns->listener_units));
	require(ns->pairs && ns->units && ns->listeners && ns->listener_units);
	ns->pair_count = ns->unit_count = ns->listener_count = ns->listener_unit_count = 1;
	ns->pairs[0] = (struct snapshot_pair){ .port = 80, .role = ROLE_SERVER };
	ns->pairs[0].view.state[TCP_STATE_CLOSE_WAIT] = 3;
	ns->pairs[0].view.stale[STALE_CLOSE_WAIT] = 3;
	ns->units[0] = (struct snapshot_unit){ .port = 80,
					       .role = ROLE_SERVER,
					       .reason = STALE_CLOSE_WAIT,
					       .unit = name,
					       .all = { 1, 3 },
					       .form = { { 1, 1 }, { 0, 1 }, { 1, 1 } } };
	ns->listeners[0].port = 80;
	ns->listeners[0].row.sockets = 1;
	ns->listener_units[0] = (struct snapshot_listener_unit){ .port = 80, .unit = name };
}

/* How many scripts a document with that name everywhere has. */
static size_t render(const char *name)
{
	struct health health = { .success = true };
	struct snapshot *snapshot = snapshot_new(2);
	struct html_input input = {
		.snapshot = snapshot,
		.health = &health,
		.telemetry_path = "/metrics",
		.version = "1",
	};
	struct buf buf;
	size_t count;

	require(snapshot != NULL);
	fill(snapshot, &snapshot->ns[1],
	     name); /* the own namespace has no name, and is as empty as can be */
	snapshot->ns[1].name = name;
	buf_init(&buf, 0);
	html_render(&input, &buf);
	buf_putc(&buf, '\0');
	require(buf.err == 0 && strlen(buf.data) == buf.len - 1);
	require_utf8(buf.data, buf.len);
	count = count_scripts(buf.data);
	buf_done(&buf);
	snapshot_unref(snapshot);
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* How many scripts a page has whose names are harmless. */
	static size_t scripts = SIZE_MAX;
	char *name = text_copy(data, at_most(size, UNIT_NAME_MAX));

	if (scripts == SIZE_MAX)
		scripts = render("plain");
	if (name[0] != '\0')
		require(render(name) == scripts);
	free(name);
	return 0;
}
