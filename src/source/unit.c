/*
 * unit: the layouts of cgroup trees, by the names in a path. Must not know where a path comes from.
 */
#include "tcphealth/source/unit.h"

#include "tcphealth/base/escape.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <string.h>

#define POD_UID_MAX  64
#define ID_SHOWN     12
#define ID_FULL      64
#define LENGTH(list) (sizeof(list) / sizeof((list)[0]))

#define MACHINE "machine:"
#define SERVICE ".service"

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
	{ "docker.service", "docker" },
	{ "k8s.io", "containerd" },
	{ "default", "containerd" },
	{ "containerd.service", "containerd" },
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

/* What a path names, and what of the path is left behind that. */
struct match {
	struct name name;
	struct span rest;
	struct span instance; /* of the template that is named; empty if none is */
	bool scope;           /* has units of its own inside */
};

static void put(struct name *name, struct span span)
{
	size_t room = sizeof(name->bytes) - name->len;
	size_t len = span.len < room ? span.len : room;

	memcpy(name->bytes + name->len, span.text, len);
	name->len += len;
}

static struct span text_of(const struct name *name)
{
	return (struct span){ name->bytes, name->len };
}

static void show(struct span span, char *dst, size_t size)
{
	escape_clean(dst, size, span.text, span.len);
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

static bool match_pod(struct match *match, struct span path)
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
			match->rest = path;
			if (tail.len == 0 && next_component(&path, &component))
				tail = component;
			tail = container_id(tail);
			put_pod(&match->name, uid);
			if (tail.len == 0)
				return true;
			put_id(&match->name, "", tail);
			match->rest = path;
			match->scope = true;
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

static const char *match_container(struct span parent, struct span component, struct span *ret_id)
{
	const char *runtime = match_prefix(component, ret_id);

	if (!runtime)
		runtime = match_infix(component, ret_id);
	return runtime ? runtime : match_parent(parent, component, ret_id);
}

/* --- machines --- */

/* Empty if the component does not begin and end so. */
static struct span between(struct span component, const char *prefix, const char *suffix)
{
	size_t around = strlen(prefix) + strlen(suffix);

	if (component.len <= around || !starts_with(component, prefix) ||
	    !ends_with(component, suffix))
		return (struct span){ "", 0 };
	return (struct span){ component.text + strlen(prefix), component.len - around };
}

/*
 * By systemd-machined, by systemd-nspawn@.service (which runs nspawn itself beside the payload), or
 * by LXC; else empty.
 */
static struct span match_machine(struct span parent, struct span component)
{
	struct span name = between(component, "machine-", ".scope");

	if (name.len == 0)
		name = between(component, "lxc.payload.", "");
	if (name.len == 0 && span_is(component, "payload"))
		name = between(parent, "systemd-nspawn@", ".service");
	if (name.len == 0 && (span_is(parent, "lxc") || span_is(parent, "lxc.payload")))
		name = component;
	return name;
}

/* A dash nests slices: systemd escapes those of a machine's name. */
static void put_machine(struct name *name, struct span escaped)
{
	static const char dash[] = "\\x2d";

	put(name, span_of(MACHINE));
	while (escaped.len > 0) {
		bool is_dash = starts_with(escaped, dash);

		put(name, is_dash ? span_of("-") : (struct span){ escaped.text, 1 });
		escaped = drop_front(escaped, is_dash ? strlen(dash) : 1);
	}
}

static bool match_scope(struct match *match, struct span path)
{
	struct span component, part, parent = { "", 0 };

	for (; next_component(&path, &component); parent = component) {
		const char *runtime = match_container(parent, component, &part);

		if (runtime)
			put_id(&match->name, runtime, part);
		else if ((part = match_machine(parent, component)).len > 0)
			put_machine(&match->name, part);
		else
			continue;
		match->rest = path;
		match->scope = true;
		return true;
	}
	return false;
}

/* --- systemd --- */

/* Of the types that have a cgroup of their own. */
static bool is_unit(struct span component)
{
	static const char *const types[] = { ".service", ".scope", ".socket", ".mount", ".swap" };

	for (size_t i = 0; i < LENGTH(types); i++)
		if (ends_with(component, types[i]) && component.len > strlen(types[i]))
			return true;
	return false;
}

static bool is_slice(struct span component)
{
	return ends_with(component, ".slice") && component.len > strlen(".slice");
}

static bool is_number(struct span span)
{
	for (size_t i = 0; i < span.len; i++)
		if (span.text[i] < '0' || span.text[i] > '9')
			return false;
	return span.len > 0;
}

/* "10.0.0.1:7", "fe80::1:7" */
static bool is_endpoint(struct span span)
{
	const char *colon = memrchr(span.text, ':', span.len);
	char text[INET6_ADDRSTRLEN];
	struct in6_addr address;
	size_t len = colon ? (size_t)(colon - span.text) : 0;

	if (!colon || len >= sizeof(text) || !is_number(drop_front(span, len + 1)))
		return false;
	memcpy(text, span.text, len);
	text[len] = '\0';
	return inet_pton(AF_INET, text, &address) == 1 || inet_pton(AF_INET6, text, &address) == 1;
}

/* Up to the next dash, which is dropped. */
static struct span next_part(struct span *rest)
{
	const char *dash = memchr(rest->text, '-', rest->len);
	struct span part = { rest->text, dash ? (size_t)(dash - rest->text) : rest->len };

	*rest = drop_front(*rest, part.len + (dash ? 1 : 0));
	return part;
}

/* "4-10.0.0.1:7-10.0.0.2:9"; since systemd 258 the cookie of the socket follows the number. */
static bool is_connection(struct span instance)
{
	struct span part = next_part(&instance);

	if (!is_number(part))
		return false;
	part = next_part(&instance);
	if (is_number(part))
		part = next_part(&instance);
	return is_endpoint(part) && is_endpoint(instance);
}

static void put_unit(struct match *match, struct span unit)
{
	struct span instance;

	/*
	 * systemd puts a "_" before what could be taken for a file of the kernel's: cpu.service,
	 * _x.service.
	 */
	if (unit.text[0] == '_' && (is_unit(drop_front(unit, 1)) || is_slice(drop_front(unit, 1))))
		unit = drop_front(unit, 1);
	instance = between(after(unit, "@"), "", SERVICE);
	if (span_is(unit, "init.scope"))
		return;
	if (!is_connection(instance)) {
		put(&match->name, unit);
		return;
	}
	put(&match->name, (struct span){ unit.text, (size_t)(instance.text - unit.text) });
	put(&match->name, span_of(SERVICE));
	match->instance = unit;
}

static bool is_engine(struct span unit)
{
	static const char *const engines[] = { UNIT_ENGINES };

	for (size_t i = 0; i < LENGTH(engines); i++)
		if (span_is(unit, engines[i]))
			return true;
	return false;
}

/*
 * The unit behind the slices, or the last of these. An engine has nothing but containers below its
 * own cgroup, by any name.
 */
static bool match_unit(struct match *match, struct span path)
{
	struct span component, unit = { "", 0 };
	bool found = false;

	while (!found && next_component(&path, &component)) {
		found = is_unit(component);
		if (!found && !is_slice(component))
			break;
		unit = component;
		match->rest = path;
	}
	if (unit.len == 0 || (is_engine(unit) && !is_root(path)))
		return false;
	put_unit(match, unit);
	return true;
}

/*
 * Where systemd is in a machine or container, or whether it runs there at all, is the engine's
 * business.
 */
static bool match_inner_unit(struct match *match, struct span path)
{
	struct span component;

	while (next_component(&path, &component)) {
		if (is_unit(component)) {
			put_unit(match, component);
			return true;
		}
	}
	return false;
}

static void put_inner(struct name *name, struct span path)
{
	struct match inner = { .name.len = 0 };

	if (!match_pod(&inner, path) && !match_scope(&inner, path))
		match_inner_unit(&inner, path);
	if (inner.name.len == 0)
		return;
	put(name, span_of("/"));
	put(name, text_of(&inner.name));
}

/* --- names --- */

void unit_name(struct unit *ret_unit, const char *path, size_t owned)
{
	struct span all = span_of(path), own = { path, owned < all.len ? owned : all.len };
	struct match match = { .instance = span_of("") };

	if (!match_pod(&match, own) && !match_scope(&match, own) && !match_unit(&match, own)) {
		match.rest = drop_front(all, own.len);
		if (!is_root(own))
			put(&match.name, own);
	}
	struct span below = drop_front(all, (size_t)(match.rest.text - path));
	if (match.scope)
		put_inner(&match.name, below);
	while (starts_with(below, "/"))
		below = drop_front(below, 1);
	show(text_of(&match.name), ret_unit->name, sizeof(ret_unit->name));
	show(match.instance, ret_unit->instance, sizeof(ret_unit->instance));
	show(below, ret_unit->claimed, sizeof(ret_unit->claimed));
}

size_t unit_name_scope(const char *name)
{
	size_t len = strcspn(name, "/");

	return name[len] == '/' ? len : 0;
}

enum unit_kind unit_kind(const char *name)
{
	struct span span = span_of(name);

	/* The host's units have no slash, but a machine may be called like one. */
	if (!is_unit(span) || memchr(name, '/', span.len) || starts_with(span, MACHINE))
		return UNIT_OTHER;
	if (ends_with(span, ".scope") || is_number(between(span, "user@", SERVICE)))
		return UNIT_SESSION;
	if (!ends_with(span, SERVICE))
		return UNIT_OTHER;
	if (ends_with(span, "@" SERVICE))
		return UNIT_TEMPLATE;
	return is_engine(span) ? UNIT_ENGINE : UNIT_SERVICE;
}
