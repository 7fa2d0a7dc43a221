/*
 * namespaces: other network namespaces, one sampled a step. Knows how to come and go, not what is found.
 */
#include "tcphealth/app/namespaces.h"

#include "tcphealth/app/sample.h"
#include "tcphealth/base/clock.h"
#include "tcphealth/base/escape.h"
#include "tcphealth/source/netns.h"
#include "tcphealth/source/source.h"
#include "tcphealth/source/units.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUN_NETNS   "/run/netns"
#define FOUND_MAX   4096u
#define SCAN_MS     5000u
#define TABLE_BYTES (128 * 1024)

struct known_netns {
	struct netns_found where;
	char name[NETNS_LABEL_LEN];
	struct census *census;
	struct netstat netstat;
	struct netsysctl sysctl;
	uint64_t sampled_ms; /* monotonic; 0: not yet */
	double timestamp;    /* wall clock of the last good sample */
	uint32_t can;        /* enum source_can, of its source */
	bool found;          /* by the last scan */
	unsigned int source; /* enum source_id: the last that was asked */
	int error;           /* -errno of the last sample, or 0 */
};

struct namespaces {
	struct namespaces_config config;
	struct netns_list list;
	struct netns_home home;
	struct known_netns *namespaces[NAMESPACES_MAX];
	size_t count;
	uint64_t scanned_ms;
	/* Of the last scan. */
	uint64_t over_limit, unreadable;
	/* By all sources so far. */
	struct source_skipped skipped;
};

static void free_netns(struct known_netns *netns)
{
	census_free(netns->census);
	free(netns);
}

/*
 * The name under /run/netns, or the unit that uses it: the machine, not what runs inside. Valid
 * UTF-8, so that what differs here differs as a label.
 */
static void name_netns(const struct namespaces *s, const struct netns_found *found, char *dst,
		       size_t size)
{
	char path[PATH_MAX];
	struct unit unit;

	if (found->name[0] != '\0') {
		(void)escape_clean(dst, size, found->name, strlen(found->name));
		return;
	}
	(void)snprintf(dst, size, "unnamed");
	if (found->pid == 0)
		return;
	(void)snprintf(path, sizeof(path), "%s/%d/cgroup", s->config.procfs, (int)found->pid);
	units_of_process(s->config.cgroupfs, s->config.procfs, AT_FDCWD, path, &unit);
	if (unit_name_scope(unit.name) != 0)
		unit.name[unit_name_scope(unit.name)] = '\0';
	if (unit.name[0] != '\0')
		(void)snprintf(dst, size, "%s", unit.name);
}

static bool name_is_taken(const struct namespaces *s, const char *name)
{
	for (size_t i = 0; i < s->count; i++) {
		if (strcmp(s->namespaces[i]->name, name) == 0)
			return true;
	}
	return false;
}

/* Series of two namespaces must not be one: the second of a name is told apart by a number. */
static void make_unique(const struct namespaces *s, char *name, size_t size)
{
	char base[NETNS_NAME_LEN];

	(void)snprintf(base, sizeof(base), "%.*s", NETNS_NAME_LEN - 1, name);
	for (unsigned int n = 2; name_is_taken(s, name); n++)
		(void)snprintf(name, size, "%s#%u", base, n);
}

static bool wants_all(const struct namespaces *s)
{
	return strcmp(s->config.filter, "all") == 0;
}

static bool is_wanted(const struct namespaces *s, const char *name)
{
	return wants_all(s) || fnmatch(s->config.filter, name, 0) == 0;
}

static struct known_netns *find_netns(const struct namespaces *s, const struct netns_found *found)
{
	for (size_t i = 0; i < s->count; i++) {
		if (s->namespaces[i]->where.inode == found->inode &&
		    s->namespaces[i]->where.device == found->device)
			return s->namespaces[i];
	}
	return NULL;
}

static void set_name(const struct namespaces *s, struct known_netns *netns, const char *name)
{
	char unique[sizeof(netns->name)];

	(void)snprintf(unique, sizeof(unique), "%s", name);
	make_unique(s, unique, sizeof(unique));
	memcpy(netns->name, unique, sizeof(unique));
}

static int add_netns(struct namespaces *s, const struct netns_found *found, const char *name)
{
	struct known_netns *netns;

	if (s->count == NAMESPACES_MAX) {
		s->over_limit++;
		return 0;
	}
	netns = calloc(1, sizeof(*netns));
	if (netns == NULL)
		return -ENOMEM;
	netns->census = census_new(&s->config.census);
	if (netns->census == NULL) {
		free(netns);
		return -ENOMEM;
	}
	set_name(s, netns, name);
	netsysctl_defaults(&netns->sysctl);
	netns->where = *found;
	netns->found = true;
	s->namespaces[s->count++] = netns;
	return 0;
}

