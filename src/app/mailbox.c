/*
 * mailbox: see the header. Owns the state of the one question; must not know sockets.
 */
#include "tcphealth/app/mailbox.h"

#include "tcphealth/base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum mail_state {
	MAIL_EMPTY,
	MAIL_ASKED,
	MAIL_RUNNING,
	MAIL_ANSWERED,
	/* The caller no longer waits, and the answer is still being made. */
	MAIL_ABANDONED,
};

struct mailbox {
	int fd;
	pthread_mutex_t lock; /* of all below */
	pthread_cond_t changed;
	enum mail_state state;
	bool interrupted;
	struct connections_query query;
	struct connections_result result;
	int error;
};

struct mailbox *mailbox_new(void)
{
	struct mailbox *box = calloc(1, sizeof(*box));

	if (box == NULL)
		return NULL;
	box->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (box->fd < 0) {
		free(box);
		return NULL;
	}
	pthread_mutex_init(&box->lock, NULL);
	clock_mono_cond_init(&box->changed);
	return box;
}

void mailbox_free(struct mailbox *box)
{
	if (box == NULL)
		return;
	if (box->state == MAIL_ANSWERED)
		connections_done(&box->result);
	pthread_cond_destroy(&box->changed);
	pthread_mutex_destroy(&box->lock);
	close(box->fd);
	free(box);
}

/* Under `lock`: puts the question in and waits. */
static int ask(struct mailbox *box, const struct connections_query *query, uint64_t wait_ms,
	       struct connections_result *ret_result)
{
	struct timespec until = clock_mono_after(wait_ms);
	int r = 0;

	if (box->state != MAIL_EMPTY)
		return -EBUSY;
	box->query = *query;
	box->state = MAIL_ASKED;
	(void)eventfd_write(box->fd, 1);
	while (box->state != MAIL_ANSWERED && r == 0 && !box->interrupted)
		r = -pthread_cond_timedwait(&box->changed, &box->lock, &until);
	if (box->state != MAIL_ANSWERED) {
		box->state = box->state == MAIL_RUNNING ? MAIL_ABANDONED : MAIL_EMPTY;
		return -ETIMEDOUT;
	}
	box->state = MAIL_EMPTY;
	if (box->error < 0)
		connections_done(&box->result);
	else
		*ret_result = box->result;
	return box->error;
}

int mailbox_ask(struct mailbox *box, const struct connections_query *query, uint64_t wait_ms,
		struct connections_result *ret_result)
{
	int r;

	pthread_mutex_lock(&box->lock);
	r = ask(box, query, wait_ms, ret_result);
	pthread_mutex_unlock(&box->lock);
	return r;
}

void mailbox_interrupt(struct mailbox *box)
{
	pthread_mutex_lock(&box->lock);
	box->interrupted = true;
	pthread_cond_broadcast(&box->changed);
	pthread_mutex_unlock(&box->lock);
}

int mailbox_fd(const struct mailbox *box)
{
	return box->fd;
}

bool mailbox_take(struct mailbox *box, struct connections_query *ret_query)
{
	eventfd_t count;
	bool asked;

	(void)eventfd_read(box->fd, &count);
	pthread_mutex_lock(&box->lock);
	asked = box->state == MAIL_ASKED;
	if (asked) {
		*ret_query = box->query;
		box->state = MAIL_RUNNING;
	}
	pthread_mutex_unlock(&box->lock);
	return asked;
}

void mailbox_answer(struct mailbox *box, int error, struct connections_result *result)
{
	pthread_mutex_lock(&box->lock);
	if (box->state == MAIL_RUNNING) {
		box->result = *result;
		box->error = error;
		box->state = MAIL_ANSWERED;
		pthread_cond_broadcast(&box->changed);
	} else {
		connections_done(result);
		box->state = MAIL_EMPTY;
	}
	pthread_mutex_unlock(&box->lock);
}
