/*
 * collector: one sample an interval, from the kernel to the published pages. Knows no HTTP.
 */
#include "tcphealth/app/collector.h"

#include "tcphealth/app/eventfeed.h"
#include "tcphealth/app/feed.h"
#include "tcphealth/app/pace.h"
#include "tcphealth/app/spaces.h"
#include "tcphealth/app/stalelog.h"
#include "tcphealth/base/clock.h"
#include "tcphealth/base/log.h"
#include "tcphealth/base/version.h"
#include "tcphealth/model/census.h"
#include "tcphealth/model/survey.h"
#include "tcphealth/model/unit.h"
#include "tcphealth/render/families.h"
#include "tcphealth/render/html.h"
#include "tcphealth/source/cgroups.h"
#include "tcphealth/source/netstat.h"
#include "tcphealth/source/procfs.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define NICE            19
#define READY_INTERVALS 3u
#define ROOT_CGROUP_ID  1u
#define POLL_PAUSE_US   20000u

/* A question from another thread, answered between samples. Under `lock`. */
enum mail_state {
	MAIL_EMPTY,
	MAIL_ASKED,
	MAIL_RUNNING,
	MAIL_ANSWERED,
	MAIL_ABANDONED, /* whoever asked no longer waits */
};

struct mail {
	enum mail_state state;
	struct drilldown_query query;
	struct drilldown result;
	int error;
};

/* What both the sampling thread and the watchdog publish from, under `lock`. */
struct published {
	struct snapshot *snapshot; /* of the last good sample, or NULL */
	struct health health;
	struct procself procself;
	uint64_t good_ms;    /* monotonic: when the last good sample ended; 0: none yet */
	uint64_t busy_ms;    /* monotonic: when the running sample began; 0: none runs */
	uint64_t watched_ms; /* when the watchdog last published */
	int error;           /* of the last sample */
};

struct collector {
	struct collector_config config;
	pthread_t thread;
	int stop_fd;
	int mail_fd; /* readable when there is a question */
	/* the sampling thread's own */
	struct feed *feed;
	struct census *census;
	struct cgroups *cgroups;
	struct spaces *spaces; /* NULL: the own namespace only */
	struct eventfeed events;
	struct stalelog stalelog;
	struct pace pace;
	double full_timestamp; /* wall clock: when the last full sample ended */
	struct netstat netstat;
	struct netsysctl sysctl;
	uint64_t cpu_ns;
	int logged_error;
	char unit[UNIT_NAME_MAX];
	/* shared */
	pthread_mutex_t lock;
	pthread_cond_t ended_cond;
	bool ended;
	bool interrupted;
	struct published published;
	struct mail mail;
	pthread_cond_t mail_cond;
};

static struct stale_thresholds thresholds_of(const struct options *o)
{
	struct stale_thresholds t = { .keepalive_probes = o->stale_keepalive_probes };

	t.ms[STALE_DEAD] = o->stale_dead_ms;
	t.ms[STALE_UNACCEPTED] = o->stale_unaccepted_ms;
	t.ms[STALE_CLOSE_WAIT] = o->stale_close_wait_ms;
	t.ms[STALE_FIN_WAIT2] = o->stale_fin_wait2_ms;
	t.ms[STALE_CLOSING] = o->stale_closing_ms;
	t.ms[STALE_SYN_SENT] = o->stale_syn_sent_ms;
	t.ms[STALE_RETRANSMIT] = o->stale_retransmit_ms;
	t.ms[STALE_ZERO_WINDOW] = o->stale_zero_window_ms;
	t.ms[STALE_UNREAD] = o->stale_unread_ms;
	t.ms[STALE_IDLE] = o->stale_idle_ms;
	return t;
}

/*
 * The kernel's own sockets (NFS, for one) live in the root cgroup and die without an event. Where programs have cgroups of their own, as under
 * systemd, a socket of the root cgroup is the kernel's.
 */
static uint64_t kernel_cgroup_id(void)
{
	char text[4096];
	const char *line;

	if (procfs_read("/proc/self/cgroup", text, sizeof(text)) < 0)
		return 0;
	line = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
	if (line == NULL)
		return 0;
	line = strstr(line, "0::/");
	return line != NULL && line[4] != '\n' && line[4] != '\0' ? ROOT_CGROUP_ID : 0;
}

