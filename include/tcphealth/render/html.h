/*
 * html: the page at /, for a browser.
 *
 * A table of ports by role: their connections by state, which are stale and why, and what to do
 * next. It is complete without JavaScript; style and script are files of their own, nothing is
 * inline, and nothing is loaded from other hosts. Foreign text is escaped here. Pure: the same
 * snapshot gives the same bytes.
 */
#pragma once

#include "tcphealth/base/buf.h"
#include "tcphealth/model/health.h"
#include "tcphealth/model/snapshot.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct html_input {
	/* NULL before the first good sample. */
	const struct snapshot *snapshot;
	const struct health *health; /* NULL before the first sample */
	const char *telemetry_path;
	const char *version;
	/* Between samples; the page refreshes as often. */
	uint64_t interval_ms;
	/* /api/v1/connections answers, so ports are links to it. */
	bool connections;
};

/* Writes the whole document; errors are those of the buffer. */
void html_render(const struct html_input *input, struct buf *buf);

/* A file that the page needs: the bytes from `data` to `end`. */
struct html_asset {
	const char *path; /* "/style.css" */
	const char *content_type;
	const char *data, *end;
};

#define HTML_ASSETS 3
extern const struct html_asset html_assets[HTML_ASSETS];
