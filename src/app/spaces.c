/*
 * spaces: other network namespaces, one sampled a step. Knows how to come and go, not what is found.
 */
#include "tcphealth/app/spaces.h"

#include "tcphealth/base/clock.h"
#include "tcphealth/base/utf8.h"
#include "tcphealth/model/snapshot.h"
#include "tcphealth/model/unit.h"
#include "tcphealth/source/netns.h"
#include "tcphealth/source/procfs.h"
#include "tcphealth/source/procnet.h"
#include "tcphealth/source/netlink.h"

#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUN_NETNS      "/run/netns"
#define FOUND_MAX      4096u
#define SCAN_MS        5000u
#define TABLE_BYTES    (128 * 1024)
#define SPACE_NAME_LEN NETNS_NAME_LEN
#define CONNECTIONS    (TCP_STATES_ALL & ~TCP_STATE_BIT(TCP_STATE_LISTEN))

struct space {
	struct netns_found where;
	char name[SPACE_NAME_LEN + 16]; /* room for what tells it apart */
	struct census *census;
	struct netstat netstat;
	struct netsysctl sysctl;
	uint64_t sampled_ms; /* monotonic; 0: not yet */
	double timestamp;    /* wall clock of the last good sample */
	uint32_t missing;    /* enum snapshot_needs that its source cannot know */
	bool found;          /* by the last scan */
	bool denied;
};

struct spaces {
	struct spaces_config config;
	struct netns_list list;
	struct netns_home home;
	struct space *spaces[SPACES_MAX];
	size_t count;
	uint64_t scanned_ms;
	struct spaces_stats stats;
};

static void free_space(struct space *space)
{
	if (space == NULL)
		return;
	census_free(space->census);
	free(space);
}

/* Whether the line of /proc/PID/cgroup with that key names a unit. */
static bool name_unit(const char *text, const char *key, char unit[UNIT_NAME_MAX])
{
	char path[PATH_MAX];
	const char *at = strstr(text, key);

	if (at == NULL)
		return false;
	at += strlen(key);
	(void)snprintf(path, sizeof(path), "%.*s", (int)strcspn(at, "\n"), at);
	return unit_name(unit, path)[0] != '\0';
}

/* The name under /run/netns, or who runs inside; valid UTF-8, so that what differs here differs as a label. */
static void name_space(const struct spaces *s, const struct netns_found *found, char *dst,
		       size_t size)
{
	char path[PATH_MAX], text[4096], unit[UNIT_NAME_MAX] = "";

	if (found->name[0] != '\0') {
		(void)utf8_clean(dst, size, found->name, strlen(found->name));
		return;
	}
	(void)snprintf(dst, size, "unnamed");
	if (found->pid == 0)
		return;
	(void)snprintf(path, sizeof(path), "%s/%d/cgroup", s->config.procfs, (int)found->pid);
	if (procfs_read(path, text, sizeof(text)) > 0 && !name_unit(text, "0::", unit))
		(void)name_unit(text, ":name=systemd:", unit);
	if (unit[0] != '\0')
		(void)snprintf(dst, size, "%s", unit);
}

static bool name_is_taken(const struct spaces *s, const char *name)
{
	for (size_t i = 0; i < s->count; i++) {
		if (strcmp(s->spaces[i]->name, name) == 0)
			return true;
	}
	return false;
}

/* Series of two namespaces must not be one: the second of a name is told apart by a number. */
static void make_unique(const struct spaces *s, char *name, size_t size)
{
	char base[SPACE_NAME_LEN];

	(void)snprintf(base, sizeof(base), "%.*s", SPACE_NAME_LEN - 1, name);
	for (unsigned int n = 2; name_is_taken(s, name); n++)
		(void)snprintf(name, size, "%s#%u", base, n);
}

static bool is_wanted(const struct spaces *s, const char *name)
{
	return strcmp(s->config.filter, "all") == 0 || fnmatch(s->config.filter, name, 0) == 0;
}