/* The unit that owns a cgroup; `dst` has UNIT_NAME_MAX bytes. */
static const char *unit_of(struct collector *c, uint64_t cgroup_id, char *dst)
{
	const char *path =
		cgroup_id != 0 ? cgroups_path(c->cgroups, cgroup_id, clock_mono_ms()) : NULL;

	return unit_name(dst, path != NULL ? path : "");
}

static const char *survey_unit(void *arg, uint64_t cgroup_id)
{
	struct collector *c = arg;

	return unit_of(c, cgroup_id, c->unit);
}

static void tell_stale(void *arg, const struct census_stale *stale)
{
	struct collector *c = arg;

	char unit[UNIT_NAME_MAX] = "";

	if (stale->sock != NULL && c->stalelog.enabled)
		unit_of(c, stale->sock->cgroup_id, unit);
	stalelog_tell(&c->stalelog, stale, unit, clock_mono_ms());
}

static struct health health_of(struct collector *c, bool success, enum health_source source,
			       double duration)
{
	struct health health = {
		.success = success,
		.source = source,
		.duration_seconds = duration,
		.cpu_ns = c->cpu_ns,
		.errors = c->published.health.errors + (success ? 0 : 1),
		.wiped_closes = census_wiped_closes(c->census),
	};
	struct sockevents_stats stats = eventfeed_stats(&c->events);

	if (c->spaces != NULL) {
		struct spaces_stats spaces = spaces_stats(c->spaces);

		health.spaces_used = true;
		health.spaces_sampled = spaces.sampled;
		health.spaces_denied = spaces.denied;
		health.spaces_over_limit = spaces.over_limit;
		health.spaces_unreadable = spaces.unreadable;
	}
	health.full_interval_seconds = (double)pace_interval_ms(&c->pace, PACE_FULL) / 1e3;
	health.passing_interval_seconds = (double)pace_interval_ms(&c->pace, PACE_STATES) / 1e3;
	feed_skipped(c->feed, &health.forged, &health.malformed);
	health.events_active = eventfeed_active(&c->events);
	health.events = stats.received;
	health.events_lost = stats.lost;
	health.event_overruns = stats.overruns;
	health.forged += stats.forged;
	health.malformed += stats.malformed;
	return health;
}

/* Renders one format; NULL when out of memory. */
static struct page *render(const struct families_input *input, enum expo_format format)
{
	struct buf buf;
	struct expo expo;
	struct page *page;

	buf_init(&buf, 0);
	expo_init(&expo, &buf, format);
	families_render(input, &expo);
	page = page_new(&buf);
	buf_done(&buf);
	return page;
}

static struct page *render_html(const struct collector *c, const struct published *p)
{
	const struct options *o = c->config.options;
	struct html_input input = {
		.snapshot = p->snapshot,
		.health = &p->health,
		.telemetry_path = o->telemetry_path,
		.version = version_number(),
		.interval_ms = o->interval_ms,
		.connections = o->connections != OPTIONS_CONNECTIONS_NONE,
	};
	struct page *page;
	struct buf buf;

	buf_init(&buf, 0);
	html_render(&input, &buf);
	page = page_new(&buf);
	buf_done(&buf);
	return page;
}

static struct families_input input_of(const struct collector *c, const struct published *p)
{
	return (struct families_input){
		.snapshot = p->snapshot,
		.health = &p->health,
		.procself = c->config.options->disable_exporter_metrics ? NULL : &p->procself,
		.version = version_number(),
		.revision = version_revision(),
		.microhttpd = c->config.microhttpd,
	};
}

/* Under `lock`: the page is replaced by a whole one or stays. */
static void publish(struct collector *c)
{
	struct families_input input = input_of(c, &c->published);
	struct page *text = render(&input, EXPO_TEXT);
	struct page *openmetrics = render(&input, EXPO_OPENMETRICS);
	struct page *html = render_html(c, &c->published);

	if (text != NULL && openmetrics != NULL && html != NULL) {
		pageslot_put(c->config.pages, PAGE_METRICS_TEXT, text);
		pageslot_put(c->config.pages, PAGE_METRICS_OPENMETRICS, openmetrics);
		pageslot_put(c->config.pages, PAGE_HTML, html);
		return;
	}
	page_unref(text);
	page_unref(openmetrics);
	page_unref(html);
}

static void log_source(struct collector *c, const struct feed_result *result)
{
	if (result->source == HEALTH_SOURCE_PROCFS && result->refusal != 0 &&
	    (result->changed || c->published.good_ms == 0))
		log_warn("netlink is refused, reading /proc/net/tcp: no counters, no accept queue "
			 "limits",
			 "err", strerror(-result->refusal), NULL);
	if (result->source == HEALTH_SOURCE_NETLINK && result->changed)
		log_info("netlink works again", NULL);
}

