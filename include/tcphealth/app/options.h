/*
 * options: the command line, one table.
 *
 * The table in options.c drives parsing, --help, error lines and (through options_each()) the man
 * page and shell completion. Knows flags and values; must not know what the program does with them.
 * Main thread.
 */
#pragma once

#include "tcphealth/base/log.h"
#include "tcphealth/base/portset.h"
#include "tcphealth/model/stale.h"
#include "tcphealth/source/source.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define OPTIONS_LISTEN_MAX 16

/* Who may see single connections. */
enum options_connections {
	OPTIONS_CONNECTIONS_LOOPBACK,
	OPTIONS_CONNECTIONS_ALL,
	OPTIONS_CONNECTIONS_NONE,
};

enum options_list_format {
	OPTIONS_LIST_TABLE,
	OPTIONS_LIST_JSON,
};

/* What the program is to do. */
enum options_mode {
	OPTIONS_SERVE,
	/* --once: one sample on standard output. */
	OPTIONS_ONCE,
	OPTIONS_LIST_STALE, /* --list-stale: stale connections as text */
	/* --config.check: whether flags and the web configuration are good. */
	OPTIONS_CHECK,
	OPTIONS_HELP,
	OPTIONS_VERSION,
};

/* Values of all flags. Strings point into argv or static text. Durations in milliseconds. */
struct options {
	enum options_mode mode;
	const char *listen[OPTIONS_LISTEN_MAX];
	size_t listen_count;
	const char *telemetry_path;
	const char *web_config_file; /* "": none */
	bool systemd_socket;
	uint32_t max_requests;
	bool disable_exporter_metrics;
	uint64_t interval_ms;
	uint32_t full_every; /* samples */
	enum source_id source;
	/* Share of one processor; 0: no limit. */
	double cpu_budget;
	bool events;
	/* "own", "all" or a shell pattern. */
	const char *netns;
	enum options_connections connections;
	enum options_list_format list_format;
	struct portset ports_include;
	struct portset ports_exclude;
	uint32_t ports_max;
	uint64_t ports_keep_ms;
	struct stale_thresholds stale;
	const char *path_procfs;
	/* "": taken from the list of mounts. */
	const char *path_cgroupfs;
	/* --output=FILE with --once; NULL: standard output. */
	const char *output;
	enum log_level log_level;
	enum log_format log_format;
	bool log_stale;
	bool sandbox;
};

/* One line that names flag, value and what is allowed. */
struct options_error {
	char text[512];
};

/*
 * Sets defaults, then reads `--flag=value`, `--flag value`, `--flag` and `--no-flag` for booleans
 * (one dash is taken too, as Go programs do). 0, or -EINVAL and *ret_error. Positional arguments,
 * unknown flags and a value for --no-flag are errors.
 */
int options_parse(int argc, char *const argv[], struct options *ret_options,
		  struct options_error *ret_error);

void options_help(FILE *out);

/*
 * Calls `fn` for each flag in the order of --help; `values` is the text of what is allowed, `def`
 * the default.
 */
typedef void (*options_fn)(void *arg, const char *name, const char *values, const char *def,
			   const char *help);
void options_each(options_fn fn, void *arg);

/*
 * "1h30m", "90s", "250ms", "2d", as Go's and Prometheus's durations; a bare number is refused
 * except 0. -EINVAL, -ERANGE.
 */
int options_duration_ms(const char *text, uint64_t *ret_ms);
