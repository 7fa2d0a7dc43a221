/*
 * dead: see the header. Knows the text format of two metrics.
 */
#include "tcphealth/app/dead.h"

#include "tcphealth/base/escape.h"
#include "tcphealth/base/number.h"
#include "tcphealth/render/families.h"
#include "tcphealth/web/fetch.h"
#include "tcphealth/web/webconfig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MS  1000u
#define PAGE_MAX (64u << 20)
#define COUNTS   FAMILIES_STALE_UNIT_CONNECTIONS "{"
#define AGES     FAMILIES_STALE_UNIT_OLDEST "{"
#define END      "# EOF\n"

/* A label's value without its escapes, cleaned, into `dst`. Moves *at behind the closing quote; false if there is none. */
static bool take_value(const char **at, char *dst, size_t size)
{
	char raw[512];
	size_t len = 0;
	const char *p = *at;

	for (; *p != '"' && *p != '\n' && *p != '\0'; p++) {
		char c = *p;

		if (c == '\\' && p[1] != '\0')
			c = *++p == 'n' ? '\n' : *p;
		if (len < sizeof(raw))
			raw[len++] = c;
	}
	escape_clean(dst, size, raw, len);
	*at = p + 1;
	return *p == '"';
}

/* The labels of a row, from behind the brace. False if the line is not of a dead one, or is not understood. */
static bool take_labels(const char **at, struct dead_row *ret_row)
{
	char reason[DEAD_WORD_MAX] = "", other[1];
	struct {
		const char *key;
		char *dst;
		size_t size;
	} labels[] = {
		{ "netns=\"", ret_row->netns, sizeof(ret_row->netns) },
		{ "role=\"", ret_row->role, sizeof(ret_row->role) },
		{ "port=\"", ret_row->port, sizeof(ret_row->port) },
		{ "reason=\"", reason, sizeof(reason) },
		{ "unit=\"", ret_row->unit, sizeof(ret_row->unit) },
	};

	while (**at != '}') {
		const char *quote = strchr(*at, '"');
		char *dst = other;
		size_t size = sizeof(other);

		if (!quote)
			return false;
		for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++) {
			if (strncmp(*at, labels[i].key, strlen(labels[i].key)) != 0)
				continue;
			dst = labels[i].dst;
			size = labels[i].size;
		}
		*at = quote + 1;
		if (!take_value(at, dst, size))
			return false;
		*at += **at == ',';
	}
	return strcmp(reason, stale_reason_name(STALE_DEAD)) == 0;
}

static struct dead_row *find(struct dead *dead, const struct dead_row *row)
{
	for (size_t i = 0; i < dead->count; i++) {
		struct dead_row *known = &dead->rows[i];

		if (strcmp(known->netns, row->netns) == 0 && strcmp(known->role, row->role) == 0 &&
		    strcmp(known->port, row->port) == 0 && strcmp(known->unit, row->unit) == 0)
			return known;
	}
	if (dead->count == DEAD_MAX)
		return NULL;
	dead->rows[dead->count] = *row;
	return &dead->rows[dead->count++];
}

static void take_line(struct dead *dead, const char *line)
{
	bool counts = strncmp(line, COUNTS, strlen(COUNTS)) == 0;
	struct dead_row row = { 0 }, *known;
	uint64_t value;

	if (!counts && strncmp(line, AGES, strlen(AGES)) != 0)
		return;
	line += counts ? strlen(COUNTS) : strlen(AGES);
	if (!take_labels(&line, &row) || strncmp(line, "} ", 2) != 0)
		return;
	line += 2;
	if (number_take(&line, NULL, UINT64_MAX, &value) || (known = find(dead, &row)) == NULL)
		return;
	if (counts)
		known->connections = value;
	else
		known->oldest_seconds = value;
}

int dead_parse(const char *page, struct dead *ret_dead)
{
	size_t len = strlen(page);

	*ret_dead = (struct dead){ 0 };
	if (len < strlen(END) || strcmp(page + len - strlen(END), END) != 0)
		return -EPROTO;
	ret_dead->rows = calloc(DEAD_MAX, sizeof(*ret_dead->rows));
	if (!ret_dead->rows)
		return -ENOMEM;
	for (const char *line = page; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		take_line(ret_dead, line);
	}
	return 0;
}

/* 0 and whether the exporter speaks TLS, or -errno. */
static int read_tls(const struct options *options, bool *ret_tls)
{
	struct webconfig *config = NULL;
	struct web_error error;
	int err = 0;

	*ret_tls = false;
	if (options->web_config_file[0] != '\0')
		err = webconfig_load(options->web_config_file, &config, &error);
	if (!err && config)
		*ret_tls = config->tls;
	webconfig_free(config);
	return err;
}

int dead_ask(const struct options *options, struct dead *ret_dead)
{
	struct fetch fetch = { .address = options->listen[0],
			       .path = options->telemetry_path,
			       .accept = "application/openmetrics-text;version=1.0.0",
			       .wait_ms = WAIT_MS };
	struct buf page;
	int err = read_tls(options, &fetch.tls);

	*ret_dead = (struct dead){ 0 };
	buf_init(&page, PAGE_MAX);
	if (!err)
		err = fetch_page(&fetch, &page);
	if (!err)
		err = dead_parse(page.data, ret_dead);
	buf_done(&page);
	return err;
}

void dead_done(struct dead *dead)
{
	free(dead->rows);
	*dead = (struct dead){ 0 };
}
