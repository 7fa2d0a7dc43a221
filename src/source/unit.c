/*
 * unit: the layouts of cgroup trees, by the names in a path. Must not know where a path comes from.
 */
#include "tcphealth/source/unit.h"

#include "tcphealth/base/escape.h"

#include <stdbool.h>
#include <string.h>

#define POD_UID_MAX  64
#define ID_SHOWN     12
#define ID_FULL      64
#define LENGTH(list) (sizeof(list) / sizeof((list)[0]))

/* A part of a path; not NUL terminated. */
struct span {
	const char *text;
	size_t len;
};

/*
 * What stands before the id in "PREFIX<id>.scope" and, made by the cgroupfs driver, in
 * "PREFIX<id>".
 */
static const struct {
	const char *prefix, *runtime;
} prefixes[] = {
	{ "docker-", "docker" },      { "cri-containerd-", "containerd" },
	{ "nerdctl-", "containerd" }, { "crio-conmon-", "crio" },
	{ "crio-", "crio" },          { "libpod-conmon-", "podman" },
	{ "libpod-", "podman" },
};

/*
 * Directories in which an engine with the cgroupfs driver keeps its containers, named by their ids
 * alone.
 */
static const struct {
	const char *parent, *runtime;
} parents[] = {
	{ "docker", "docker" },
	{ "k8s.io", "containerd" },
	{ "default", "containerd" },
};

/* runc's "SLICE:PREFIX:ID", taken as a name when the engine and runc disagree about the driver. */
static const struct {
	const char *infix, *runtime;
} infixes[] = {
	{ ":docker:", "docker" },      { ":cri-containerd:", "containerd" },
	{ ":nerdctl:", "containerd" }, { ":crio:", "crio" },
	{ ":libpod:", "podman" },
};

static struct span span_of(const char *text)
{
	return (struct span){ text, strlen(text) };
}

static struct span drop_front(struct span span, size_t len)
{
	return (struct span){ span.text + len, span.len - len };
}

static bool span_is(struct span span, const char *text)
{
	return span.len == strlen(text) && memcmp(span.text, text, span.len) == 0;
}

static bool starts_with(struct span span, const char *prefix)
{
	size_t len = strlen(prefix);

	return span.len >= len && memcmp(span.text, prefix, len) == 0;
}

static bool ends_with(struct span span, const char *suffix)
{
	size_t len = strlen(suffix);

	return span.len >= len && memcmp(span.text + span.len - len, suffix, len) == 0;
}

static struct span drop_suffix(struct span span, const char *suffix)
{
	if (ends_with(span, suffix))
		span.len -= strlen(suffix);
	return span;
}

/* What follows the first `infix`; empty if there is none. */
static struct span after(struct span span, const char *infix)
{
	const char *at = memmem(span.text, span.len, infix, strlen(infix));

	if (!at)
		return (struct span){ "", 0 };
	return drop_front(span, (size_t)(at - span.text) + strlen(infix));
}

static bool is_hex(struct span span, const char *also)
{
	for (size_t i = 0; i < span.len; i++)
		if (!strchr("0123456789abcdefABCDEF", span.text[i]) && !strchr(also, span.text[i]))
			return false;
	return true;
}

static bool is_id(struct span span)
{
	return span.len >= ID_SHOWN && span.len <= ID_FULL && is_hex(span, "");
}

/* The next component that is not empty. */
static bool next_component(struct span *rest, struct span *ret_component)
{
	while (rest->len > 0 && rest->text[0] == '/')
		*rest = drop_front(*rest, 1);
	if (rest->len == 0)
		return false;
	const char *slash = memchr(rest->text, '/', rest->len);
	size_t len = slash ? (size_t)(slash - rest->text) : rest->len;
	*ret_component = (struct span){ rest->text, len };
	*rest = drop_front(*rest, len);
	return true;
}

static bool is_root(struct span path)
{
	struct span component;

	return !next_component(&path, &component);
}

/* --- the result --- */

struct name {
	/* More than can be shown: cleaning decides where to cut. */
	char bytes[2 * UNIT_NAME_MAX];
	size_t len;
};

static void put(struct name *name, struct span span)
{
	size_t room = sizeof(name->bytes) - name->len;
	size_t len = span.len < room ? span.len : room;

	memcpy(name->bytes + name->len, span.text, len);
	name->len += len;
}

static void put_id(struct name *name, const char *runtime, struct span id)
{
	if (id.len > ID_SHOWN)
		id.len = ID_SHOWN;
	put(name, span_of(runtime));
	put(name, span_of(":"));
	put(name, id);
}

/* --- pods --- */

static bool is_pod_uid(struct span uid)
{
	return uid.len > 0 && uid.len <= POD_UID_MAX && is_hex(uid, "-_");
}

/* The systemd driver writes the dashes of a uid as underscores, since a dash nests slices. */
static void put_pod(struct name *name, struct span uid)
{
	put(name, span_of("pod:"));
	size_t start = name->len;
	put(name, uid);
	for (size_t i = start; i < name->len; i++)
		if (name->bytes[i] == '_')
			name->bytes[i] = '-';
}

