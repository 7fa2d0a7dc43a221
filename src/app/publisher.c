/*
 * publisher: what the pages say, rendered outside the lock by whoever asks.
 */
#include "tcphealth/app/publisher.h"

#include "tcphealth/base/clock.h"
#include "tcphealth/base/log.h"
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
/* A page may be larger than the one before by this part of it, before it is moved to another place. */
#define GROWTH 16u
/* What a dump of a million sockets may take, however short the interval is. */
#define HANG_MIN_MS 2000u

/* What the pages say. */
struct edition {
	/* Of the last good sample, a reference, or NULL. */
	struct snapshot *snapshot;
	struct health health;
	struct procself procself;
	/* Whether a sample has ended, or hangs; before, there is only the page at /. */
	bool begun;
};

struct publisher {
	struct publisher_config config;
	struct pageslot *pages;
	/* Of all below; not held while a page is rendered. */
	pthread_mutex_t lock;
	struct edition edition;
	/* When the last good sample ended, monotonic; 0: none has. */
	uint64_t good_ms;
	/* When the running sample began, monotonic; 0: none runs. */
	uint64_t busy_ms;
	uint64_t took_ms; /* by the last good sample */
	/* When publisher_watch() last renewed the pages. */
	uint64_t watched_ms;
	int error; /* of the last sample */
	bool web_config_failed;
	/* CPU time of all renderings. */
	uint64_t render_ns;
	/* Bytes of the last page of each kind, and whether the log says that it would be too large. */
	size_t len[PAGE_KINDS];
	bool too_large[PAGE_KINDS];
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
		.health = edition->begun ? &edition->health : NULL,
		.telemetry_path = o->telemetry_path,
		.version = version_number,
		.interval_ms = o->interval_ms,
		.connections = o->connections != OPTIONS_CONNECTIONS_NONE,
	};

	html_render(&input, buf);
}

/* `expected` bytes. 0 and *ret_page, -ENOMEM, or -EFBIG. */
static int render(const struct publisher_config *config, const struct edition *edition,
		  enum page_kind kind, size_t expected, struct page **ret_page)
{
	struct buf buf;
	int r;

	buf_init(&buf, config->page_max != 0 ? config->page_max : PAGE_MAX);
	if (expected < buf.limit)
		(void)buf_reserve(&buf, expected);
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
			  enum page_kind kind, size_t expected, struct page **ret_page)
{
	struct edition blind = *edition;
	int r = render(config, edition, kind, expected, ret_page);

	if (r != -EFBIG)
		return r;
	blind.snapshot = NULL;
	blind.health.success = false;
	r = render(config, &blind, kind, 0, ret_page);
	return r != 0 ? r : -EFBIG;
}

/* Under `lock`: what was rendered, and what it took. */
static void note(struct publisher *p, enum page_kind kind, int r, const struct page *page,
		 uint64_t cpu_ns)
{
	p->render_ns += cpu_ns;
	if (page == NULL)
		return;
	if (r == -EFBIG && !p->too_large[kind])
		log_error("the page would be too large and has no data: lower --ports.max", NULL);
	p->too_large[kind] = r == -EFBIG;
	p->len[kind] = page_len(page);
}

/* Of the edition as it is now. */
static struct page *make_page(void *arg, enum page_kind kind)
{
	struct publisher *p = arg;
	uint64_t begin_ns = clock_thread_cpu_ns();
	struct edition edition;
	struct page *page = NULL;
	size_t expected;
	int r;

	pthread_mutex_lock(&p->lock);
	edition = p->edition;
	(void)snapshot_ref(edition.snapshot);
	expected = p->len[kind] + p->len[kind] / GROWTH;
	pthread_mutex_unlock(&p->lock);
	if (!edition.begun && kind != PAGE_HTML)
		return NULL;
	r = render_bounded(&p->config, &edition, kind, expected, &page);
	pthread_mutex_lock(&p->lock);
	note(p, kind, r, page, clock_thread_cpu_ns() - begin_ns);
	pthread_mutex_unlock(&p->lock);
	snapshot_unref(edition.snapshot);
	return page;
}

struct publisher *publisher_new(const struct publisher_config *config)
{
	struct publisher *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->config = *config;
	pthread_mutex_init(&p->lock, NULL);
	p->pages = pageslot_new(make_page, p);
	if (p->pages != NULL)
		return p;
	publisher_free(p);
	return NULL;
}

void publisher_free(struct publisher *p)
{
	if (p == NULL)
		return;
	pageslot_free(p->pages);
	snapshot_unref(p->edition.snapshot);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

struct pageslot *publisher_pages(const struct publisher *p)
{
	return p->pages;
}

void publisher_begin(struct publisher *p, uint64_t now_ms)
{
	pthread_mutex_lock(&p->lock);
	p->busy_ms = now_ms;
	pthread_mutex_unlock(&p->lock);
}

void publisher_end(struct publisher *p, int error, struct health *health, struct snapshot *snapshot)
{
	struct edition *edition = &p->edition;
	struct procself procself = { 0 };
	struct snapshot *old = NULL;

	if (!p->config.options->disable_exporter_metrics)
		procself_read("/proc/self", &procself);
	pthread_mutex_lock(&p->lock);
	health->success = error == 0;
	health->errors = edition->health.errors + (error != 0);
	health->web_config_failed = p->web_config_failed;
	edition->health = *health;
	edition->procself = procself;
	edition->begun = true;
	p->error = error;
	p->busy_ms = 0;
	if (error == 0) {
		old = edition->snapshot;
		edition->snapshot = snapshot;
		p->took_ms = (uint64_t)(health->duration_seconds * 1e3);
		p->good_ms = clock_mono_ms();
	}
	pthread_mutex_unlock(&p->lock);
	snapshot_unref(old);
	pageslot_renew(p->pages);
}

bool publisher_answers(struct publisher *p)
{
	bool begun;

	pthread_mutex_lock(&p->lock);
	begun = p->edition.begun;
	pthread_mutex_unlock(&p->lock);
	return begun;
}

uint64_t publisher_render_ns(struct publisher *p)
{
	uint64_t render_ns;

	pthread_mutex_lock(&p->lock);
	render_ns = p->render_ns;
	pthread_mutex_unlock(&p->lock);
	return render_ns;
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
	bool changed;

	pthread_mutex_lock(&p->lock);
	changed = p->web_config_failed != failed;
	p->web_config_failed = p->edition.health.web_config_failed = failed;
	pthread_mutex_unlock(&p->lock);
	if (changed)
		pageslot_renew(p->pages);
}

void publisher_watch(struct publisher *p)
{
	uint64_t now_ms;
	bool due;

	pthread_mutex_lock(&p->lock);
	/* With the lock held, so that it is not earlier than busy_ms. */
	now_ms = clock_mono_ms();
	due = is_due(p, now_ms);
	if (due) {
		p->watched_ms = now_ms;
		p->edition.begun = true;
		p->edition.health.success = false;
		p->edition.health.duration_seconds = (double)(now_ms - p->busy_ms) / 1e3;
	}
	pthread_mutex_unlock(&p->lock);
	if (due)
		pageslot_renew(p->pages);
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
		buf_printf(why, "; a sample has been running for %.1f s",
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
	snapshot = snapshot_ref(p->edition.snapshot);
	*ret_health = p->edition.health;
	pthread_mutex_unlock(&p->lock);
	return snapshot;
}

uint64_t publisher_served_ms(const struct publisher *p)
{
	return pageslot_served(p->pages);
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
