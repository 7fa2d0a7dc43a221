/*
 * track: a memory of every socket across samples, 64 bytes each.
 *
 * Owns the entries and finds them by id; what the fields mean is the business of account (counters) and ages.
 * Entries stand in one array that grows by doubling (their pointers are valid until the next track_see());
 * a hash of u32 indices finds them, and each entry names the one that followed it in the last dump, so that a dump
 * that comes in the same order needs no hashing. No allocation per socket. One thread.
 */
#ifndef TCPHEALTH_MODEL_TRACK_H
#define TCPHEALTH_MODEL_TRACK_H

#include "tcphealth/model/keepalive.h"
#include "tcphealth/model/role.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Moments are kept in ticks of 16 ms as u32: differences are right for 795 days. A moment may lie before the start of the program.
 */
#define TRACK_TICK_MS 16

struct track_entry {
	uint64_t id;        /* 0: free */
	uint32_t acked_low; /* counters as last seen; see track_acked() */
	uint32_t received_low;
	uint16_t acked_high;
	uint16_t received_high;
	uint32_t retrans;
	uint32_t segs_out;
	uint32_t since; /* tick: in `state` at least since then */
	uint32_t
		moved; /* tick: bytes last moved (half-closed), or segs_in last moved (established) */
	uint32_t blocked;          /* tick: since when it waits for the peer; valid if is_blocked */
	uint32_t read_position;    /* low 32 bits of received - rqueue */
	uint32_t read_since;       /* tick: read_position last moved */
	uint32_t next;             /* index of the entry that followed in the last dump */
	uint16_t segs_in;          /* low 16 bits */
	uint16_t keepidle_s;       /* longest keepalive idle time seen; 0: never seen unmasked */
	uint16_t port;             /* of the pair it is counted under; 0: unknown */
	unsigned short tuple : 12; /* hash of both ports: a socket that connects anew changes it */
	unsigned short counted : 4; /* enum stale_reason it stands under in the tally */
	/*
	 * No flag lies across two bytes, and those that are written one after the other share one: a wider load behind a narrow
	 * store would wait for it.
	 */
	unsigned int
		state : 4; /* enum tcp_state last counted; CLOSE: gone from the dumps, event to come */
	unsigned int evidence : 4;
	unsigned int role : 1;     /* enum role */
	unsigned int sure : 1;     /* role is settled */
	unsigned int hopeless : 1; /* the handshake's arithmetic will never tell */
	unsigned int mini : 1;
	unsigned int opened : 1;         /* counted as opened, or older than the first sample */
	unsigned int closed : 1;         /* counted as closed */
	unsigned int final : 1;          /* its event has been applied */
	unsigned int eventless : 1;      /* the kernel's own socket: no event will come */
	unsigned int seen : 1;           /* track's own: parity of the dump that saw it last */
	unsigned int miss : 2;           /* full dumps without it, in a row; saturates */
	unsigned int maybe_lost : 1;     /* its event may have been among those lost */
	unsigned int keepalive : 2;      /* enum keepalive */
	unsigned int keepalive_gone : 1; /* unarmed once: not believed until seen twice */
	unsigned int
		doubted : 1; /* the last look made it a client, though somebody listens on its port */
	unsigned int reason : 4;    /* enum stale_reason last found */
	unsigned int pair_role : 1; /* enum role of the pair it is counted under */
	unsigned int is_blocked : 1;
	unsigned int has_read : 1; /* read_position is valid */
	unsigned int shown : 1;    /* on show since the last full sample */
};
_Static_assert(sizeof(struct track_entry) == 64, "a million sockets shall take 64 MB");

struct track;

struct track *track_new(void);
void track_free(struct track *track);

/* Begins a dump: nothing is seen yet. A dump that is not `whole` comes in another order, which is remembered apart. */
void track_begin(struct track *track, bool whole);

/*
 * The entry of `id`, created (zeroed but for id) if there is none; marked seen in this dump. *ret_created and *ret_again (seen
 * already in this dump) say which. NULL when out of memory.
 */
struct track_entry *track_see(struct track *track, uint64_t id, bool *ret_created, bool *ret_again);

/* The entry of `id`, or NULL. */
struct track_entry *track_find(const struct track *track, uint64_t id);

/* Whether the dump that is open has seen the entry; between dumps true of all. */
bool track_saw(const struct track *track, const struct track_entry *entry);

/* Creates nothing, removes one. */
void track_remove(struct track *track, struct track_entry *entry);

/* Entries in use. */
size_t track_count(const struct track *track);

/*
 * Ends a whole dump: calls `fn` for every entry that it did not see; `fn` may remove that entry. A dump that is
 * not ended so counts as never begun.
 */
typedef void (*track_fn)(void *arg, struct track_entry *entry);
void track_sweep(struct track *track, track_fn fn, void *arg);

/* Ends a dump of a part: what it did not see means nothing. */
void track_end_part(struct track *track);

/* Calls `fn` for every entry in use; it may remove that entry. */
void track_each(struct track *track, track_fn fn, void *arg);

/* After a dump: gives memory back when most of it is unused. Invalidates pointers to entries. */
void track_trim(struct track *track);

static inline uint64_t track_acked(const struct track_entry *entry)
{
	return (uint64_t)entry->acked_high << 32 | entry->acked_low;
}

static inline uint64_t track_received(const struct track_entry *entry)
{
	return (uint64_t)entry->received_high << 32 | entry->received_low;
}

#endif
