/*
 * families-internal: what a row of the metrics' table is, shared by the files that hold the groups of rows.
 */
#ifndef TCPHEALTH_RENDER_FAMILIES_INTERNAL_H
#define TCPHEALTH_RENDER_FAMILIES_INTERNAL_H

#include "tcphealth/render/families.h"

struct families_row;

#define FAMILIES_VALUES_MAX 16

/* A label after role and port, and what its values stand for. */
struct families_values {
	const char *label;
	const char *(*name)(unsigned int which);
	size_t count;
	uint8_t which[FAMILIES_VALUES_MAX];
	uint32_t needs[FAMILIES_VALUES_MAX]; /* enum source_can, else the value is left out */
};

/* How the labels of a pair begin, made once a page: role="client",port=" */
struct families_role {
	char text[32];
	size_t len;
	size_t port_at; /* where port= begins in it */
};

/* Where the walk stands, and what was made ready for it. */
struct families_walk {
	const struct families_input *input;
	struct expo *expo;
	const struct families_row *row;
	const struct snapshot_ns *ns; /* NULL in `page` functions */
	struct families_role roles[ROLE_COUNT];
	struct expo_piece labels; /* in `pair` functions: role="client",port="443" */
	size_t port_at;           /* where port= begins in it */
};

/* A metric: exactly one of the functions is set, which says what it is called for. */
struct families_row {
	struct expo_family family;
	const char *labels; /* NULL: none */
	uint32_t needs;     /* enum source_can, else the family is left out */
	unsigned int which; /* for the function: a value of the enum that it counts by */
	void (*page)(const struct families_walk *walk);
	void (*ns)(const struct families_walk *walk);
	void (*listener)(const struct families_walk *walk,
			 const struct snapshot_listener *listener);
	void (*pair)(const struct families_walk *walk, const struct snapshot_pair *pair);
	/* A figure of each pair, of each of `values` where that is set; the labels are written for it. */
	uint64_t (*value)(const struct snapshot_pair *pair, unsigned int which);
	const struct families_values *values;
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

/* Labels of the pair: role and port, or port alone. */
static inline void families_label_pair(const struct families_walk *walk)
{
	expo_label_raw(walk->expo, walk->labels.text, walk->labels.len);
}

static inline void families_label_pair_port(const struct families_walk *walk)
{
	expo_label_raw(walk->expo, walk->labels.text + walk->port_at,
		       walk->labels.len - walk->port_at);
}

/* port="22", "unknown" or "other". */
void families_label_port(const struct families_walk *walk, uint32_t port);

/* End the sample, with netns as last label where the namespace has a name. */
void families_u64(const struct families_walk *walk, uint64_t value);
void families_double(const struct families_walk *walk, double value);

static inline bool families_knows(const struct families_walk *walk, uint32_t needs)
{
	return (walk->ns->can & needs) == needs;
}

/* Whole seconds of an age: a lower bound stays one. */
static inline uint64_t families_whole_seconds(uint64_t ms)
{
	return ms / 1000;
}

static inline double families_seconds(uint64_t ms)
{
	return (double)ms / 1000.0;
}

#endif
