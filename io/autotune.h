/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How many streams a job should use: more as long as that makes it faster.
 * Pure: the caller brings time and bytes, and opens the streams. Streams are
 * never taken away, as with clone_autotune_concurrency of the stock plugin.
 */
#ifndef SC_AUTOTUNE_H
#define SC_AUTOTUNE_H

#include <stdbool.h>
#include <stdint.h>

struct sc_autotune {
	unsigned now, max; /* streams */
	bool settled;	   /* more did not help, or max is reached */
	uint64_t last_ms, last_bytes;
	uint64_t rate; /* bytes per ms with fewer streams, 0 = not known */
};

/* first: to begin with, then doubled; max: 1.. ; enabled false: all of them at
 * once. */
void sc_autotune_init(struct sc_autotune *at, unsigned first, unsigned max,
		      bool enabled, uint64_t now_ms);

/* The number of streams there should be now, at least as many as before.
 * bytes: copied so far; now_ms: monotonic. Call every 50 ms or so. */
unsigned sc_autotune_step(struct sc_autotune *at, uint64_t bytes,
			  uint64_t now_ms);

#endif
