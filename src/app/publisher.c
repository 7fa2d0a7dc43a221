/*
 * publisher: editions of the pages, rendered outside the lock.
 */
#include "tcphealth/app/publisher.h"

#include "tcphealth/base/clock.h"
#include "tcphealth/base/version.h"
#include "tcphealth/render/families.h"
#include "tcphealth/render/html.h"
#include "tcphealth/source/procself.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define READY_INTERVALS 3u
/* About 800,000 series, more than a server takes from one target. */
#define PAGE_MAX (64u << 20)
/* What a dump of a million sockets may take, however short the interval is. */
#define HANG_MIN_MS 2000u

/* What all pages that are rendered together say. */
struct edition {
	/* The later one has the higher number, and is never replaced by an earlier one. */
	uint64_t number;
	struct snapshot *snapshot; /* a reference, or NULL */
	struct health health;
	struct procself procself;
	/* When the last good sample ended, monotonic; 0: none has. */
	uint64_t good_ms;
};

struct publisher {
	struct publisher_config config;
	/* Of all below; not held while pages are rendered. */
	pthread_mutex_t lock;
	/* Of the last sample; its snapshot, of the last good one. */
	struct edition last;
	/* The number of the edition that config.pages show. */
	uint64_t shown;
	/* When the last good sample on the pages ended, monotonic; 0: none has. */
	uint64_t good_ms;
	/* When the running sample began, monotonic; 0: none runs. */
	uint64_t busy_ms;
	uint64_t took_ms; /* by the last good sample */
	/* When publisher_watch() last rendered. */
	uint64_t watched_ms;
	int error; /* of the last sample */
	bool web_config_failed;
};

static struct families_input families_of(const struct publisher_config *config,
					 const struct snapshot *snapshot,
					 const struct health *health)
{
	return (struct families_input){
		.snapshot = snapshot,
		.health = health,
		.version = version_number,
		.revision = version_revision,
		.microhttpd = config->microhttpd,
	};
}

static void render_metrics(const struct publisher_config *config, const struct edition *edition,
			   enum expo_format format, struct buf *buf)
{
	struct families_input input = families_of(config, edition->snapshot, &edition->health);
	struct expo expo;

	input.procself = &edition->procself;
	expo_init(&expo, buf, format);
	families_render(&input, &expo);
}

static void render_html(const struct publisher_config *config, const struct edition *edition,
			struct buf *buf)
{
	const struct options *o = config->options;
	struct html_input input = {
		.snapshot = edition->snapshot,
		.health = edition->number != 0 ? &edition->health : NULL,
		.telemetry_path = o->telemetry_path,
		.version = version_number,
		.interval_ms = o->interval_ms,
		.connections = o->connections != OPTIONS_CONNECTIONS_NONE,
	};

	html_render(&input, buf);
}

/* 0 and *ret_page, -ENOMEM, or -EFBIG. */
static int render(const struct publisher_config *config, const struct edition *edition,
		  enum page_kind kind, struct page **ret_page)
{
	struct buf buf;
	int r;

	buf_init(&buf, config->page_max != 0 ? config->page_max : PAGE_MAX);
	switch (kind) {
	case PAGE_METRICS_TEXT:
		render_metrics(config, edition, EXPO_TEXT, &buf);
		break;
	case PAGE_METRICS_OPENMETRICS:
		render_metrics(config, edition, EXPO_OPENMETRICS, &buf);
		break;
	case PAGE_HTML:
		render_html(config, edition, &buf);
		break;
	case PAGE_KINDS:
		break;
	}
	r = buf.err;
	*ret_page = page_new(&buf, edition->snapshot != NULL ? edition->snapshot->now_ms : 0);
	buf_done(&buf);
	return r != 0 ? r : *ret_page == NULL ? -ENOMEM : 0;
}

