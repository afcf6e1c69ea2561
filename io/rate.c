/* SPDX-License-Identifier: GPL-2.0-only */
/* The rate limit; see rate.h. */
#include "io/rate.h"

#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "io/base/num.h"

/* See rate.h; of five seconds it is a twentieth. */
#define KEPT_US 250000

/* How soon a waiting stream notices that it should stop, or may go on. */
#define STOP_CHECK_MS 100

#define US_PER_S 1000000ull

/* Where the count begins: what is kept must be above 0, and 2^60 of bytes at
 * the highest rate are 12 days. */
#define FIRST (1ull << 60)

void sc_rate_init(struct sc_rate *rate, uint32_t mib_per_s)
{
	*rate = (struct sc_rate){ .bytes_per_s = mib_per_s * SC_MIB,
				  .since_us = sc_clock_us(CLOCK_MONOTONIC),
				  .passed = FIRST };
	pthread_mutex_init(&rate->lock, NULL);
}

void sc_rate_destroy(struct sc_rate *rate)
{
	pthread_mutex_destroy(&rate->lock);
}

/* Bytes that pass by in that time; the product of both would not fit. */
static uint64_t bytes_in(uint64_t bytes_per_s, uint64_t us)
{
	return us / US_PER_S * bytes_per_s +
	       us % US_PER_S * bytes_per_s / US_PER_S;
}

/* Under the lock. */
static uint64_t passed_now(const struct sc_rate *rate, uint64_t bytes_per_s)
{
	return rate->passed +
	       bytes_in(bytes_per_s,
			sc_clock_us(CLOCK_MONOTONIC) - rate->since_us);
}

void sc_rate_set(struct sc_rate *rate, uint32_t mib_per_s)
{
	uint64_t bytes_per_s;
	SC_LOCK_SCOPE(&rate->lock);

	/* Nobody waits where there was no limit. */
	bytes_per_s = rate->bytes_per_s;
	rate->passed = bytes_per_s ? passed_now(rate, bytes_per_s)
				   : SC_MAX(rate->passed, rate->booked);
	rate->since_us = sc_clock_us(CLOCK_MONOTONIC);
	rate->bytes_per_s = mib_per_s * SC_MIB;
}

uint64_t sc_rate_book(struct sc_rate *rate, uint64_t bytes)
{
	uint64_t bytes_per_s, now, turn;

	if (!rate->bytes_per_s)
		return 0;
	SC_LOCK_SCOPE(&rate->lock);
	bytes_per_s = rate->bytes_per_s;
	now = passed_now(rate, bytes_per_s);
	turn = SC_MAX(rate->booked, now - bytes_in(bytes_per_s, KEPT_US));
	rate->booked = turn + bytes;
	return turn > now ? turn : 0;
}

uint64_t sc_rate_until(struct sc_rate *rate, uint64_t turn)
{
	uint64_t bytes_per_s, now;

	if (!turn)
		return 0;
	SC_LOCK_SCOPE(&rate->lock);
	bytes_per_s = rate->bytes_per_s;
	now = passed_now(rate, bytes_per_s);
	if (!bytes_per_s || turn <= now)
		return 0;
	return SC_MAX((turn - now) * US_PER_S / bytes_per_s, 1);
}

void sc_rate_wait(struct sc_rate *rate, uint64_t turn, const atomic_bool *stop)
{
	while (!*stop) {
		uint64_t us = sc_rate_until(rate, turn);

		if (!us)
			return;
		sc_sleep_ms((unsigned)SC_MIN((us + 999) / 1000, STOP_CHECK_MS));
	}
}
