/*
 * holderunits: the units of sockets, by the processes that hold them.
 *
 * For hosts on which a socket does not tell its cgroup (cgroup1 alone). Owns what was asked and found, all bounded. Knows holders;
 * must not know what a socket is stuck in. One thread.
 */
#pragma once

#include "tcphealth/source/unit.h"

#include <stdbool.h>
#include <stdint.h>

/* A search takes that long, up to eight times as long where there are many processes, and comes that often. */
#define HOLDERUNITS_BUDGET_MS   200u
#define HOLDERUNITS_INTERVAL_MS 60000

/* Sockets that one sample asks for, half of them at most not stale; and units that are told apart, the last ones. */
#define HOLDERUNITS_WANTED_MAX 4096
#define HOLDERUNITS_UNITS_MAX  1024

struct holderunits;

/* Both borrowed, as for holders_find(). NULL when out of memory. */
struct holderunits *holderunits_new(const char *procfs, const char *cgroupfs);
void holderunits_free(struct holderunits *holderunits); /* NULL is fine */

/*
 * What stands for the cgroup of a socket: an id above those of cgroups, the same for all sockets of a unit, or 0: not found yet, or
 * held by no process of a unit.
 */
uint64_t holderunits_id(const struct holderunits *holderunits, uint32_t inode);

/* A search looks for this one, too, and comes only for what is stale. 0 and more than HOLDERUNITS_WANTED_MAX are left out. */
void holderunits_want(struct holderunits *holderunits, uint32_t inode, bool stale);

/*
 * At the end of a sample: searches for what it wanted, if that is something stale and it is time, and forgets it. Whether it has
 * searched; what it found shows in the next sample.
 */
bool holderunits_search(struct holderunits *holderunits, uint64_t now_ms);

/* NULL if the id is not of holderunits_id(). Borrowed until holderunits_free(). */
const struct unit *holderunits_unit(const struct holderunits *holderunits, uint64_t id);
