/*
 * mailbox: one query at a time, from any thread to the one that samples.
 *
 * Carries a query there and its result back. The caller waits for a bounded time; a late answer is
 * thrown away. Knows threads; must not know how a query is answered.
 */
#pragma once

#include "tcphealth/app/connections.h"

#include <stdbool.h>
#include <stdint.h>

struct mailbox;

/* NULL when out of memory or descriptors. */
struct mailbox *mailbox_new(void);

/* Only once nobody asks any more. NULL is fine. */
void mailbox_free(struct mailbox *box);

/*
 * Asks, and waits for the answer. 0 and *ret_result (to be freed by connections_done()); -EBUSY if
 * another query is in the box, -ETIMEDOUT after `wait_ms` or when interrupted, or the error of the
 * answer. Any thread.
 */
int mailbox_ask(struct mailbox *box, const struct connections_query *query, uint64_t wait_ms,
		struct connections_result *ret_result);

/* From now on nobody waits. Any thread. */
void mailbox_interrupt(struct mailbox *box);

/* A descriptor, readable when there is a query. Borrowed. */
int mailbox_fd(const struct mailbox *box);

/*
 * Takes the query out, which must then be answered; false if there is none. The answering thread.
 */
bool mailbox_take(struct mailbox *box, struct connections_query *ret_query);

/*
 * Gives the answer, 0 or -errno, and *result, which it takes over in any case. The answering
 * thread.
 */
void mailbox_answer(struct mailbox *box, int error, struct connections_result *result);