/* Instead of a page that would be too large, one without data that says that the sample failed. */
static int render_bounded(const struct publisher_config *config, const struct edition *edition,
			  enum page_kind kind, struct page **ret_page)
{
	struct edition blind = *edition;
	int r = render(config, edition, kind, ret_page);

	if (r != -EFBIG)
		return r;
	blind.snapshot = NULL;
	blind.health.success = false;
	r = render(config, &blind, kind, ret_page);
	return r != 0 ? r : -EFBIG;
}

/* Under `lock`. */
static struct edition new_edition(struct publisher *p)
{
	p->last.number++;
	p->last.good_ms = p->good_ms;
	(void)snapshot_ref(p->last.snapshot);
	return p->last;
}

/* Takes the pages over: they replace the old ones, unless those are of a later edition. */
static void show(struct publisher *p, const struct edition *edition, struct page *pages[PAGE_KINDS])
{
	bool newer;

	pthread_mutex_lock(&p->lock);
	newer = edition->number > p->shown;
	if (newer) {
		p->shown = edition->number;
		p->good_ms = edition->good_ms;
	}
	for (int kind = 0; kind < PAGE_KINDS; kind++) {
		if (newer)
			pageslot_put(p->config.pages, (enum page_kind)kind, pages[kind]);
		else
			page_unref(pages[kind]);
	}
	pthread_mutex_unlock(&p->lock);
}

/*
 * Renders the pages of an edition, shows them, and drops its snapshot. 0; -EFBIG if a page is
 * without data; or -ENOMEM: all old pages stay.
 */
static int publish(struct publisher *p, const struct edition *edition)
{
	struct page *pages[PAGE_KINDS];
	int result = 0;

	for (int kind = 0; kind < PAGE_KINDS; kind++) {
		int r = render_bounded(&p->config, edition, (enum page_kind)kind, &pages[kind]);

		if (r != 0 && result != -ENOMEM)
			result = pages[kind] != NULL ? r : -ENOMEM;
	}
	if (result != -ENOMEM)
		show(p, edition, pages);
	for (int kind = 0; kind < PAGE_KINDS && result == -ENOMEM; kind++)
		page_unref(pages[kind]);
	snapshot_unref(edition->snapshot);
	return result;
}

/* The page at / before the first sample has ended. */
static int publish_empty(struct publisher *p)
{
	const struct edition none = { 0 };
	struct page *page;
	int r = render(&p->config, &none, PAGE_HTML, &page);

	if (r == 0)
		pageslot_put(p->config.pages, PAGE_HTML, page);
	return r;
}

struct publisher *publisher_new(const struct publisher_config *config)
{
	struct publisher *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->config = *config;
	pthread_mutex_init(&p->lock, NULL);
	if (config->pages == NULL || publish_empty(p) == 0)
		return p;
	publisher_free(p);
	return NULL;
}

