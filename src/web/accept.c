/*
 * accept: the parser of Accept and Accept-Encoding.
 *
 * Owns the grammar of the two lists and the ranking of what they offer. Must not know how a format
 * is rendered or a page compressed. Every byte comes from the network: what does not parse is
 * skipped.
 */
#include "tcphealth/web/accept.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

#define RANGES_MAX 64   /* elements of a list that are looked at */
#define VALUE_MAX  32   /* bytes of a parameter's value that matter; longer ones equal nothing */
#define Q_ONE      1000 /* a q-value of 1 */

/* Bytes of the header, not terminated. */
struct span {
	const char *at;
	size_t len;
};

/* A parameter's value, unquoted. */
struct value {
	char text[VALUE_MAX];
	size_t len; /* VALUE_MAX: too long to be anything we know */
};

/* One media range or content coding with the parameters that decide. */
struct range {
	struct span type;
	struct span subtype; /* empty for a coding */
	unsigned int q;      /* 0 to Q_ONE */
	bool has_version;
	struct value version;
	bool foreign_charset;
};

/* What the header says about one choice; `rank` is how exactly it was named. */
struct verdict {
	int rank; /* -1: not mentioned */
	unsigned int q;
	unsigned int position;
};

static bool is_token_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool span_is(struct span span, const char *word)
{
	return span.len == strlen(word) && strncasecmp(span.at, word, span.len) == 0;
}

static bool value_is(const struct value *value, const char *word)
{
	return value->len == strlen(word) && strncasecmp(value->text, word, value->len) == 0;
}

static const char *skip_space(const char *p)
{
	return p + strspn(p, " \t");
}

static const char *take_token(const char *p, struct span *ret_token)
{
	ret_token->at = p;
	while (is_token_char(*p))
		p++;
	ret_token->len = (size_t)(p - ret_token->at);
	return p;
}

static void value_add(struct value *value, char c)
{
	if (value->len < VALUE_MAX)
		value->text[value->len++] = c;
}

/* After the opening quote; returns after the closing one, or NULL if there is none. */
static const char *take_quoted(const char *p, struct value *value)
{
	for (; *p && *p != '"'; p++) {
		if (*p == '\\' && p[1])
			p++;
		value_add(value, *p);
	}
	return *p == '"' ? p + 1 : NULL;
}

/* A token or a quoted string; NULL where there is neither. */
static const char *take_value(const char *p, struct value *ret_value)
{
	ret_value->len = 0;
	if (*p == '"')
		return take_quoted(p + 1, ret_value);
	const char *start = p;
	for (; is_token_char(*p); p++)
		value_add(ret_value, *p);
	return p > start ? p : NULL;
}

/* "0", "0.125", "1.000" (RFC 9110, 12.4.2) in thousandths. */
static bool parse_q(const struct value *value, unsigned int *ret_q)
{
	static const unsigned int weight[] = { 0, 0, 100, 10, 1 };
	const char *text = value->text;

	if (value->len < 1 || value->len > 5 || (text[0] != '0' && text[0] != '1'))
		return false;
	if (value->len > 1 && text[1] != '.')
		return false;
	unsigned int q = text[0] == '1' ? Q_ONE : 0;
	for (size_t i = 2; i < value->len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		q += (unsigned int)(text[i] - '0') * weight[i];
	}
	*ret_q = q;
	return q <= Q_ONE;
}

static bool range_set(struct range *range, struct span name, const struct value *value)
{
	if (span_is(name, "q"))
		return parse_q(value, &range->q);
	if (span_is(name, "version")) {
		range->has_version = true;
		range->version = *value;
	} else if (span_is(name, "charset")) {
		range->foreign_charset = !value_is(value, "utf-8");
	}
	return true;
}

/* ";name=value" as often as it comes; empty ones are allowed. NULL if malformed. */
static const char *take_parameters(const char *p, struct range *range)
{
	struct span name;
	struct value value;

	for (p = skip_space(p); *p == ';'; p = skip_space(p)) {
		p = take_token(skip_space(p + 1), &name);
		if (name.len == 0)
			continue;
		if (*p != '=')
			return NULL;
		p = take_value(p + 1, &value);
		if (!p || !range_set(range, name, &value))
			return NULL;
	}
	return p;
}

