/*
 * families-internal: what a row of the table of metrics is, for the files with rows and for those
 * that walk them.
 */
#pragma once

#include "tcphealth/render/families.h"

#include <stddef.h>

struct families_walk;

#define FAMILIES_VALUES_MAX 16

/* A label after role and port, and its values. */
struct families_values {
	const char *label;
	const char *(*name)(unsigned int which);
	size_t count;
	/* Indices of the figures that the values stand for. */
	uint8_t which[FAMILIES_VALUES_MAX];
	/* enum source_can: without these the value is left out. NULL: it needs none. */
	uint32_t (*needs)(unsigned int which);
	/* JSON leaves out what is 0. */
	bool sparse;
};

/* Which records have the figure of a row, and its labels in front of that of `values`. */
enum families_of {
	/* None: a function of the row writes its samples. */
	FAMILIES_OF_NONE,
	/* struct snapshot_pair; role and port. */
	FAMILIES_OF_PAIRS,
	/* The same, clients only, or servers; port. */
	FAMILIES_OF_CLIENTS,
	FAMILIES_OF_SERVERS,
	/* The same without port `unknown`. */
	FAMILIES_OF_CLIENT_PORTS,
	/* struct listener_port; port. */
	FAMILIES_OF_LISTENERS,
};

enum families_type {
	FAMILIES_BOOL,
	FAMILIES_U32,
	FAMILIES_U64,
	FAMILIES_DOUBLE,
};

/* Where a figure lies in its record. With `values` it is the first of an array. */
struct families_figure {
	uint16_t offset;
	uint8_t type; /* enum families_type */
};

/* A struct families_figure: FAMILIES_FIGURE(struct snapshot_pair, view.state[0]). */
/* clang-format off */
#define FAMILIES_FIGURE(record, member)                                                            \
	{                                                                                          \
		.offset = offsetof(record, member),                                                \
		.type = _Generic(((record *)NULL)->member,                                         \
				 bool: FAMILIES_BOOL,                                              \
				 uint32_t: FAMILIES_U32,                                           \
				 uint64_t: FAMILIES_U64,                                           \
				 double: FAMILIES_DOUBLE),                                         \
	}
/* clang-format on */

/* How a figure is written. */
enum families_scale {
	FAMILIES_AS_IT_IS,
	/* Milliseconds as whole seconds, so that a lower bound stays one. */
	FAMILIES_WHOLE_SECONDS,
	/* Milliseconds as seconds; PORTVIEW_NEVER as infinity. */
	FAMILIES_SECONDS,
};

/* A metric. It has `of` and `figure`, or one of the functions. */
struct families_row {
	struct expo_family family;
	/* "role, port, state"; NULL: none. */
	const char *labels;
	/* enum source_can: without these the family is left out. */
	uint32_t needs;
	/* 1 << enum netsysctl_key: where these are not known it is left out. */
	uint32_t settings;
	enum families_of of;
	struct families_figure figure;
	enum families_scale scale;
	/* NULL: one figure, without a label of its own. */
	const struct families_values *values;
	/*
	 * Key in /api/v1/ports; NULL: it is not there. With `values` it is the key of an object of
	 * them. A key with a star makes one key of each value, its name in place of the star.
	 */
	const char *json;
	/* Whether the figure of a listening port means something; NULL: always. */
	bool (*known)(const struct listener_port *port);
	/* For the functions below: what the row is about. */
	unsigned int which;
	void (*page)(const struct families_walk *walk);
	void (*ns)(const struct families_walk *walk);
};

/* Where the walk is, and what it has prepared. */
struct families_walk {
	const struct families_input *input;
	struct expo *expo;
	const struct families_row *row;
	const struct snapshot_ns *ns; /* NULL in `page` functions */
	/* Labels up to the number of the port: of each role, and of rows without a role. */
	struct expo_piece heads[ROLE_COUNT + 1];
};

struct families_group {
	const struct families_row *rows;
	size_t count;
	/* Its counters are not this process's, so --once has them as well. */
	bool counters_once;
};

extern const struct families_group families_connections;
extern const struct families_group families_ports;
extern const struct families_group families_kernel;
extern const struct families_group families_exporter;
extern const struct families_group families_process;

#define FAMILIES_GROUP(table)                                                                      \
	{                                                                                          \
		.rows = (table), .count = sizeof(table) / sizeof((table)[0])                       \
	}

/* The i-th row of all groups; NULL if there are no more. */
const struct families_row *families_row(size_t i);

/* A figure as it is written. */
struct families_number {
	/* It is 0 in its record: 400 ms are not, though they are written as 0 s. */
	bool zero;
	bool whole; /* `n`, or else `x` */
	uint64_t n;
	double x;
};

struct families_number families_read(const struct families_row *row, const void *record,
				     unsigned int which);

/*
 * Which of the two records has the figure of the row; NULL: neither has one. Both may be NULL: a
 * port without connections, and one that nobody listens on.
 */
const void *families_record(const struct families_row *row, const struct snapshot_pair *pair,
			    const struct listener_port *port);

/* port="22", "unknown" or "other". */
void families_label_port(const struct families_walk *walk, uint32_t port);

/* Ends the sample. Its last label is netns, unless the namespace is the exporter's own. */
void families_u64(const struct families_walk *walk, uint64_t value);

/* Ends the sample with the row's figure in this record. */
void families_put(const struct families_walk *walk, const void *record);

static inline bool families_knows(const struct snapshot_ns *ns, uint32_t needs)
{
	return (ns->can & needs) == needs;
}

static inline bool families_knows_value(const struct snapshot_ns *ns,
					const struct families_values *values, unsigned int which)
{
	return !values->needs || families_knows(ns, values->needs(which));
}
