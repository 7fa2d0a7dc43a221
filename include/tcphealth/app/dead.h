/*
 * dead: connections that the kernel no longer lists though a program holds them, as the exporter
 * that runs on this host remembers them.
 *
 * Reads its page of metrics; must not know the tables of this process. What it says is cut and
 * cleaned like any text from outside.
 */
#pragma once

#include "tcphealth/app/options.h"
#include "tcphealth/source/netns.h"
#include "tcphealth/source/unit.h"

#include <stddef.h>
#include <stdint.h>

#define DEAD_WORD_MAX 16
#define DEAD_MAX      1000

/* Those of one port, role and unit. */
struct dead_row {
	char netns[NETNS_LABEL_LEN]; /* "": the exporter's own */
	char role[DEAD_WORD_MAX], port[DEAD_WORD_MAX];
	char unit[UNIT_NAME_MAX];
	uint64_t connections;
	uint64_t oldest_seconds;
};

struct dead {
	struct dead_row *rows; /* DEAD_MAX at most */
	size_t count;
};

/*
 * Asks the exporter at the first of the addresses, for a second at most. 0 or -errno: nothing is
 * known. dead_done() in any case.
 */
int dead_ask(const struct options *options, struct dead *ret_dead);
void dead_done(struct dead *dead);

/* From a page in OpenMetrics: 0, -EPROTO where it is not whole, or -ENOMEM. */
int dead_parse(const char *page, struct dead *ret_dead);
