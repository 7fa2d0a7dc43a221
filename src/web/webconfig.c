/*
 * webconfig: reads the YAML of --web.config.file into a struct webconfig.
 *
 * Owns the tables of what may stand in the file. Must not know what is done with it.
 *
 * libfyaml parses and finds duplicate keys; which text is a null, a boolean or a string is decided here by the rules of
 * YAML 1.1, as Prometheus does. Aliases are followed, never expanded: a small file cannot become a large one.
 */
#include "tcphealth/web/webconfig.h"

#include "tcphealth/base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <libfyaml.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define DEPTH_MAX 16 /* aliases and merges within one another */
#define LIST_MAX  256
#define PAIRS_MAX 100000 /* read in all: merges can be of merges */
#define TAG_YAML  "tag:yaml.org,2002:"
#define SHOWN_MAX 60 /* bytes of a bad value in an error */

struct reader {
	struct webconfig *config;
	struct webconfig_error *error;
	struct fy_document *document;
	struct webconfig_place place; /* of what is being read */
	const char *source;           /* `len` bytes */
	size_t len;
	unsigned int depth, pairs;
};

struct scalar {
	const char *text;
	size_t len;
	bool is_null;
	bool is_plain; /* unquoted, so that it may be more than a text */
};

/* A key of a mapping and how its value is read. */
struct field {
	const char *name;
	int (*read)(struct reader *reader, struct fy_node *node, void *target);
	size_t offset; /* of the target in struct webconfig */
};

struct fields {
	const struct field *fields;
	size_t count;
};

struct word {
	const char *text;
	unsigned char value;
};

__attribute__((format(printf, 4, 0))) static int put_error(const char *name,
							   struct webconfig_place place,
							   struct webconfig_error *error,
							   const char *fmt, va_list args)
{
	size_t size = sizeof(error->text);
	/* The path may be long, but must leave room for what is wrong. */
	int used = snprintf(error->text, size, "%.300s:%d:%d: ", name, place.line, place.column);

	if (used >= 0 && (size_t)used < size)
		(void)vsnprintf(error->text + used, size - (size_t)used, fmt, args);
	for (char *c = error->text; *c; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	}
	return -EINVAL;
}

__attribute__((format(printf, 2, 3))) static int fail(struct reader *reader, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	put_error(reader->config->name, reader->place, reader->error, fmt, args);
	va_end(args);
	return -EINVAL;
}

static int fail_memory(struct reader *reader)
{
	fail(reader, "out of memory");
	return -ENOMEM;
}

/* Nodes. */

/* A list or mapping begins where its first scalar does; an empty one has no place of its own. */
static void go_to(struct reader *reader, struct fy_node *node)
{
	for (unsigned int depth = 0; node && depth < DEPTH_MAX; depth++) {
		struct fy_token *token = fy_node_get_scalar_token(node);
		const struct fy_mark *mark = token ? fy_token_start_mark(token) : NULL;
		void *first = NULL;

		if (mark) {
			reader->place =
				(struct webconfig_place){ mark->line + 1, mark->column + 1 };
			return;
		}
		if (fy_node_is_sequence(node)) {
			node = fy_node_sequence_iterate(node, &first);
		} else if (fy_node_is_mapping(node)) {
			struct fy_node_pair *pair = fy_node_mapping_iterate(node, &first);
			node = pair ? fy_node_pair_key(pair) : NULL;
		} else {
			return;
		}
	}
}

/* The last anchor of that name before the alias. Names lie in the one text that is parsed, in its order. */
static struct fy_node *find_anchor(struct fy_document *document, const char *name, size_t len)
{
	struct fy_anchor *anchor;
	struct fy_node *found = NULL;
	const char *found_at = NULL;
	void *prev = NULL;

	while ((anchor = fy_document_anchor_iterate(document, &prev))) {
		size_t anchor_len = 0;
		const char *at = fy_anchor_get_text(anchor, &anchor_len);
		if (!at || anchor_len != len || memcmp(at, name, len) != 0 || at > name ||
		    at < found_at)
			continue;
		found = fy_anchor_node(anchor);
		found_at = at;
	}
	return found;
}

/* What an alias stands for, other nodes themselves. 0 and *ret_node (NULL: nothing there). */
static int follow(struct reader *reader, struct fy_node *node, struct fy_node **ret_node)
{
	size_t len = 0;

	*ret_node = node;
	if (!node || !fy_node_is_alias(node))
		return 0;
	go_to(reader, node);
	const char *name = fy_node_get_scalar(node, &len);
	*ret_node = name ? find_anchor(reader->document, name, len) : NULL;
	return *ret_node ? 0
			 : fail(reader, "unknown anchor \"%.*s\"",
				(int)(len < SHOWN_MAX ? len : SHOWN_MAX), name ? name : "");
}

/* Scalars. */

static bool is_one_of(const struct scalar *scalar, const char *const *words)
{
	for (; *words; words++) {
		if (strlen(*words) == scalar->len && memcmp(*words, scalar->text, scalar->len) == 0)
			return true;
	}
	return false;
}

static bool is_null_text(const struct scalar *scalar)
{
	static const char *const nulls[] = { "", "~", "null", "Null", "NULL", NULL };

	return is_one_of(scalar, nulls);
}