/* A failure is told when it is new, and its end once. */
static void log_outcome(struct collector *c, int error)
{
	if (error != 0 && error != c->logged_error)
		log_error("sample failed, the last data stays", "err", strerror(-error), NULL);
	if (error == 0 && c->logged_error != 0)
		log_info("samples succeed again", NULL);
	c->logged_error = error;
}

static void read_settings(struct collector *c)
{
	char dir[PATH_MAX];

	netsysctl_read(c->config.options->path_procfs, &c->sysctl);
	if (procfs_net_dir(c->config.options->path_procfs, dir, sizeof(dir)) == 0)
		netstat_read(dir, &c->netstat);
}

static int take_snapshot(struct collector *c, const struct feed_result *result, bool events,
			 struct snapshot **ret_snapshot)
{
	const struct options *o = c->config.options;
	struct stale_thresholds thresholds = thresholds_of(o);
	struct survey_ns ns[1 + SPACES_MAX] = {
		{ .census = c->census, .netstat = &c->netstat, .sysctl = &c->sysctl },
	};
	struct survey survey = {
		.ns = ns,
		.ns_count =
			1 + (c->spaces != NULL ? spaces_fill(c->spaces, &ns[1], SPACES_MAX) : 0),
		.thresholds = &thresholds,
		.needs_met = result->needs_met | (events ? SNAPSHOT_EVENTS : 0u),
		.ports_max = o->ports_max,
		.keep_ms = o->ports_keep_ms,
		.now_ms = clock_mono_ms(),
		.timestamp = c->full_timestamp,
		.passing_timestamp = clock_wall(),
		.unit_fn = survey_unit,
		.unit_arg = c,
	};

	return survey_take(&survey, ret_snapshot);
}

static void drain(void *arg)
{
	struct collector *c = arg;

	eventfeed_drain(&c->events, c->census);
}

static int sample_once(struct collector *c, enum census_tier tier, uint64_t now_ms,
		       struct feed_result *ret_result, struct snapshot **ret_snapshot)
{
	struct census_sample sample = { .tier = tier,
					.drain = drain,
					.drain_arg = c,
					.now_ms = now_ms,
					.clock = clock_mono_coarse_ms,
					.events = eventfeed_active(&c->events) };
	int r;

	read_settings(c);
	sample.sysctl = c->sysctl;
	eventfeed_drain(
		&c->events,
		c->census); /* the TIME_WAIT of a connection that no dump has shown gets its role from them */
	r = feed_sample(c->feed, c->census, &sample, ret_result);
	if (r < 0)
		return r;
	eventfeed_drain(&c->events, c->census);
	census_drained(c->census);
	if (ret_result->tier == CENSUS_FULL)
		c->full_timestamp = clock_wall();
	if (c->spaces != NULL)
		(void)spaces_step(c->spaces,
				  now_ms); /* counted there: others' trouble is not ours */
	return take_snapshot(c, ret_result,
			     sample.events && ret_result->source == HEALTH_SOURCE_NETLINK,
			     ret_snapshot);
}

static void begin_sample(struct collector *c, uint64_t now_ms)
{
	pthread_mutex_lock(&c->lock);
	c->published.busy_ms = now_ms;
	pthread_mutex_unlock(&c->lock);
}

/* A failed sample keeps the last snapshot; the page is made anew so that the failure shows. */
static void end_sample(struct collector *c, int error, const struct feed_result *result,
		       struct snapshot *snapshot, double duration)
{
	struct published *p = &c->published;

	pthread_mutex_lock(&c->lock);
	p->health = health_of(c, error == 0, result->source, duration);
	p->error = error;
	p->busy_ms = 0;
	if (error == 0) {
		snapshot_unref(p->snapshot);
		p->snapshot = snapshot;
		p->good_ms = clock_mono_ms();
	}
	if (!c->config.options->disable_exporter_metrics)
		procself_read("/proc/self", &p->procself);
	publish(c);
	pthread_mutex_unlock(&c->lock);
}

/* What this thread has spent since the last time: on dumps, events and pages. */
static void pay(struct collector *c, enum pace_tier tier)
{
	uint64_t cpu_ns = clock_thread_cpu_ns();

	pace_pay(&c->pace, tier, cpu_ns - c->cpu_ns);
	c->cpu_ns = cpu_ns;
}

