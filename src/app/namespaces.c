/*
 * namespaces: other network namespaces, one sampled a step. Knows how to come and go, not what is found.
 */
#include "tcphealth/app/namespaces.h"

#include "tcphealth/app/sample.h"
#include "tcphealth/base/clock.h"
#include "tcphealth/base/escape.h"
#include "tcphealth/source/netns.h"
#include "tcphealth/source/procfs.h"
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
#define NAME_LEN    NETNS_NAME_LEN

struct known_netns {
	struct netns_found where;
	char name[NAME_LEN + 16]; /* room for what tells it apart */
	struct census *census;
	struct netstat netstat;
	struct netsysctl sysctl;
	uint64_t sampled_ms; /* monotonic; 0: not yet */
	double timestamp;    /* wall clock of the last good sample */
	uint32_t can;        /* enum source_can, of its source */
	bool found;          /* by the last scan */
	bool denied;
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
};

static void free_netns(struct known_netns *netns)
{
	if (netns == NULL)
		return;
	census_free(netns->census);
	free(netns);
}

/* The name under /run/netns, or who runs inside; valid UTF-8, so that what differs here differs as a label. */
static void name_netns(const struct namespaces *s, const struct netns_found *found, char *dst,
		       size_t size)
{
	char path[PATH_MAX], unit[UNIT_NAME_MAX];

	if (found->name[0] != '\0') {
		(void)escape_clean(dst, size, found->name, strlen(found->name), 0);
		return;
	}
	(void)snprintf(dst, size, "unnamed");
	if (found->pid == 0)
		return;
	(void)snprintf(path, sizeof(path), "%s/%d/cgroup", s->config.procfs, (int)found->pid);
	if (units_of_process(AT_FDCWD, path, unit)[0] != '\0')
		(void)snprintf(dst, size, "%s", unit);
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
	char base[NAME_LEN];

	(void)snprintf(base, sizeof(base), "%.*s", NAME_LEN - 1, name);
	for (unsigned int n = 2; name_is_taken(s, name); n++)
		(void)snprintf(name, size, "%s#%u", base, n);
}

static bool is_wanted(const struct namespaces *s, const char *name)
{
	return strcmp(s->config.filter, "all") == 0 || fnmatch(s->config.filter, name, 0) == 0;
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

/* One whose file got or lost a name is to be named anew; a process that comes or goes changes nothing. */
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

static int sample_at(const struct source_ops *ops, const struct source_place *place,
		     struct known_netns *netns, uint64_t now_ms)
{
	const struct sample sample = { .now_ms = now_ms,
				       .place = *place,
				       .sysctl = &netns->sysctl,
				       .netstat = &netns->netstat };
	void *source;
	int r = ops->open(place, &source);

	if (r < 0)
		return r;
	r = take_sample(&sample, ops, source, netns->census, &netns->can);
	ops->close(source);
	return r;
}

/* By a process inside, which needs no privilege, or by going there. */
static int sample_by(struct namespaces *s, const struct source_ops *ops, struct known_netns *netns,
		     uint64_t now_ms)
{
	struct source_place place = { .procfs = s->config.procfs };
	int r;

	if (ops->can & SOURCE_PIDS) {
		place.pid = netns->where.pid;
		return place.pid != 0 ? sample_at(ops, &place, netns, now_ms) : -EPERM;
	}
	r = netns_enter(&netns->where);
	if (r < 0)
		return r;
	r = sample_at(ops, &place, netns, now_ms);
	netns_leave(&s->home);
	return r;
}

static bool is_denied(int err)
{
	return err == -EPERM || err == -EACCES;
}

static int sample_netns(struct namespaces *s, struct known_netns *netns, uint64_t now_ms)
{
	int r = -EPERM;

	for (unsigned int id = SOURCE_AUTO + 1; id < SOURCE_IDS && is_denied(r); id++)
		r = sample_by(s, source_table[id], netns, now_ms);
	netns->sampled_ms = now_ms;
	netns->denied = is_denied(r);
	if (r == 0)
		netns->timestamp = clock_wall();
	return r;
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
	(void)mallopt(M_MMAP_THRESHOLD, TABLE_BYTES);
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

int namespaces_step(struct namespaces *s, uint64_t now_ms)
{
	struct known_netns *due;
	int r;

	if (s->scanned_ms == 0 || now_ms - s->scanned_ms >= SCAN_MS) {
		r = scan(s);
		if (r < 0)
			return r;
		s->scanned_ms = now_ms;
	}
	due = next_due(s);
	return due != NULL ? sample_netns(s, due, now_ms) : 0;
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

struct health_netns namespaces_health(const struct namespaces *s)
{
	struct health_netns health = {
		.used = true,
		.over_limit = s->over_limit,
		.unreadable = s->unreadable,
	};

	for (size_t i = 0; i < s->count; i++) {
		health.denied += s->namespaces[i]->denied;
		health.sampled += s->namespaces[i]->timestamp > 0;
	}
	return health;
}
