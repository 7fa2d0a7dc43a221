/*
 * words: the sentences of a finding, and what fills their gaps.
 */
#include "tcphealth/render/words.h"

#include "tcphealth/base/escape.h"
#include "tcphealth/source/unit.h"

#include <string.h>

#define UNIT_BYTES 256 /* as labels are cut on /metrics */

/*
 * Gaps: {n} {connections} {connects} {drops} {age} {unit} {restart} {it} {limit} {percent}
 * {filter}, which brings its own blank. What stands in [ ] is left out where no age is known.
 */
struct words {
	enum finding_level level;
	bool restart; /* helps, for now */
	const char *verdict;
	const char *next;
	const char *look;
};

static const struct words table[FINDING_KINDS] = {
	[FINDING_QUIET] = { .level = LEVEL_FINE, .verdict = "{connections}, all well" },
	[FINDING_NO_LISTENER] = {
		.level = LEVEL_NOTE,
		.verdict = "{connections}, and nobody listens on this port any more",
		.next = "New clients are refused. Is the service meant to be down?",
		.look = "ss -tnp{filter}",
	},
	[FINDING_UNKNOWN] = {
		.level = LEVEL_FINE,
		.verdict = "{connections}, nothing wrong as far as /proc tells",
	},
	[FINDING_UNUSED] = { .level = LEVEL_FINE, .verdict = "No connections" },
	[FINDING_QUEUE_FULL] = {
		.level = LEVEL_FULL,
		.verdict = "The accept queue is full ({n} of {limit}): the kernel drops new connections",
		.next = "Check the threads of {unit}: are they slow or blocked? A longer backlog (listen(), net.core.somaxconn) only helps against bursts.",
		.look = "ss -tlnp{filter}",
	},
	[FINDING_QUEUE_FILLING] = {
		.level = LEVEL_WATCH,
		.verdict = "The accept queue is filling up: {percent}",
		.next = "Clients connect faster than {unit} can accept: check the load.",
		.look = "ss -tlnp{filter}",
	},
	[FINDING_LOCAL_PORTS] = {
		.level = LEVEL_WATCH,
		.verdict = "{percent} of the local ports towards one address are in use: connects will soon fail",
		.next = "Reuse connections, or widen net.ipv4.ip_local_port_range.",
		.look = "ss -tan{filter}",
	},
	[FINDING_REFUSED] = {
		.level = LEVEL_NOTE,
		.verdict = "{connects} refused since the exporter started",
		.next = "Is the peer's service listening?",
	},
	[FINDING_UNREACHABLE] = {
		.level = LEVEL_NOTE,
		.verdict = "{connects} could not leave this host since the exporter started",
		.next = "Is the peer up and on this network? The kernel found no hardware address for it.",
		.look = "ip neigh",
	},
	[FINDING_NO_LOCAL_PORT] = {
		.level = LEVEL_NOTE,
		.verdict = "{connects} found no free local port since the exporter started",
		.next = "Reuse connections, or widen net.ipv4.ip_local_port_range.",
		.look = "ss -tan{filter}",
	},
	[FINDING_TIMED_OUT] = {
		.level = LEVEL_NOTE,
		.verdict = "{connects} timed out since the exporter started",
		.next = "Was the peer down, or does a firewall drop the packets?",
	},
	[FINDING_DROPS] = {
		.level = LEVEL_NOTE,
		.verdict = "{drops} at the listener since the exporter started",
		.next = "Usually a burst that filled a queue. Check whether tcphealth_listen_drops_total still rises.",
	},
};

void words_put_count(struct buf *buf, uint64_t n, const char *noun)
{
	buf_put_u64(buf, n);
	buf_putc(buf, ' ');
	buf_puts(buf, noun);
	if (n != 1)
		buf_putc(buf, 's');
}

static void put_clean(struct buf *buf, const char *name)
{
	char clean[UNIT_BYTES];
	size_t len = escape_clean(clean, sizeof(clean), name, strlen(name));

	buf_put(buf, clean, len);
}

static void put_unit(struct buf *buf, const struct finding *finding)
{
	if (finding->units == 0) {
		buf_puts(buf, "the local program");
		return;
	}
	put_clean(buf, finding->unit[0]);
	if (finding->units == 1)
		return;
	buf_puts(buf, finding->units == 2 ? " and " : ", ");
	put_clean(buf, finding->unit[1]);
	if (finding->units > FINDING_UNITS) {
		buf_puts(buf, " and ");
		words_put_count(buf, finding->units - FINDING_UNITS, "other");
	}
}

/* Where a restart of the unit helps: what is to be restarted, or ended. */
static void put_restart(struct buf *buf, const struct finding *finding)
{
	static const char *const words[] = {
		[UNIT_OTHER] = "restart ",
		[UNIT_SERVICE] = "restart ",
		[UNIT_SESSION] = "end the program that holds them in ",
		[UNIT_TEMPLATE] =
			"stop that instance (unit_instance in the list of connections) of ",
		[UNIT_ENGINE] = "restart the container behind ",
	};

	buf_puts(buf, words[finding->units == 1 ? unit_kind(finding->unit[0]) : UNIT_OTHER]);
	put_unit(buf, finding);
}

static void put_filter(struct buf *buf, const struct finding *finding)
{
	if (finding->port_known)
		buf_printf(buf, " '%s = :%u'", finding->role == ROLE_SERVER ? "sport" : "dport",
			   finding->port);
}

static void put_n(struct buf *buf, const struct finding *finding)
{
	buf_put_u64(buf, finding->count);
}

