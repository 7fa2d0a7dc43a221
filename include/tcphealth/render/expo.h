/*
 * expo: writes the Prometheus exposition formats, text 0.0.4 and OpenMetrics 1.0.0.
 *
 * Knows the grammar (escaping, HELP and TYPE lines, counters' names in OpenMetrics, # EOF) and no metric and no
 * TCP. Appends to a buf; errors are the buf's. One writer, one thread.
 *
 *   expo_family(x, &family);                       # HELP, # TYPE (and # UNIT)
 *   expo_label(x, "role", "server"); expo_label_u64(x, "port", 22);
 *   expo_u64(x, 3);                                tcphealth_x{role="server",port="22"} 3
 *
 * Labels gather until a value ends the line. HELP and TYPE are written with the family's first
 * sample, so that a family without samples leaves no trace.
 */
#ifndef TCPHEALTH_RENDER_EXPO_H
#define TCPHEALTH_RENDER_EXPO_H

#include "tcphealth/base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum expo_format {
	EXPO_TEXT,        /* text/plain; version=0.0.4; charset=utf-8 */
	EXPO_OPENMETRICS, /* application/openmetrics-text; version=1.0.0; charset=utf-8 */
	EXPO_FORMATS,
};

enum expo_type {
	EXPO_GAUGE,
	EXPO_COUNTER, /* the name ends in _total */
	EXPO_INFO, /* a gauge of value 1 whose name ends in _info; written as gauge in both formats */
};

/* Static text: the writer keeps the pointer until the next family. */
struct expo_family {
	const char *name; /* in full, with _total where it is a counter */
	const char *help;
	const char
		*unit; /* "seconds", "bytes", "ratio", or NULL; the name (less _total) ends in it */
	enum expo_type type;
};

#define EXPO_LABEL_MAX 256 /* bytes of one label's value, after cleaning; more is cut */

#define EXPO_HEAD_SIZE 64

struct expo {
	struct buf *buf;
	enum expo_format format;
	const struct expo_family *family;
	size_t name_len; /* of the family's name */
	char head
		[EXPO_HEAD_SIZE]; /* how its labelled lines begin: the name and a brace; unless it is too long for that */
	bool announced;   /* HELP and TYPE of the family are written */
	bool in_labels;   /* between the first label and the value */
	uint64_t samples; /* lines with a value so far */
};

void expo_init(struct expo *expo, struct buf *buf, enum expo_format format);

/* Begins a family: all its samples follow before the next. */
void expo_family(struct expo *expo, const struct expo_family *family);

/* One label of the next sample. Values may be any bytes: escaped, invalid UTF-8 replaced, cut at EXPO_LABEL_MAX. */
void expo_label(struct expo *expo, const char *name, const char *value);
void expo_label_u64(struct expo *expo, const char *name, uint64_t value);
/* `text` is well-formed already: `role="server",port="22"`. For prefixes made once and used every sample. */
void expo_label_raw(struct expo *expo, const char *text, size_t len);

/*
 * A whole sample, for the many. Its labels are well-formed already and come in two pieces: `role="server",port="22"` and
 * `,state="close"`. Each is copied as a whole, which costs less than to look where it ends.
 */
#define EXPO_PIECE_SIZE 32
struct expo_piece {
	char text[EXPO_PIECE_SIZE];
	size_t len;
};
void expo_labelled_u64(struct expo *expo, const struct expo_piece *labels,
		       const struct expo_piece *more, uint64_t value);

/* Ends the sample with its value. A double as the shortest text that reads back; +Inf, NaN as the formats have them. */
void expo_u64(struct expo *expo, uint64_t value);
void expo_double(struct expo *expo, double value);

/* Ends the page: "# EOF" in OpenMetrics. */
void expo_end(struct expo *expo);

/* The Content-Type of a format, exactly. */
const char *expo_content_type(enum expo_format format);

#endif
