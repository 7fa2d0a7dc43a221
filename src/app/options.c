/*
 * options: see the header. Owns the table of flags and how a command line is read; must not know what the program does with them.
 *
 * A new flag of a known kind is one row in `rows`.
 */
#include "options-internal.h"

#include <errno.h>
#include <string.h>

#define STALE_MAX_MS  (365 * DAY_MS)
#define PATH_TEXT_MAX 1023
#define FLAG_NAME_MAX 64
#define HELP_WIDTH    100
#define VALUES_SIZE   160
#define QUOTE_MAX     60

#define NAME(name) #name,

static const char *const source_names[] = { "auto", SOURCE_LIST(NAME) NULL };
static const char *const connections_names[] = { "loopback", "all", "none", NULL };
static const char *const table_names[] = { "table", "json", NULL };
static const char *const level_names[] = { "debug", "info", "warn", "error", NULL };
static const char *const format_names[] = { "logfmt", "json", NULL };

#define FIELD(name) .offset = offsetof(struct options, name)

/* A reason's row, under `title` in the first of them. */
#define LIMITS_duration .max = STALE_MAX_MS
#define LIMITS_probes   .min = 1, .max = STALE_PROBES_MAX
#define STALE_ROW(title, ID, label, flag, type, value, text)                                       \
	{ .heading = STALE_##ID == STALE_NONE + 1 ? (title) : NULL,                                \
	  .name = (flag),                                                                          \
	  .kind = &kind_##type,                                                                    \
	  FIELD(stale.least[STALE_##ID]),                                                          \
	  LIMITS_##type,                                                                           \
	  .def = (value),                                                                          \
	  .help = (text) },

/* clang-format off */
static const struct row rows[] = {
	{ .heading = "Web",
	  .name = "web.listen-address", .kind = &kind_listen, .def = ":10793",
	  .help = "address to serve on; without HOST on all addresses, with port 0 on a free port; may be repeated" },
	{ .name = "web.telemetry-path", .kind = &kind_route, FIELD(telemetry_path),
	  .max = 255, .def = "/metrics",
	  .help = "path of the metrics" },
	{ .name = "web.config.file", .kind = &kind_path, FIELD(web_config_file),
	  .max = PATH_TEXT_MAX, .def = "",
	  .help = "file with TLS, users, headers and rate limit, in the format of Prometheus's exporter-toolkit; if empty, plain HTTP without passwords" },
	{ .name = "web.systemd-socket", .kind = &kind_bool, FIELD(systemd_socket), .def = "false",
	  .help = "serve on the sockets passed by systemd instead of addresses" },
	{ .name = "web.max-requests", .kind = &kind_number, FIELD(max_requests),
	  .max = 10000, .def = "40",
	  .help = "requests served at the same time, any more get 503; 0 for no limit" },
	{ .name = "web.disable-exporter-metrics", .kind = &kind_bool, FIELD(disable_exporter_metrics),
	  .def = "false",
	  .help = "leave out the metrics of the exporter's own process (process_*)" },
	{ .name = "web.connections", .kind = &kind_choice, FIELD(connections),
	  .names = connections_names, .def = "loopback",
	  .help = "who may ask /api/v1 for single connections and their holders" },

	{ .heading = "Collector",
	  .name = "collector.interval", .kind = &kind_duration, FIELD(interval_ms),
	  .min = 100, .max = 3600000, .def = "5s",
	  .help = "time between samples" },
	{ .name = "collector.full-every", .kind = &kind_number, FIELD(full_every),
	  .min = 1, .max = 120, .def = "3",
	  .help = "every so many samples one of all connections, the others without established ones; 1: all samples are full" },
	{ .name = "collector.source", .kind = &kind_choice, FIELD(source),
	  .names = source_names, .def = "auto",
	  .help = "where to read connections from; auto takes netlink, or procfs if the kernel refuses netlink" },
	{ .name = "collector.cpu-budget", .kind = &kind_share, FIELD(cpu_budget), .def = "0.05",
	  .help = "share of one CPU that sampling may use on average; 0 for no limit" },
	{ .name = "collector.events", .kind = &kind_bool, FIELD(events), .def = "true",
	  .help = "receive an event from the kernel for each socket that ends" },
	{ .name = "collector.netns", .kind = &kind_pattern, FIELD(netns), .min = 1, .max = 255,
	  .def = "own",
	  .help = "network namespaces to sample: the exporter's own, all, or those with names that match a shell pattern" },

	{ .heading = "Ports",
	  .name = "ports.include", .kind = &kind_ports, FIELD(ports_include), .def = "",
	  .help = "ports that have series from the first sample" },
	{ .name = "ports.exclude", .kind = &kind_ports, FIELD(ports_exclude), .def = "",
	  .help = "ports that get no series of their own" },
	{ .name = "ports.max", .kind = &kind_number, FIELD(ports_max),
	  .min = 1, .max = 65536, .def = "256",
	  .help = "ports of each role that have series of their own; the rest are counted as port=\"other\"" },
	{ .name = "ports.keep", .kind = &kind_duration, FIELD(ports_keep_ms),
	  .max = STALE_MAX_MS, .def = "1h",
	  .help = "how long an unused port keeps its series" },

	STALE_LIST(STALE_ROW, "Staleness (how long until a connection counts as stale)")

	{ .heading = "Paths",
	  .name = "path.procfs", .kind = &kind_path, FIELD(path_procfs),
	  .min = 1, .max = PATH_TEXT_MAX, .def = "/proc",
	  .help = "where procfs is mounted" },
	{ .name = "path.cgroupfs", .kind = &kind_path, FIELD(path_cgroupfs),
	  .max = PATH_TEXT_MAX, .def = "",
	  .help = "where cgroupfs is mounted; if empty, taken from the list of mounts" },

	{ .heading = "Log",
	  .name = "log.level", .kind = &kind_choice, FIELD(log_level),
	  .names = level_names, .def = "info",
	  .help = "lowest severity to log" },
	{ .name = "log.format", .kind = &kind_choice, FIELD(log_format),
	  .names = format_names, .def = "logfmt",
	  .help = "format of log lines, which go to standard error" },
	{ .name = "log.stale", .kind = &kind_bool, FIELD(log_stale), .def = "true",
	  .help = "log what becomes stale and when it ends, and peers to which connects fail, "
		  "at most 10 lines a minute of each" },

	{ .heading = "Program",
	  .name = "once", .kind = &kind_mode, .min = OPTIONS_ONCE,
	  .help = "write one sample to standard output and exit, for the textfile collector" },
	{ .name = "output", .kind = &kind_path, FIELD(output), .min = 1, .max = PATH_TEXT_MAX,
	  .help = "with --once: write to this file instead, replacing it atomically" },
	{ .name = "list-stale", .kind = &kind_mode, .min = OPTIONS_LIST_STALE,
	  .help = "list stale connections and exit: status 0 if there are none, 1 if there are some, 2 on errors" },
	{ .name = "format", .kind = &kind_choice, FIELD(list_format),
	  .names = table_names, .def = "table",
	  .help = "format of --list-stale" },
	{ .name = "config.check", .kind = &kind_mode, .min = OPTIONS_CHECK,
	  .help = "check the flags and the file of --web.config.file and exit: status 0 if both are valid, 1 if the file is not, 2 if a flag is not" },
	{ .name = "sandbox", .kind = &kind_bool, FIELD(sandbox), .def = "true",
	  .help = "give up the system calls that serving does not need" },
	{ .name = "version", .kind = &kind_mode, .min = OPTIONS_VERSION,
	  .help = "show the version and exit" },
	{ .name = "help", .kind = &kind_mode, .min = OPTIONS_HELP,
	  .help = "show this list and exit" },
};
/* clang-format on */

#define ROWS (sizeof(rows) / sizeof(rows[0]))

/* The command line while it is read. */
struct scan {
	char *const *argv;
	int argc;
	int at; /* next argument */
	bool listen_given;
	struct options *options;
	struct options_error *error;
};

static const struct row *find_row(const char *name, size_t len)
{
	for (size_t i = 0; i < ROWS; i++)
		if (strlen(rows[i].name) == len && strncmp(rows[i].name, name, len) == 0)
			return &rows[i];
	return NULL;
}

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Levenshtein's distance. `name` has at most FLAG_NAME_MAX bytes. */
static size_t edit_distance(const char *typed, size_t len, const char *name)
{
	size_t costs[FLAG_NAME_MAX + 1];
	size_t name_len = strlen(name);

	for (size_t j = 0; j <= name_len; j++)
		costs[j] = j;
	for (size_t i = 0; i < len; i++) {
		size_t diagonal = costs[0];
		costs[0] = i + 1;
		for (size_t j = 0; j < name_len; j++) {
			size_t above = costs[j + 1];
			size_t change = diagonal + (typed[i] != name[j]);
			costs[j + 1] = min_size(change, min_size(above, costs[j]) + 1);
			diagonal = above;
		}
	}
	return costs[name_len];
}

static const struct row *find_similar(const char *typed, size_t len, bool only_bool)
{
	size_t best = len < 4 ? 2 : len < 12 ? 3 : 4;
	const struct row *similar = NULL;

	if (len > FLAG_NAME_MAX)
		return NULL;
	for (size_t i = 0; i < ROWS; i++) {
		size_t name_len = strlen(rows[i].name);
		size_t least = len > name_len ? len - name_len : name_len - len;

		if (least >= best || (only_bool && rows[i].kind != &kind_bool))
			continue;
		size_t distance = edit_distance(typed, len, rows[i].name);
		if (distance < best) {
			best = distance;
			similar = &rows[i];
		}
	}
	return similar;
}

/* What a user typed, made fit for one line of a terminal or a log. */
struct quote {
	char text[QUOTE_MAX + sizeof("...")];
};

static struct quote quote_text(const char *text, size_t len)
{
	struct quote quote;
	size_t shown = min_size(len, QUOTE_MAX);

	for (size_t i = 0; i < shown; i++)
		quote.text[i] = (char)(text[i] >= ' ' && text[i] <= '~' ? text[i] : '?');
	strcpy(quote.text + shown, shown < len ? "..." : "");
	return quote;
}

static int fail_value(struct scan *scan, const struct row *row, const char *value,
		      const char *wrong)
{
	struct quote quote = quote_text(value, strlen(value));
	const char *example = row->kind->example;
	char values[VALUES_SIZE];

	row->kind->describe(row, values, sizeof(values));
	snprintf(scan->error->text, sizeof(scan->error->text), "--%s: \"%s\" %s (allowed: %s%s%s)",
		 row->name, quote.text, wrong, values, example ? ", such as " : "",
		 example ? example : "");
	return -EINVAL;
}

static int fail_missing(struct scan *scan, const struct row *row)
{
	char values[VALUES_SIZE];

	row->kind->describe(row, values, sizeof(values));
	snprintf(scan->error->text, sizeof(scan->error->text), "--%s: needs a value (allowed: %s)",
		 row->name, values);
	return -EINVAL;
}

static int fail_surplus(struct scan *scan, const char *prefix, const struct row *row,
			const char *value)
{
	struct quote quote = quote_text(value, strlen(value));

	snprintf(scan->error->text, sizeof(scan->error->text),
		 "--%s%s: takes no value, but got \"%s\" (allowed: --%s%s)", prefix, row->name,
		 quote.text, prefix, row->name);
	return -EINVAL;
}

static int fail_unknown(struct scan *scan, const char *name, size_t len)
{
	struct quote quote = quote_text(name, len);
	const char *prefix = "";
	const struct row *similar = find_similar(name, len, false);

	if (!similar && len > 3 && strncmp(name, "no-", 3) == 0) {
		prefix = "no-";
		similar = find_similar(name + 3, len - 3, true);
	}
	if (similar)
		snprintf(scan->error->text, sizeof(scan->error->text),
			 "--%s: unknown flag (did you mean --%s%s?)", quote.text, prefix,
			 similar->name);
	else
		snprintf(scan->error->text, sizeof(scan->error->text),
			 "--%s: unknown flag (--help lists all)", quote.text);
	return -EINVAL;
}

static int fail_positional(struct scan *scan, const char *arg)
{
	struct quote quote = quote_text(arg, strlen(arg));

	snprintf(scan->error->text, sizeof(scan->error->text),
		 "\"%s\" is not a flag (--help lists all)", quote.text);
	return -EINVAL;
}

static int store(struct scan *scan, const struct row *row, const char *value)
{
	/* The first address replaces the default, further ones are added. */
	if (row->kind == &kind_listen && !scan->listen_given) {
		scan->options->listen_count = 0;
		scan->listen_given = true;
	}
	const char *wrong = row->kind->parse(row, value, scan->options);
	return wrong ? fail_value(scan, row, value, wrong) : 0;
}

static int read_flag(struct scan *scan, const struct row *row, const char *value)
{
	if (row->kind == &kind_bool)
		return store(scan, row, value ? value : "true");
	if (!row->kind->metavar)
		return value ? fail_surplus(scan, "", row, value) : store(scan, row, "");
	if (value)
		return store(scan, row, value);
	/* A flag in the value's place is a forgotten value; --flag=-x is still possible. */
	if (scan->at == scan->argc || scan->argv[scan->at][0] == '-')
		return fail_missing(scan, row);
	return store(scan, row, scan->argv[scan->at++]);
}

static int read_argument(struct scan *scan)
{
	const char *arg = scan->argv[scan->at++];

	if (strcmp(arg, "--") == 0 && scan->at == scan->argc)
		return 0;
	if (strcmp(arg, "--") == 0)
		return fail_positional(scan, scan->argv[scan->at]);
	if (arg[0] != '-' || arg[1] == '\0')
		return fail_positional(scan, arg);

	const char *name = arg + (arg[1] == '-' ? 2 : 1);
	size_t len = strcspn(name, "=");
	const char *value = name[len] ? name + len + 1 : NULL;
	const struct row *row = strcmp(arg, "-h") == 0 ? find_row("help", 4) : find_row(name, len);
	if (row)
		return read_flag(scan, row, value);
	if (len > 3 && strncmp(name, "no-", 3) == 0)
		row = find_row(name + 3, len - 3);
	if (row && row->kind == &kind_bool)
		return value ? fail_surplus(scan, "no-", row, value) : store(scan, row, "false");
	return fail_unknown(scan, name, len);
}

/* Through the parser like the user's values: a default outside of its own limits shows at once. */
static int set_defaults(struct scan *scan)
{
	for (size_t i = 0; i < ROWS; i++) {
		if (!rows[i].def)
			continue;
		int err = store(scan, &rows[i], rows[i].def);
		if (err)
			return err;
	}
	scan->listen_given = false;
	return 0;
}

static int check_together(struct scan *scan)
{
	const struct options *options = scan->options;

	if (!options->output || options->mode == OPTIONS_ONCE)
		return 0;
	struct quote quote = quote_text(options->output, strlen(options->output));
	snprintf(scan->error->text, sizeof(scan->error->text),
		 "--output: \"%s\" is used only with --once", quote.text);
	return -EINVAL;
}

int options_parse(int argc, char *const argv[], struct options *ret_options,
		  struct options_error *ret_error)
{
	struct scan scan = {
		.argv = argv, .argc = argc, .at = 1, .options = ret_options, .error = ret_error
	};

	memset(ret_options, 0, sizeof(*ret_options));
	ret_error->text[0] = '\0';
	int err = set_defaults(&scan);
	while (!err && scan.at < argc) {
		err = read_argument(&scan);
		/* Who asks for help shall get it, whatever else is written there. */
		if (!err &&
		    (ret_options->mode == OPTIONS_HELP || ret_options->mode == OPTIONS_VERSION))
			return 0;
	}
	return err ? err : check_together(&scan);
}

static size_t put_usage(const struct row *row, char *text, size_t size)
{
	const struct kind *kind = row->kind;
	const char *prefix = kind == &kind_bool ? "[no-]" : "";
	const char *shorthand = kind == &kind_mode && row->min == OPTIONS_HELP ? "-h, " : "";

	return (size_t)snprintf(text, size, "  %s--%s%s%s%s", shorthand, prefix, row->name,
				kind->metavar ? "=" : "", kind->metavar ? kind->metavar : "");
}

static void put_description(const struct row *row, char *text, size_t size)
{
	char values[VALUES_SIZE];
	const char *def = row->def ? row->def : "";

	row->kind->describe(row, values, sizeof(values));
	/* The form --[no-]flag tells already what a switch takes. */
	if (row->kind == &kind_bool)
		snprintf(text, size, "%s (default: %s)", row->help, def);
	else if (*def)
		snprintf(text, size, "%s (default: %s; allowed: %s)", row->help, def, values);
	else if (*values)
		snprintf(text, size, "%s (allowed: %s)", row->help, values);
	else
		snprintf(text, size, "%s", row->help);
}

/* Writes words from `column` on, where the cursor stands already, to HELP_WIDTH. */
static void put_wrapped(FILE *out, const char *text, size_t column)
{
	size_t at = column;

	while (*text) {
		size_t len = strcspn(text, " ");
		if (at > column && at + 1 + len > HELP_WIDTH) {
			fprintf(out, "\n%*s", (int)column, "");
			at = column;
		}
		if (at > column)
			fputc(' ', out);
		at += len + (at > column);
		fwrite(text, 1, len, out);
		text += len;
		text += strspn(text, " ");
	}
	fputc('\n', out);
}

void options_help(FILE *out)
{
	char usage[FLAG_NAME_MAX * 2], description[512];
	size_t column = 0;

	for (size_t i = 0; i < ROWS; i++) {
		size_t len = put_usage(&rows[i], usage, sizeof(usage)) + 2;
		column = len > column ? len : column;
	}
	fputs("Usage: tcphealth_exporter [FLAG]...\n\nExports the health of TCP connections, by "
	      "port, to Prometheus.\nWrite flags as --flag=value or --flag value, durations as "
	      "250ms, 5s, 1m30s, 2h, 7d.\n",
	      out);
	for (size_t i = 0; i < ROWS; i++) {
		if (rows[i].heading)
			fprintf(out, "\n%s:\n", rows[i].heading);
		put_usage(&rows[i], usage, sizeof(usage));
		put_description(&rows[i], description, sizeof(description));
		fprintf(out, "%-*s", (int)column, usage);
		put_wrapped(out, description, column);
	}
}

void options_each(options_fn fn, void *arg)
{
	char values[VALUES_SIZE];

	for (size_t i = 0; i < ROWS; i++) {
		const struct row *row = &rows[i];
		row->kind->describe(row, values, sizeof(values));
		fn(arg, row->name, values, row->def ? row->def : "", row->help);
	}
}