/* One with a file that got or lost a name needs a new name; a process that comes or goes changes nothing. */
static void recognise(struct namespaces *s, const struct netns_found *found)
{
	struct known_netns *netns = find_netns(s, found);

	if (netns == NULL)
		return;
	if (strcmp(netns->where.name, found->name) != 0)
		netns->name[0] = '\0';
	netns->where = *found;
	netns->found = true;
}

static int take_in(struct namespaces *s, const struct netns_found *found)
{
	struct known_netns *netns = find_netns(s, found);
	char name[NETNS_NAME_LEN];

	if (netns == NULL || netns->name[0] == '\0') {
		name_netns(s, found, name, sizeof(name));
		if (!is_wanted(s, name)) {
			if (netns != NULL)
				netns->found = false;
			return 0;
		}
	}
	if (netns == NULL)
		return add_netns(s, found, name);
	if (netns->name[0] == '\0')
		set_name(s, netns, name);
	return 0;
}

static void drop_gone(struct namespaces *s)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->count; i++) {
		if (s->namespaces[i]->found)
			s->namespaces[kept++] = s->namespaces[i];
		else
			free_netns(s->namespaces[i]);
	}
	s->count = kept;
}

static int scan(struct namespaces *s)
{
	int r = netns_scan(s->config.procfs, RUN_NETNS, FOUND_MAX, &s->list);

	if (r < 0)
		return r;
	s->over_limit = 0;
	s->unreadable = s->list.unreadable;
	for (size_t i = 0; i < s->count; i++)
		s->namespaces[i]->found = false;
	/* What is gone leaves first: its place and its name may be needed by what has come instead. */
	for (size_t i = 0; i < s->list.count; i++)
		recognise(s, &s->list.found[i]);
	drop_gone(s);
	for (size_t i = 0; i < s->list.count && r == 0; i++) {
		if (!s->list.found[i].own)
			r = take_in(s, &s->list.found[i]);
	}
	drop_gone(s);
	return r;
}

/* A source that looks into a namespace: by a process inside, which needs no privilege, or from there. */
struct visit {
	const struct source_ops *ops;
	struct source_place place;
	void *source;
};

static int open_visit(const struct namespaces *s, unsigned int id, const struct known_netns *netns,
		      struct visit *ret_visit)
{
	bool outside = source_table[id]->can & SOURCE_PIDS;
	int r = 0;

	*ret_visit = (struct visit){
		.ops = source_table[id],
		.place = { .procfs = s->config.procfs, .pid = outside ? netns->where.pid : 0 },
	};
	if (!outside)
		r = netns_enter(&netns->where);
	else if (netns->where.pid == 0)
		r = -EPERM;
	if (r < 0)
		return r;
	r = ret_visit->ops->open(&ret_visit->place, &ret_visit->source);
	if (r < 0 && !outside)
		netns_leave(&s->home);
	return r;
}

static void close_visit(struct namespaces *s, struct visit *visit)
{
	source_add_skipped(&s->skipped, visit->ops->skipped(visit->source));
	visit->ops->close(visit->source);
	if (visit->place.pid == 0)
		netns_leave(&s->home);
}

static int sample_by(struct namespaces *s, unsigned int id, struct known_netns *netns,
		     uint64_t now_ms)
{
	struct sample sample = { .now_ms = now_ms,
				 .sysctl = &netns->sysctl,
				 .netstat = &netns->netstat };
	struct visit visit;
	int r = open_visit(s, id, netns, &visit);

	if (r < 0)
		return r;
	sample.place = visit.place;
	r = take_sample(&sample, visit.ops, visit.source, netns->census, &netns->can);
	close_visit(s, &visit);
	return r;
}

static bool is_denied(int err)
{
	return err == -EPERM || err == -EACCES;
}

static int sample_netns(struct namespaces *s, struct known_netns *netns, uint64_t now_ms)
{
	int r = -EPERM;

	for (unsigned int id = SOURCE_AUTO + 1; id < SOURCE_IDS && is_denied(r); id++) {
		r = sample_by(s, id, netns, now_ms);
		netns->source = id;
	}
	netns->sampled_ms = now_ms;
	netns->error = r;
	if (r == 0)
		netns->timestamp = clock_wall();
	return r;
}

/* It has ended since it was found. */
static bool is_gone(int err)
{
	return err == -ENOENT || err == -ESTALE;
}

