/*
 * html-internal: the rows of the page's table. html-rows.c makes them, html.c writes them.
 */
#pragma once

#include "tcphealth/model/snapshot.h"
#include "tcphealth/render/words.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One pair of one namespace. */
struct html_row {
	const struct snapshot_ns *ns;
	const struct snapshot_pair *pair;
	const struct snapshot_listener *listener; /* NULL: none, or a client */
	enum finding_level level;                 /* of its worst finding */
	uint64_t stale;
	/* Of these, those that are not harmless. */
	uint64_t harmful;
	uint64_t sockets;
	uint64_t failed; /* connects, for a reason that alarms */
	/* Of the oldest finding, at least; 0: unknown. */
	uint64_t oldest_ms;
};

struct html_rows {
	struct html_row *rows; /* the worst first */
	size_t count;
	/* The sums over the rows; a port counts once in each namespace. */
	uint64_t stale, harmful;
	size_t harmful_ports;
	size_t full_queues;
	enum finding_level level;
};

/* All reasons but STALE_NONE, in each form, and the other kinds. */
#define HTML_FINDINGS_MAX (FINDING_KINDS + STALE_REASONS * STALE_FORMS)

/* 0 or -ENOMEM. */
int html_rows_collect(const struct snapshot *snapshot, struct html_rows *ret_rows);
void html_rows_done(struct html_rows *rows);

/* The findings of a row, the worst first. Returns how many, at least one. */
size_t html_row_findings(const struct html_row *row,
			 struct finding ret_findings[HTML_FINDINGS_MAX]);

/* A port of a server that has connections, but no listener. */
bool html_row_lost_listener(const struct html_row *row);
