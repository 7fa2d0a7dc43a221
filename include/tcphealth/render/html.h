/*
 * html: the page for people at /, from a snapshot.
 *
 * A table of ports by role with states, what is stuck and why, a verdict in words and what to do next. Complete without
 * JavaScript; style and script are assets of their own, nothing is inline and nothing comes from elsewhere. Pure: the same
 * snapshot gives the same bytes. Everything that came from outside is escaped here.
 */
#ifndef TCPHEALTH_RENDER_HTML_H
#define TCPHEALTH_RENDER_HTML_H

#include "tcphealth/base/buf.h"
#include "tcphealth/model/health.h"
#include "tcphealth/model/snapshot.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct html_input {
	const struct snapshot *snapshot; /* NULL before the first good sample */
	const struct health *health;     /* NULL before the first sample */
	const char *telemetry_path;
	const char *version;
	uint64_t interval_ms; /* between samples: the page refreshes as often */
	bool connections;     /* /api/v1/connections answers somebody: ports are links */
};

/* Writes the whole document; errors are the buffer's. */
void html_render(const struct html_input *input, struct buf *buf);

/* A file that the page needs, compiled in: from `data` to `end`. */
struct html_asset {
	const char *path; /* "/style.css" */
	const char *content_type;
	const char *data, *end;
};

#define HTML_ASSETS 3
extern const struct html_asset html_assets[HTML_ASSETS];

#endif