/* YAML 1.1 knows many more than true and false. */
static bool bool_of(const struct scalar *scalar, bool *ret)
{
	static const char *const yes[] = { "y",    "Y",    "yes", "Yes", "YES", "true",
					   "True", "TRUE", "on",  "On",  "ON",  NULL };
	static const char *const no[] = { "n",     "N",     "no",  "No",  "NO",  "false",
					  "False", "FALSE", "off", "Off", "OFF", NULL };

	*ret = is_one_of(scalar, yes);
	return *ret || is_one_of(scalar, no);
}

static bool has_tag(struct fy_node *node, const char *name)
{
	size_t len = 0;
	const char *tag = fy_node_get_tag(node, &len);

	return tag && len == strlen(TAG_YAML) + strlen(name) &&
	       memcmp(tag, TAG_YAML, strlen(TAG_YAML)) == 0 &&
	       memcmp(tag + strlen(TAG_YAML), name, strlen(name)) == 0;
}

/* A tag like !!bool must fit the text, and then makes it that; others make it a text. */
static int apply_tag(struct reader *reader, struct fy_node *node, struct scalar *scalar)
{
	bool ignored;

	if (has_tag(node, "null") && !is_null_text(scalar))
		return fail(reader, "not a null");
	if (has_tag(node, "bool") && !bool_of(scalar, &ignored))
		return fail(reader, "not a boolean");
	if ((has_tag(node, "int") || has_tag(node, "float")) &&
	    (scalar->len == 0 || !strchr("+-.0123456789", scalar->text[0])))
		return fail(reader, "not a number");
	if (has_tag(node, "binary") || has_tag(node, "timestamp"))
		return fail(reader, "a tag that is not supported here");
	scalar->is_null = has_tag(node, "null");
	scalar->is_plain = has_tag(node, "bool");
	return 0;
}

/*
 * Two escaped quotes in a row ('a''''b'): libfyaml 0.7 makes another text of them, and leaks. No name, path or header needs that; it
 * is refused.
 */
static bool is_misread(const struct reader *reader, struct fy_node *node)
{
	struct fy_token *token = fy_node_get_scalar_token(node);

	if (!token || fy_node_get_style(node) != FYNS_SINGLE_QUOTED)
		return false;
	size_t begin = fy_token_start_mark(token)->input_pos,
	       end = fy_token_end_mark(token)->input_pos;
	return begin < end && end <= reader->len &&
	       memmem(reader->source + begin, end - begin, "''''", 4);
}

/* No text here may hold a NUL: they become paths, names and headers. */
static int read_scalar(struct reader *reader, struct fy_node *node, struct scalar *ret)
{
	size_t len = 0;

	*ret = (struct scalar){ "", 0, true, true };
	int err = follow(reader, node, &node);
	if (err || !node)
		return err;
	go_to(reader, node);
	if (!fy_node_is_scalar(node))
		return fail(reader, "a text is needed here, not a %s",
			    fy_node_is_mapping(node) ? "mapping" : "list");
	if (is_misread(reader, node))
		return fail(reader,
			    "several escaped quotes in a row are not supported: use double quotes");
	const char *text = fy_node_get_scalar(node, &len);
	ret->text = text ? text : "";
	ret->len = text ? len : 0;
	ret->is_plain = fy_node_get_style(node) == FYNS_PLAIN;
	ret->is_null = ret->is_plain && is_null_text(ret);
	if (memchr(ret->text, '\0', ret->len))
		return fail(reader, "a NUL is not allowed");
	return fy_node_get_tag(node, &len) ? apply_tag(reader, node, ret) : 0;
}

/* A bad value as errors show it. */
static const char *shown(const struct scalar *scalar, char room[SHOWN_MAX + 4])
{
	size_t len = scalar->len < SHOWN_MAX ? scalar->len : SHOWN_MAX;

	(void)snprintf(room, SHOWN_MAX + 4, "%.*s%s", (int)len, scalar->text,
		       scalar->len > len ? "..." : "");
	return room;
}

static bool is_text(const struct scalar *scalar, const char *text)
{
	return scalar->len == strlen(text) && memcmp(scalar->text, text, scalar->len) == 0;
}

static int copy_text(struct reader *reader, const struct scalar *scalar, char **target)
{
	char *copy = strndup(scalar->text, scalar->len);

	if (!copy)
		return fail_memory(reader);
	free(*target); /* there where a merge came before */
	*target = copy;
	return 0;
}

/* Mappings. */

typedef int (*pair_fn)(struct reader *reader, const struct scalar *key, struct fy_node *value,
		       const void *arg);

static int each_pair(struct reader *reader, struct fy_node *node, pair_fn fn, const void *arg);

static bool is_merge(struct fy_node *key)
{
	size_t len = 0;

	if (!key || !fy_node_is_scalar(key) || fy_node_get_style(key) != FYNS_PLAIN)
		return false;
	const char *text = fy_node_get_scalar(key, &len);
	if (!text || len != 2 || memcmp(text, "<<", 2) != 0)
		return false;
	return has_tag(key, "merge") || !fy_node_get_tag(key, &len);
}

