/*
 * options-internal: the rows of the table of flags, and the kinds of values that they take.
 */
#pragma once

#include "tcphealth/app/options.h"

#include <stddef.h>
#include <stdint.h>

#define DAY_MS UINT64_C(86400000)

struct row;

/* A kind of value: how it is read and what of it is allowed. */
struct kind {
	const char *metavar; /* NULL: the flag takes no value */
	const char *example; /* for error lines; NULL: needs none */
	/* Stores the value; returns NULL, or what is wrong with it. */
	const char *(*parse)(const struct row *row, const char *text, struct options *options);
	void (*describe)(const struct row *row, char *text, size_t size);
	const char *values; /* for describe_text(), or NULL */
};

struct row {
	const char *heading; /* in the first row of a group */
	const char *name;
	const struct kind *kind;
	size_t offset; /* of the field in struct options */
	uint64_t min;  /* a number, milliseconds, the bytes of a text, or the mode to set */
	uint64_t max;
	const char *const *names; /* choices in the order of their enum, ended by NULL */
	const char *def;          /* read like a value of the command line; NULL: none */
	const char *help;
};

extern const struct kind kind_duration, kind_number, kind_probes, kind_share, kind_choice,
	kind_bool, kind_path, kind_pattern, kind_route, kind_ports, kind_listen, kind_mode;
