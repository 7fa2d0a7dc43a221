/*
 * guard: holds the current policy and replaces it. Must not know who uses it.
 */
#include "tcphealth/web/guard.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CHECK_MS 1000

enum {
	FILES = 4,
};

/* What tells that a file has changed. */
struct stamp {
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec modified, changed;
};

struct stamps {
	struct stamp files[FILES];
};

struct held {
	/* First, so that a pointer to it is one to the whole. */
	struct policy policy;
	atomic_uint refs;
	/* Taken before each file was read: a later change is noticed the next time. */
	struct stamps stamps;
};

struct guard {
	char *path;
	bool tls;
	tls_refused_fn refused;
	void *refused_arg;
	atomic_uint_fast64_t check_ms; /* the next check */
	atomic_bool failed;            /* the last reading did */

	pthread_mutex_t renewing;
	/* Of the last reading, under `renewing`; empty: it was good. */
	struct web_error failure;

	pthread_mutex_t lock; /* of `current` */
	struct held *current;
};

static struct held *held_of(const struct policy *policy)
{
	return (struct held *)(uintptr_t)policy;
}

void policy_unref(const struct policy *policy)
{
	struct held *held = held_of(policy);

	if (!policy || atomic_fetch_sub(&held->refs, 1) != 1)
		return;
	tls_free(held->policy.tls);
	webconfig_free(held->policy.config);
	free(held);
}

static struct stamp stamp_of(const char *path)
{
	struct stat st;

	if (!path || stat(path, &st) < 0)
		return (struct stamp){ 0 };
	return (struct stamp){ st.st_dev, st.st_ino, st.st_size, st.st_mtim, st.st_ctim };
}

static struct stamps stamps_of(const struct guard *guard, const struct webconfig *config)
{
	return (struct stamps){ {
		stamp_of(guard->path),
		stamp_of(config->cert.path),
		stamp_of(config->key.path),
		stamp_of(config->client_ca.path),
	} };
}

static bool is_same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool is_same(const struct stamps *a, const struct stamps *b)
{
	for (size_t i = 0; i < FILES; i++) {
		const struct stamp *x = &a->files[i], *y = &b->files[i];
		if (x->device != y->device || x->inode != y->inode || x->size != y->size ||
		    !is_same_time(&x->modified, &y->modified) ||
		    !is_same_time(&x->changed, &y->changed))
			return false;
	}
	return true;
}

static bool verifies_clients(const struct webconfig *config)
{
	return config->client_auth == WEBCONFIG_CLIENT_REQUIRE_AND_VERIFY;
}

/* Which authentication a new configuration would lose, or NULL. */
static const char *lost_authentication(const struct webconfig *old, const struct webconfig *new)
{
	if (old->user_count > 0 && new->user_count == 0)
		return "authentication";
	if (verifies_clients(old) && !verifies_clients(new))
		return "verification of client certificates";
	return NULL;
}

/* A file cut short by accident must not open what was closed. */
static int keep_authentication(const struct guard *guard, const struct webconfig *config,
			       struct web_error *ret_error)
{
	const char *lost =
		guard->current ? lost_authentication(guard->current->policy.config, config) : NULL;

	if (!lost)
		return 0;
	(void)snprintf(ret_error->text, sizeof(ret_error->text),
		       "%.300s: %s cannot be switched off without a restart", guard->path, lost);
	return -EINVAL;
}

static int prepare_tls(const struct guard *guard, struct held *held, struct web_error *ret_error)
{
	const struct tls_config config = { held->policy.config, guard->refused,
					   guard->refused_arg };

	if (guard->current && guard->tls != held->policy.config->tls) {
		(void)snprintf(ret_error->text, sizeof(ret_error->text),
			       "%.300s: TLS cannot be switched %s without a restart", guard->path,
			       guard->tls ? "off" : "on");
		return -EINVAL;
	}
	return config.web->tls ? tls_new(&config, &held->policy.tls, ret_error) : 0;
}

