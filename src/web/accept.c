/*
 * accept: parses the two headers, and ranks what they name.
 *
 * Must not know how an offer is rendered or a page compressed. Every byte comes from the
 * network: what cannot be parsed is skipped.
 */
#include "tcphealth/web/accept.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define RANGES_MAX 64   /* elements read of a list */
#define Q_ONE      1000 /* a q-value of 1 */

/* Bytes of the header, without a NUL at the end. */
struct span {
	const char *at; /* NULL: not given */
	size_t len;
};

/*
 * A media range, or a content coding, which has no subtype; with the parameters that
 * matter.
 */
struct range {
	struct span type, subtype;
	struct span version, charset;
	unsigned int q; /* 0 to Q_ONE */
	unsigned int position;
};

/* What the header says about one offer. */
struct choice {
	/* How specifically it is named; -1: not at all. */
	int rank;
	unsigned int q;
	unsigned int position;
};

static bool is_token_char(char c)
{
	return isalnum((unsigned char)c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool span_is(struct span span, const char *word)
{
	return span.len == strlen(word) && strncasecmp(span.at, word, span.len) == 0;
}

/* The same for a parameter's value, which may contain backslash escapes. */
static bool value_is(struct span value, const char *word)
{
	for (size_t i = 0; i < value.len; i++, word++) {
		if (value.at[i] == '\\' && i + 1 < value.len)
			i++;
		if (tolower((unsigned char)value.at[i]) != *word)
			return false;
	}
	return *word == '\0';
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

/* A token, or the inside of a quoted string. NULL if there is neither. */
static const char *take_value(const char *p, struct span *ret_value)
{
	const char *begin = p;

	if (*p != '"') {
		p = take_token(p, ret_value);
		return p > begin ? p : NULL;
	}
	for (p++; *p && *p != '"'; p++)
		p += *p == '\\' && p[1];
	*ret_value = (struct span){ begin + 1, (size_t)(p - begin - 1) };
	return *p == '"' ? p + 1 : NULL;
}

/* "0", "0.125", "1.000" (RFC 9110, 12.4.2) in thousandths. */
static bool parse_q(struct span text, unsigned int *ret_q)
{
	unsigned int weight = Q_ONE, q = 0;

	if (text.len < 1 || text.len > 5 || (text.len > 1 && text.at[1] != '.'))
		return false;
	for (size_t i = 0; i < text.len; i += i ? 1 : 2, weight /= 10) {
		if (!isdigit((unsigned char)text.at[i]))
			return false;
		q += (unsigned int)(text.at[i] - '0') * weight;
	}
	*ret_q = q;
	return q <= Q_ONE;
}

/* Any number of ";name=value"; empty ones are allowed. NULL if malformed. */
static const char *take_parameters(const char *p, struct range *range)
{
	struct span name, value;

	for (p = skip_space(p); *p == ';'; p = skip_space(p)) {
		p = take_token(skip_space(p + 1), &name);
		if (name.len == 0)
			continue;
		p = *p == '=' ? take_value(p + 1, &value) : NULL;
		if (!p || (span_is(name, "q") && !parse_q(value, &range->q)))
			return NULL;
		if (span_is(name, "version"))
			range->version = value;
		else if (span_is(name, "charset"))
			range->charset = value;
	}
	return p;
}

/* One element of a list; NULL if malformed. */
static const char *take_range(const char *p, struct range *range)
{
	p = take_token(skip_space(p), &range->type);
	if (*p == '/') {
		p = take_token(p + 1, &range->subtype);
		if (range->subtype.len == 0)
			return NULL;
	}
	if (range->type.len == 0)
		return NULL;
	p = take_parameters(p, range);
	return p && (*p == ',' || *p == '\0') ? p : NULL;
}

/* Skips to the comma that ends a malformed element. One inside quotes does not. */
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
 * Reads the next well-formed element from *at on. False at the end of the list, or after
 * RANGES_MAX elements. `range` holds the element before, or zeros.
 */
static bool next_range(const char **at, struct range *range)
{
	while (**at && range->position < RANGES_MAX) {
		const char *start = *at, *end;

		*range = (struct range){ .q = Q_ONE, .position = range->position + 1 };
		end = take_range(start, range);
		*at = end ? end : skip_range(start);
		*at += **at == ',';
		if (end)
			return true;
	}
	return false;
}

/* The most specific range decides; of equal ones that with the higher q, then the first. */
static void choice_take(struct choice *choice, int rank, const struct range *range)
{
	if (rank > choice->rank || (rank >= 0 && rank == choice->rank && range->q > choice->q))
		*choice = (struct choice){ rank, range->q, range->position };
}

/* How specifically a range names an offer; -1: not at all. */
static int range_rank(const struct range *range, const struct accept_offer *offer)
{
	if (span_is(range->type, "*") && span_is(range->subtype, "*"))
		return 0;
	if (!span_is(range->type, offer->type) ||
	    (range->charset.at && !value_is(range->charset, "utf-8")))
		return -1;
	if (span_is(range->subtype, "*"))
		return 1;
	if (!span_is(range->subtype, offer->subtype))
		return -1;
	if (!range->version.at)
		return 2;
	return value_is(range->version, offer->version) ? 3 : -1;
}

static struct choice choose(const char *accept, const struct accept_offer *offer)
{
	struct choice choice = { .rank = -1 };
	struct range range = { 0 };

	while (next_range(&accept, &range))
		choice_take(&choice, range_rank(&range, offer), &range);
	return choice;
}

static bool choice_beats(const struct choice *a, const struct choice *b)
{
	if (a->q != b->q)
		return a->q > b->q;
	if (a->rank != b->rank)
		return a->rank > b->rank;
	return a->position < b->position;
}

size_t accept_best(const char *accept, const struct accept_offer *offers, size_t count)
{
	struct choice best = { .rank = -1 }, choice;
	size_t chosen = 0;

	for (size_t i = 0; accept && i < count; i++) {
		choice = choose(accept, &offers[i]);
		if (choice.q > 0 && choice_beats(&choice, &best)) {
			best = choice;
			chosen = i;
		}
	}
	return chosen;
}

bool accept_gzip(const char *accept_encoding)
{
	struct choice gzip = { .rank = -1 }, identity = { .rank = -1 };
	struct range range = { 0 };

	while (accept_encoding && next_range(&accept_encoding, &range)) {
		if (range.subtype.at)
			continue;
		if (span_is(range.type, "gzip") || span_is(range.type, "x-gzip"))
			choice_take(&gzip, 1, &range);
		else if (span_is(range.type, "*"))
			choice_take(&gzip, 0, &range);
		else if (span_is(range.type, "identity"))
			choice_take(&identity, 1, &range);
	}
	return gzip.q > 0 && gzip.q >= identity.q;
}
