/*
 * feed: netlink while it answers, /proc while it does not. Hands on records without knowing what they mean.
 */
#include "tcphealth/app/feed.h"

#include "tcphealth/model/snapshot.h"
#include "tcphealth/source/procfs.h"
#include "tcphealth/source/procnet.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#define RETRY_FIRST_MS 1000u
#define RETRY_MAX_MS   60000u /* each refusal may leave a line in an audit log */
#define FAILURES_MAX   3u     /* in a row: netlink does answer, but never whole */

#define CONNECTIONS (TCP_STATES_ALL & ~TCP_STATE_BIT(TCP_STATE_LISTEN))

struct feed {
	enum options_source wanted;
	const char *procfs;
	struct netlink *diag;
	enum health_source used;
	struct netlink_stats closed_stats; /* of netlink sockets that are closed by now */
	struct procnet_stats procnet_stats;
	uint64_t retry_at_ms; /* when netlink is asked again while /proc is used */
	uint64_t retry_ms;
	unsigned int failures;
	bool sampled;
};

/* Not now and not soon: no permission, no such family, no handler. */
static bool is_refusal(int err)
{
	switch (-err) {
	case EPERM:
	case EACCES:
	case EAFNOSUPPORT:
	case EPROTONOSUPPORT:
	case EOPNOTSUPP:
	case ENOSYS:
	case ENOENT:
	case EINVAL:
	case ECONNREFUSED:
		return true;
	default:
		return false;
	}
}

static void close_diag(struct feed *feed)
{
	struct netlink_stats stats;

	if (feed->diag == NULL)
		return;
	stats = netlink_stats(feed->diag);
	feed->closed_stats.forged += stats.forged;
	feed->closed_stats.malformed += stats.malformed;
	netlink_close(feed->diag);
	feed->diag = NULL;
}

static int find_other_end(void *arg, const struct tcpsock *sock, struct tcpsock *ret_other)
{
	struct feed *feed = arg;

	return netlink_find(feed->diag, &sock->remote, sock->remote_port, &sock->local,
			     sock->local_port, ret_other);
}

static int dump_netlink(struct feed *feed, struct census *census, enum census_tier tier)
{
	const struct netlink_query listeners = { .states = TCP_STATE_BIT(TCP_STATE_LISTEN),
						  .skmeminfo = true };
	struct netlink_query connections = { .states = CONNECTIONS,
					      .info = true,
					      .arrived = census_arrived };
	int r = 0;

	if (tier == CENSUS_PASSING)
		connections.states &= ~TCP_STATE_BIT(TCP_STATE_ESTABLISHED);

	if (feed->diag == NULL)
		r = netlink_open(&feed->diag);
	if (r == 0)
		r = netlink_dump(feed->diag, &listeners, census_listener, census);
	if (r == 0)
		r = netlink_dump(feed->diag, &connections, census_socket, census);
	return r;
}

static int dump_procfs(struct feed *feed, struct census *census)
{
	char dir[PATH_MAX];
	int r = procfs_net_dir(feed->procfs, dir, sizeof(dir));

	if (r == 0)
		r = procnet_dump(dir, TCP_STATE_BIT(TCP_STATE_LISTEN), census_listener, census,
				 &feed->procnet_stats);
	if (r == 0)
		r = procnet_dump(dir, CONNECTIONS, census_socket, census, &feed->procnet_stats);
	return r;
}

/*
 * The text of /proc costs the same whatever states are wanted; and a memory that was not fed by the sample before needs all there is.
 */
static enum census_tier tier_from(const struct feed *feed, enum health_source source,
				  enum census_tier wanted)
{
	if (source != HEALTH_SOURCE_NETLINK || feed->used != source || !feed->sampled)
		return CENSUS_FULL;
	return wanted;
}

static int sample_from(struct feed *feed, enum health_source source, struct census *census,
		       struct census_sample sample, struct feed_result *result)
{
	bool netlink = source == HEALTH_SOURCE_NETLINK;
	int r;

	sample.tier = result->tier = tier_from(feed, source, sample.tier);

	sample.ids = netlink ? CENSUS_COOKIES : CENSUS_TUPLES;
	sample.events = sample.events && netlink;
	sample.arrivals = netlink;
	r = census_begin(census, &sample);
	if (r == 0)
		r = netlink ? dump_netlink(feed, census, sample.tier) : dump_procfs(feed, census);
	if (r == 0)
		r = census_end(census, netlink ? find_other_end : NULL, feed);
	if (r < 0)
		census_abort(census);
	return r;
}