void publisher_free(struct publisher *p)
{
	if (p == NULL)
		return;
	snapshot_unref(p->last.snapshot);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

void publisher_begin(struct publisher *p, uint64_t now_ms)
{
	pthread_mutex_lock(&p->lock);
	p->busy_ms = now_ms;
	pthread_mutex_unlock(&p->lock);
}

int publisher_end(struct publisher *p, int error, struct health *health, struct snapshot *snapshot)
{
	struct procself procself = { 0 };
	struct edition edition;

	if (!p->config.options->disable_exporter_metrics)
		procself_read("/proc/self", &procself);
	pthread_mutex_lock(&p->lock);
	health->success = error == 0;
	health->errors = p->last.health.errors + (error != 0);
	health->web_config_failed = p->web_config_failed;
	p->last.health = *health;
	p->last.procself = procself;
	p->error = error;
	p->busy_ms = 0;
	if (error == 0) {
		snapshot_unref(p->last.snapshot);
		p->last.snapshot = snapshot;
		p->took_ms = (uint64_t)(health->duration_seconds * 1e3);
	}
	edition = new_edition(p);
	if (error == 0)
		edition.good_ms = clock_mono_ms();
	pthread_mutex_unlock(&p->lock);
	return publish(p, &edition);
}

/* Under `lock`. */
static bool is_hanging(const struct publisher *p, uint64_t now_ms)
{
	uint64_t interval_ms = p->config.options->interval_ms;

	return p->busy_ms != 0 &&
	       now_ms - p->busy_ms > (interval_ms > HANG_MIN_MS ? interval_ms : HANG_MIN_MS);
}

/* Under `lock`: time between two samples. Ticks during a sample are skipped. */
static uint64_t effective_interval_ms(const struct publisher *p)
{
	uint64_t interval_ms = p->config.options->interval_ms;

	return interval_ms * (1 + p->took_ms / interval_ms);
}

/* Under `lock`: whether the pages are to say that the sample hangs, again after each interval. */
static bool is_due(const struct publisher *p, uint64_t now_ms)
{
	return is_hanging(p, now_ms) && now_ms - p->watched_ms >= p->config.options->interval_ms;
}

void publisher_web_config(struct publisher *p, bool failed)
{
	pthread_mutex_lock(&p->lock);
	p->web_config_failed = p->last.health.web_config_failed = failed;
	pthread_mutex_unlock(&p->lock);
}

void publisher_watch(struct publisher *p)
{
	struct edition edition;
	uint64_t now_ms;
	bool due;

	pthread_mutex_lock(&p->lock);
	/* With the lock held, so that it is not earlier than busy_ms. */
	now_ms = clock_mono_ms();
	due = is_due(p, now_ms);
	if (due) {
		p->watched_ms = now_ms;
		p->last.health.success = false;
		p->last.health.duration_seconds = (double)(now_ms - p->busy_ms) / 1e3;
		edition = new_edition(p);
	}
	pthread_mutex_unlock(&p->lock);
	if (due)
		(void)publish(p, &edition);
}

/* Under `lock`. */
static bool is_ready(const struct publisher *p, struct buf *why)
{
	uint64_t limit_ms = READY_INTERVALS * effective_interval_ms(p), now_ms = clock_mono_ms();

	if (p->good_ms != 0 && now_ms - p->good_ms < limit_ms)
		return true;
	if (p->good_ms == 0)
		buf_puts(why, "no good sample yet");
	else
		buf_printf(why, "the last good sample ended %.1f s ago (allowed: %.1f s)",
			   (double)(now_ms - p->good_ms) / 1e3, (double)limit_ms / 1e3);
	if (is_hanging(p, now_ms))
		buf_printf(why, "; a sample has been waiting for the kernel for %.1f s",
			   (double)(now_ms - p->busy_ms) / 1e3);
	else if (p->error != 0)
		buf_printf(why, "; the last one failed: %s", strerror(-p->error));
	return false;
}

bool publisher_ready(struct publisher *p, struct buf *why)
{
	bool ready;

	pthread_mutex_lock(&p->lock);
	ready = is_ready(p, why);
	pthread_mutex_unlock(&p->lock);
	return ready;
}

struct snapshot *publisher_snapshot(struct publisher *p, struct health *ret_health)
{
	struct snapshot *snapshot;

	pthread_mutex_lock(&p->lock);
	snapshot = p->last.snapshot != NULL ? snapshot_ref(p->last.snapshot) : NULL;
	*ret_health = p->last.health;
	pthread_mutex_unlock(&p->lock);
	return snapshot;
}

uint64_t publisher_served_ms(const struct publisher *p)
{
	return pageslot_served(p->config.pages);
}

int publisher_once(const struct publisher_config *config, const struct snapshot *snapshot,
		   const struct health *health, struct buf *page)
{
	struct families_input input = families_of(config, snapshot, health);
	struct expo expo;

	input.once = true;
	expo_init(&expo, page, EXPO_TEXT);
	families_render(&input, &expo);
	return page->err;
}
