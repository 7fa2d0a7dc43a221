/*
 * reasons_doc: what the list of stale reasons puts into files of the tree that people and other programs read.
 *
 * For test_stale, which compares or writes them. Runs in the project's root.
 */
#pragma once

#include "tcphealth/base/buf.h"
#include "tcphealth/model/stale.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define REASONS_DOC_COLUMNS 84 /* of the words in a line of the completion */

enum reasons_doc_kind { REASONS_DOC_duration, REASONS_DOC_probes };

static const struct reasons_doc_reason {
	enum stale_reason reason;
	const char *label, *flag, *def, *help;
	enum reasons_doc_kind kind;
} reasons_doc_list[] = {
#define REASONS_DOC_ROW(x, ID, label, flag, kind, def, help)                                       \
	{ STALE_##ID, label, flag, def, help, REASONS_DOC_##kind },
	STALE_LIST(REASONS_DOC_ROW, )
};

static const struct reasons_doc_blame {
	const char *name, *text;
} reasons_doc_blames[] = {
	[STALE_BLAMES_NOBODY] = { "nobody", "nobody yet" },
	[STALE_BLAMES_PROGRAM] = { "program", "the program here" },
	[STALE_BLAMES_PEER_PROGRAM] = { "peer_program", "the peer's program" },
	[STALE_BLAMES_PATH] = { "path", "the path, or the peer's host" },
};

/* What is said of connections of that role of which nothing more is known. */
static inline const struct stale_form *reasons_doc_form(const struct reasons_doc_reason *r,
							enum role role)
{
	return &stale_rule(r->reason)->form[stale_form(r->reason, role, NULL)];
}

/* As which role the program here is to be restarted, for JSON. */
static inline void reasons_doc_restart(struct buf *buf, const struct reasons_doc_reason *r)
{
	const char *separator = "";

	for (int role = 0; role < ROLE_COUNT; role++) {
		if (!reasons_doc_form(r, (enum role)role)->restart)
			continue;
		buf_printf(buf, "%s\"%s\"", separator, role_name((enum role)role));
		separator = ", ";
	}
}

static inline void reasons_doc_json(struct buf *buf, const struct reasons_doc_reason *r)
{
	buf_printf(buf,
		   "  { \"reason\": \"%s\", \"flag\": \"%s\", \"kind\": \"%s\", \"default\": "
		   "\"%s\", \"blame\": \"%s\", \"restart\": [",
		   r->label, r->flag, r->kind == REASONS_DOC_probes ? "probes" : "duration", r->def,
		   reasons_doc_blames[reasons_doc_form(r, ROLE_CLIENT)->blame].name);
	reasons_doc_restart(buf, r);
	buf_puts(buf, "] }");
}

static inline void reasons_doc_man(struct buf *buf, const struct reasons_doc_reason *r)
{
	buf_printf(buf, ".It Fl -%s Ns = Ns Ar %s\n%c%s", r->flag,
		   r->kind == REASONS_DOC_probes ? "n" : "duration", toupper(r->help[0]),
		   r->help + 1);
	if (r->kind == REASONS_DOC_probes)
		buf_printf(buf, ", 1 to %d", STALE_PROBES_MAX);
	buf_printf(buf, ".\nThe default is %s.\n", r->def);
}

/* Goes on in the line that was begun, or in the next. */
static inline void reasons_doc_completion(struct buf *buf, const struct reasons_doc_reason *r)
{
	const char *line = (const char *)memrchr(buf->data, '\n', buf->len) + strlen("\n\t\t");
	size_t used = (size_t)(buf->data + buf->len - line);

	if (used > 0)
		buf_puts(buf, used + strlen(" --") + strlen(r->flag) <= REASONS_DOC_COLUMNS
				      ? " "
				      : "\n\t\t");
	buf_printf(buf, "--%s", r->flag);
}

static inline void reasons_doc_flag(struct buf *buf, const struct reasons_doc_reason *r)
{
	buf_printf(buf, "| `--%s` | `%s` | %s |\n", r->flag, r->def, r->help);
}

static inline void reasons_doc_states(struct buf *buf, uint32_t where)
{
	const char *separator = "";

	if (where == STALE_GONE)
		buf_puts(buf, "closed");
	if (where == STALE_QUEUED)
		buf_puts(buf, "accept queue");
	for (unsigned int state = 0; state < TCP_STATE_COUNT; state++) {
		if (!(where & TCP_STATE_BIT(state)))
			continue;
		buf_puts(buf, separator);
		for (const char *c = tcp_state_name(state); *c; c++)
			buf_putc(buf, (char)toupper(*c));
		separator = ", ";
	}
}

static inline void reasons_doc_table(struct buf *buf, const struct reasons_doc_reason *r)
{
	const struct stale_rule *rule = stale_rule(r->reason);
	const struct stale_form *form = reasons_doc_form(r, ROLE_CLIENT);
	bool harmless = form->harmless && form->blame != STALE_BLAMES_NOBODY;

	buf_printf(buf, "| `%s` | ", r->label);
	reasons_doc_states(buf, rule->where);
	buf_printf(buf, " | %s | %s%s |\n", rule->meaning, reasons_doc_blames[form->blame].text,
		   harmless ? "; as client nobody, while connects to the port succeed" : "");
}

/* The lines of a file from the first that begins with `from` to the next that begins with `to`, which stays. */
struct reasons_doc {
	const char *path;
	const char *from; /* "": the first line */
	const char *to;   /* NULL: the end */
	const char *begin, *between, *end;
	void (*put)(struct buf *buf, const struct reasons_doc_reason *reason);
};

static const struct reasons_doc reasons_docs[] = {
	{ "deploy/mixin/reasons.json", "", NULL, "[\n", ",\n", "\n]\n", reasons_doc_json },
	{ "deploy/man/tcphealth_exporter.8", ".It Fl -stale.", ".El\n", "", "", "",
	  reasons_doc_man },
	{ "deploy/completion/tcphealth_exporter.bash", "\t\t--stale.", "\t\t--path.", "\t\t", "",
	  "\n", reasons_doc_completion },
	{ "README.md", "| `--stale.", "| `--path.", "", "", "", reasons_doc_flag },
	{ "README.md", "| reason | state |", "\n",
	  "| reason | state | meaning | who is to blame |\n|---|---|---|---|\n", "", "",
	  reasons_doc_table },
};
#define REASONS_DOCS (sizeof(reasons_docs) / sizeof(reasons_docs[0]))

/* The first line at or behind `text` that begins with `start`; NULL if there is none. */
static inline const char *reasons_doc_line(const char *text, const char *start)
{
	while (text && strncmp(text, start, strlen(start)) != 0) {
		text = strchr(text, '\n');
		text = text && text[1] ? text + 1 : NULL;
	}
	return text;
}

/* The file as it is, and as it should be. 0, or -errno: ENOENT also where the lines to replace are not found. */
static inline int reasons_doc_make(const struct reasons_doc *doc, struct buf *ret_old,
				   struct buf *ret_new)
{
	size_t count = sizeof(reasons_doc_list) / sizeof(reasons_doc_list[0]);
	const char *from, *to;
	char bytes[4096];
	size_t n;
	FILE *file = fopen(doc->path, "r");

	buf_init(ret_old, 0);
	buf_init(ret_new, 0);
	while (file && (n = fread(bytes, 1, sizeof(bytes), file)) > 0)
		buf_put(ret_old, bytes, n);
	buf_putc(ret_old, '\0');
	if (file)
		fclose(file);
	else if (doc->to)
		return -errno;
	from = reasons_doc_line(ret_old->data, doc->from);
	to = doc->to ? reasons_doc_line(from, doc->to) : "";
	if (!from || !to)
		return -ENOENT;
	buf_put(ret_new, ret_old->data, (size_t)(from - ret_old->data));
	buf_puts(ret_new, doc->begin);
	for (size_t i = 0; i < count; i++) {
		buf_puts(ret_new, i > 0 ? doc->between : "");
		doc->put(ret_new, &reasons_doc_list[i]);
	}
	buf_puts(ret_new, doc->end);
	buf_puts(ret_new, to);
	buf_putc(ret_new, '\0');
	return ret_new->err;
}