static int merge_one(struct reader *reader, struct fy_node *node, pair_fn fn, const void *arg)
{
	struct fy_node *target;
	int err = follow(reader, node, &target);

	if (err)
		return err;
	if (!target || !fy_node_is_mapping(target))
		return fail(reader, "what is merged must be a mapping");
	return each_pair(reader, target, fn, arg);
}

/* "<<": a mapping, or several of which the first ones have precedence: they are read last. */
static int merge(struct reader *reader, struct fy_node *node, pair_fn fn, const void *arg)
{
	void *prev = NULL;
	struct fy_node *item;
	int err = 0;

	if (!node || !fy_node_is_sequence(node) || fy_node_is_alias(node))
		return merge_one(reader, node, fn, arg);
	while (!err && (item = fy_node_sequence_reverse_iterate(node, &prev)))
		err = merge_one(reader, item, fn, arg);
	return err;
}

static int one_pair(struct reader *reader, struct fy_node_pair *pair, pair_fn fn, const void *arg)
{
	struct fy_node *key = fy_node_pair_key(pair), *value = fy_node_pair_value(pair);
	struct scalar name;

	if (++reader->pairs > PAIRS_MAX)
		return fail(reader, "more than %d keys", PAIRS_MAX);
	if (is_merge(key))
		return merge(reader, value, fn, arg);
	int err = read_scalar(reader, key, &name);
	return err ? err : fn(reader, &name, value, arg);
}

/* Calls `fn` for each pair of a mapping, merged ones among them. `node` is no alias. */
static int each_pair(struct reader *reader, struct fy_node *node, pair_fn fn, const void *arg)
{
	struct fy_node_pair *pair;
	void *prev = NULL;
	int err = 0;

	if (reader->depth == DEPTH_MAX)
		return fail(reader, "too deeply nested");
	reader->depth++;
	while (!err && (pair = fy_node_mapping_iterate(node, &prev)))
		err = one_pair(reader, pair, fn, arg);
	reader->depth--;
	return err;
}

/* A mapping or nothing. */
static int read_mapping(struct reader *reader, struct fy_node *node, pair_fn fn, const void *arg)
{
	struct scalar scalar;
	int err = follow(reader, node, &node);

	if (err || !node)
		return err;
	if (fy_node_is_mapping(node))
		return each_pair(reader, node, fn, arg);
	if (fy_node_is_sequence(node))
		return fail(reader, "a mapping is needed here, not a list");
	err = read_scalar(reader, node, &scalar);
	return err || scalar.is_null ? err : fail(reader, "a mapping is needed here, not a text");
}

static int read_field(struct reader *reader, const struct scalar *key, struct fy_node *value,
		      const void *arg)
{
	const struct fields *fields = arg;
	char room[SHOWN_MAX + 4];

	for (size_t i = 0; i < fields->count; i++) {
		const struct field *field = &fields->fields[i];
		if (is_text(key, field->name))
			return field->read(reader, value, (char *)reader->config + field->offset);
	}
	return fail(reader, "unknown key \"%s\"", shown(key, room));
}

static int read_fields(struct reader *reader, struct fy_node *node, const struct field *fields,
		       size_t count)
{
	const struct fields all = { fields, count };

	return read_mapping(reader, node, read_field, &all);
}

/* Kinds of values. */

static int read_bool(struct reader *reader, struct fy_node *node, void *target)
{
	bool *value = target;
	struct scalar scalar;
	char room[SHOWN_MAX + 4];
	int err = read_scalar(reader, node, &scalar);

	if (err)
		return err;
	if (scalar.is_null) {
		*value = false;
		return 0;
	}
	if (!scalar.is_plain || !bool_of(&scalar, value))
		return fail(reader, "\"%s\" is not a boolean (allowed: true, false)",
			    shown(&scalar, room));
	return 0;
}

/* A path is read as text; at the end it is made absolute. An empty one is none. */
static int read_file(struct reader *reader, struct fy_node *node, void *target)
{
	struct webconfig_file *file = target;
	struct scalar scalar;
	int err = read_scalar(reader, node, &scalar);

	if (err)
		return err;
	free(file->path);
	file->path = NULL;
	file->place = reader->place;
	return scalar.is_null || scalar.len == 0 ? 0 : copy_text(reader, &scalar, &file->path);
}

static const struct word *find_word(const struct scalar *scalar, const struct word *words,
				    size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (is_text(scalar, words[i].text))
			return &words[i];
	}
	return NULL;
}

/* "a, b, c": what is allowed. */
static const char *list_words(const struct word *words, size_t count, char *room, size_t size)
{
	size_t used = 0;

	for (size_t i = 0; i < count && used < size; i++)
		used += (size_t)snprintf(room + used, size - used, "%s%s", i ? ", " : "",
					 words[i].text);
	return room;
}

static int read_word(struct reader *reader, const struct scalar *scalar, const char *what,
		     const struct word *words, size_t count, unsigned char *ret)
{
	char allowed[256], room[SHOWN_MAX + 4];
	const struct word *word = find_word(scalar, words, count);

	if (!word)
		return fail(reader, "unknown %s \"%s\" (allowed: %s)", what, shown(scalar, room),
			    list_words(words, count, allowed, sizeof(allowed)));
	*ret = word->value;
	return 0;
}

