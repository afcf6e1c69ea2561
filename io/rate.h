/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A rate limit shared by all streams of a job: each takes its bytes and waits
 * until the schedule has room for them. Who comes a little late finds his time
 * kept (a quarter of a second: a busy machine must not make the rate lower);
 * more is not saved up for bursts. The limit may change while streams wait.
 * Any thread.
 *
 * The schedule is counted in bytes, which pass by at the rate: so a turn that
 * was booked stays right when the rate changes.
 */
#ifndef SC_RATE_H
#define SC_RATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

struct sc_rate {
	atomic_uint_fast64_t bytes_per_s; /* 0 = no limit */
	pthread_mutex_t lock;
	/* At that moment (monotonic, us) so many bytes had passed by. */
	uint64_t since_us, passed;
	uint64_t booked; /* up to there */
};

/* mib_per_s: 0 = no limit, else 1..1048576. */
void sc_rate_init(struct sc_rate *rate, uint32_t mib_per_s);
void sc_rate_destroy(struct sc_rate *rate);

/* Another limit, for those who wait, too. */
void sc_rate_set(struct sc_rate *rate, uint32_t mib_per_s);

/* Book the turn of so many bytes. 0 = now, else for the calls below. */
uint64_t sc_rate_book(struct sc_rate *rate, uint64_t bytes);

/* How long it is until that turn, at the rate of now, microseconds; 0 = it has
 * come. */
uint64_t sc_rate_until(struct sc_rate *rate, uint64_t turn);

/* Wait for a turn that was booked; returns early when *stop becomes true. */
void sc_rate_wait(struct sc_rate *rate, uint64_t turn, const atomic_bool *stop);

#endif