/* Makes a new policy, with one reference. */
static int make(const struct guard *guard, struct held **ret_held, struct web_error *ret_error)
{
	struct held *held = calloc(1, sizeof(*held));
	struct stamp stamp;
	int err;

	if (!held)
		return web_fail(ret_error, guard->path, -ENOMEM);
	atomic_init(&held->refs, 1);
	stamp = stamp_of(guard->path);
	err = webconfig_load(guard->path, &held->policy.config, ret_error);
	if (!err) {
		held->stamps = stamps_of(guard, held->policy.config);
		held->stamps.files[0] = stamp;
		err = keep_authentication(guard, held->policy.config, ret_error);
	}
	if (!err)
		err = prepare_tls(guard, held, ret_error);
	if (err) {
		policy_unref(&held->policy);
		return err;
	}
	*ret_held = held;
	return 0;
}

static void swap(struct guard *guard, struct held *held)
{
	struct held *old;

	pthread_mutex_lock(&guard->lock);
	old = guard->current;
	guard->current = held;
	pthread_mutex_unlock(&guard->lock);
	if (old)
		policy_unref(&old->policy);
}

/* Under `renewing`. */
static int renew(struct guard *guard, struct web_error *ret_error)
{
	struct held *held;
	int err = make(guard, &held, ret_error);

	if (!err)
		swap(guard, held);
	atomic_store(&guard->failed, err != 0);
	return err;
}

static bool has_changed(struct guard *guard)
{
	const struct policy *policy = guard_policy(guard);
	struct stamps now = stamps_of(guard, policy->config);
	bool changed = !is_same(&now, &held_of(policy)->stamps);

	policy_unref(policy);
	return changed;
}

/*
 * After a failure it tries again each time: the old policy may not name the file that was
 * missing.
 */
static enum guard_news renew_if_changed(struct guard *guard, struct web_error *ret_error)
{
	bool told;

	if (!has_changed(guard) && !guard->failure.text[0])
		return GUARD_NOTHING;
	if (renew(guard, ret_error) == 0) {
		guard->failure.text[0] = '\0';
		return GUARD_RENEWED;
	}
	told = strcmp(guard->failure.text, ret_error->text) == 0;
	guard->failure = *ret_error;
	return told ? GUARD_NOTHING : GUARD_FAILED;
}

enum guard_news guard_renew(struct guard *guard, uint64_t now_ms, struct web_error *ret_error)
{
	enum guard_news news;

	if (now_ms < atomic_load(&guard->check_ms) || pthread_mutex_trylock(&guard->renewing) != 0)
		return GUARD_NOTHING;
	atomic_store(&guard->check_ms, now_ms + CHECK_MS);
	news = renew_if_changed(guard, ret_error);
	pthread_mutex_unlock(&guard->renewing);
	return news;
}

int guard_reload(struct guard *guard, struct web_error *ret_error)
{
	int err;

	pthread_mutex_lock(&guard->renewing);
	err = renew(guard, ret_error);
	guard->failure.text[0] = '\0';
	if (err)
		guard->failure = *ret_error;
	pthread_mutex_unlock(&guard->renewing);
	return err;
}

bool guard_has_failed(const struct guard *guard)
{
	return atomic_load(&guard->failed);
}

bool guard_has_tls(const struct guard *guard)
{
	return guard->tls;
}

const struct policy *guard_policy(struct guard *guard)
{
	struct held *held;

	pthread_mutex_lock(&guard->lock);
	held = guard->current;
	atomic_fetch_add(&held->refs, 1);
	pthread_mutex_unlock(&guard->lock);
	return &held->policy;
}

int guard_new(const char *path, tls_refused_fn refused, void *refused_arg, struct guard **ret_guard,
	      struct web_error *ret_error)
{
	struct guard *guard = calloc(1, sizeof(*guard));
	int err;

	if (!guard)
		return web_fail(ret_error, path, -ENOMEM);
	pthread_mutex_init(&guard->renewing, NULL);
	pthread_mutex_init(&guard->lock, NULL);
	atomic_init(&guard->check_ms, 0);
	atomic_init(&guard->failed, false);
	guard->refused = refused;
	guard->refused_arg = refused_arg;
	guard->path = strdup(path);
	err = guard->path ? renew(guard, ret_error) : web_fail(ret_error, path, -ENOMEM);
	if (err) {
		guard_free(guard);
		return err;
	}
	guard->tls = guard->current->policy.tls != NULL;
	*ret_guard = guard;
	return 0;
}

void guard_free(struct guard *guard)
{
	if (!guard)
		return;
	if (guard->current)
		policy_unref(&guard->current->policy);
	pthread_mutex_destroy(&guard->renewing);
	pthread_mutex_destroy(&guard->lock);
	free(guard->path);
	free(guard);
}