static struct space *find_space(const struct spaces *s, const struct netns_found *found)
{
	for (size_t i = 0; i < s->count; i++) {
		if (s->spaces[i]->where.inode == found->inode &&
		    s->spaces[i]->where.device == found->device)
			return s->spaces[i];
	}
	return NULL;
}

static void set_name(const struct spaces *s, struct space *space, const char *name)
{
	char unique[sizeof(space->name)];

	(void)snprintf(unique, sizeof(unique), "%s", name);
	make_unique(s, unique, sizeof(unique));
	memcpy(space->name, unique, sizeof(unique));
}

static int add_space(struct spaces *s, const struct netns_found *found, const char *name)
{
	struct space *space;

	if (s->count == SPACES_MAX) {
		s->stats.over_limit++;
		return 0;
	}
	space = calloc(1, sizeof(*space));
	if (space == NULL)
		return -ENOMEM;
	space->census = census_new(&s->config.census);
	if (space->census == NULL) {
		free(space);
		return -ENOMEM;
	}
	set_name(s, space, name);
	netsysctl_defaults(&space->sysctl);
	space->where = *found;
	space->found = true;
	s->spaces[s->count++] = space;
	return 0;
}

/* One whose file got or lost a name is to be named anew; a process that comes or goes changes nothing. */
static void recognise(struct spaces *s, const struct netns_found *found)
{
	struct space *space = find_space(s, found);

	if (space == NULL)
		return;
	if (strcmp(space->where.name, found->name) != 0)
		space->name[0] = '\0';
	space->where = *found;
	space->found = true;
}

static int take_in(struct spaces *s, const struct netns_found *found)
{
	struct space *space = find_space(s, found);
	char name[NETNS_NAME_LEN];

	if (space == NULL || space->name[0] == '\0') {
		name_space(s, found, name, sizeof(name));
		if (!is_wanted(s, name)) {
			if (space != NULL)
				space->found = false;
			return 0;
		}
	}
	s->stats.found++;
	if (space == NULL)
		return add_space(s, found, name);
	if (space->name[0] == '\0')
		set_name(s, space, name);
	return 0;
}

static void drop_gone(struct spaces *s)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->count; i++) {
		if (s->spaces[i]->found)
			s->spaces[kept++] = s->spaces[i];
		else
			free_space(s->spaces[i]);
	}
	s->count = kept;
}