/*
 * "...kubepods[-burstable|-besteffort]-pod<uid>.slice", or that with ":cri-containerd:<id>" behind
 * it; a cluster within a slice of its own has that slice's name in front.
 */
static bool match_pod_slice(struct span component, struct span *ret_uid, struct span *ret_rest)
{
	struct span tail = after(after(component, "kubepods"), "-pod");
	const char *dot = memmem(tail.text, tail.len, ".slice", strlen(".slice"));

	if (!dot)
		return false;
	*ret_uid = (struct span){ tail.text, (size_t)(dot - tail.text) };
	*ret_rest = after(tail, ".slice");
	return is_pod_uid(*ret_uid) && (ret_rest->len == 0 || ret_rest->text[0] == ':');
}

/*
 * The id in "<id>", "cri-containerd-<id>.scope", "kata_<id>", ":cri-containerd:<id>"; empty if it
 * is none.
 */
static struct span container_id(struct span component)
{
	struct span id = drop_suffix(component, ".scope");

	for (size_t i = id.len; i > 0; i--) {
		if (strchr("-_:", id.text[i - 1])) {
			id = drop_front(id, i);
			break;
		}
	}
	return is_id(id) ? id : (struct span){ "", 0 };
}

static bool name_pod(struct name *name, struct span path)
{
	struct span component, uid, tail;
	bool in_kubepods = false;

	while (next_component(&path, &component)) {
		bool found = match_pod_slice(component, &uid, &tail);

		if (!found && in_kubepods && starts_with(component, "pod")) {
			uid = drop_front(component, strlen("pod"));
			tail = (struct span){ "", 0 };
			found = is_pod_uid(uid);
		}
		if (found) {
			if (tail.len == 0 && next_component(&path, &component))
				tail = component;
			put_pod(name, uid);
			tail = container_id(tail);
			if (tail.len > 0)
				put_id(name, "", tail);
			return true;
		}
		in_kubepods = in_kubepods || span_is(component, "kubepods");
	}
	return false;
}

/* --- containers --- */

static const char *match_prefix(struct span component, struct span *ret_id)
{
	struct span stem = drop_suffix(component, ".scope");

	for (size_t i = 0; i < LENGTH(prefixes); i++) {
		if (!starts_with(stem, prefixes[i].prefix))
			continue;
		*ret_id = drop_front(stem, strlen(prefixes[i].prefix));
		if (is_id(*ret_id))
			return prefixes[i].runtime;
	}
	return NULL;
}

static const char *match_infix(struct span component, struct span *ret_id)
{
	for (size_t i = 0; i < LENGTH(infixes); i++) {
		*ret_id = after(component, infixes[i].infix);
		if (is_id(*ret_id))
			return infixes[i].runtime;
	}
	return NULL;
}

/* Only a full id: these parents are plain words, and anybody may call a directory "cafe". */
static const char *match_parent(struct span parent, struct span component, struct span *ret_id)
{
	for (size_t i = 0; i < LENGTH(parents); i++) {
		if (span_is(parent, parents[i].parent) && component.len == ID_FULL &&
		    is_id(component)) {
			*ret_id = component;
			return parents[i].runtime;
		}
	}
	return NULL;
}

static bool name_container(struct name *name, struct span path)
{
	struct span component, id, parent = { "", 0 };

	while (next_component(&path, &component)) {
		const char *runtime = match_prefix(component, &id);

		if (!runtime)
			runtime = match_infix(component, &id);
		if (!runtime)
			runtime = match_parent(parent, component, &id);
		if (runtime) {
			put_id(name, runtime, id);
			return true;
		}
		parent = component;
	}
	return false;
}

/* --- systemd --- */

static bool is_unit(struct span component)
{
	static const char *const types[] = { ".service", ".scope", ".slice", ".socket" };

	for (size_t i = 0; i < LENGTH(types); i++)
		if (ends_with(component, types[i]) && component.len > strlen(types[i]))
			return true;
	return false;
}

static bool name_systemd(struct name *name, struct span path)
{
	struct span component, unit = { "", 0 };

	while (next_component(&path, &component))
		if (is_unit(component))
			unit = component;
	if (unit.len == 0)
		return false;
	/*
	 * systemd puts a "_" before what could be taken for a file of the kernel's: cpu.service,
	 * _x.service.
	 */
	if (unit.text[0] == '_' && is_unit(drop_front(unit, 1)))
		unit = drop_front(unit, 1);
	if (!span_is(unit, "init.scope"))
		put(name, unit);
	return true;
}

const char *unit_name(char dst[UNIT_NAME_MAX], const char *cgroup_path)
{
	struct name name = { .len = 0 };
	struct span path = span_of(cgroup_path ? cgroup_path : "");

	if (!name_pod(&name, path) && !name_container(&name, path) && !name_systemd(&name, path) &&
	    !is_root(path))
		put(&name, path);
	escape_clean(dst, UNIT_NAME_MAX, name.bytes, name.len, ESCAPE_CONTROL);
	return dst;
}