static const struct word client_auths[] = {
	{ "NoClientCert", WEBCONFIG_CLIENT_NONE },
	{ "RequestClientCert", WEBCONFIG_CLIENT_REQUEST },
	{ "RequireAnyClientCert", WEBCONFIG_CLIENT_REQUIRE_ANY },
	{ "VerifyClientCertIfGiven", WEBCONFIG_CLIENT_VERIFY_IF_GIVEN },
	{ "RequireAndVerifyClientCert", WEBCONFIG_CLIENT_REQUIRE_AND_VERIFY },
	{ "RequireClientCert", WEBCONFIG_CLIENT_REQUIRE_ANY }, /* its name of old */
};

/*
 * Told apart from "not given": even NoClientCert asks for TLS. The target's place is where it stands; whether the word is a
 * good one matters only then.
 */
static int read_client_auth(struct reader *reader, struct fy_node *node, void *target)
{
	enum webconfig_client_auth *value = target;
	unsigned char word = WEBCONFIG_CLIENT_NONE;
	struct scalar scalar;
	int err = read_scalar(reader, node, &scalar);

	if (!err && !scalar.is_null && scalar.len > 0) {
		err = read_word(reader, &scalar, "client_auth_type", client_auths,
				COUNT(client_auths), &word);
		reader->config->tls = true;
	}
	*value = word;
	return err;
}

static int read_version(struct reader *reader, struct fy_node *node, void *target)
{
	static const struct word versions[] = {
		{ "TLS13", WEBCONFIG_TLS13 },
		{ "TLS12", WEBCONFIG_TLS12 },
		{ "TLS11", WEBCONFIG_TLS11 },
		{ "TLS10", WEBCONFIG_TLS10 },
	};
	enum webconfig_version *value = target;
	unsigned char word = 0;
	struct scalar scalar;
	int err = read_scalar(reader, node, &scalar);

	if (err || scalar.is_null)
		return err;
	err = read_word(reader, &scalar, "TLS version", versions, COUNT(versions), &word);
	*value = word;
	return err;
}

static const char *const cipher_names[WEBCONFIG_CIPHERS] = {
	[WEBCONFIG_RSA_AES_128_CBC_SHA] = "TLS_RSA_WITH_AES_128_CBC_SHA",
	[WEBCONFIG_RSA_AES_256_CBC_SHA] = "TLS_RSA_WITH_AES_256_CBC_SHA",
	[WEBCONFIG_RSA_AES_128_GCM_SHA256] = "TLS_RSA_WITH_AES_128_GCM_SHA256",
	[WEBCONFIG_RSA_AES_256_GCM_SHA384] = "TLS_RSA_WITH_AES_256_GCM_SHA384",
	[WEBCONFIG_AES_128_GCM_SHA256] = "TLS_AES_128_GCM_SHA256",
	[WEBCONFIG_AES_256_GCM_SHA384] = "TLS_AES_256_GCM_SHA384",
	[WEBCONFIG_CHACHA20_POLY1305_SHA256] = "TLS_CHACHA20_POLY1305_SHA256",
	[WEBCONFIG_ECDHE_ECDSA_AES_128_CBC_SHA] = "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
	[WEBCONFIG_ECDHE_ECDSA_AES_256_CBC_SHA] = "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
	[WEBCONFIG_ECDHE_RSA_AES_128_CBC_SHA] = "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
	[WEBCONFIG_ECDHE_RSA_AES_256_CBC_SHA] = "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
	[WEBCONFIG_ECDHE_ECDSA_AES_128_GCM_SHA256] = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
	[WEBCONFIG_ECDHE_ECDSA_AES_256_GCM_SHA384] = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
	[WEBCONFIG_ECDHE_RSA_AES_128_GCM_SHA256] = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
	[WEBCONFIG_ECDHE_RSA_AES_256_GCM_SHA384] = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
	[WEBCONFIG_ECDHE_RSA_CHACHA20_POLY1305_SHA256] =
		"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
	[WEBCONFIG_ECDHE_ECDSA_CHACHA20_POLY1305_SHA256] =
		"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
};

typedef int (*item_fn)(struct reader *reader, const struct scalar *scalar, void *target);

/* A list of texts, or nothing; a null in it is nothing, too. */
static int read_list(struct reader *reader, struct fy_node *node, item_fn fn, void *target)
{
	struct scalar scalar;
	struct fy_node *item;
	void *prev = NULL;
	size_t count = 0;
	int err = follow(reader, node, &node);

	if (err || !node)
		return err;
	if (!fy_node_is_sequence(node)) {
		if (!fy_node_is_mapping(node) && !(err = read_scalar(reader, node, &scalar)) &&
		    scalar.is_null)
			return 0;
		return err ? err : fail(reader, "a list is needed here");
	}
	while (!err && (item = fy_node_sequence_iterate(node, &prev))) {
		if (++count > LIST_MAX)
			return fail(reader, "more than %d items", LIST_MAX);
		err = read_scalar(reader, item, &scalar);
		if (!err)
			err = fn(reader, &scalar, target);
	}
	return err;
}