static int scan(struct spaces *s)
{
	int r = netns_scan(s->config.procfs, RUN_NETNS, FOUND_MAX, &s->list);

	if (r < 0)
		return r;
	s->stats.found = 0;
	s->stats.over_limit = 0;
	s->stats.unreadable = s->list.unreadable;
	for (size_t i = 0; i < s->count; i++)
		s->spaces[i]->found = false;
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

static void read_figures(const struct spaces *s, struct space *space, const char *dir)
{
	netstat_read(dir, &space->netstat);
	netsysctl_read(s->config.procfs, &space->sysctl);
}

/* Between netns_enter() and netns_leave(). */
static int dump_inside(struct spaces *s, struct space *space, struct census_sample *sample)
{
	const struct netlink_query listeners = { .states = TCP_STATE_BIT(TCP_STATE_LISTEN),
						  .skmeminfo = true };
	const struct netlink_query connections = { .states = CONNECTIONS, .info = true };
	struct netlink *diag;
	char dir[PATH_MAX];
	int r = netlink_open(&diag);

	if (r < 0)
		return r;
	if (procfs_net_dir(s->config.procfs, dir, sizeof(dir)) == 0)
		read_figures(s, space, dir);
	sample->sysctl = space->sysctl;
	r = census_begin(space->census, sample);
	if (r == 0)
		r = netlink_dump(diag, &listeners, census_listener, space->census);
	if (r == 0)
		r = netlink_dump(diag, &connections, census_socket, space->census);
	netlink_close(diag);
	return r;
}

static int sample_by_netlink(struct spaces *s, struct space *space, struct census_sample *sample)
{
	uint64_t cookie;
	int r;

	sample->ids = CENSUS_COOKIES;
	r = netns_enter(&space->where, &cookie);
	if (r < 0)
		return r;
	r = dump_inside(s, space, sample);
	netns_leave(&s->home);
	space->missing = SNAPSHOT_EVENTS;
	return r == 0 ? census_end(space->census, NULL, NULL) : r;
}

/* /proc/PID/net of a process inside needs no privilege; the settings of that namespace cannot be read so. */
static int sample_by_procfs(struct spaces *s, struct space *space, struct census_sample *sample)
{
	struct procnet_stats stats = { 0 };
	char dir[PATH_MAX];
	int r;

	if (space->where.pid == 0)
		return -EPERM;
	(void)snprintf(dir, sizeof(dir), "%s/%d/net", s->config.procfs, (int)space->where.pid);
	sample->ids = CENSUS_TUPLES;
	r = census_begin(space->census, sample);
	if (r == 0)
		r = procnet_dump(dir, TCP_STATE_BIT(TCP_STATE_LISTEN), census_listener,
				 space->census, &stats);
	if (r == 0)
		r = procnet_dump(dir, CONNECTIONS, census_socket, space->census, &stats);
	if (r < 0)
		return r;
	netstat_read(dir, &space->netstat);
	space->missing = SNAPSHOT_EVENTS | SNAPSHOT_INFO | SNAPSHOT_BACKLOG | SNAPSHOT_DROPS;
	return census_end(space->census, NULL, NULL);
}

static int sample_space(struct spaces *s, struct space *space, uint64_t now_ms)
{
	struct census_sample sample = { .now_ms = now_ms,
					.clock = clock_mono_coarse_ms,
					.sysctl = space->sysctl };
	int r = sample_by_netlink(s, space, &sample);

	if (r == -EPERM || r == -EACCES) {
		census_abort(space->census);
		r = sample_by_procfs(s, space, &sample);
	}
	space->sampled_ms = now_ms;
	space->denied = r == -EPERM || r == -EACCES;
	if (r < 0) {
		census_abort(space->census);
		s->stats.errors += !space->denied && r != -ESTALE && r != -ENOENT;
		return r;
	}
	space->timestamp = clock_wall();
	return 0;
}

static struct space *next_due(const struct spaces *s)
{
	struct space *due = NULL;

	for (size_t i = 0; i < s->count; i++) {
		if (due == NULL || s->spaces[i]->sampled_ms < due->sampled_ms)
			due = s->spaces[i];
	}
	return due;
}

struct spaces *spaces_new(const struct spaces_config *config)
{
	struct spaces *s = calloc(1, sizeof(*s));

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

void spaces_free(struct spaces *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < s->count; i++)
		free_space(s->spaces[i]);
	netns_list_done(&s->list);
	netns_home_close(&s->home);
	free(s);
}

int spaces_step(struct spaces *s, uint64_t now_ms)
{
	struct space *due;
	int r;

	if (s->scanned_ms == 0 || now_ms - s->scanned_ms >= SCAN_MS) {
		r = scan(s);
		if (r < 0)
			return r;
		s->scanned_ms = now_ms;
	}
	due = next_due(s);
	return due != NULL ? sample_space(s, due, now_ms) : 0;
}

size_t spaces_fill(const struct spaces *s, struct survey_ns *ret_ns, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < s->count && n < max; i++) {
		struct space *space = s->spaces[i];

		if (space->timestamp <= 0)
			continue;
		ret_ns[n++] = (struct survey_ns){ .census = space->census,
						  .name = space->name,
						  .netstat = &space->netstat,
						  .sysctl = &space->sysctl,
						  .missing = space->missing,
						  .timestamp = space->timestamp };
	}
	return n;
}

struct spaces_stats spaces_stats(const struct spaces *s)
{
	struct spaces_stats stats = s->stats;

	for (size_t i = 0; i < s->count; i++) {
		stats.denied += s->spaces[i]->denied;
		stats.sampled += s->spaces[i]->timestamp > 0;
	}
	return stats;
}
