/*
 * collector: one sample an interval, from the kernel to the publisher. Knows no format and no HTTP.
 */
#include "tcphealth/app/collector.h"

#include "tcphealth/app/chooser.h"
#include "tcphealth/app/connectlog.h"
#include "tcphealth/app/eventfeed.h"
#include "tcphealth/app/namespaces.h"
#include "tcphealth/app/pace.h"
#include "tcphealth/app/stalelog.h"
#include "tcphealth/base/await.h"
#include "tcphealth/base/clock.h"
#include "tcphealth/base/file.h"
#include "tcphealth/base/log.h"
#include "tcphealth/base/shortage.h"
#include "tcphealth/model/census.h"
#include "tcphealth/model/survey.h"
#include "tcphealth/source/cgroupfs.h"
#include "tcphealth/source/netstat.h"
#include "tcphealth/source/units.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define NICE 19

struct collector {
	const struct options *options;
	pthread_t thread;
	bool started;
	int stop_fd;
	/* the sampling thread's own */
	struct chooser *chooser;
	struct census *census;
	struct units *units;
	struct holderunits *holderunits;
	struct namespaces *namespaces; /* NULL: the own namespace only */
	struct eventfeed events;
	struct stalelog stalelog;
	struct loglimit connectlog;
	struct pace pace;
	double full_timestamp; /* wall clock: when the last full sample ended */
	struct netstat netstat;
	struct netsysctl sysctl;
	bool settings_told;
	uint64_t cpu_ns;
	int logged_error;
	const struct source_ops *source; /* of the last good sample; NULL: none yet */
	uint32_t can;                    /* enum source_can, of that */
	/* shared; the thread's number, and when it last began or ended a sample */
	atomic_int tid;
	atomic_uint_fast64_t progress_ms;
	/* shared; not owned */
	struct publisher *publisher;
	struct mailbox *mailbox;
	pthread_mutex_t lock; /* of `ended` */
	pthread_cond_t ended_cond;
	bool ended;
};

/* The own namespace, and the others that have been sampled. Returns how many. */
static size_t list_namespaces(struct collector *c, struct survey_ns ret_ns[1 + NAMESPACES_MAX])
{
	ret_ns[0] = (struct survey_ns){
		.census = c->census, .netstat = &c->netstat, .sysctl = &c->sysctl, .can = c->can
	};
	if (c->namespaces == NULL)
		return 1;
	return 1 + namespaces_fill(c->namespaces, &ret_ns[1], NAMESPACES_MAX);
}

static struct health health_of(struct collector *c, uint64_t begin_ns)
{
	struct health health = {
		.success = true,
		.source = chooser_source(c->chooser),
		.duration_seconds = (double)(clock_mono_ns() - begin_ns) / 1e9,
		.cpu_ns = c->cpu_ns,
		.wiped_closes = census_wiped_closes(c->census),
	};
	struct events_stats stats = eventfeed_stats(&c->events);
	struct source_skipped skipped = chooser_skipped(c->chooser);

	if (c->namespaces != NULL)
		health.netns = namespaces_health(c->namespaces);
	health.full_interval_seconds = (double)pace_interval_ms(&c->pace, TIER_FULL) / 1e3;
	health.states_interval_seconds = (double)pace_interval_ms(&c->pace, TIER_STATES) / 1e3;
	health.events_active = eventfeed_active(&c->events);
	health.events = stats.received;
	health.events_lost = stats.lost;
	health.event_overruns = stats.overruns;
	if (c->namespaces != NULL)
		source_add_skipped(&skipped, namespaces_skipped(c->namespaces));
	health.forged = skipped.forged + stats.forged;
	health.malformed = skipped.malformed + stats.malformed;
	health.log_dropped = log_dropped();
	return health;
}

/* When it is another than before. */
static void log_source(struct collector *c)
{
	const struct source_ops *source = chooser_source(c->chooser), *refused;
	char text[128];
	int err;

	if (source == c->source)
		return;
	refused = chooser_refused(c->chooser, &err);
	if (refused != NULL) {
		(void)snprintf(text, sizeof(text), "the kernel refuses %s, reading %s%s",
			       refused->name, source->name,
			       source->can & SOURCE_INFO ? ""
							 : ": no counters, no accept queue limits");
		log_warn(text, "err", strerror(-err), NULL);
	} else if (c->source != NULL) {
		(void)snprintf(text, sizeof(text), "%s works again", source->name);
		log_info(text, NULL);
	}
	c->source = source;
}