static void run_sample(struct collector *c)
{
	uint64_t begin_ns = clock_mono_ns();
	enum pace_tier pace = pace_choose(&c->pace);
	struct feed_result result = { 0 };
	struct snapshot *snapshot = NULL;
	int r;

	begin_sample(c, begin_ns / 1000000);
	eventfeed_tend(&c->events, c->census, begin_ns / 1000000);
	r = sample_once(c, pace == PACE_FULL ? CENSUS_FULL : CENSUS_PASSING, begin_ns / 1000000,
			&result, &snapshot);
	if (r == 0)
		log_source(c, &result);
	else
		pace_insist(&c->pace);
	log_outcome(c, r);
	stalelog_tick(&c->stalelog, clock_mono_ms(), false);
	end_sample(c, r, &result, snapshot, (double)(clock_mono_ns() - begin_ns) / 1e9);
	pay(c, result.tier == CENSUS_FULL ? PACE_FULL : PACE_STATES);
}

/* Answers the question in the box, if there is one. */
static void answer_mail(struct collector *c)
{
	struct mail *mail = &c->mail;
	eventfd_t count;

	(void)eventfd_read(c->mail_fd, &count);
	pthread_mutex_lock(&c->lock);
	if (mail->state == MAIL_ABANDONED)
		mail->state = MAIL_EMPTY;
	if (mail->state != MAIL_ASKED) {
		pthread_mutex_unlock(&c->lock);
		return;
	}
	mail->state = MAIL_RUNNING;
	pthread_mutex_unlock(&c->lock);
	mail->error = drilldown_take(c->feed, c->census, c->cgroups, &mail->query, clock_mono_ms(),
				     &mail->result);
	pthread_mutex_lock(&c->lock);
	if (mail->state == MAIL_ABANDONED) {
		drilldown_done(&mail->result);
		mail->state = MAIL_EMPTY;
	} else {
		mail->state = MAIL_ANSWERED;
		pthread_cond_broadcast(&c->mail_cond);
	}
	pthread_mutex_unlock(&c->lock);
}

/* Waits until `until_ms`, taking events and answering meanwhile. False when told to stop. */
static bool wait_until(struct collector *c, uint64_t until_ms)
{
	for (;;) {
		uint64_t now_ms = clock_mono_ms();
		struct pollfd fds[3] = {
			{ .fd = c->stop_fd, .events = POLLIN },
			{ .fd = c->mail_fd, .events = POLLIN },
			{ .fd = eventfeed_fd(&c->events), .events = POLLIN },
		};
		int left = now_ms < until_ms ? (int)(until_ms - now_ms) : 0;

		if (poll(fds, 3, left) < 0 && errno != EINTR)
			(void)usleep(POLL_PAUSE_US); /* no memory for it now: sampling goes on */
		if (fds[0].revents != 0)
			return false;
		if (fds[1].revents != 0)
			answer_mail(c);
		if (fds[2].revents != 0)
			eventfeed_drain(&c->events, c->census);
		if (clock_mono_ms() >= until_ms)
			return true;
	}
}

/* The next multiple of the interval: samples that took too long are skipped, not made up for. */
static uint64_t next_tick(uint64_t tick_ms, uint64_t interval_ms, uint64_t now_ms)
{
	tick_ms += interval_ms;
	if (tick_ms < now_ms)
		tick_ms += (now_ms - tick_ms) / interval_ms * interval_ms;
	return tick_ms;
}

