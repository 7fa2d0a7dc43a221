/*
 * chooser: netlink while it answers, /proc while it does not. Hands on records without knowing what they mean.
 */
#include "tcphealth/app/chooser.h"

#include "tcphealth/source/procfs.h"
#include "tcphealth/source/procnet.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#define RETRY_FIRST_MS 1000u
#define RETRY_MAX_MS   60000u /* each refusal may leave a line in an audit log */
#define FAILURES_MAX   3u     /* in a row: netlink does answer, but never whole */

#define CONNECTIONS (TCP_STATES_ALL & ~TCP_STATE_BIT(TCP_STATE_LISTEN))

struct chooser {
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

static void close_diag(struct chooser *chooser)
{
	struct netlink_stats stats;

	if (chooser->diag == NULL)
		return;
	stats = netlink_stats(chooser->diag);
	chooser->closed_stats.forged += stats.forged;
	chooser->closed_stats.malformed += stats.malformed;
	netlink_close(chooser->diag);
	chooser->diag = NULL;
}

static int find_other_end(void *arg, const struct tcpsock *sock, struct tcpsock *ret_other)
{
	struct chooser *chooser = arg;

	return netlink_find(chooser->diag, &sock->remote, sock->remote_port, &sock->local,
			    sock->local_port, ret_other);
}

static int dump_netlink(struct chooser *chooser, struct census *census, enum tier tier)
{
	const struct netlink_query listeners = { .states = TCP_STATE_BIT(TCP_STATE_LISTEN),
						 .skmeminfo = true };
	struct netlink_query connections = { .states = CONNECTIONS,
					     .info = true,
					     .arrived = census_arrived };
	int r = 0;

	if (tier == TIER_STATES)
		connections.states &= ~TCP_STATE_BIT(TCP_STATE_ESTABLISHED);

	if (chooser->diag == NULL)
		r = netlink_open(&chooser->diag);
	if (r == 0)
		r = netlink_dump(chooser->diag, &listeners, census_listener, census);
	if (r == 0)
		r = netlink_dump(chooser->diag, &connections, census_socket, census);
	return r;
}

static int dump_procfs(struct chooser *chooser, struct census *census)
{
	char dir[PATH_MAX];
	int r = procfs_net_dir(chooser->procfs, dir, sizeof(dir));

	if (r == 0)
		r = procnet_dump(dir, TCP_STATE_BIT(TCP_STATE_LISTEN), census_listener, census,
				 &chooser->procnet_stats);
	if (r == 0)
		r = procnet_dump(dir, CONNECTIONS, census_socket, census, &chooser->procnet_stats);
	return r;
}

/*
 * The text of /proc costs the same whatever states are wanted; and a memory that was not fed by the sample before needs all there is.
 */
static enum tier tier_from(const struct chooser *chooser, enum health_source source,
			   enum tier wanted)
{
	if (source != HEALTH_SOURCE_NETLINK || chooser->used != source || !chooser->sampled)
		return TIER_FULL;
	return wanted;
}

static int sample_from(struct chooser *chooser, enum health_source source, struct census *census,
		       struct census_sample sample, struct chooser_result *result)
{
	bool netlink = source == HEALTH_SOURCE_NETLINK;
	int r;

	sample.tier = result->tier = tier_from(chooser, source, sample.tier);

