/*
 * options-kinds: the syntax of values: how each kind is read, and how it is described to whoever got it wrong. Must not know
 * which flags there are.
 */
#include "options-internal.h"
#include "tcphealth/base/number.h"
#include "tcphealth/web/listenaddr.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(enum source_id) == sizeof(uint32_t), "choices are stored as uint32_t");
_Static_assert(sizeof(enum log_level) == sizeof(uint32_t), "choices are stored as uint32_t");
_Static_assert(sizeof(enum log_format) == sizeof(uint32_t), "choices are stored as uint32_t");

static void *field_of(const struct row *row, struct options *options)
{
	return (char *)options + row->offset;
}

/* What is the same for every row of the kind. */
static void describe_text(const struct row *row, char *text, size_t size)
{
	snprintf(text, size, "%s", row->kind->values);
}

/* Durations. */

/* In the order in which they must be written. */
static const struct unit {
	const char *name;
	uint64_t ms;
} units[] = {
	{ "w", 7 * DAY_MS }, { "d", DAY_MS }, { "h", 3600000 },
	{ "m", 60000 },      { "s", 1000 },   { "ms", 1 },
};

#define UNITS (sizeof(units) / sizeof(units[0]))

static size_t find_unit(const char *text, size_t from)
{
	size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz");

	while (from < UNITS &&
	       (strlen(units[from].name) != len || strncmp(units[from].name, text, len) != 0))
		from++;
	return from;
}

int options_duration_ms(const char *text, uint64_t *ret_ms)
{
	uint64_t total = 0, count = 0, part;
	bool overflow = false;

	if (strcmp(text, "0") == 0) {
		*ret_ms = 0;
		return 0;
	}
	for (size_t next = 0; *text || next == 0; next++) {
		int err = number_take(&text, NULL, UINT64_MAX, &count);
		if (err == -EINVAL)
			return err;
		next = find_unit(text, next);
		if (next == UNITS)
			return -EINVAL;
		text += strlen(units[next].name);
		overflow |= err != 0;
		overflow |= __builtin_mul_overflow(count, units[next].ms, &part);
		overflow |= __builtin_add_overflow(total, part, &total);
	}
	if (overflow)
		return -ERANGE;
	*ret_ms = total;
	return 0;
}

static void format_duration(uint64_t ms, char *text, size_t size)
{
	size_t used = 0;

	snprintf(text, size, "0");
	/* Limits in weeks would be hard to read. */
	for (size_t i = 1; i < UNITS && used < size; i++) {
		if (ms < units[i].ms)
			continue;
		used += (size_t)snprintf(text + used, size - used, "%" PRIu64 "%s",
					 ms / units[i].ms, units[i].name);
		ms %= units[i].ms;
	}
}

static const char *parse_duration(const struct row *row, const char *text, struct options *options)
{
	uint64_t *field = field_of(row, options);
	uint64_t ms;
	int err = options_duration_ms(text, &ms);

	if (err == -EINVAL)
		return "is not a duration";
	if (err || ms < row->min || ms > row->max)
		return "is out of range";
	*field = ms;
	return NULL;
}

static void describe_duration(const struct row *row, char *text, size_t size)
{
	char min[32], max[32];

	format_duration(row->min, min, sizeof(min));
	format_duration(row->max, max, sizeof(max));
	snprintf(text, size, "%s to %s", min, max);
}

/* Numbers, words and texts. */

static const char *take_within(const struct row *row, const char *text, uint64_t *ret_value)
{
	int err = number_parse(text, row->max, ret_value);

	if (err == -EINVAL)
		return "is not a whole number";
	return err || *ret_value < row->min ? "is out of range" : NULL;
}

static const char *parse_number(const struct row *row, const char *text, struct options *options)
{
	uint32_t *field = field_of(row, options);
	uint64_t value;
	const char *wrong = take_within(row, text, &value);

	if (!wrong)
		*field = (uint32_t)value;
	return wrong;
}

/* A threshold that counts. */
static const char *parse_probes(const struct row *row, const char *text, struct options *options)
{
	uint64_t *field = field_of(row, options);

	return take_within(row, text, field);
}

static void describe_number(const struct row *row, char *text, size_t size)
{
	snprintf(text, size, "%" PRIu64 " to %" PRIu64, row->min, row->max);
}

/* A share: 0.05 or 1. */
static const char *parse_share(const struct row *row, const char *text, struct options *options)
{
	double *field = field_of(row, options);
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || strspn(text, "0123456789.") != strlen(text))
		return "is not a decimal number";
	if (value > 1)
		return "is out of range";
	*field = value;
	return NULL;
}

static const char *parse_choice(const struct row *row, const char *text, struct options *options)
{
	uint32_t *field = field_of(row, options);

	for (uint32_t i = 0; row->names[i]; i++) {
		if (strcmp(row->names[i], text) == 0) {
			*field = i;
			return NULL;
		}
	}
	return "is unknown";
}

static void describe_choice(const struct row *row, char *text, size_t size)
{
	size_t used = 0;

	for (size_t i = 0; row->names[i] && used < size; i++)
		used += (size_t)snprintf(text + used, size - used, "%s%s", i ? "|" : "",
					 row->names[i]);
}