static void put_limit(struct buf *buf, const struct finding *finding)
{
	buf_put_u64(buf, finding->limit);
}

static void put_age(struct buf *buf, const struct finding *finding)
{
	words_put_age(buf, finding->age_ms);
}

static void put_it(struct buf *buf, const struct finding *finding)
{
	buf_puts(buf, finding->count == 1 ? "it" : "them");
}

static void put_percent(struct buf *buf, const struct finding *finding)
{
	buf_printf(buf, "%.0f %%", finding->ratio * 100);
}

static const struct gap {
	const char *name;
	const char *noun; /* of what is counted; NULL: `put` fills it */
	void (*put)(struct buf *buf, const struct finding *finding);
} gaps[] = {
	{ "{connections}", "connection", NULL },
	{ "{connects}", "connect", NULL },
	{ "{drops}", "drop", NULL },
	{ "{n}", NULL, put_n },
	{ "{limit}", NULL, put_limit },
	{ "{age}", NULL, put_age },
	{ "{unit}", NULL, put_unit },
	{ "{restart}", NULL, put_restart },
	{ "{it}", NULL, put_it },
	{ "{percent}", NULL, put_percent },
	{ "{filter}", NULL, put_filter },
};

/* Fills the gap that begins here; returns its length. */
static size_t fill_gap(struct buf *buf, const char *text, const struct finding *finding)
{
	for (size_t i = 0; i < sizeof(gaps) / sizeof(gaps[0]); i++) {
		size_t len = strlen(gaps[i].name);

		if (strncmp(text, gaps[i].name, len) != 0)
			continue;
		if (gaps[i].noun)
			words_put_count(buf, finding->count, gaps[i].noun);
		else
			gaps[i].put(buf, finding);
		return len;
	}
	return 1;
}

static void fill_in(struct buf *buf, const char *text, const struct finding *finding)
{
	while (*text != '\0') {
		size_t plain = strcspn(text, "{[]");

		buf_put(buf, text, plain);
		text += plain;
		if (*text == '{') {
			text += fill_gap(buf, text, finding);
		} else if (*text == '[' && finding->age_ms == 0) {
			text += strcspn(text, "]") + 1;
		} else if (*text != '\0') {
			text++;
		}
	}
}

static struct words words_of(const struct finding *finding)
{
	const struct stale_rule *rule = stale_rule(finding->kind);
	const struct stale_form *form = &rule->form[finding->form % STALE_FORMS];

	if (finding->kind >= FINDING_KINDS)
		return table[FINDING_QUIET];
	if (finding->kind == FINDING_QUIET || finding->kind >= STALE_REASONS)
		return table[finding->kind];
	return (struct words){
		.level = form->harmless && !finding->troubled ? LEVEL_WATCH : LEVEL_STALE,
		.restart = form->restart,
		.verdict = form->verdict,
		.next = form->next,
		.look = rule->look,
	};
}

/* Of such characters a shell makes nothing else. */
#define PLAIN "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:@-"

/* No option begins with a dot. */
static bool is_made_of(const char *name, const char *characters)
{
	size_t len = strlen(name);

	return len > 0 && len < UNIT_BYTES && name[0] != '-' && strspn(name, characters) == len;
}

enum finding_level words_level(const struct finding *finding)
{
	return words_of(finding).level;
}

const char *words_level_name(enum finding_level level)
{
	static const char *const names[] = {
		[LEVEL_FINE] = "fine", [LEVEL_NOTE] = "note",   [LEVEL_WATCH] = "watch",
		[LEVEL_FULL] = "full", [LEVEL_STALE] = "stale",
	};

	return names[level];
}

void words_put_verdict(struct buf *buf, const struct finding *finding)
{
	fill_in(buf, words_of(finding).verdict, finding);
}

void words_put_next(struct buf *buf, const struct finding *finding)
{
	const char *next = words_of(finding).next;

	if (next != NULL)
		fill_in(buf, next, finding);
}

void words_put_look(struct buf *buf, const struct finding *finding)
{
	const char *look = words_of(finding).look;

	if (look == NULL || (finding->netns != NULL && !is_made_of(finding->netns, PLAIN)))
		return;
	if (finding->netns != NULL)
		buf_printf(buf, "ip netns exec %s ", finding->netns);
	fill_in(buf, look, finding);
}

void words_put_restart(struct buf *buf, const struct finding *finding)
{
	const char *unit = finding->unit[0];

	if (!words_of(finding).restart || finding->units != 1 || unit_kind(unit) != UNIT_SERVICE)
		return;
	/* systemd escapes by backslashes, which a shell takes off. */
	if (is_made_of(unit, PLAIN))
		buf_printf(buf, "systemctl restart %s", unit);
	else if (is_made_of(unit, PLAIN "\\"))
		buf_printf(buf, "systemctl restart '%s'", unit);
}

void words_put_age(struct buf *buf, uint64_t age_ms)
{
	uint64_t s = age_ms / 1000, min = s / 60, h = min / 60, d = h / 24;

	if (s < 120) {
		buf_put_u64(buf, s);
		buf_puts(buf, " s");
	} else if (min < 60) {
		buf_put_u64(buf, min);
		buf_puts(buf, " min");
	} else if (h < 24) {
		buf_put_u64(buf, h);
		buf_puts(buf, " h");
		if (h < 10 && min % 60 != 0)
			buf_printf(buf, " %u min", (unsigned int)(min % 60));
	} else {
		buf_put_u64(buf, d);
		buf_puts(buf, " d");
		if (d < 10 && h % 24 != 0)
			buf_printf(buf, " %u h", (unsigned int)(h % 24));
	}
}
