/*
 * expo: writes the Prometheus exposition formats, text 0.0.4 and OpenMetrics 1.0.0.
 *
 * Knows the grammar: escaping, HELP and TYPE lines, the names of counters in OpenMetrics, # EOF.
 * Must not know metrics nor TCP. Appends to a buf and leaves errors there. One writer, one
 * thread.
 *
 *   expo_family(x, &family);                       # HELP, # TYPE (and # UNIT)
 *   expo_label(x, "role", "server"); expo_label_u64(x, "port", 22);
 *   expo_u64(x, 3);                                tcphealth_x{role="server",port="22"} 3
 *
 * Labels gather until a value ends the line. HELP and TYPE come with the first sample of a family:
 * a family without samples is not written at all.
 */
#pragma once

#include "tcphealth/base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum expo_format {
	EXPO_TEXT,        /* text/plain; version=0.0.4; charset=utf-8 */
	EXPO_OPENMETRICS, /* application/openmetrics-text; version=1.0.0; charset=utf-8 */
	EXPO_FORMATS,
};

/* Static text: the writer keeps the pointer until the next family. */
struct expo_family {
	/*
	 * Of a counter it ends in _total, and of no other: the rest are gauges. Before that it ends
	 * in its unit, if it has one: _seconds, _bytes, _ratio.
	 */
	const char *name;
	const char *help;
};

/* Bytes of a label's value when it is cleaned; the rest is cut off. */
#define EXPO_LABEL_MAX 256

#define EXPO_HEAD_SIZE 64

struct expo {
	struct buf *buf;
	enum expo_format format;
	const struct expo_family *family;
	size_t name_len; /* of the family's name */
	/* How its lines with labels begin: the name and a brace. Not used if they do not fit. */
	char head[EXPO_HEAD_SIZE];
	bool announced; /* HELP and TYPE are written */
	/* Between the first label of a sample and its value. */
	bool in_labels;
	uint64_t samples; /* written so far */
};

void expo_init(struct expo *expo, struct buf *buf, enum expo_format format);

bool expo_is_counter(const struct expo_family *family);

/* Begins a family. All its samples follow before the next family. */
void expo_family(struct expo *expo, const struct expo_family *family);

/*
 * One label of the next sample. A value may be any bytes: it is escaped, invalid UTF-8 is replaced,
 * and what exceeds EXPO_LABEL_MAX is cut off.
 */
void expo_label(struct expo *expo, const char *name, const char *value);
void expo_label_u64(struct expo *expo, const char *name, uint64_t value);
/*
 * For labels made once and used often: `text` is written as it is, as in role="server",port="22".
 */
void expo_label_raw(struct expo *expo, const char *text, size_t len);

/*
 * A whole sample at once. Its labels come in two pieces, which are written as they are:
 * role="server",port="22" and ,state="close". All of a piece is copied, which costs less than to
 * copy its length.
 */
#define EXPO_PIECE_SIZE 32
struct expo_piece {
	char text[EXPO_PIECE_SIZE];
	size_t len;
};
void expo_labelled_u64(struct expo *expo, const struct expo_piece *labels,
		       const struct expo_piece *more, uint64_t value);

/* Ends the sample with its value. A double is the shortest text that reads back as the same. */
void expo_u64(struct expo *expo, uint64_t value);
void expo_double(struct expo *expo, double value);

/* Ends the page, in OpenMetrics with # EOF. */
void expo_end(struct expo *expo);

/* The Content-Type of a format. */
const char *expo_content_type(enum expo_format format);
