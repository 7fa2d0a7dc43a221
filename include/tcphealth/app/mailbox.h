/*
 * mailbox: one question at a time, from any thread to the one that samples.
 *
 * Carries a connections_query there and a connections back. Whoever asks waits for a bounded time; an answer that comes too late is
 * thrown away. Knows threads; must not know how a question is answered.
 */
#ifndef TCPHEALTH_APP_MAILBOX_H
#define TCPHEALTH_APP_MAILBOX_H

#include "tcphealth/app/connections.h"

#include <stdbool.h>
#include <stdint.h>

struct mailbox;

/* NULL when out of memory or descriptors. */
struct mailbox *mailbox_new(void);

/* Nobody may be asking any more. NULL is fine. */
void mailbox_free(struct mailbox *box);

/*
 * Asks, and waits for the answer. 0 and *ret_result (to be freed by connections_done()), what the answer failed with, -EBUSY while
 * another question is in the box, -ETIMEDOUT after wait_ms or when interrupted. Any thread.
 */
int mailbox_ask(struct mailbox *box, const struct connections_query *query, uint64_t wait_ms,
		struct connections_result *ret_result);

/* Lets nobody wait any longer, now and later. Any thread. */
void mailbox_interrupt(struct mailbox *box);

/* Readable when there is a question. Borrowed. */
int mailbox_fd(const struct mailbox *box);

/* Takes the question out; false if there is none. It has to be answered then. The answering thread. */
bool mailbox_take(struct mailbox *box, struct connections_query *ret_query);

/* Gives the answer, 0 or -errno, and *result, which the box takes over in any case. The answering thread. */
void mailbox_answer(struct mailbox *box, int error, struct connections_result *result);

#endif
