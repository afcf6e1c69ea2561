/* SPDX-License-Identifier: GPL-2.0-only */
/* The rate limit; see rate.h. */
#include "io/rate.h"

#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "io/base/num.h"

/* How soon a waiting stream notices that it should stop. */
#define STOP_CHECK_MS 100

void sc_rate_init(struct sc_rate *rate, uint32_t mib_per_s)
{
	*rate = (struct sc_rate){ .bytes_per_s = mib_per_s * SC_MIB };
	pthread_mutex_init(&rate->lock, NULL);
}

void sc_rate_destroy(struct sc_rate *rate)
{
	pthread_mutex_destroy(&rate->lock);
}

/* Book the bytes; when they may begin. */
static uint64_t book(struct sc_rate *rate, uint64_t bytes)
{
	uint64_t now = sc_clock_us(CLOCK_MONOTONIC), begin;

	SC_LOCK_SCOPE(&rate->lock);
	begin = SC_MAX(rate->free_us, now);
	rate->free_us = begin + bytes * 1000000 / rate->bytes_per_s;
	return begin;
}

void sc_rate_take(struct sc_rate *rate, uint64_t bytes, const atomic_bool *stop)
{
	uint64_t begin;

	if (!rate->bytes_per_s)
		return;
	begin = book(rate, bytes);
	while (!*stop) {
		uint64_t now = sc_clock_us(CLOCK_MONOTONIC);

		if (now >= begin)
			return;
		sc_sleep_ms((unsigned)SC_MIN((begin - now + 999) / 1000,
					     STOP_CHECK_MS));
	}
}
