/*
 * chooser: the best source that answers. Hands on records without knowing what they mean.
 */
#include "tcphealth/app/chooser.h"

#include <errno.h>
#include <stdlib.h>

#define RETRY_FIRST_MS 1000u
#define RETRY_MAX_MS   60000u /* each refusal may leave a line in an audit log */
#define FAILURES_MAX   3u     /* in a row: it does answer, but never whole */

/* A source that may be used. */
struct candidate {
	void *source; /* NULL: not open */
	/* When it is asked again while a later one is used, and how long it was left alone. */
	uint64_t retry_at_ms, retry_ms;
	unsigned int failures; /* in a row */
	int error;             /* of the last, -errno */
};

struct chooser {
	struct source_place place;
	struct candidate candidates[SOURCE_IDS];
	/* enum source_id: those that may be used. */
	unsigned int first, last;
	unsigned int used;
	bool sampled;
	/* By sources that are closed by now. */
	struct source_skipped closed;
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

static void add_skipped(struct source_skipped *to, const struct chooser *chooser, unsigned int id)
{
	if (chooser->candidates[id].source != NULL)
		source_add_skipped(to, source_table[id]->skipped(chooser->candidates[id].source));
}

static int open_source(struct chooser *chooser, unsigned int id)
{
	struct candidate *candidate = &chooser->candidates[id];

	return candidate->source != NULL
		       ? 0
		       : source_table[id]->open(&chooser->place, &candidate->source);
}

static void close_source(struct chooser *chooser, unsigned int id)
{
	struct candidate *candidate = &chooser->candidates[id];

	if (candidate->source == NULL)
		return;
	add_skipped(&chooser->closed, chooser, id);
	source_table[id]->close(candidate->source);
	candidate->source = NULL;
}

/*
 * A source that costs the same whatever states are wanted gives all; and a memory that was not fed by the sample before needs all
 * there is.
 */
static enum tier tier_from(const struct chooser *chooser, unsigned int id, enum tier wanted)
{
	if (!(source_table[id]->can & SOURCE_STATES) || chooser->used != id || !chooser->sampled)
		return TIER_FULL;
	return wanted;
}

static int sample_from(struct chooser *chooser, unsigned int id, const struct sample *sample,
		       struct census *census, uint32_t *ret_can)
{
	int err = open_source(chooser, id);

	return err < 0 ? err
		       : take_sample(sample, source_table[id], chooser->candidates[id].source,
				     census, ret_can);
}

/* Worse ones always are; a better one that failed is asked again after a while. */
static bool is_asked(const struct chooser *chooser, unsigned int id, uint64_t now_ms)
{
	return id >= chooser->used || now_ms >= chooser->candidates[id].retry_at_ms;
}

static void schedule_retry(struct chooser *chooser, unsigned int id, uint64_t now_ms)
{
	struct candidate *candidate = &chooser->candidates[id];

	if (chooser->used == id || candidate->retry_ms == 0)
		candidate->retry_ms = RETRY_FIRST_MS;
	else if (candidate->retry_ms < RETRY_MAX_MS)
		candidate->retry_ms *= 2;
	candidate->retry_at_ms = now_ms + candidate->retry_ms;
}

/* True if the next source shall be asked after this one failed so. */
static bool falls_back(struct chooser *chooser, unsigned int id, int err, uint64_t now_ms)
{
	struct candidate *candidate = &chooser->candidates[id];

	if (id == chooser->last || err == -ENOMEM)
		return false;
	candidate->failures++;
	candidate->error = err;
	if (chooser->used == id && !is_refusal(err) && candidate->failures < FAILURES_MAX)
		return false;
	schedule_retry(chooser, id, now_ms);
	close_source(chooser, id);
	return true;
}

struct chooser *chooser_new(enum source_id wanted, const char *procfs)
{
	struct chooser *chooser = calloc(1, sizeof(*chooser));

	if (chooser == NULL)
		return NULL;
	chooser->place.procfs = procfs;
	chooser->first = wanted != SOURCE_AUTO ? wanted : SOURCE_AUTO + 1;
	chooser->last = wanted != SOURCE_AUTO ? wanted : SOURCE_IDS - 1;
	chooser->used = chooser->first;
	return chooser;
}

void chooser_free(struct chooser *chooser)
{
	if (chooser == NULL)
		return;
	for (unsigned int id = chooser->first; id <= chooser->last; id++)
		close_source(chooser, id);
	free(chooser);
}

int chooser_sample(struct chooser *chooser, struct sample *sample, struct census *census,
		   uint32_t *ret_can)
{
	enum tier wanted = sample->tier;
	unsigned int id = chooser->first;
	int err;

	sample->place = chooser->place;
	for (;; id++) {
		if (!is_asked(chooser, id, sample->now_ms))
			continue;
		sample->tier = tier_from(chooser, id, wanted);
		err = sample_from(chooser, id, sample, census, ret_can);
		if (err == 0)
			break;
		if (!falls_back(chooser, id, err, sample->now_ms))
			return err;
	}
	chooser->candidates[id].failures = 0;
	chooser->used = id;
	chooser->sampled = true;
	return 0;
}

int chooser_open(struct chooser *chooser, const struct source_ops **ret_ops, void **ret_source)
{
	int r = open_source(chooser, chooser->used);

	if (r < 0)
		return r;
	*ret_ops = source_table[chooser->used];
	*ret_source = chooser->candidates[chooser->used].source;
	return 0;
}

const struct source_ops *chooser_source(const struct chooser *chooser)
{
	return source_table[chooser->used];
}

const struct source_ops *chooser_refused(const struct chooser *chooser, int *ret_err)
{
	if (chooser->used == chooser->first)
		return NULL;
	*ret_err = chooser->candidates[chooser->first].error;
	return source_table[chooser->first];
}

struct source_skipped chooser_skipped(const struct chooser *chooser)
{
	struct source_skipped all = chooser->closed;

	for (unsigned int id = chooser->first; id <= chooser->last; id++)
		add_skipped(&all, chooser, id);
	return all;
}
