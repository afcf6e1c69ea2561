/* SPDX-License-Identifier: GPL-2.0-only */
/* The number of streams; see autotune.h. */
#include "io/autotune.h"

#include "io/base/num.h"

/* A rate is measured over this. */
#define MEASURE_MS 400
/* Twice the streams must bring this much more, in percent. */
#define WORTH_PERCENT 10

void sc_autotune_init(struct sc_autotune *at, unsigned first, unsigned max,
		      bool enabled, uint64_t now_ms)
{
	*at = (struct sc_autotune){
		.now = enabled ? SC_MIN(first, max) : max,
		.max = max,
		.last_ms = now_ms,
	};
	at->settled = at->now == max;
}

unsigned sc_autotune_step(struct sc_autotune *at, uint64_t bytes,
			  uint64_t now_ms)
{
	uint64_t rate;

	if (at->settled || now_ms < at->last_ms + MEASURE_MS)
		return at->now;
	rate = (bytes - at->last_bytes) / (now_ms - at->last_ms);
	at->last_ms = now_ms;
	at->last_bytes = bytes;
	/* Before the first bytes there is nothing to compare. */
	if (rate == 0)
		return at->now;
	if (rate * 100 < at->rate * (100 + WORTH_PERCENT)) {
		at->settled = true;
		return at->now;
	}
	at->rate = rate;
	at->now = SC_MIN(at->now * 2, at->max);
	at->settled = at->now == at->max;
	return at->now;
}