static int add_id(struct reader *reader, struct webconfig_list *list, unsigned char id)
{
	unsigned char *ids = realloc(list->ids, list->count + 1);

	if (!ids)
		return fail_memory(reader);
	list->ids = ids;
	list->ids[list->count++] = id;
	return 0;
}

static int add_cipher(struct reader *reader, const struct scalar *scalar, void *target)
{
	char room[SHOWN_MAX + 4];

	if (scalar->is_null)
		return 0;
	for (unsigned int i = 0; i < WEBCONFIG_CIPHERS; i++) {
		if (is_text(scalar, cipher_names[i]))
			return add_id(reader, target, (unsigned char)i);
	}
	return fail(reader,
		    "unknown cipher suite \"%s\" (allowed: the names of Go's crypto/tls that are "
		    "secure)",
		    shown(scalar, room));
}

static int add_curve(struct reader *reader, const struct scalar *scalar, void *target)
{
	static const struct word curves[] = {
		{ "CurveP256", WEBCONFIG_P256 },
		{ "CurveP384", WEBCONFIG_P384 },
		{ "CurveP521", WEBCONFIG_P521 },
		{ "X25519", WEBCONFIG_X25519 },
	};
	unsigned char word = 0;

	if (scalar->is_null)
		return 0;
	int err = read_word(reader, scalar, "curve", curves, COUNT(curves), &word);
	return err ? err : add_id(reader, target, word);
}

static int add_san(struct reader *reader, const struct scalar *scalar, void *target)
{
	struct webconfig *config = reader->config;
	char **sans =
		reallocarray(config->allowed_sans, config->allowed_san_count + 1, sizeof(*sans));

	(void)target;
	if (!sans)
		return fail_memory(reader);
	config->allowed_sans = sans;
	sans[config->allowed_san_count] = NULL;
	int err = copy_text(reader, scalar, &sans[config->allowed_san_count]);
	config->allowed_san_count += err == 0;
	return err;
}

static int read_ciphers(struct reader *reader, struct fy_node *node, void *target)
{
	struct webconfig_list *list = target;

	list->count = 0;
	return read_list(reader, node, add_cipher, list);
}

static int read_curves(struct reader *reader, struct fy_node *node, void *target)
{
	struct webconfig_list *list = target;

	list->count = 0;
	return read_list(reader, node, add_curve, list);
}

static void drop_sans(struct webconfig *config)
{
	for (size_t i = 0; i < config->allowed_san_count; i++)
		free(config->allowed_sans[i]);
	config->allowed_san_count = 0;
}

static int read_sans(struct reader *reader, struct fy_node *node, void *target)
{
	bool *given = target;

	drop_sans(reader->config);
	int err = follow(reader, node, &node);
	*given = !err && node && fy_node_is_sequence(node);
	return err ? err : read_list(reader, node, add_san, NULL);
}

/* Headers. */

static const struct {
	const char *name;
	const char *allowed[3]; /* none: anything */
} headers[WEBCONFIG_HEADERS] = {
	[WEBCONFIG_CONTENT_SECURITY_POLICY] = { "Content-Security-Policy", { NULL } },
	[WEBCONFIG_X_FRAME_OPTIONS] = { "X-Frame-Options", { "deny", "sameorigin", NULL } },
	[WEBCONFIG_X_CONTENT_TYPE_OPTIONS] = { "X-Content-Type-Options", { "nosniff", NULL } },
	[WEBCONFIG_X_XSS_PROTECTION] = { "X-XSS-Protection", { NULL } },
	[WEBCONFIG_STRICT_TRANSPORT_SECURITY] = { "Strict-Transport-Security", { NULL } },
};

/* A line end would end the header, and white space around it is not part of it. Go's server makes it so, too. */
static void make_fit(char *value)
{
	size_t skipped = strspn(value, " \t\r\n");
	size_t len = strlen(value) - skipped;

	memmove(value, value + skipped, len + 1);
	for (char *c = value; *c; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = ' ';
	}
	while (len > 0 && value[len - 1] == ' ')
		value[--len] = '\0';
}

static int set_header(struct reader *reader, enum webconfig_header header, struct fy_node *node)
{
	char **target = &reader->config->headers[header];
	char room[SHOWN_MAX + 4];
	struct scalar scalar;
	int err = read_scalar(reader, node, &scalar);

	if (err)
		return err;
	if (headers[header].allowed[0] && !is_one_of(&scalar, headers[header].allowed))
		return fail(reader, "%s: \"%s\" is not allowed (allowed: %s%s%s)",
			    headers[header].name, shown(&scalar, room), headers[header].allowed[0],
			    headers[header].allowed[1] ? ", " : "",
			    headers[header].allowed[1] ? headers[header].allowed[1] : "");
	err = copy_text(reader, &scalar, target);
	if (err)
		return err;
	make_fit(*target);
	if ((*target)[0] == '\0') {
		free(*target);
		*target = NULL;
	}
	return 0;
}

static int read_header(struct reader *reader, const struct scalar *key, struct fy_node *value,
		       const void *arg)
{
	char room[SHOWN_MAX + 4];

	(void)arg;
	for (unsigned int i = 0; i < WEBCONFIG_HEADERS; i++) {
		if (is_text(key, headers[i].name))
			return set_header(reader, (enum webconfig_header)i, value);
	}
	return fail(reader, "HTTP header \"%s\" can not be configured", shown(key, room));
}