/* Once. */
static void log_settings(struct collector *c)
{
	if (c->settings_told || c->sysctl.known >> NETSYSCTL_PORT_LOW & 1)
		return;
	log_warn("cannot read net.ipv4.ip_local_port_range: tcphealth_ephemeral_ports_used_ratio "
		 "is left out",
		 NULL);
	c->settings_told = true;
}

/* A failure is told when it is new, and its end once. */
static void log_outcome(struct collector *c, int error)
{
	if (error != 0 && error != c->logged_error)
		log_error("sample failed, keeping the last data", "err", strerror(-error), NULL);
	if (error == 0 && c->logged_error != 0)
		log_info("sampling works again", NULL);
	c->logged_error = error;
}

static int take_snapshot(struct collector *c, struct snapshot **ret_snapshot)
{
	const struct options *o = c->options;
	struct survey_ns ns[1 + NAMESPACES_MAX];
	struct survey survey = {
		.ns = ns,
		.ns_count = list_namespaces(c, ns),
		.thresholds = &o->stale,
		.ports_max = o->ports_max,
		.keep_ms = o->ports_keep_ms,
		.now_ms = clock_mono_ms(),
		.served_ms = c->publisher ? publisher_served_ms(c->publisher) : 0,
		.timestamp = c->full_timestamp,
		.states_timestamp = clock_wall(),
		.units = c->units,
	};

	return survey_take(&survey, ret_snapshot);
}

/* The own namespace, and of the others those in `scope`. *tier is what is wanted, and becomes what was sampled. */
static int sample_once(struct collector *c, enum tier *tier, enum namespaces_scope scope,
		       uint64_t now_ms, struct snapshot **ret_snapshot)
{
	struct sample sample = { .tier = *tier,
				 .now_ms = now_ms,
				 .events = &c->events,
				 .sysctl = &c->sysctl,
				 .netstat = &c->netstat };
	int err = chooser_sample(c->chooser, &sample, c->census, &c->can);

	*tier = sample.tier;
	if (err < 0)
		return err;
	if (sample.tier == TIER_FULL)
		c->full_timestamp = clock_wall();
	/* Others' trouble is not ours: it is counted there. */
	if (c->namespaces != NULL)
		(void)namespaces_sample(c->namespaces, scope, now_ms);
	return take_snapshot(c, ret_snapshot);
}

/* What was spent since the last time: here on dumps and events, elsewhere on pages. */
static void pay(struct collector *c, enum tier tier)
{
	uint64_t cpu_ns = clock_thread_cpu_ns() + publisher_render_ns(c->publisher);

	pace_pay(&c->pace, tier, cpu_ns - c->cpu_ns);
	c->cpu_ns = cpu_ns;
}

static void run_sample(struct collector *c)
{
	uint64_t begin_ns = clock_mono_ns(), begin_ms = begin_ns / 1000000;
	enum tier tier = pace_choose(&c->pace);
	struct snapshot *snapshot = NULL;
	struct health health;
	int r;

	atomic_store(&c->progress_ms, begin_ms);
	publisher_begin(c->publisher, begin_ms);
	eventfeed_tend(&c->events, c->census, begin_ms);
	r = sample_once(c, &tier, NAMESPACES_NEXT, begin_ms, &snapshot);
	if (r == 0) {
		log_source(c);
		log_settings(c);
		if (c->options->log_stale) {
			stalelog_tell(&c->stalelog, snapshot, clock_mono_ms());
			connectlog_tell(&c->connectlog, census_connects(c->census), c->units,
					clock_mono_ms());
		}
	} else {
		pace_insist(&c->pace);
	}
	(void)holderunits_search(c->holderunits, begin_ms);
	health = health_of(c, begin_ns);
	publisher_end(c->publisher, r, &health, snapshot);
	log_outcome(c, r);
	pay(c, tier);
	atomic_store(&c->progress_ms, clock_mono_ms());
}

/* Of all namespaces that are sampled. -ESRCH: the one that was asked for is none of them. */
static int find_connections(struct collector *c, const struct connections_query *query,
			    struct connections_result *ret_result)
{
	struct connections_place own = { .netns = "", .census = c->census };
	uint64_t now_ms = clock_mono_ms();
	int r = connections_begin(query, c->units, ret_result);