static void *run(void *arg)
{
	struct collector *c = arg;
	uint64_t tick_ms = clock_mono_ms();

	pthread_setname_np(pthread_self(), "tcphealth-dump");
	eventfeed_tend(
		&c->events, c->census,
		tick_ms); /* first: its thread inherits the priority, and must keep up with the kernel */
	(void)setpriority(PRIO_PROCESS, 0,
			  NICE); /* of this thread; without it sampling still works */
	do {
		run_sample(c);
		tick_ms = next_tick(tick_ms, c->config.options->interval_ms, clock_mono_ms());
	} while (wait_until(c, tick_ms));
	pthread_mutex_lock(&c->lock);
	c->ended = true;
	pthread_cond_signal(&c->ended_cond);
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

static void free_all(struct collector *c)
{
	eventfeed_done(&c->events);
	feed_free(c->feed);
	census_free(c->census);
	cgroups_free(c->cgroups);
	spaces_free(c->spaces);
	if (c->mail.state == MAIL_ANSWERED)
		drilldown_done(&c->mail.result);
	snapshot_unref(c->published.snapshot);
	if (c->stop_fd >= 0)
		close(c->stop_fd);
	if (c->mail_fd >= 0)
		close(c->mail_fd);
	pthread_cond_destroy(&c->ended_cond);
	pthread_cond_destroy(&c->mail_cond);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

/* Other namespaces tell of nobody's staleness in the log, and have no kernel sockets of their own to know. */
static struct spaces *create_spaces(const struct options *o, const struct census_config *census)
{
	struct spaces_config config = { .filter = o->netns,
					.procfs = o->path_procfs,
					.census = *census };

	config.census.stale_fn = NULL;
	return spaces_new(&config);
}

static int create(const struct collector_config *config, struct collector **ret_collector)
{
	const struct options *o = config->options;
	struct collector *c = calloc(1, sizeof(*c));
	struct census_config census = {
		.thresholds = thresholds_of(o),
		.keep_ms = o->ports_keep_ms,
		.include = &o->ports_include,
		.exclude = &o->ports_exclude,
		.kernel_cgroup_id = kernel_cgroup_id(),
		.stale_fn = tell_stale,
		.stale_arg = c,
	};
	pthread_condattr_t attr;

	if (c == NULL)
		return -ENOMEM;
	c->config = *config;
	eventfeed_init(&c->events, o->events && o->source != OPTIONS_SOURCE_PROCFS);
	pace_init(&c->pace, o->cpu_budget, o->interval_ms);
	netsysctl_defaults(&c->sysctl);
	stalelog_init(&c->stalelog, o->log_stale);
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->ended_cond, &attr);
	pthread_cond_init(&c->mail_cond, &attr);
	pthread_condattr_destroy(&attr);
	c->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	c->mail_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	c->cgroups = cgroups_new(o->path_cgroupfs, o->path_procfs);
	c->feed = feed_new(o->source, o->path_procfs);
	c->census = census_new(&census);
	if (strcmp(o->netns, "own") != 0) {
		c->spaces = create_spaces(o, &census);
		if (c->spaces == NULL) {
			free_all(c);
			return -ENOMEM;
		}
	}
	if (c->stop_fd < 0 || c->mail_fd < 0 || c->feed == NULL || c->census == NULL ||
	    c->cgroups == NULL) {
		free_all(c);
		return -ENOMEM;
	}
	*ret_collector = c;
	return 0;
}

int collector_start(const struct collector_config *config, struct collector **ret_collector)
{
	struct collector *c;
	int r = create(config, &c);

	if (r < 0)
		return r;
	r = pthread_create(&c->thread, NULL, run, c);
	if (r != 0) {
		free_all(c);
		return -r;
	}
	*ret_collector = c;
	return 0;
}

static struct timespec deadline(uint64_t wait_ms)
{
	uint64_t ns = clock_mono_ns() + wait_ms * 1000000;

	return (struct timespec){ (time_t)(ns / 1000000000), (long)(ns % 1000000000) };
}

bool collector_stop(struct collector *c, uint64_t wait_ms)
{
	struct timespec until = deadline(wait_ms);
	bool ended;

	if (c == NULL)
		return true;
	(void)eventfd_write(c->stop_fd, 1);
	pthread_mutex_lock(&c->lock);
	while (!c->ended && pthread_cond_timedwait(&c->ended_cond, &c->lock, &until) == 0)
		;
	ended = c->ended;
	pthread_mutex_unlock(&c->lock);
	if (!ended)
		return false;
	pthread_join(c->thread, NULL);
	free_all(c);
	return true;
}

void collector_watch(struct collector *c)
{
	struct published *p = &c->published;
	uint64_t interval_ms = c->config.options->interval_ms;
	uint64_t now_ms = clock_mono_ms();

	pthread_mutex_lock(&c->lock);
	if (p->busy_ms != 0 && now_ms - p->busy_ms > interval_ms &&
	    now_ms - p->watched_ms >= interval_ms) {
		p->watched_ms = now_ms;
		p->health.success = false;
		p->health.duration_seconds = (double)(now_ms - p->busy_ms) / 1e3;
		publish(c);
	}
	pthread_mutex_unlock(&c->lock);
}

bool collector_ready(void *collector, struct buf *why)
{
	struct collector *c = collector;
	uint64_t limit_ms = READY_INTERVALS * c->config.options->interval_ms;
	struct published p;
	uint64_t now_ms;

	pthread_mutex_lock(&c->lock);
	p = c->published;
	now_ms = clock_mono_ms();
	pthread_mutex_unlock(&c->lock);
	if (p.good_ms != 0 && now_ms - p.good_ms < limit_ms)
		return true;
	if (p.good_ms == 0)
		buf_puts(why, "no good sample yet");
	else
		buf_printf(why, "the last good sample ended %.1f s ago, more than %.1f s",
			   (double)(now_ms - p.good_ms) / 1e3, (double)limit_ms / 1e3);
	if (p.busy_ms != 0 && now_ms - p.busy_ms > c->config.options->interval_ms)
		buf_printf(why, "; a sample has been waiting for the kernel for %.1f s",
			   (double)(now_ms - p.busy_ms) / 1e3);
	else if (p.error != 0)
		buf_printf(why, "; the last one failed: %s", strerror(-p.error));
	return false;
}

int collector_ask(struct collector *c, const struct drilldown_query *query, uint64_t wait_ms,
		  struct drilldown *ret_result)
{
	struct timespec until = deadline(wait_ms);
	struct mail *mail = &c->mail;
	int r = 0;

	pthread_mutex_lock(&c->lock);
	if (mail->state != MAIL_EMPTY) {
		pthread_mutex_unlock(&c->lock);
		return -EBUSY;
	}
	mail->query = *query;
	mail->state = MAIL_ASKED;
	(void)eventfd_write(c->mail_fd, 1);
	while (mail->state != MAIL_ANSWERED && r == 0 && !c->interrupted)
		r = -pthread_cond_timedwait(&c->mail_cond, &c->lock, &until);
	if (mail->state == MAIL_ANSWERED) {
		r = mail->error;
		*ret_result = mail->result;
		mail->state = MAIL_EMPTY;
		if (r < 0)
			drilldown_done(ret_result);
	} else {
		r = -ETIMEDOUT;
		mail->state = MAIL_ABANDONED;
	}
	pthread_mutex_unlock(&c->lock);
	return r;
}

void collector_interrupt(struct collector *c)
{
	pthread_mutex_lock(&c->lock);
	c->interrupted = true;
	pthread_cond_broadcast(&c->mail_cond);
	pthread_mutex_unlock(&c->lock);
}

struct snapshot *collector_snapshot(struct collector *c, struct health *ret_health)
{
	struct snapshot *snapshot;

	pthread_mutex_lock(&c->lock);
	snapshot = c->published.snapshot != NULL ? snapshot_ref(c->published.snapshot) : NULL;
	*ret_health = c->published.health;
	pthread_mutex_unlock(&c->lock);
	return snapshot;
}

int collector_list_stale(const struct collector_config *config, size_t limit,
			 struct drilldown *ret_result)
{
	struct drilldown_query query = { .stale_only = true,
					 .limit = limit,
					 .states = TCP_STATES_ALL &
						   ~TCP_STATE_BIT(TCP_STATE_LISTEN) };
	struct feed_result result = { 0 };
	struct snapshot *snapshot = NULL;
	struct collector *c;
	int r = create(config, &c);

	*ret_result = (struct drilldown){ 0 };
	if (r < 0)
		return r;
	c->stalelog.enabled = false;
	r = sample_once(c, CENSUS_FULL, clock_mono_ms(), &result, &snapshot);
	snapshot_unref(snapshot);
	if (r == 0)
		r = drilldown_take(c->feed, c->census, c->cgroups, &query, clock_mono_ms(),
				   ret_result);
	free_all(c);
	return r;
}

int collector_once(const struct collector_config *config, struct buf *page)
{
	struct collector *c;
	struct feed_result result = { 0 };
	struct families_input input;
	struct expo expo;
	uint64_t begin_ns = clock_mono_ns();
	int r = create(config, &c);

	if (r < 0)
		return r;
	r = sample_once(c, CENSUS_FULL, begin_ns / 1000000, &result, &c->published.snapshot);
	if (r == 0) {
		c->cpu_ns = clock_thread_cpu_ns();
		c->published.health = health_of(c, true, result.source,
						(double)(clock_mono_ns() - begin_ns) / 1e9);
		input = input_of(c, &c->published);
		input.once = true;
		expo_init(&expo, page, EXPO_TEXT);
		families_render(&input, &expo);
		r = page->err;
	}
	free_all(c);
	return r;
}
