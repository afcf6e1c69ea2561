/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A rate limit shared by all streams of a job: each takes its bytes and waits
 * until the schedule has room for them. Who comes a little late finds his time
 * kept (a quarter of a second: a busy machine must not make the rate lower);
 * more is not saved up for bursts. Any thread.
 */
#ifndef SC_RATE_H
#define SC_RATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

struct sc_rate {
	uint64_t bytes_per_s; /* 0 = no limit */
	pthread_mutex_t lock;
	uint64_t free_us; /* when the next bytes may begin, monotonic */
};

/* mib_per_s: 0 = no limit, else 1..1048576. */
void sc_rate_init(struct sc_rate *rate, uint32_t mib_per_s);
void sc_rate_destroy(struct sc_rate *rate);

/* Book the turn of so many bytes: when it is, CLOCK_MONOTONIC in us, 0 = now.
 */
uint64_t sc_rate_book(struct sc_rate *rate, uint64_t bytes);

/* Wait for a turn that was booked; returns early when *stop becomes true. */
void sc_rate_wait(uint64_t turn, const atomic_bool *stop);

#endif
