/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A thread that watches an image while it lives: how full its area is and when
 * it will be full, and whether somebody took the origin away. It warns in the
 * log, and gives the image up before the area overflows.
 */
#ifndef SC_DAEMON_DM_WATCH_H
#define SC_DAEMON_DM_WATCH_H

#include "daemon/dm_image.h"

#include "io/base/err.h"

#include <stdint.h>

struct sc_dm_watch;

/* Called from the watching thread. */
struct sc_dm_watcher {
	/* Once: the image cannot be used any more. */
	void (*lost)(void *ctx, const struct sc_err *why);
	/* Every SC_DM_WATCH_MS: how full the area is. */
	void (*filled)(void *ctx, const struct sc_dm_fill *fill);
	void *ctx;
};

/* image: borrowed until sc_dm_watch_stop(). 0 or -1. */
int sc_dm_watch_start(struct sc_dm_image *image,
		      const struct sc_dm_watcher *watcher,
		      struct sc_dm_watch **ret, struct sc_err *err);

/* Ends the thread. NULL is legal. Not from within a call of the watcher. */
void sc_dm_watch_stop(struct sc_dm_watch *watch);

/* ---- the forecast, for tests ----------------------------------------------
 */

/* A burst makes no forecast: only samples of so long do. */
#define SC_DM_FORECAST_MS 1000

/* Samples behind which the rate is taken, and how often one is. */
#define SC_DM_SAMPLES 32
#define SC_DM_WATCH_MS 100

/* From this share of the area on the image is given up, percent. */
#define SC_DM_FULL_PERCENT 97

struct sc_dm_forecast {
	struct {
		uint64_t ms, used;
	} samples[SC_DM_SAMPLES]; /* a ring */
	unsigned n;
};

/* Take a sample. Returns the seconds until the area is full at the rate of the
 * samples so far, UINT64_MAX when it does not fill. */
uint64_t sc_dm_forecast_add(struct sc_dm_forecast *f, uint64_t ms,
			    const struct sc_dm_fill *fill);

#endif