	sample.ids = netlink ? CENSUS_COOKIES : CENSUS_TUPLES;
	sample.events = sample.events && netlink;
	sample.arrivals = netlink;
	r = census_begin(census, &sample);
	if (r == 0)
		r = netlink ? dump_netlink(chooser, census, sample.tier)
			    : dump_procfs(chooser, census);
	if (r == 0)
		r = census_end(census, netlink ? find_other_end : NULL, chooser);
	if (r < 0)
		census_abort(census);
	return r;
}

static bool asks_netlink(const struct chooser *chooser, uint64_t now_ms)
{
	if (chooser->wanted != OPTIONS_SOURCE_AUTO)
		return chooser->wanted == OPTIONS_SOURCE_NETLINK;
	return chooser->used == HEALTH_SOURCE_NETLINK || now_ms >= chooser->retry_at_ms;
}

static void schedule_retry(struct chooser *chooser, uint64_t now_ms)
{
	if (chooser->used == HEALTH_SOURCE_NETLINK || chooser->retry_ms == 0)
		chooser->retry_ms = RETRY_FIRST_MS;
	else if (chooser->retry_ms < RETRY_MAX_MS)
		chooser->retry_ms *= 2;
	chooser->retry_at_ms = now_ms + chooser->retry_ms;
}

/* True if /proc shall be read after netlink failed so. */
static bool falls_back(struct chooser *chooser, int err, uint64_t now_ms)
{
	if (chooser->wanted != OPTIONS_SOURCE_AUTO || err == -ENOMEM)
		return false;
	chooser->failures++;
	if (chooser->used == HEALTH_SOURCE_NETLINK && !is_refusal(err) &&
	    chooser->failures < FAILURES_MAX)
		return false;
	schedule_retry(chooser, now_ms);
	close_diag(chooser);
	return true;
}

static void note_use(struct chooser *chooser, enum health_source source,
		     struct chooser_result *result)
{
	result->changed = chooser->sampled && chooser->used != source;
	result->source = source;
	result->can =
		source == HEALTH_SOURCE_NETLINK ? SOURCE_INFO | SOURCE_BACKLOG | SOURCE_DROPS : 0;
	chooser->used = source;
	chooser->sampled = true;
}

struct chooser *chooser_new(enum options_source source, const char *procfs)
{
	struct chooser *chooser = calloc(1, sizeof(*chooser));

	if (chooser == NULL)
		return NULL;
	chooser->wanted = source;
	chooser->procfs = procfs;
	chooser->used =
		source == OPTIONS_SOURCE_PROCFS ? HEALTH_SOURCE_PROCFS : HEALTH_SOURCE_NETLINK;
	return chooser;
}

void chooser_free(struct chooser *chooser)
{
	if (chooser == NULL)
		return;
	close_diag(chooser);
	free(chooser);
}

int chooser_sample(struct chooser *chooser, struct census *census,
		   const struct census_sample *sample, struct chooser_result *ret_result)
{
	int r;

	*ret_result = (struct chooser_result){ .source = chooser->used };
	if (asks_netlink(chooser, sample->now_ms)) {
		r = sample_from(chooser, HEALTH_SOURCE_NETLINK, census, *sample, ret_result);
		if (r == 0) {
			chooser->failures = 0;
			note_use(chooser, HEALTH_SOURCE_NETLINK, ret_result);
			return 0;
		}
		if (!falls_back(chooser, r, sample->now_ms))
			return r;
		ret_result->refusal = r;
	}
	r = sample_from(chooser, HEALTH_SOURCE_PROCFS, census, *sample, ret_result);
	if (r == 0)
		note_use(chooser, HEALTH_SOURCE_PROCFS, ret_result);
	return r;
}

int chooser_dump(struct chooser *chooser, const struct netlink_query *query, tcpsock_fn fn,
		 void *arg)
{
	char dir[PATH_MAX];
	int r = 0;

	if (chooser->used == HEALTH_SOURCE_NETLINK) {
		if (chooser->diag == NULL)
			r = netlink_open(&chooser->diag);
		return r < 0 ? r : netlink_dump(chooser->diag, query, fn, arg);
	}
	r = procfs_net_dir(chooser->procfs, dir, sizeof(dir));
	return r < 0 ? r : procnet_dump(dir, query->states, fn, arg, &chooser->procnet_stats);
}

enum health_source chooser_source(const struct chooser *chooser)
{
	return chooser->used;
}

void chooser_skipped(const struct chooser *chooser, uint64_t *ret_forged, uint64_t *ret_malformed)
{
	struct netlink_stats stats = chooser->closed_stats;

	if (chooser->diag != NULL) {
		struct netlink_stats open = netlink_stats(chooser->diag);

		stats.forged += open.forged;
		stats.malformed += open.malformed;
	}
	*ret_forged = stats.forged;
	*ret_malformed = stats.malformed + chooser->procnet_stats.malformed;
}
