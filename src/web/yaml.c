/*
 * yaml: reads YAML with libfyaml. Must not know which keys there are.
 *
 * libfyaml parses, and finds duplicate keys. Whether a text is a null, a boolean or a
 * string is decided here, by the rules of YAML 1.1, as in Prometheus.
 */
#include "tcphealth/web/yaml.h"

#include "tcphealth/base/utf8.h"

#include <errno.h>
#include <libfyaml.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int yaml_fail(struct yaml *yaml, const char *fmt, ...)
{
	char what[400];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	return web_fail_at(yaml->error, yaml->name, yaml->place, "%s", what);
}

/* Nodes. */

/* A list or mapping starts at its first scalar; an empty one leaves the place as it is. */
static void go_to(struct yaml *yaml, struct fy_node *node)
{
	struct fy_token *token;
	const struct fy_mark *mark;

	while (node && !fy_node_is_scalar(node)) {
		void *first = NULL;

		if (fy_node_is_sequence(node))
			node = fy_node_sequence_iterate(node, &first);
		else
			node = fy_node_pair_key(fy_node_mapping_iterate(node, &first));
	}
	token = fy_node_get_scalar_token(node);
	mark = token ? fy_token_start_mark(token) : NULL;
	if (mark)
		yaml->place = (struct web_place){ mark->line + 1, mark->column + 1 };
}

/* Goes to a node, which must be plain YAML, and a null or of that type. */
static int enter(struct yaml *yaml, struct fy_node *node, enum fy_node_type type)
{
	static const char *const types[] = {
		[FYNT_SCALAR] = "string",
		[FYNT_SEQUENCE] = "list",
		[FYNT_MAPPING] = "mapping",
	};
	struct yaml_scalar scalar = { .is_null = false };
	size_t len;
	int err;

	if (!node)
		return 0;
	go_to(yaml, node);
	if (fy_node_is_alias(node))
		return yaml_fail(yaml, "aliases are not supported");
	if (fy_node_get_tag(node, &len))
		return yaml_fail(yaml, "tags are not supported");
	if (fy_node_get_type(node) == type)
		return 0;
	err = fy_node_is_scalar(node) ? yaml_scalar(yaml, node, &scalar) : 0;
	if (err || scalar.is_null)
		return err;
	return yaml_fail(yaml, "expected a %s, not a %s", types[type],
			 types[fy_node_get_type(node)]);
}

static bool is_one_of(const char *text, const char *const *words)
{
	while (*words && strcmp(text, *words) != 0)
		words++;
	return *words;
}

/* YAML 1.1 has more words than true and false. */
bool yaml_bool(const struct yaml_scalar *scalar, bool *ret)
{
	static const char *const yes[] = { "y",    "Y",    "yes", "Yes", "YES", "true",
					   "True", "TRUE", "on",  "On",  "ON",  NULL };
	static const char *const no[] = { "n",     "N",     "no",  "No",  "NO",  "false",
					  "False", "FALSE", "off", "Off", "OFF", NULL };

	*ret = scalar->is_plain && is_one_of(scalar->text, yes);
	return *ret || (scalar->is_plain && is_one_of(scalar->text, no));
}

/*
 * Two escaped quotes in a row ('a''''b'): libfyaml 0.7 reads a wrong text, and leaks
 * memory. They are refused; no name, path or header needs them.
 */
static bool is_misread(const struct yaml *yaml, struct fy_node *node)
{
	struct fy_token *token = fy_node_get_scalar_token(node);
	size_t begin, end;

	if (!token || fy_node_get_style(node) != FYNS_SINGLE_QUOTED)
		return false;
	begin = fy_token_start_mark(token)->input_pos;
	end = fy_token_end_mark(token)->input_pos;
	return begin < end && end <= yaml->len &&
	       memmem(yaml->text + begin, end - begin, "''''", 4);
}

/* Texts become paths, names and headers, so a NUL inside is refused. */
int yaml_scalar(struct yaml *yaml, struct fy_node *node, struct yaml_scalar *ret)
{
	static const char *const nulls[] = { "", "~", "null", "Null", "NULL", NULL };
	int err = enter(yaml, node, FYNT_SCALAR);
	const char *text;
	size_t len = 0;

	*ret = (struct yaml_scalar){ "", true, true };
	if (err || !node)
		return err;
	if (is_misread(yaml, node))
		return yaml_fail(
			yaml,
			"several escaped quotes in a row are not supported: use double quotes");
	text = fy_node_get_scalar(node, &len);
	if (len > 0 && memchr(text, '\0', len))
		return yaml_fail(yaml, "a NUL is not allowed");
	text = len > 0 ? fy_node_get_scalar0(node) : "";
	if (!text)
		return web_fail(yaml->error, yaml->name, -ENOMEM);
	ret->is_plain = fy_node_get_style(node) == FYNS_PLAIN;
	ret->is_null = ret->is_plain && is_one_of(text, nulls);
	ret->text = ret->is_null ? "" : text;
	return 0;
}

/* Mappings and lists. */

