/*
 * yaml: between the walk through YAML and the format that is read from it.
 *
 * Functions return 0, or -EINVAL or -ENOMEM after they have told in the reader's error what is wrong, and where.
 */
#ifndef TCPHEALTH_WEB_YAML_H
#define TCPHEALTH_WEB_YAML_H

#include "tcphealth/web/webconfig.h"

#include <stdbool.h>
#include <stddef.h>

#define SHOWN_MAX 60 /* bytes of a bad value in an error */

struct fy_document;
struct fy_node;

/* One reading of a file. */
struct reader {
	struct webconfig *config;
	int (*root)(struct reader *reader, struct fy_node *node);
	struct web_error *error;
	struct fy_document *document;
	struct webconfig_place place; /* of what is being read */
	const char *source;           /* `len` bytes */
	size_t len;
	unsigned int depth, pairs;
};

/* A text as it stands in the file, unescaped. */
struct scalar {
	const char *text;
	size_t len;
	bool is_null;
	bool is_plain; /* unquoted, so that it may be more than a text */
};

typedef int (*reader_pair_fn)(struct reader *reader, const struct scalar *key,
			      struct fy_node *value, const void *arg);
typedef int (*reader_item_fn)(struct reader *reader, const struct scalar *scalar, void *target);

/* Calls `root` for the first document of the text, unless it is empty. */
int reader_text(struct reader *reader, const char *text, size_t len);

/* What is wrong at the reader's place: -EINVAL. */
int reader_fail(struct reader *reader, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int reader_fail_memory(struct reader *reader);

/* What an alias stands for, other nodes themselves. *ret_node NULL: nothing there. */
int reader_follow(struct reader *reader, struct fy_node *node, struct fy_node **ret_node);

/* The text of a node that is one, or nothing. It lives as long as the document. */
int reader_scalar(struct reader *reader, struct fy_node *node, struct scalar *ret);

/* Calls `fn` for each pair of a mapping, merged ones among them. Nothing is an empty mapping. */
int reader_mapping(struct reader *reader, struct fy_node *node, reader_pair_fn fn, const void *arg);

/* Whether there is one, perhaps empty; not nothing. */
bool reader_is_list(struct reader *reader, struct fy_node *node);

/* Calls `fn` for each text of a list. Nothing is an empty list. */
int reader_list(struct reader *reader, struct fy_node *node, reader_item_fn fn, void *target);

/* A copy of its own in place of what is there, which is freed. */
int reader_copy(struct reader *reader, const struct scalar *scalar, char **target);

bool scalar_is(const struct scalar *scalar, const char *text);
bool scalar_is_one_of(const struct scalar *scalar, const char *const *words);

/* False if it is none by YAML 1.1. */
bool scalar_bool(const struct scalar *scalar, bool *ret);

/* A bad value as errors show it, in `room`. */
const char *scalar_show(const struct scalar *scalar, char room[SHOWN_MAX + 4]);

#endif