static const char *parse_bool(const struct row *row, const char *text, struct options *options)
{
	bool *field = field_of(row, options);
	bool value = strcmp(text, "true") == 0;

	if (!value && strcmp(text, "false") != 0)
		return "is neither true nor false";
	*field = value;
	return NULL;
}

static const char *parse_path(const struct row *row, const char *text, struct options *options)
{
	const char **field = field_of(row, options);
	size_t len = strlen(text);

	if (len < row->min)
		return "is empty";
	if (len > row->max)
		return "is too long";
	*field = text;
	return NULL;
}

static void describe_path(const struct row *row, char *text, size_t size)
{
	snprintf(text, size, "a path of %" PRIu64 " to %" PRIu64 " bytes", row->min, row->max);
}

/* The path of a URL. Servers decode %XX in requests: a path with a percent sign would never match. */
static const char *parse_route(const struct row *row, const char *text, struct options *options)
{
	const char **field = field_of(row, options);

	if (text[0] != '/')
		return "does not begin with /";
	if (strlen(text) > row->max)
		return "is too long";
	for (const char *c = text; *c; c++)
		if (*c <= ' ' || *c > '~' || strchr("?#%", *c))
			return "contains a character that is not allowed";
	if (strcmp(text, "/") == 0 || strncmp(text, "/-/", 3) == 0 ||
	    strncmp(text, "/api/", 5) == 0)
		return "is taken by another page";
	*field = text;
	return NULL;
}

static void describe_route(const struct row *row, char *text, size_t size)
{
	snprintf(text, size,
		 "/ and 1 to %" PRIu64
		 " printable characters but ?, # and %%; not below /-/ or /api/",
		 row->max - 1);
}

/* Port sets. */

static const char *take_port(const char **at, uint64_t *ret_port)
{
	int err = number_take(at, NULL, UINT16_MAX, ret_port);

	if (err == -EINVAL)
		return "is not a list of ports";
	if (err || *ret_port == 0)
		return "has a port out of range";
	return NULL;
}

static const char *take_range(const char **at, uint64_t *ret_low, uint64_t *ret_high)
{
	const char *wrong = take_port(at, ret_low);

	*ret_high = *ret_low;
	if (wrong || **at != '-')
		return wrong;
	(*at)++;
	wrong = take_port(at, ret_high);
	if (wrong)
		return wrong;
	return *ret_low > *ret_high ? "has a reversed range" : NULL;
}

static const char *parse_ports(const struct row *row, const char *text, struct options *options)
{
	struct portset *set = field_of(row, options);
	uint64_t low = 0, high = 0;

	memset(set, 0, sizeof(*set));
	while (*text) {
		const char *wrong = take_range(&text, &low, &high);
		if (wrong)
			return wrong;
		for (uint64_t port = low; port <= high; port++)
			portset_add(set, (uint16_t)port);
		if (*text == '\0')
			break;
		if (text[0] != ',' || text[1] == '\0')
			return "is not a list of ports";
		text++;
	}
	return NULL;
}

/* Listening addresses. */

static const char *parse_listen(const struct row *row, const char *text, struct options *options)
{
	struct listenaddr ignored;
	const char *wrong = listenaddr_parse(text, &ignored);

	(void)row;
	if (wrong)
		return wrong;
	if (options->listen_count == OPTIONS_LISTEN_MAX)
		return "is one address too many";
	options->listen[options->listen_count++] = text;
	return NULL;
}

static void describe_listen(const struct row *row, char *text, size_t size)
{
	(void)row;
	snprintf(text, size,
		 "up to %d times [HOST]:PORT, an IPv6 address in brackets, port 0 to 65535",
		 OPTIONS_LISTEN_MAX);
}

/* What the program shall do. */

static const char *parse_mode(const struct row *row, const char *text, struct options *options)
{
	(void)text;
	options->mode = (enum options_mode)row->min;
	return NULL;
}

const struct kind kind_duration = { "DURATION", "5s or 1m30s", parse_duration, describe_duration,
				    NULL };
const struct kind kind_number = { "N", NULL, parse_number, describe_number, NULL };
const struct kind kind_probes = { "N", NULL, parse_probes, describe_number, NULL };
const struct kind kind_share = { "SHARE", NULL, parse_share, describe_text,
				 "0 to 1, such as 0.05" };
const struct kind kind_choice = { "WORD", NULL, parse_choice, describe_choice, NULL };
const struct kind kind_bool = { NULL, NULL, parse_bool, describe_text, "true|false" };
const struct kind kind_path = { "PATH", NULL, parse_path, describe_path, NULL };
const struct kind kind_pattern = { "PATTERN", NULL, parse_path, describe_text, "own|all|PATTERN" };
const struct kind kind_route = { "PATH", "/metrics", parse_route, describe_route, NULL };
const struct kind kind_ports = { "PORTS", "22,8000-8100", parse_ports, describe_text,
				 "ports and ranges of 1 to 65535" };
const struct kind kind_listen = { "[HOST]:PORT", ":10793 or [::1]:10793", parse_listen,
				  describe_listen, NULL };
const struct kind kind_mode = { NULL, NULL, parse_mode, describe_text, "" };
