/*
 * yaml: walks YAML, text by text. Must not know which keys there are.
 *
 * libfyaml parses and finds duplicate keys; which text is a null, a boolean or a string is decided here by the rules of
 * YAML 1.1, as Prometheus does. Aliases are followed, never expanded: a small file cannot become a large one.
 */
#include "tcphealth/web/yaml.h"

#include "tcphealth/base/utf8.h"

#include <errno.h>
#include <libfyaml.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 16 /* aliases and merges within one another */
#define LIST_MAX  256
#define PAIRS_MAX 100000 /* read in all: merges can be of merges */
#define TAG_YAML  "tag:yaml.org,2002:"

__attribute__((format(printf, 4, 0))) static int put_error(const char *name,
							   struct webconfig_place place,
							   struct web_error *error,
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

int reader_fail(struct reader *reader, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	put_error(reader->config->name, reader->place, reader->error, fmt, args);
	va_end(args);
	return -EINVAL;
}

int reader_fail_memory(struct reader *reader)
{
	reader_fail(reader, "out of memory");
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
int reader_follow(struct reader *reader, struct fy_node *node, struct fy_node **ret_node)
{
	size_t len = 0;

	*ret_node = node;
	if (!node || !fy_node_is_alias(node))
		return 0;
	go_to(reader, node);
	const char *name = fy_node_get_scalar(node, &len);
	*ret_node = name ? find_anchor(reader->document, name, len) : NULL;
	return *ret_node ? 0
			 : reader_fail(reader, "unknown anchor \"%.*s\"",
				       (int)(len < SHOWN_MAX ? len : SHOWN_MAX), name ? name : "");
}

/* Scalars. */

bool scalar_is_one_of(const struct scalar *scalar, const char *const *words)
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

	return scalar_is_one_of(scalar, nulls);
}

/* YAML 1.1 knows many more than true and false. */
bool scalar_bool(const struct scalar *scalar, bool *ret)
{
	static const char *const yes[] = { "y",    "Y",    "yes", "Yes", "YES", "true",
					   "True", "TRUE", "on",  "On",  "ON",  NULL };
	static const char *const no[] = { "n",     "N",     "no",  "No",  "NO",  "false",
					  "False", "FALSE", "off", "Off", "OFF", NULL };

	*ret = scalar_is_one_of(scalar, yes);
	return *ret || scalar_is_one_of(scalar, no);
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
		return reader_fail(reader, "not a null");
	if (has_tag(node, "bool") && !scalar_bool(scalar, &ignored))
		return reader_fail(reader, "not a boolean");
	if ((has_tag(node, "int") || has_tag(node, "float")) &&
	    (scalar->len == 0 || !strchr("+-.0123456789", scalar->text[0])))
		return reader_fail(reader, "not a number");
	if (has_tag(node, "binary") || has_tag(node, "timestamp"))
		return reader_fail(reader, "a tag that is not supported here");
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
int reader_scalar(struct reader *reader, struct fy_node *node, struct scalar *ret)
{
	size_t len = 0;

	*ret = (struct scalar){ "", 0, true, true };
	int err = reader_follow(reader, node, &node);
	if (err || !node)
		return err;
	go_to(reader, node);
	if (!fy_node_is_scalar(node))
		return reader_fail(reader, "a text is needed here, not a %s",
				   fy_node_is_mapping(node) ? "mapping" : "list");
	if (is_misread(reader, node))
		return reader_fail(
			reader,
			"several escaped quotes in a row are not supported: use double quotes");
	const char *text = fy_node_get_scalar(node, &len);
	ret->text = text ? text : "";
	ret->len = text ? len : 0;
	ret->is_plain = fy_node_get_style(node) == FYNS_PLAIN;
	ret->is_null = ret->is_plain && is_null_text(ret);
	if (memchr(ret->text, '\0', ret->len))
		return reader_fail(reader, "a NUL is not allowed");
	return fy_node_get_tag(node, &len) ? apply_tag(reader, node, ret) : 0;
}

/* A bad value as errors show it. */
const char *scalar_show(const struct scalar *scalar, char room[SHOWN_MAX + 4])
{
	size_t len = scalar->len < SHOWN_MAX ? scalar->len : SHOWN_MAX;

	(void)snprintf(room, SHOWN_MAX + 4, "%.*s%s", (int)len, scalar->text,
		       scalar->len > len ? "..." : "");
	return room;
}

bool scalar_is(const struct scalar *scalar, const char *text)
{
	return scalar->len == strlen(text) && memcmp(scalar->text, text, scalar->len) == 0;
}

int reader_copy(struct reader *reader, const struct scalar *scalar, char **target)
{
	char *copy = strndup(scalar->text, scalar->len);

	if (!copy)
		return reader_fail_memory(reader);
	free(*target); /* there where a merge came before */
	*target = copy;
	return 0;
}

/* Mappings. */

static int each_pair(struct reader *reader, struct fy_node *node, reader_pair_fn fn,
		     const void *arg);

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

static int merge_one(struct reader *reader, struct fy_node *node, reader_pair_fn fn,
		     const void *arg)
{
	struct fy_node *target;
	int err = reader_follow(reader, node, &target);

	if (err)
		return err;
	if (!target || !fy_node_is_mapping(target))
		return reader_fail(reader, "what is merged must be a mapping");
	return each_pair(reader, target, fn, arg);
}

/* "<<": a mapping, or several of which the first ones have precedence: they are read last. */
static int merge(struct reader *reader, struct fy_node *node, reader_pair_fn fn, const void *arg)
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

static int one_pair(struct reader *reader, struct fy_node_pair *pair, reader_pair_fn fn,
		    const void *arg)
{
	struct fy_node *key = fy_node_pair_key(pair), *value = fy_node_pair_value(pair);
	struct scalar name;

	if (++reader->pairs > PAIRS_MAX)
		return reader_fail(reader, "more than %d keys", PAIRS_MAX);
	if (is_merge(key))
		return merge(reader, value, fn, arg);
	int err = reader_scalar(reader, key, &name);
	return err ? err : fn(reader, &name, value, arg);
}

/* Calls `fn` for each pair of a mapping, merged ones among them. `node` is no alias. */
static int each_pair(struct reader *reader, struct fy_node *node, reader_pair_fn fn,
		     const void *arg)
{
	struct fy_node_pair *pair;
	void *prev = NULL;
	int err = 0;

	if (reader->depth == DEPTH_MAX)
		return reader_fail(reader, "too deeply nested");
	reader->depth++;
	while (!err && (pair = fy_node_mapping_iterate(node, &prev)))
		err = one_pair(reader, pair, fn, arg);
	reader->depth--;
	return err;
}

/* A mapping or nothing. */
int reader_mapping(struct reader *reader, struct fy_node *node, reader_pair_fn fn, const void *arg)
{
	struct scalar scalar;
	int err = reader_follow(reader, node, &node);

	if (err || !node)
		return err;
	if (fy_node_is_mapping(node))
		return each_pair(reader, node, fn, arg);
	if (fy_node_is_sequence(node))
		return reader_fail(reader, "a mapping is needed here, not a list");
	err = reader_scalar(reader, node, &scalar);
	return err || scalar.is_null ? err
				     : reader_fail(reader, "a mapping is needed here, not a text");
}

bool reader_is_list(struct reader *reader, struct fy_node *node)
{
	return reader_follow(reader, node, &node) == 0 && node && fy_node_is_sequence(node);
}

/* A list of texts, or nothing; a null in it is nothing, too. */
int reader_list(struct reader *reader, struct fy_node *node, reader_item_fn fn, void *target)
{
	struct scalar scalar;
	struct fy_node *item;
	void *prev = NULL;
	size_t count = 0;
	int err = reader_follow(reader, node, &node);

	if (err || !node)
		return err;
	if (!fy_node_is_sequence(node)) {
		if (!fy_node_is_mapping(node) && !(err = reader_scalar(reader, node, &scalar)) &&
		    scalar.is_null)
			return 0;
		return err ? err : reader_fail(reader, "a list is needed here");
	}
	while (!err && (item = fy_node_sequence_iterate(node, &prev))) {
		if (++count > LIST_MAX)
			return reader_fail(reader, "more than %d items", LIST_MAX);
		err = reader_scalar(reader, item, &scalar);
		if (!err)
			err = fn(reader, &scalar, target);
	}
	return err;
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
		return reader_fail(reader, "not YAML");
	reader->place = (struct webconfig_place){ found->line > 0 ? found->line : 1,
						  found->column > 0 ? found->column : 1 };
	return reader_fail(reader, "%.150s", found->msg ? found->msg : "not YAML");
}

static int read_document(struct reader *reader)
{
	struct fy_document_state *state = fy_document_get_document_state(reader->document);
	const struct fy_version *version = state ? fy_document_state_version(state) : NULL;
	struct fy_node *root = fy_document_root(reader->document);

	if (version && fy_document_state_version_explicit(state) &&
	    (version->major != 1 || version->minor != 1))
		return reader_fail(reader, "YAML %d.%d is not supported (allowed: 1.1)",
				   version->major, version->minor);
	return root ? reader->root(reader, root) : 0;
}

/* Only the first document of a stream counts; none is an empty one. */
static int read_stream(struct reader *reader, struct fy_parser *parser, struct fy_diag *diag,
		       const char *text, size_t len)
{
	if (fy_parser_set_string(parser, text, len))
		return reader_fail_memory(reader);
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
			return reader_fail(reader, "invalid UTF-8");
		if (!is_printable((const unsigned char *)text + at, size))
			return reader_fail(reader, "a control character is not allowed");
		reader->place.column++;
		if (text[at] == '\n')
			reader->place = (struct webconfig_place){ reader->place.line + 1, 1 };
		at += size;
	}
	reader->place = (struct webconfig_place){ 1, 1 };
	return 0;
}

int reader_text(struct reader *reader, const char *text, size_t len)
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
	int err =
		parser ? read_stream(reader, parser, diag, text, len) : reader_fail_memory(reader);

	fy_parser_destroy(parser);
	fy_diag_destroy(diag);
	return err;
}
int webconfig_fail(const struct webconfig *config, struct webconfig_place place,
		   struct web_error *ret_error, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	put_error(config->name, place, ret_error, fmt, args);
	va_end(args);
	return -EINVAL;
}