static bool asks_netlink(const struct feed *feed, uint64_t now_ms)
{
	if (feed->wanted != OPTIONS_SOURCE_AUTO)
		return feed->wanted == OPTIONS_SOURCE_NETLINK;
	return feed->used == HEALTH_SOURCE_NETLINK || now_ms >= feed->retry_at_ms;
}

static void schedule_retry(struct feed *feed, uint64_t now_ms)
{
	if (feed->used == HEALTH_SOURCE_NETLINK || feed->retry_ms == 0)
		feed->retry_ms = RETRY_FIRST_MS;
	else if (feed->retry_ms < RETRY_MAX_MS)
		feed->retry_ms *= 2;
	feed->retry_at_ms = now_ms + feed->retry_ms;
}

/* True if /proc shall be read after netlink failed so. */
static bool falls_back(struct feed *feed, int err, uint64_t now_ms)
{
	if (feed->wanted != OPTIONS_SOURCE_AUTO || err == -ENOMEM)
		return false;
	feed->failures++;
	if (feed->used == HEALTH_SOURCE_NETLINK && !is_refusal(err) &&
	    feed->failures < FAILURES_MAX)
		return false;
	schedule_retry(feed, now_ms);
	close_diag(feed);
	return true;
}

static void note_use(struct feed *feed, enum health_source source, struct feed_result *result)
{
	result->changed = feed->sampled && feed->used != source;
	result->source = source;
	result->needs_met = source == HEALTH_SOURCE_NETLINK
				    ? SNAPSHOT_INFO | SNAPSHOT_BACKLOG | SNAPSHOT_DROPS
				    : 0;
	feed->used = source;
	feed->sampled = true;
}

struct feed *feed_new(enum options_source source, const char *procfs)
{
	struct feed *feed = calloc(1, sizeof(*feed));

	if (feed == NULL)
		return NULL;
	feed->wanted = source;
	feed->procfs = procfs;
	feed->used = source == OPTIONS_SOURCE_PROCFS ? HEALTH_SOURCE_PROCFS : HEALTH_SOURCE_NETLINK;
	return feed;
}

void feed_free(struct feed *feed)
{
	if (feed == NULL)
		return;
	close_diag(feed);
	free(feed);
}

int feed_sample(struct feed *feed, struct census *census, const struct census_sample *sample,
		struct feed_result *ret_result)
{
	int r;

	*ret_result = (struct feed_result){ .source = feed->used };
	if (asks_netlink(feed, sample->now_ms)) {
		r = sample_from(feed, HEALTH_SOURCE_NETLINK, census, *sample, ret_result);
		if (r == 0) {
			feed->failures = 0;
			note_use(feed, HEALTH_SOURCE_NETLINK, ret_result);
			return 0;
		}
		if (!falls_back(feed, r, sample->now_ms))
			return r;
		ret_result->refusal = r;
	}
	r = sample_from(feed, HEALTH_SOURCE_PROCFS, census, *sample, ret_result);
	if (r == 0)
		note_use(feed, HEALTH_SOURCE_PROCFS, ret_result);
	return r;
}

int feed_dump(struct feed *feed, const struct netlink_query *query, tcpsock_fn fn, void *arg)
{
	char dir[PATH_MAX];
	int r = 0;

	if (feed->used == HEALTH_SOURCE_NETLINK) {
		if (feed->diag == NULL)
			r = netlink_open(&feed->diag);
		return r < 0 ? r : netlink_dump(feed->diag, query, fn, arg);
	}
	r = procfs_net_dir(feed->procfs, dir, sizeof(dir));
	return r < 0 ? r : procnet_dump(dir, query->states, fn, arg, &feed->procnet_stats);
}

enum health_source feed_source(const struct feed *feed)
{
	return feed->used;
}

void feed_skipped(const struct feed *feed, uint64_t *ret_forged, uint64_t *ret_malformed)
{
	struct netlink_stats stats = feed->closed_stats;

	if (feed->diag != NULL) {
		struct netlink_stats open = netlink_stats(feed->diag);

		stats.forged += open.forged;
		stats.malformed += open.malformed;
	}
	*ret_forged = stats.forged;
	*ret_malformed = stats.malformed + feed->procnet_stats.malformed;
}