int yaml_pair(struct yaml *yaml, struct fy_node *node, void **at, struct yaml_scalar *ret_key,
	      struct fy_node **ret_value)
{
	int err = *at ? 0 : enter(yaml, node, FYNT_MAPPING);
	struct fy_node_pair *pair = err ? NULL : fy_node_mapping_iterate(node, at);

	if (!pair)
		return err;
	*ret_value = fy_node_pair_value(pair);
	err = yaml_scalar(yaml, fy_node_pair_key(pair), ret_key);
	if (!err && ret_key->is_plain && strcmp(ret_key->text, "<<") == 0)
		return yaml_fail(yaml, "merge keys are not supported");
	return err ? err : 1;
}

int yaml_item(struct yaml *yaml, struct fy_node *node, void **at, struct yaml_scalar *ret_item)
{
	int err = *at ? 0 : enter(yaml, node, FYNT_SEQUENCE);
	struct fy_node *item = err ? NULL : fy_node_sequence_iterate(node, at);

	if (!item)
		return err;
	err = yaml_scalar(yaml, item, ret_item);
	return err ? err : 1;
}

bool yaml_is_list(struct fy_node *node)
{
	return fy_node_is_sequence(node);
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
	struct fy_diag *diag;

	fy_diag_cfg_default(&config);
	config.fp = NULL;
	config.output_fn = ignore_output;
	config.level = FYET_ERROR;
	diag = fy_diag_create(&config);
	if (diag)
		fy_diag_set_collect_errors(diag, true);
	return diag;
}

/* Characters allowed in YAML: no control characters except white space (YAML 1.1, 5.1). */
static bool is_printable(const unsigned char *at, size_t len)
{
	if (len == 1)
		return (*at >= ' ' && *at <= '~') || *at == '\t' || *at == '\n' || *at == '\r';
	if (len == 2 && at[0] == 0xc2 && at[1] < 0xa0)
		return at[1] == 0x85;
	/* U+FFFE, U+FFFF. */
	return !(len == 3 && at[0] == 0xef && at[1] == 0xbf && at[2] >= 0xbe);
}

/* libfyaml lets some of them pass. */
static int check_characters(struct yaml *yaml)
{
	for (size_t at = 0; at < yaml->len;) {
		size_t size = utf8_sequence(yaml->text + at, yaml->len - at);
		if (size == 0)
			return yaml_fail(yaml, "invalid UTF-8");
		if (!is_printable((const unsigned char *)yaml->text + at, size))
			return yaml_fail(yaml, "a control character is not allowed");
		yaml->place.column++;
		if (yaml->text[at] == '\n')
			yaml->place = (struct web_place){ yaml->place.line + 1, 1 };
		at += size;
	}
	yaml->place = (struct web_place){ 1, 1 };
	return 0;
}

/* The parser's first error. */
static int fail_syntax(struct yaml *yaml)
{
	void *prev = NULL;
	const struct fy_diag_error *found = fy_diag_errors_iterate(yaml->diag, &prev);

	if (found && found->line > 0)
		yaml->place.line = found->line;
	if (found && found->column > 0)
		yaml->place.column = found->column;
	return yaml_fail(yaml, "%.150s", found && found->msg ? found->msg : "not YAML");
}

/* Reads only the first document of a stream; none counts as an empty one. */
static int load(struct yaml *yaml, struct fy_node **ret_root)
{
	struct fy_document_state *state;
	const struct fy_version *version;

	yaml->document = fy_parse_load_document(yaml->parser);
	if (!yaml->document)
		return fy_parser_get_stream_error(yaml->parser) ? fail_syntax(yaml) : 0;
	state = fy_document_get_document_state(yaml->document);
	version = fy_document_state_version(state);
	if (fy_document_state_version_explicit(state) &&
	    (version->major != 1 || version->minor != 1))
		return yaml_fail(yaml, "YAML %d.%d is not supported (allowed: 1.1)", version->major,
				 version->minor);
	*ret_root = fy_document_root(yaml->document);
	return 0;
}

int yaml_open(struct yaml *yaml, const char *name, const char *text, size_t len,
	      struct web_error *error, struct fy_node **ret_root)
{
	struct fy_parse_cfg config = {
		.flags = FYPCF_DEFAULT_VERSION_1_1 | FYPCF_JSON_NONE | FYPCF_COLLECT_DIAG,
	};
	int err;

	*yaml = (struct yaml){
		.name = name, .error = error, .place = { 1, 1 }, .text = text, .len = len
	};
	*ret_root = NULL;
	err = check_characters(yaml);
	if (err || len == 0)
		return err;
	config.diag = yaml->diag = make_diag();
	yaml->parser = yaml->diag ? fy_parser_create(&config) : NULL;
	if (!yaml->parser || fy_parser_set_string(yaml->parser, text, len))
		return web_fail(error, name, -ENOMEM);
	return load(yaml, ret_root);
}

void yaml_close(struct yaml *yaml)
{
	fy_parse_document_destroy(yaml->parser, yaml->document);
	fy_parser_destroy(yaml->parser);
	fy_diag_destroy(yaml->diag);
}
