/*
 * clock: see the header. Owns which kernel clock answers which question; must
 * not know who asks.
 */
#include "tcphealth/base/clock.h"

#define NS_PER_S  1000000000U
#define NS_PER_MS 1000000U

/* These clocks exist on every Linux: clock_gettime() cannot fail for them. */
static uint64_t read_ns(clockid_t id)
{
	struct timespec now = { 0 };

	clock_gettime(id, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

uint64_t clock_mono_ns(void)
{
	return read_ns(CLOCK_MONOTONIC);
}

uint64_t clock_mono_ms(void)
{
	return clock_mono_ns() / NS_PER_MS;
}

uint64_t clock_mono_coarse_ms(void)
{
	struct timespec tick = { 0 };

	clock_getres(CLOCK_MONOTONIC_COARSE, &tick);
	return (read_ns(CLOCK_MONOTONIC_COARSE) + (uint64_t)tick.tv_nsec) / NS_PER_MS;
}

void clock_mono_cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(cond, &attr);
	pthread_condattr_destroy(&attr);
}

struct timespec clock_mono_after(uint64_t wait_ms)
{
	uint64_t ns = clock_mono_ns() + wait_ms * NS_PER_MS;

	return (struct timespec){ (time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S) };
}

uint64_t clock_thread_cpu_ns(void)
{
	return read_ns(CLOCK_THREAD_CPUTIME_ID);
}

double clock_wall(void)
{
	return (double)read_ns(CLOCK_REALTIME) / NS_PER_S;
}
