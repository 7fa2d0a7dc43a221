/* html: whatever units and namespaces are called, the document is UTF-8, its elements are balanced, and there is none that names made. */
#include "tcphealth/render/html.h"
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

/* Past the tag at `at`, quoted values included; checks what it opens or closes. */
static const char *read_tag(const char *at, const char **open, size_t *depth)
{
	bool ends = at[1] == '/';
	const char *name = at + 1 + ends;
	size_t len = name_length(name);

	require(len > 0 && !(len == 6 && memcmp(name, "evil00", 6) == 0));
	for (at = name + len; *at != '>'; at++) {
		require(*at != '\0' && *at != '<');
		if (*at == '"') {
			at = strchr(at + 1, '"');
			require(at != NULL);
		}
	}
	if (ends) {
		require(*depth > 0 && memcmp(open[--*depth], name, len + 1) == 0);
	} else if (!is_void(name, len)) {
		require(*depth < DEPTH_MAX);
		/* Where its name stands again with a `>`, or an attribute, behind it: only the name is compared. */
		open[(*depth)++] = name;
	}
	return at + 1;
}

static size_t check_elements(const char *text)
{
	const char *open[DEPTH_MAX];
	size_t depth = 0, elements = 0;

	while ((text = strchr(text, '<'))) {
		if (text[1] == '!') {
			text++;
			continue;
		}
		elements++;
		/* The closing tag must name the same element. */
		if (text[1] == '/') {
			size_t len = name_length(text + 2);

			require(depth > 0 && name_length(open[depth - 1]) == len &&
				memcmp(open[depth - 1], text + 2, len) == 0 &&
				text[2 + len] == '>');
			depth--;
			text += 2 + len;
		} else {
			text = read_tag(text, open, &depth);
		}
	}
	require(depth == 0);
	return elements;
}

static size_t render(const char *name)
{
	struct health health = { .success = true };
	struct html_input input = { .health = &health,
				    .telemetry_path = "/metrics",
				    .version = "1" };
	struct snapshot *snapshot = snapshot_new(2);
	struct buf buf;
	size_t elements = 0;

	require(snapshot != NULL);
	for (size_t i = 0; i < 2; i++) {
		struct snapshot_ns *ns = &snapshot->ns[i];

		ns->name = i ? name : NULL;
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
						       .sockets = 3,
						       .reason = STALE_CLOSE_WAIT,
						       .unit = name,
						       .oldest_ms = 1 };
		ns->listeners[0].port = 80;
		ns->listeners[0].row.sockets = 1;
		ns->listener_units[0] = (struct snapshot_listener_unit){ .port = 80, .unit = name };
	}
	input.snapshot = snapshot;
	buf_init(&buf, 0);
	html_render(&input, &buf);
	buf_putc(&buf, '\0');
	if (buf.err == 0) {
		require(strlen(buf.data) == buf.len - 1);
		require_utf8(buf.data, buf.len);
		elements = check_elements(buf.data);
	}
	buf_done(&buf);
	snapshot_unref(snapshot);
	return elements;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static size_t plain;
	char *name = text_copy(data, size);

	if (plain == 0)
		plain = render("plain");
	if (size > 0 && name[0] != '\0')
		require(render(name) == plain);
	free(name);
	return 0;
}