	if (r == 0)
		r = chooser_open(c->chooser, &own.ops, &own.source);
	if (r == 0)
		r = connections_add(ret_result, query, &own, now_ms);
	if (r == 0 && connections_want_netns(query, ""))
		r = connections_add_failed(ret_result, query, census_connects(c->census), now_ms);
	if (r == 0 && c->namespaces != NULL)
		namespaces_add_connections(c->namespaces, query, now_ms, ret_result);
	if (r == 0)
		connections_end(ret_result, now_ms);
	return r == 0 && !ret_result->looked ? -ESRCH : r;
}

/* Answers the question in the box, if there is one. */
static void answer_mail(struct collector *c)
{
	struct connections_query query;
	struct connections_result result;
	int r;

	if (!mailbox_take(c->mailbox, &query))
		return;
	r = find_connections(c, &query, &result);
	mailbox_answer(c->mailbox, r, &result);
}

/* Waits until `until_ms`, taking events and answering meanwhile. False when told to stop. */
static bool wait_until(struct collector *c, uint64_t until_ms)
{
	for (;;) {
		uint64_t now_ms = clock_mono_ms();
		struct pollfd fds[3] = {
			{ .fd = c->stop_fd, .events = POLLIN },
			{ .fd = mailbox_fd(c->mailbox), .events = POLLIN },
			{ .fd = eventfeed_fd(&c->events), .events = POLLIN },
		};
		int left = now_ms < until_ms ? (int)(until_ms - now_ms) : 0;

		(void)await_fds(fds, 3, left);
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
	atomic_store(&c->tid, gettid());
	/* The reader's thread inherits our priority, and has to keep up with the kernel: it starts before we step back. */
	eventfeed_tend(&c->events, c->census, tick_ms);
	(void)setpriority(PRIO_PROCESS, 0,
			  NICE); /* of this thread; without it sampling still works */
	do {
		run_sample(c);
		tick_ms = next_tick(tick_ms, c->options->interval_ms, clock_mono_ms());
	} while (wait_until(c, tick_ms));
	pthread_mutex_lock(&c->lock);
	c->ended = true;
	pthread_cond_signal(&c->ended_cond);
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

static void free_all(struct collector *c)
{
	if (c == NULL)
		return;
	eventfeed_done(&c->events);
	chooser_free(c->chooser);
	census_free(c->census);
	units_free(c->units);
	holderunits_free(c->holderunits);
	namespaces_free(c->namespaces);
	stalelog_done(&c->stalelog);
	if (c->stop_fd >= 0)
		close(c->stop_fd);
	pthread_cond_destroy(&c->ended_cond);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static struct namespaces *create_namespaces(const struct options *o,
					    const struct census_config *census)
{
	struct namespaces_config config = { .filter = o->netns,
					    .procfs = o->path_procfs,
					    .cgroupfs = o->path_cgroupfs,
					    .census = *census };

	return namespaces_new(&config);
}

int collector_new(const struct options *o, struct publisher *publisher, struct mailbox *mailbox,
		  struct collector **ret_collector)
{
	struct collector *c = calloc(1, sizeof(*c));
	struct census_config census = {
		.thresholds = o->stale,
		.keep_ms = o->ports_keep_ms,
		.include = &o->ports_include,
		.exclude = &o->ports_exclude,
		.kernel_cgroup_id = units_kernel_cgroup(),
	};
	bool own_only = strcmp(o->netns, "own") == 0;

	if (c == NULL)
		return -ENOMEM;
	c->options = o;
	pthread_mutex_init(&c->lock, NULL);
	clock_mono_cond_init(&c->ended_cond);
	eventfeed_init(&c->events, o->events && (o->source == SOURCE_AUTO ||
						 source_table[o->source]->can & SOURCE_EVENTS));
	pace_init(&c->pace, o->cpu_budget, o->interval_ms, o->full_every);
	netsysctl_defaults(&c->sysctl);
	connectlog_init(&c->connectlog);
	c->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	c->publisher = publisher;
	c->mailbox = mailbox;
	c->units = units_new(o->path_cgroupfs, o->path_procfs);
	c->holderunits = census.holderunits = holderunits_new(o->path_procfs, o->path_cgroupfs);
	c->chooser = chooser_new(o->source, o->path_procfs);
	c->census = census_new(&census);
	c->namespaces = own_only ? NULL : create_namespaces(o, &census);
	if (c->stop_fd < 0 || c->units == NULL || c->holderunits == NULL || c->chooser == NULL ||
	    c->census == NULL || (c->namespaces == NULL && !own_only)) {
		int r = shortage();
		free_all(c);
		return r;
	}
	units_use_holders(c->units, c->holderunits);
	*ret_collector = c;
	return 0;
}

bool collector_is_in_kernel(const struct collector *c)
{
	char path[48], stat[512] = "";
	const char *end;

	(void)snprintf(path, sizeof(path), "/proc/self/task/%d/stat", atomic_load(&c->tid));
	(void)file_read(AT_FDCWD, path, stat, sizeof(stat));
	end = strrchr(stat, ')');
	return end != NULL && strncmp(end, ") D", 3) == 0;
}

bool collector_is_alive(const struct collector *c, uint64_t within_ms)
{
	uint64_t until_ms = atomic_load(&c->progress_ms) + c->options->interval_ms + within_ms;

	return clock_mono_ms() <= until_ms || collector_is_in_kernel(c);
}

/* Whether the descriptors of other users' processes can be seen. */
static bool sees_holders(void)
{
	const uint64_t needed = UINT64_C(1) << CAP_SYS_PTRACE | UINT64_C(1) << CAP_DAC_READ_SEARCH;
	char line[FILE_LINE_SIZE];

	return file_find_line(AT_FDCWD, "/proc/self/status", "CapEff:", line) &&
	       (strtoull(line, NULL, 16) & needed) == needed;
}

/* Where the sockets do not tell their cgroups. */
static void log_units(const struct options *o)
{
	struct cgroupfs mount;
	int err = cgroupfs_open(o->path_cgroupfs, o->path_procfs, CGROUPFS_UNIFIED, &mount);

	cgroupfs_close(&mount);
	if (err == 0)
		return;
	if (sees_holders())
		log_info("no cgroup2 is mounted: stale connections get the units of the processes "
			 "that hold them",
			 NULL);
	else
		log_warn("units are unknown: no cgroup2 is mounted, and without CAP_SYS_PTRACE and "
			 "CAP_DAC_READ_SEARCH no holders are seen",
			 NULL);
}

int collector_start(struct collector *c)
{
	int r;

	log_units(c->options);
	atomic_store(&c->progress_ms, clock_mono_ms());
	r = pthread_create(&c->thread, NULL, run, c);
	c->started = r == 0;
	return -r;
}

bool collector_stop(struct collector *c, uint64_t wait_ms)
{
	struct timespec until = clock_mono_after(wait_ms);
	bool ended;

	if (c == NULL || !c->started) {
		free_all(c);
		return true;
	}
	(void)eventfd_write(c->stop_fd, 1);
	pthread_mutex_lock(&c->lock);
	while (!c->ended && pthread_cond_timedwait(&c->ended_cond, &c->lock, &until) == 0)
		;
	ended = c->ended;
	pthread_mutex_unlock(&c->lock);
	if (!ended) {
		pthread_detach(c->thread);
		return false;
	}
	pthread_join(c->thread, NULL);
	free_all(c);
	return true;
}

int collector_list_stale(struct collector *c, size_t limit, struct connections_result *ret_result)
{
	struct connections_query query = { .stale_only = true,
					   .limit = limit,
					   .states = TCP_STATES_ALL &
						     ~TCP_STATE_BIT(TCP_STATE_LISTEN) };
	enum tier tier = TIER_FULL;
	struct snapshot *snapshot = NULL;
	int r = sample_once(c, &tier, NAMESPACES_ALL, clock_mono_ms(), &snapshot);

	*ret_result = (struct connections_result){ 0 };
	snapshot_unref(snapshot);
	return r < 0 ? r : find_connections(c, &query, ret_result);
}

int collector_once(struct collector *c, const struct publisher_config *config, struct buf *page)
{
	enum tier tier = TIER_FULL;
	struct snapshot *snapshot = NULL;
	struct health health;
	uint64_t begin_ns = clock_mono_ns();
	int r = sample_once(c, &tier, NAMESPACES_ALL, begin_ns / 1000000, &snapshot);

	/* There is no next sample to show what was found. */
	if (r == 0 && holderunits_search(c->holderunits, begin_ns / 1000000)) {
		snapshot_unref(snapshot);
		snapshot = NULL;
		r = sample_once(c, &tier, NAMESPACES_ALL, clock_mono_ms(), &snapshot);
	}
	if (r < 0)
		return r;
	c->cpu_ns = clock_thread_cpu_ns();
	health = health_of(c, begin_ns);
	r = publisher_once(config, snapshot, &health, page);
	snapshot_unref(snapshot);
	return r;
}
