/*
 * yaml: reads plain YAML documents: mappings, lists and texts.
 *
 * Knows YAML 1.1 as Prometheus reads it, without aliases, merge keys and tags, which are
 * refused. Must not know which keys there are. A function that returns -EINVAL or -ENOMEM
 * has written to `error` what is wrong, and where. One document, one thread.
 */
#pragma once

#include "tcphealth/web/error.h"

#include <stdbool.h>
#include <stddef.h>

struct fy_diag;
struct fy_document;
struct fy_node;
struct fy_parser;

/* An open document. `name` and `error` are borrowed. */
struct yaml {
	const char *name; /* of the file, in errors */
	struct web_error *error;
	struct web_place place; /* of what was read last */
	/* Private. */
	const char *text;
	size_t len;
	struct fy_diag *diag;
	struct fy_parser *parser;
	struct fy_document *document;
};

/* A text without quotes and escapes. Lives as long as the document. */
struct yaml_scalar {
	const char *text; /* "" for a null */
	bool is_null;
	/* Not quoted: it may be a boolean or a number. */
	bool is_plain;
};

/*
 * Parses the first document of a file called `name`. 0 and *ret_root, NULL if the
 * document is empty; or an error. Everything is borrowed until yaml_close(), which the
 * caller calls in either case.
 */
int yaml_open(struct yaml *yaml, const char *name, const char *text, size_t len,
	      struct web_error *error, struct fy_node **ret_root);
void yaml_close(struct yaml *yaml);

/* Writes what is wrong with the item read last. Returns -EINVAL. */
int yaml_fail(struct yaml *yaml, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Reads a text; a missing one is a null. 0, or an error. */
int yaml_scalar(struct yaml *yaml, struct fy_node *node, struct yaml_scalar *ret);

/*
 * Reads the next pair of a mapping, or item of a list of texts; a null has none. 1, 0
 * after the last, or an error. `*at` is NULL before the first.
 */
int yaml_pair(struct yaml *yaml, struct fy_node *node, void **at, struct yaml_scalar *ret_key,
	      struct fy_node **ret_value);
int yaml_item(struct yaml *yaml, struct fy_node *node, void **at, struct yaml_scalar *ret_item);

bool yaml_is_list(struct fy_node *node);

/* False if it is not a boolean of YAML 1.1. */
bool yaml_bool(const struct yaml_scalar *scalar, bool *ret);