static int read_headers(struct reader *reader, struct fy_node *node, void *target)
{
	(void)target;
	return read_mapping(reader, node, read_header, NULL);
}

/* Users. */

static struct webconfig_user *find_user(struct webconfig *config, const char *name)
{
	for (size_t i = 0; i < config->user_count; i++) {
		if (strcmp(config->users[i].name, name) == 0)
			return &config->users[i];
	}
	return NULL;
}

static int add_user(struct reader *reader, char *name, const struct bcrypt_hash *hash)
{
	struct webconfig *config = reader->config;
	struct webconfig_user *user = find_user(config, name);

	if (user) {
		user->hash = *hash; /* from a merge */
		free(name);
		return 0;
	}
	struct webconfig_user *users =
		reallocarray(config->users, config->user_count + 1, sizeof(*users));
	if (!users) {
		free(name);
		return fail_memory(reader);
	}
	config->users = users;
	users[config->user_count++] = (struct webconfig_user){ name, *hash };
	return 0;
}

static int read_user(struct reader *reader, const struct scalar *key, struct fy_node *value,
		     const void *arg)
{
	struct bcrypt_hash hash;
	struct scalar scalar;
	char *name = strndup(key->text, key->is_null ? 0 : key->len);
	int err = name ? read_scalar(reader, value, &scalar) : fail_memory(reader);

	(void)arg;
	if (err) {
		free(name);
		return err;
	}
	const char *wrong = bcrypt_parse(scalar.text, scalar.is_null ? 0 : scalar.len, &hash);
	if (wrong) {
		/* Neither the hash nor what may be a password in its place is shown. */
		err = fail(reader, "user \"%.60s\": %s", name, wrong);
		free(name);
		return err;
	}
	err = add_user(reader, name, &hash);
	explicit_bzero(&hash, sizeof(hash));
	return err;
}

static int read_users(struct reader *reader, struct fy_node *node, void *target)
{
	(void)target;
	return read_mapping(reader, node, read_user, NULL);
}

/* Rate limit. */

static const struct {
	const char *name;
	double ns;
} time_units[] = {
	{ "ns", 1 },  { "us", 1e3 }, { "\xc2\xb5s", 1e3 }, { "ms", 1e6 },
	{ "s", 1e9 }, { "m", 60e9 }, { "h", 3600e9 },
};

static double unit_of(const char *text, size_t *ret_len)
{
	*ret_len = strcspn(text, "0123456789.");
	for (size_t i = 0; i < COUNT(time_units); i++) {
		if (strlen(time_units[i].name) == *ret_len &&
		    strncmp(time_units[i].name, text, *ret_len) == 0)
			return time_units[i].ns;
	}
	return 0;
}

/* Go's durations: "1.5s", "1m30s"; a bare number only if it is 0. Negative, or with an error: -1. */
static double parse_duration(const char *text)
{
	double total = 0;
	size_t len;

	if (strcmp(text, "0") == 0)
		return 0;
	for (size_t parts = 0; *text || parts == 0; parts++) {
		size_t digits = strspn(text, "0123456789.");
		char *end;
		if (digits == 0 || digits > 24)
			return -1;
		double number = strtod(text, &end);
		if (end != text + digits)
			return -1;
		double ns = unit_of(end, &len);
		if (ns <= 0)
			return -1;
		total += number * ns;
		text = end + len;
	}
	return total;
}

static int read_interval(struct reader *reader, struct fy_node *node, void *target)
{
	uint64_t *ns = target;
	char room[SHOWN_MAX + 4];
	struct scalar scalar;
	int err = read_scalar(reader, node, &scalar);

	*ns = 0;
	if (err || scalar.is_null)
		return err;
	double value = scalar.len <= SHOWN_MAX ? parse_duration(shown(&scalar, room)) : -1;
	if (value < 0 || value > 86400e9)
		return fail(reader, "\"%s\" is not a duration (allowed: 0 to 24h, such as 100ms)",
			    shown(&scalar, room));
	*ns = (uint64_t)value;
	return 0;
}

static int read_burst(struct reader *reader, struct fy_node *node, void *target)
{
	uint64_t *burst = target;
	char room[SHOWN_MAX + 4];
	struct scalar scalar;
	int err = read_scalar(reader, node, &scalar);

	*burst = 0;
	if (err || scalar.is_null)
		return err;
	(void)shown(&scalar, room);
	if (!scalar.is_plain || scalar.len > 9 || strspn(room, "0123456789") != scalar.len)
		return fail(reader, "\"%s\" is not a whole number (allowed: 0 to 999999999)", room);
	*burst = strtoul(room, NULL, 10);
	return 0;
}

/* The format. */

#define FIELD(name, read, member)                                                                  \
	{                                                                                          \
		name, read, offsetof(struct webconfig, member)                                     \
	}

