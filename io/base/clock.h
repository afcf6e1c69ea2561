/* SPDX-License-Identifier: GPL-2.0-only */
/* Time: monotonic milliseconds for waits and rates, wall clock for records. */
#ifndef SC_BASE_CLOCK_H
#define SC_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t sc_clock_us(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* Milliseconds of CLOCK_MONOTONIC. */
static inline uint64_t sc_now_ms(void)
{
	return sc_clock_us(CLOCK_MONOTONIC) / 1000;
}

/* Microseconds since the epoch. */
static inline uint64_t sc_wall_us(void)
{
	return sc_clock_us(CLOCK_REALTIME);
}

/* The point of the clock that lies ms from now, for timed waits. */
static inline struct timespec sc_after_ms(clockid_t clock, unsigned ms)
{
	uint64_t us = sc_clock_us(clock) + (uint64_t)ms * 1000;

	return (struct timespec){ (time_t)(us / 1000000),
				  (long)(us % 1000000) * 1000 };
}

static inline void sc_sleep_ms(unsigned ms)
{
	struct timespec ts = { ms / 1000, (long)(ms % 1000) * 1000000 };

	nanosleep(&ts, NULL);
}

#endif