static struct known_netns *next_due(const struct namespaces *s)
{
	struct known_netns *due = NULL;

	for (size_t i = 0; i < s->count; i++) {
		if (due == NULL || s->namespaces[i]->sampled_ms < due->sampled_ms)
			due = s->namespaces[i];
	}
	return due;
}

struct namespaces *namespaces_new(const struct namespaces_config *config)
{
	struct namespaces *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->config = *config;
	/*
	 * A census has tables of a megabyte of which it touches little. malloc() would take the next ones from the heap once it has
	 * seen some freed: calloc() would touch them all, and little of it would ever go back.
	 */
#ifdef M_MMAP_THRESHOLD /* glibc alone has it */
	(void)mallopt(M_MMAP_THRESHOLD, TABLE_BYTES);
#endif
	if (netns_home_open(&s->home) < 0) {
		free(s);
		return NULL;
	}
	return s;
}

void namespaces_free(struct namespaces *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < s->count; i++)
		free_netns(s->namespaces[i]);
	netns_list_done(&s->list);
	netns_home_close(&s->home);
	free(s);
}

static int scan_if_due(struct namespaces *s, uint64_t now_ms)
{
	int r;

	if (s->scanned_ms != 0 && now_ms - s->scanned_ms < SCAN_MS)
		return 0;
	r = scan(s);
	if (r == 0)
		s->scanned_ms = now_ms;
	return r;
}

int namespaces_sample(struct namespaces *s, enum namespaces_scope scope, uint64_t now_ms)
{
	struct known_netns *due;
	int r = scan_if_due(s, now_ms), error = 0;

	if (r < 0)
		return r;
	if (scope == NAMESPACES_NEXT) {
		due = next_due(s);
		return due != NULL ? sample_netns(s, due, now_ms) : 0;
	}
	for (size_t i = 0; i < s->count; i++) {
		r = sample_netns(s, s->namespaces[i], now_ms);
		error = r < 0 && error == 0 ? r : error;
	}
	return error;
}

static int add_connections(struct namespaces *s, const struct known_netns *netns,
			   const struct connections_query *query, uint64_t now_ms,
			   struct connections_result *result)
{
	struct connections_place place = { .netns = netns->name, .census = netns->census };
	struct visit visit;
	int r = netns->sampled_ms != 0 ? netns->error : -EAGAIN;

	if (r != 0)
		return r;
	r = open_visit(s, netns->source, netns, &visit);
	if (r != 0)
		return r;
	place.ops = visit.ops;
	place.source = visit.source;
	r = connections_add(result, query, &place, now_ms);
	close_visit(s, &visit);
	return r;
}

/* Where all are wanted, a process that may not be seen may be in one that is not known. */
static bool may_miss_some(const struct namespaces *s)
{
	return s->scanned_ms == 0 || s->over_limit != 0 || (s->unreadable != 0 && wants_all(s));
}

void namespaces_add_connections(struct namespaces *s, const struct connections_query *query,
				uint64_t now_ms, struct connections_result *result)
{
	result->partial = !query->has_netns && may_miss_some(s);
	for (size_t i = 0; i < s->count; i++) {
		int r;

		if (!connections_want_netns(query, s->namespaces[i]->name))
			continue;
		r = add_connections(s, s->namespaces[i], query, now_ms, result);
		result->looked |= !is_gone(r);
		result->partial |= r < 0 && !is_gone(r);
	}
}

size_t namespaces_fill(const struct namespaces *s, struct survey_ns *ret_ns, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < s->count && n < max; i++) {
		struct known_netns *netns = s->namespaces[i];

		if (netns->timestamp <= 0)
			continue;
		ret_ns[n++] = (struct survey_ns){ .census = netns->census,
						  .name = netns->name,
						  .netstat = &netns->netstat,
						  .sysctl = &netns->sysctl,
						  .can = netns->can,
						  .timestamp = netns->timestamp };
	}
	return n;
}

struct source_skipped namespaces_skipped(const struct namespaces *s)
{
	return s->skipped;
}

struct health_netns namespaces_health(const struct namespaces *s)
{
	struct health_netns health = {
		.used = true,
		.over_limit = s->over_limit,
		.unreadable = s->unreadable,
		.partial = may_miss_some(s),
	};

	for (size_t i = 0; i < s->count; i++) {
		health.denied += is_denied(s->namespaces[i]->error);
		health.sampled += s->namespaces[i]->timestamp > 0;
		health.partial |=
			s->namespaces[i]->sampled_ms == 0 ||
			(s->namespaces[i]->error != 0 && !is_gone(s->namespaces[i]->error));
	}
	return health;
}
