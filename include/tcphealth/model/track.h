/*
 * track: remembers each socket from one sample to the next, in 64 bytes.
 *
 * Owns the entries and finds them by id. Must not know what their fields mean: that is up to
 * account (counters), ages (moments) and tally (what is on show). An entry's pointer is valid until
 * the next track_see(). One thread.
 */
#pragma once

#include "tcphealth/model/keepalive.h"
#include "tcphealth/model/role.h"
#include "tcphealth/model/tier.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A moment is the monotonic clock in ticks of so many ms, modulo 2^32: it may lie before the boot,
 * and 795 days back.
 */
#define TRACK_TICK_MS 16

struct track_entry {
	uint64_t id; /* 0: free */
	/* Counters as last seen; see track_acked() and track_received(). */
	uint32_t acked_low;
	uint32_t received_low;
	uint16_t acked_high;
	uint16_t received_high;
	uint32_t retrans;
	uint32_t segs_out;
	/* In `state` at least since then (tick). */
	uint32_t since;
	/* When bytes last moved; ESTABLISHED: when the last segment came in (tick). */
	uint32_t moved;
	/* Since when the kernel waits for the peer (tick); valid if is_blocked. */
	uint32_t blocked;
	/*
	 * How far the program has read: the low 32 bits of received - rqueue; and since when
	 * (tick).
	 */
	uint32_t read_position;
	uint32_t read_since;
	/*
	 * Of track: index of the entry that followed in the last full dump, or of the next free
	 * one.
	 */
	uint32_t next;
	uint16_t segs_in; /* low 16 bits */
	/* Longest keepalive idle time seen, seconds; 0: none yet. */
	uint16_t keepidle_s;
	/* Of the pair it is counted under; 0: unknown. */
	uint16_t port;
	/* Hash of both ports: a socket that connects again changes it. */
	unsigned short tuple : 11;
	/* Its other end is on this host: an address of its own, or loopback. */
	unsigned short inside : 1;
	/* Of tally: the enum stale_reason it is counted under. */
	unsigned short counted : 4;
	/*
	 * No flag lies across two bytes, and those that are written together share one: a load that
	 * is wider than the store before it would wait.
	 */
	/* enum tcp_state last counted; CLOSE: gone from the dumps, and its event is yet to come. */
	unsigned int state : 4;
	unsigned int evidence : 4; /* enum role_evidence */
	unsigned int role : 1;     /* enum role */
	unsigned int sure : 1;     /* the role is settled */
	/* The arithmetic of its handshake will never tell. */
	unsigned int hopeless : 1;
	unsigned int mini : 1; /* the last record was TCPSOCK_MINI */
	/* Counted as opened, or older than the first sample. */
	unsigned int opened : 1;
	unsigned int closed : 1; /* counted as closed */
	unsigned int final : 1;  /* its event has been applied */
	/* The kernel's own socket: no event will come. */
	unsigned int eventless : 1;
	/* Of track: parity of the dump that saw it last. */
	unsigned int seen : 1;
	/* Full dumps in a row without it; at most 3. */
	unsigned int miss : 2;
	/* Its event may be among those that were lost. */
	unsigned int maybe_lost : 1;
	unsigned int keepalive : 2; /* enum keepalive */
	/* Unarmed in the last record; believed only if the next one agrees. */
	unsigned int keepalive_gone : 1;
	/* The last record made it a client, although a listener is on its port. */
	unsigned int doubted : 1;
	/* The enum role it is counted under. */
	unsigned int pair_role : 1;
	unsigned int is_blocked : 1; /* `blocked` is valid */
	unsigned int has_read : 1;   /* read_position is valid */
	/* Of tally: on show since the last full sample. */
	unsigned int shown : 1;
};
_Static_assert(sizeof(struct track_entry) == 64, "a million sockets shall take 64 MB");

struct track;

struct track *track_new(void);
void track_free(struct track *track);

/* Begins a dump: nothing is seen yet. Each tier has an order of its own, which is remembered. */
void track_begin(struct track *track, enum tier tier);

/*
 * Notes that this dump shows `id`. Returns its entry, created if there is none (zeroed but for the
 * id), or NULL when out of memory. *ret_created says whether it was created, *ret_again whether
 * this dump has shown it before.
 */
struct track_entry *track_see(struct track *track, uint64_t id, bool *ret_created, bool *ret_again);

/* The entry of `id`, or NULL. */
struct track_entry *track_find(const struct track *track, uint64_t id);

/* Whether the dump that is open has shown the entry; between dumps true of all. */
bool track_saw(const struct track *track, const struct track_entry *entry);

void track_remove(struct track *track, struct track_entry *entry);

/*
 * The cgroup of an entry's socket, which it keeps for life. Only for entries where it was noted. 0:
 * unknown, as are ids that do not fit in 32 bits, which a host assigns after four thousand million
 * others.
 */
void track_note_cgroup(struct track *track, const struct track_entry *entry, uint64_t cgroup_id);
uint64_t track_cgroup(const struct track *track, const struct track_entry *entry);

/*
 * Ends a full dump: calls `fn` for every entry that it did not show; `fn` may remove that entry. A
 * dump that is not ended counts as never begun.
 */
typedef void (*track_fn)(void *arg, struct track_entry *entry);
void track_sweep(struct track *track, track_fn fn, void *arg);

/* Ends a states dump: what it did not show means nothing. */
void track_end_states(struct track *track);

/* Calls `fn` for every entry; it may remove that entry. */
void track_each(struct track *track, track_fn fn, void *arg);

/*
 * Between dumps: gives memory back if most of it is unused. No pointer to an entry is valid after
 * it.
 */
void track_trim(struct track *track);

static inline uint64_t track_acked(const struct track_entry *entry)
{
	return (uint64_t)entry->acked_high << 32 | entry->acked_low;
}

static inline uint64_t track_received(const struct track_entry *entry)
{
	return (uint64_t)entry->received_high << 32 | entry->received_low;
}