/* One element of a list; NULL if malformed. */
static const char *take_range(const char *p, bool media, struct range *ret_range)
{
	*ret_range = (struct range){ .q = Q_ONE };
	p = take_token(skip_space(p), &ret_range->type);
	if (ret_range->type.len == 0)
		return NULL;
	if (media) {
		if (*p != '/')
			return NULL;
		p = take_token(p + 1, &ret_range->subtype);
		if (ret_range->subtype.len == 0)
			return NULL;
	}
	p = take_parameters(p, ret_range);
	return p && (*p == ',' || *p == '\0') ? p : NULL;
}

/* To the comma that ends a malformed element: one inside quotes does not. */
static const char *skip_range(const char *p)
{
	bool quoted = false;

	for (; *p && (quoted || *p != ','); p++) {
		if (*p == '"')
			quoted = !quoted;
		else if (quoted && *p == '\\' && p[1])
			p++;
	}
	return p;
}

/*
 * The next well-formed element at or after *cursor; false at the end of the list or after
 * RANGES_MAX elements.
 */
static bool next_range(const char **cursor, unsigned int *position, bool media,
		       struct range *ret_range)
{
	while (**cursor && *position < RANGES_MAX) {
		const char *start = *cursor;
		const char *end = take_range(start, media, ret_range);
		const char *stop = end ? end : skip_range(start);

		*cursor = *stop == ',' ? stop + 1 : stop;
		++*position;
		if (end)
			return true;
	}
	return false;
}

/* The more exact naming decides; of two as exact the one with the higher q, then the earlier. */
static void verdict_take(struct verdict *verdict, int rank, unsigned int q, unsigned int position)
{
	if (rank < 0 || rank < verdict->rank || (rank == verdict->rank && q <= verdict->q))
		return;
	*verdict = (struct verdict){ .rank = rank, .q = q, .position = position };
}

/* How exactly a range names a format, or -1 where it does not. */
static int range_rank(const struct range *range, const char *type, const char *subtype,
		      const char *version)
{
	if (span_is(range->type, "*") && span_is(range->subtype, "*"))
		return 0;
	if (!span_is(range->type, type) || range->foreign_charset)
		return -1;
	if (span_is(range->subtype, "*"))
		return 1;
	if (!span_is(range->subtype, subtype))
		return -1;
	if (!range->has_version)
		return 2;
	return value_is(&range->version, version) ? 3 : -1;
}

static bool verdict_beats(const struct verdict *a, const struct verdict *b)
{
	if (a->rank < 0 || a->q == 0)
		return false;
	if (b->rank < 0 || a->q != b->q)
		return a->q > b->q;
	if (a->rank != b->rank)
		return a->rank > b->rank;
	return a->position < b->position;
}

enum expo_format accept_format(const char *accept)
{
	struct verdict text = { .rank = -1 }, openmetrics = { .rank = -1 };
	unsigned int position = 0;
	struct range range;

	if (!accept)
		return EXPO_TEXT;
	while (next_range(&accept, &position, true, &range)) {
		verdict_take(&text, range_rank(&range, "text", "plain", "0.0.4"), range.q,
			     position);
		verdict_take(&openmetrics,
			     range_rank(&range, "application", "openmetrics-text", "1.0.0"),
			     range.q, position);
	}
	return verdict_beats(&openmetrics, &text) ? EXPO_OPENMETRICS : EXPO_TEXT;
}

bool accept_gzip(const char *accept_encoding)
{
	struct verdict gzip = { .rank = -1 }, identity = { .rank = -1 };
	unsigned int position = 0;
	struct range range;

	if (!accept_encoding)
		return false;
	while (next_range(&accept_encoding, &position, false, &range)) {
		if (span_is(range.type, "gzip") || span_is(range.type, "x-gzip"))
			verdict_take(&gzip, 1, range.q, position);
		else if (span_is(range.type, "*"))
			verdict_take(&gzip, 0, range.q, position);
		else if (span_is(range.type, "identity"))
			verdict_take(&identity, 1, range.q, position);
	}
	return gzip.rank >= 0 && gzip.q > 0 && gzip.q >= identity.q;
}
