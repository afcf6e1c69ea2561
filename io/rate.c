/* SPDX-License-Identifier: GPL-2.0-only */
/* The rate limit; see rate.h. */
#include "io/rate.h"

#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "io/base/num.h"

/* See rate.h; of five seconds it is a twentieth. */
#define KEPT_US 250000

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

uint64_t sc_rate_book(struct sc_rate *rate, uint64_t bytes)
{
	uint64_t now, turn;

	if (!rate->bytes_per_s)
		return 0;
	now = sc_clock_us(CLOCK_MONOTONIC);
	SC_LOCK_SCOPE(&rate->lock);
	turn = SC_MAX(rate->free_us, now - SC_MIN(now, KEPT_US));
	rate->free_us = turn + bytes * 1000000 / rate->bytes_per_s;
	return turn > now ? turn : 0;
}

void sc_rate_wait(uint64_t turn, const atomic_bool *stop)
{
	while (!*stop) {
		uint64_t now = sc_clock_us(CLOCK_MONOTONIC);

		if (now >= turn)
			return;
		sc_sleep_ms((unsigned)SC_MIN((turn - now + 999) / 1000,
					     STOP_CHECK_MS));
	}
}