static int read_tls(struct reader *reader, struct fy_node *node, void *target)
{
	static const struct field fields[] = {
		FIELD("cert_file", read_file, cert),
		FIELD("key_file", read_file, key),
		FIELD("client_auth_type", read_client_auth, client_auth),
		FIELD("client_ca_file", read_file, client_ca),
		FIELD("client_allowed_sans", read_sans, has_allowed_sans),
		FIELD("cipher_suites", read_ciphers, ciphers),
		FIELD("curve_preferences", read_curves, curves),
		FIELD("min_version", read_version, min_version),
		FIELD("max_version", read_version, max_version),
		FIELD("prefer_server_cipher_suites", read_bool, prefer_server_ciphers),
	};
	struct webconfig *config = reader->config;
	struct webconfig_place place = reader->place;

	(void)target;
	int err = read_fields(reader, node, fields, COUNT(fields));
	if (err)
		return err;
	config->tls |= config->cert.path || config->key.path || config->client_ca.path;
	reader->place = place;
	if (config->tls && !config->cert.path)
		return fail(reader, "tls_server_config: cert_file is missing");
	if (config->tls && !config->key.path)
		return fail(reader, "tls_server_config: key_file is missing");
	reader->place = config->client_ca.place;
	if (config->client_ca.path && config->client_auth == WEBCONFIG_CLIENT_NONE)
		return fail(reader,
			    "client_ca_file without a client_auth_type that asks for certificates");
	return 0;
}

static int read_http(struct reader *reader, struct fy_node *node, void *target)
{
	/* HTTP/1.1 is served in any case: a client that could speak HTTP/2 speaks it as well. */
	static const struct field fields[] = {
		FIELD("http2", read_bool, http2),
		FIELD("headers", read_headers, headers),
	};

	(void)target;
	return read_fields(reader, node, fields, COUNT(fields));
}

static int read_rate_limit(struct reader *reader, struct fy_node *node, void *target)
{
	static const struct field fields[] = {
		FIELD("interval", read_interval, rate_interval_ns),
		FIELD("burst", read_burst, rate_burst),
	};
	struct webconfig_place place = reader->place;
	int err = read_fields(reader, node, fields, COUNT(fields));

	(void)target;
	reader->place = place;
	if (!err && reader->config->rate_interval_ns && reader->config->rate_burst == 0)
		return fail(reader, "rate_limit: a burst of 0 would refuse every request");
	return err;
}

static int read_root(struct reader *reader, struct fy_node *node)
{
	static const struct field fields[] = {
		FIELD("tls_server_config", read_tls, tls),
		FIELD("http_server_config", read_http, http2),
		FIELD("basic_auth_users", read_users, users),
		FIELD("rate_limit", read_rate_limit, rate_interval_ns),
	};

	return read_fields(reader, node, fields, COUNT(fields));
}

/* The parser. */

static void ignore_output(struct fy_diag *diag, void *user, const char *text, size_t len)
{
	(void)diag;
	(void)user;
	(void)text;
	(void)len;
}

static struct fy_diag *make_diag(void)
{
	struct fy_diag_cfg config;

	fy_diag_cfg_default(&config);
	config.fp = NULL;
	config.output_fn = ignore_output;
	config.level = FYET_ERROR;
	struct fy_diag *diag = fy_diag_create(&config);
	if (diag)
		fy_diag_set_collect_errors(diag, true);
	return diag;
}

/* What the parser says: its first error. */
static int fail_yaml(struct reader *reader, struct fy_diag *diag)
{
	void *prev = NULL;
	const struct fy_diag_error *found = fy_diag_errors_iterate(diag, &prev);

	if (!found)
		return fail(reader, "not YAML");
	reader->place = (struct webconfig_place){ found->line > 0 ? found->line : 1,
						  found->column > 0 ? found->column : 1 };
	return fail(reader, "%.150s", found->msg ? found->msg : "not YAML");
}

static int read_document(struct reader *reader)
{
	struct fy_document_state *state = fy_document_get_document_state(reader->document);
	const struct fy_version *version = state ? fy_document_state_version(state) : NULL;
	struct fy_node *root = fy_document_root(reader->document);

	if (version && fy_document_state_version_explicit(state) &&
	    (version->major != 1 || version->minor != 1))
		return fail(reader, "YAML %d.%d is not supported (allowed: 1.1)", version->major,
			    version->minor);
	return root ? read_root(reader, root) : 0;
}

/* Only the first document of a stream counts; none is an empty one. */
static int read_stream(struct reader *reader, struct fy_parser *parser, struct fy_diag *diag,
		       const char *text, size_t len)
{
	if (fy_parser_set_string(parser, text, len))
		return fail_memory(reader);
	reader->document = fy_parse_load_document(parser);
	if (!reader->document)
		return fy_parser_get_stream_error(parser) ? fail_yaml(reader, diag) : 0;
	int err = read_document(reader);
	fy_parse_document_destroy(parser, reader->document);
	return err;
}

/* What a YAML stream may hold: no control characters but white space (YAML 1.1, 5.1). */
static bool is_printable(const unsigned char *at, size_t len)
{
	if (len == 1)
		return (*at >= ' ' && *at <= '~') || *at == '\t' || *at == '\n' || *at == '\r';
	if (len == 2 && at[0] == 0xc2 && at[1] < 0xa0)
		return at[1] == 0x85;
	return !(len == 3 && at[0] == 0xef && at[1] == 0xbf && at[2] >= 0xbe); /* U+FFFE, U+FFFF */
}

