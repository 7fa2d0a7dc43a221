/*
 * clock: the clocks this program reads, by what they are for.
 *
 * Ages, intervals and deadlines use the monotonic clock; only published
 * timestamps use the wall clock, which may jump. Any thread.
 */
#pragma once

#include <pthread.h>
#include <stdint.h>
#include <time.h>

/*
 * Nanoseconds and milliseconds of CLOCK_MONOTONIC (stands still while suspended, as TCP's own
 * timers do).
 */
uint64_t clock_mono_ns(void);
uint64_t clock_mono_ms(void);

/*
 * The next tick of the coarse clock (CLOCK_MONOTONIC_COARSE), in milliseconds: some milliseconds
 * ahead of now, never behind, for a quarter of the price. What happened before now is never dated
 * too late against it.
 */
uint64_t clock_mono_coarse_ms(void);

/*
 * A condition that waits by CLOCK_MONOTONIC, and the moment so many milliseconds from now for such
 * a wait.
 */
void clock_mono_cond_init(pthread_cond_t *cond);
struct timespec clock_mono_after(uint64_t wait_ms);

/* CPU time of the calling thread in nanoseconds, kernel time included (CLOCK_THREAD_CPUTIME_ID). */
uint64_t clock_thread_cpu_ns(void);

/* Seconds since the epoch, for published timestamps only. */
double clock_wall(void);
