/*
 * families-internal: what a row of the metrics' table is, shared by the files that hold the groups of rows.
 */
#ifndef TCPHEALTH_RENDER_FAMILIES_INTERNAL_H
#define TCPHEALTH_RENDER_FAMILIES_INTERNAL_H

#include "tcphealth/render/families.h"

#include <stddef.h>

struct families_walk;

#define FAMILIES_VALUES_MAX 16

/* A label after role and port, and what its values stand for. */
struct families_values {
	const char *label;
	const char *(*name)(unsigned int which);
	size_t count;
	uint8_t which[FAMILIES_VALUES_MAX];
	/* enum source_can, else the value is left out; NULL: nothing. */
	uint32_t (*needs)(unsigned int which);
	bool sparse; /* in JSON, what is 0 is left out */
};

/* Whose figures a row has, which also says the labels before those of `values`. */
enum families_of {
	FAMILIES_OF_NONE,         /* a function of the row writes it */
	FAMILIES_OF_PAIRS,        /* struct snapshot_pair: role, port */
	FAMILIES_OF_CLIENTS,      /* the same of clients alone: port */
	FAMILIES_OF_CLIENT_PORTS, /* the same without the port `unknown` */
	FAMILIES_OF_LISTENERS,    /* struct listener_port: port */
};

enum families_type {
	FAMILIES_BOOL,
	FAMILIES_U32,
	FAMILIES_U64,
	FAMILIES_DOUBLE,
};

/* Where a figure lies in its record. With `values` it is an array, indexed by what they stand for. */
struct families_figure {
	uint16_t offset;
	uint8_t type; /* enum families_type */
};

/* For the initializer of a figure: FAMILIES_FIGURE(struct snapshot_pair, view.state[0]). */
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

/* What becomes of milliseconds. */
enum families_scale {
	FAMILIES_AS_IT_IS,
	FAMILIES_WHOLE_SECONDS, /* a lower bound stays one */
	FAMILIES_SECONDS,       /* with a fraction; PORTVIEW_NEVER is infinity */
};

/* A metric: `of` and `figure`, or one of the functions. */
struct families_row {
	struct expo_family family;
	const char *labels; /* NULL: none */
	uint32_t needs;     /* enum source_can, else the family is left out */
	enum families_of of;
	struct families_figure figure;
	enum families_scale scale;
	const struct families_values *values; /* NULL: one figure */
	/*
	 * Its key in /api/v1/ports, NULL if it is not there. The key of an object with all `values`; one with a * is a key for
	 * each of them, which has the value's name in that place.
	 */
	const char *json;
	/* Of a listening port: whether the figure means something; NULL: always. */
	bool (*known)(const struct listener_port *row);
	unsigned int which; /* for the functions below: what the row is about */
	void (*page)(const struct families_walk *walk);
	void (*ns)(const struct families_walk *walk);
};

/* Where the walk stands, and what was made ready for it. */
struct families_walk {
	const struct families_input *input;
	struct expo *expo;
	const struct families_row *row;
	const struct snapshot_ns *ns; /* NULL in `page` functions */
	/* How the labels of pairs begin: role="client",port=" and, for rows without a role, port=" */
	struct expo_piece heads[ROLE_COUNT + 1];
};

struct families_group {
	const struct families_row *rows;
	size_t count;
	bool counters_once; /* its counters are on the page of --once, too: they are not this process's */
};

extern const struct families_group families_connections; /* by role and port */
extern const struct families_group families_ports;       /* listeners, clients' ports, folding */
extern const struct families_group families_kernel;      /* a namespace's counters and settings */
extern const struct families_group families_exporter;    /* build, samples, events */
extern const struct families_group families_process;     /* process_* */

#define FAMILIES_GROUP(table)                                                                      \
	{                                                                                          \
		.rows = (table), .count = sizeof(table) / sizeof((table)[0])                       \
	}

/* The i-th row of all groups; NULL past the end. */
const struct families_row *families_row(size_t i);

/* A figure as it is written. */
struct families_number {
	bool zero;  /* in the record, which may be finer: 0.4 s are written as 0 */
	bool whole; /* `n`, else `x` */
	uint64_t n;
	double x;
};

struct families_number families_read(const struct families_row *row, const void *record,
				     unsigned int which);

/* Where the row's figure of a pair or its listening port lies (either may be NULL); NULL if it has none. */
const void *families_record(const struct families_row *row, const struct snapshot_pair *pair,
			    const struct listener_port *port);

/* port="22", "unknown" or "other". */
void families_label_port(const struct families_walk *walk, uint32_t port);

/* Ends the sample, with netns as last label where the namespace has a name. */
void families_u64(const struct families_walk *walk, uint64_t value);

/* For functions of a row: ends the sample with the row's figure of a record. */
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

#endif