/* The parser itself lets some of it pass. */
static int check_characters(struct reader *reader, const char *text, size_t len)
{
	for (size_t at = 0; at < len;) {
		size_t size = utf8_sequence(text + at, len - at);
		if (size == 0)
			return fail(reader, "invalid UTF-8");
		if (!is_printable((const unsigned char *)text + at, size))
			return fail(reader, "a control character is not allowed");
		reader->place.column++;
		if (text[at] == '\n')
			reader->place = (struct webconfig_place){ reader->place.line + 1, 1 };
		at += size;
	}
	reader->place = (struct webconfig_place){ 1, 1 };
	return 0;
}

static int read_text(struct reader *reader, const char *text, size_t len)
{
	int unfit = check_characters(reader, text, len);
	if (unfit)
		return unfit;
	struct fy_diag *diag = make_diag();
	const struct fy_parse_cfg config = {
		.flags = FYPCF_DEFAULT_VERSION_1_1 | FYPCF_JSON_NONE | FYPCF_COLLECT_DIAG,
		.diag = diag,
	};
	struct fy_parser *parser = diag ? fy_parser_create(&config) : NULL;
	int err = parser ? read_stream(reader, parser, diag, text, len) : fail_memory(reader);

	fy_parser_destroy(parser);
	fy_diag_destroy(diag);
	return err;
}

/* Makes a path that is relative one from the directory of the configuration. */
static int resolve_path(struct reader *reader, struct webconfig_file *file)
{
	const char *name = reader->config->name;
	const char *slash = strrchr(name, '/');
	char *path;

	if (!file->path || file->path[0] == '/' || !slash)
		return 0;
	if (asprintf(&path, "%.*s/%s", (int)(slash - name), name, file->path) < 0)
		return fail_memory(reader);
	free(file->path);
	file->path = path;
	return 0;
}

static int resolve_paths(struct reader *reader)
{
	int err = resolve_path(reader, &reader->config->cert);

	if (!err)
		err = resolve_path(reader, &reader->config->key);
	if (!err)
		err = resolve_path(reader, &reader->config->client_ca);
	return err;
}

int webconfig_parse(const char *name, const char *text, size_t len, struct webconfig **ret_config,
		    struct webconfig_error *ret_error)
{
	struct webconfig *config = calloc(1, sizeof(*config));
	struct reader reader = {
		.config = config,
		.error = ret_error,
		.source = text,
		.len = len,
		.place = { 1, 1 },
	};

	(void)snprintf(ret_error->text, sizeof(ret_error->text), "%.300s: out of memory", name);
	if (config)
		config->name = strdup(name);
	if (!config || !config->name) {
		free(config);
		return -ENOMEM;
	}
	config->min_version = WEBCONFIG_TLS12;
	config->max_version = WEBCONFIG_TLS13;
	config->prefer_server_ciphers = true;
	int err = len ? read_text(&reader, text, len) : 0;
	if (!err)
		err = resolve_paths(&reader);
	if (err) {
		webconfig_free(config);
		return err;
	}
	*ret_config = config;
	return 0;
}

static int read_all(int fd, char *data, size_t size, size_t *ret_len)
{
	size_t have = 0;

	while (have < size) {
		ssize_t got = read(fd, data + have, size - have);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		have += (size_t)got;
	}
	*ret_len = have;
	return have == size ? -EFBIG : 0;
}

static int read_path(const char *path, char *data, size_t size, size_t *ret_len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -errno;
	int err = read_all(fd, data, size, ret_len);
	close(fd);
	return err;
}

int webconfig_load(const char *path, struct webconfig **ret_config,
		   struct webconfig_error *ret_error)
{
	size_t len = 0;
	char *text = malloc(WEBCONFIG_SIZE_MAX + 1);
	int err = text ? read_path(path, text, WEBCONFIG_SIZE_MAX + 1, &len) : -ENOMEM;

	if (err)
		(void)snprintf(ret_error->text, sizeof(ret_error->text), "%.300s: %s", path,
			       strerror(-err));
	else
		err = webconfig_parse(path, text, len, ret_config, ret_error);
	if (text)
		explicit_bzero(text, len);
	free(text);
	return err;
}

void webconfig_free(struct webconfig *config)
{
	if (!config)
		return;
	for (size_t i = 0; i < config->user_count; i++)
		free(config->users[i].name);
	if (config->users)
		explicit_bzero(config->users, config->user_count * sizeof(*config->users));
	for (size_t i = 0; i < WEBCONFIG_HEADERS; i++)
		free(config->headers[i]);
	drop_sans(config);
	free(config->users);
	free(config->allowed_sans);
	free(config->ciphers.ids);
	free(config->curves.ids);
	free(config->cert.path);
	free(config->key.path);
	free(config->client_ca.path);
	free(config->name);
	free(config);
}

const char *webconfig_cipher_name(enum webconfig_cipher cipher)
{
	return cipher_names[cipher];
}

const char *webconfig_header_name(enum webconfig_header header)
{
	return headers[header].name;
}

int webconfig_fail(const struct webconfig *config, struct webconfig_place place,
		   struct webconfig_error *ret_error, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	put_error(config->name, place, ret_error, fmt, args);
	va_end(args);
	return -EINVAL;
}
