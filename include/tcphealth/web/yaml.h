/*
 * yaml: walks a plain YAML document: mappings, lists and texts.
 *
 * Knows YAML 1.1 as Prometheus reads it, but for aliases, merge keys and tags, which are refused. Must not know which keys
 * there are. Functions return -EINVAL or -ENOMEM after they have told in the error what is wrong, and where.
 */
#ifndef TCPHEALTH_WEB_YAML_H
#define TCPHEALTH_WEB_YAML_H

#include "tcphealth/web/error.h"

#include <stdbool.h>
#include <stddef.h>

struct fy_diag;
struct fy_document;
struct fy_node;
struct fy_parser;

/* One reading of a document, embedded in whoever reads. */
struct yaml {
	const char *name;        /* of the file, as errors call it; borrowed */
	struct web_error *error; /* borrowed */
	struct web_place place;  /* of what is being read */
	/* yaml's own */
	const char *text;
	size_t len;
	struct fy_diag *diag;
	struct fy_parser *parser;
	struct fy_document *document;
};

/* A text as it stands in the file, unescaped. Lives as long as the document. */
struct yaml_scalar {
	const char *text; /* "" of a null */
	bool is_null;
	bool is_plain; /* unquoted, so that it may be more than a text */
};

/*
 * Parses the first document of a file called `name`: 0 and *ret_root, which is NULL if it is empty, or an error. Everything is
 * borrowed until yaml_close(), which is called in either case.
 */
int yaml_open(struct yaml *yaml, const char *name, const char *text, size_t len,
	      struct web_error *error, struct fy_node **ret_root);
void yaml_close(struct yaml *yaml);

/* What is wrong at the place that is being read: -EINVAL. */
int yaml_fail(struct yaml *yaml, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The text of a node that is one, or nothing (a null). 0, or an error. */
int yaml_scalar(struct yaml *yaml, struct fy_node *node, struct yaml_scalar *ret);

/*
 * The next pair of a mapping, or item of a list of texts: 1, 0 after the last, or an error. Nothing is an empty one. `*at` is
 * NULL before the first.
 */
int yaml_pair(struct yaml *yaml, struct fy_node *node, void **at, struct yaml_scalar *ret_key,
	      struct fy_node **ret_value);
int yaml_item(struct yaml *yaml, struct fy_node *node, void **at, struct yaml_scalar *ret_item);

bool yaml_is_list(struct fy_node *node);

/* False if it is no boolean by YAML 1.1. */
bool yaml_bool(const struct yaml_scalar *scalar, bool *ret);

#endif
