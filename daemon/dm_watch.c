/* SPDX-License-Identifier: GPL-2.0-only */
/* Watching an image; see dm_watch.h. */
#include "daemon/dm_watch.h"

#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "io/base/log.h"
#include "io/base/num.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/dm-ioctl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>

/* A forecast that is worth a warning, and how often it is repeated. */
#define SOON_S 60
#define REPEAT_MS 10000
/* Shares that are told once, percent. */
static const unsigned told_at[] = { 50, 75, 90 };

struct sc_dm_watch {
	struct sc_dm_image *image;
	struct sc_dm_watcher watcher;
	pthread_t thread;
	int stop;    /* eventfd */
	int control; /* device-mapper's, for its events; -1: none */
	bool can_fill;
	unsigned told; /* of told_at */
	uint64_t warned_ms;
	struct sc_dm_forecast forecast;
};

uint64_t sc_dm_forecast_add(struct sc_dm_forecast *f, uint64_t ms,
			    const struct sc_dm_fill *fill)
{
	unsigned at = f->n % SC_DM_SAMPLES;
	unsigned first = f->n < SC_DM_SAMPLES ? 0 : f->n % SC_DM_SAMPLES;
	uint64_t old_ms = f->n ? f->samples[first].ms : ms;
	uint64_t old_used = f->n ? f->samples[first].used : fill->used;

	f->samples[at].ms = ms;
	f->samples[at].used = fill->used;
	f->n++;
	if (ms < old_ms + SC_DM_FORECAST_MS || fill->used <= old_used)
		return UINT64_MAX;
	return (fill->total - fill->used) / (fill->used - old_used) *
	       (ms - old_ms) / 1000;
}

static void warn(struct sc_dm_watch *w, const struct sc_dm_fill *fill,
		 uint64_t seconds)
{
	uint64_t percent = fill->used * 100 / fill->total;
	uint64_t now = sc_now_ms();
	bool soon = seconds < SOON_S &&
		    (!w->warned_ms || now - w->warned_ms > REPEAT_MS);
	bool more =
		w->told < SC_ARRAY_SIZE(told_at) && percent >= told_at[w->told];

	if (!soon && !more)
		return;
	while (w->told < SC_ARRAY_SIZE(told_at) && percent >= told_at[w->told])
		w->told++;
	if (soon)
		w->warned_ms = now;
	if (seconds == UINT64_MAX)
		sc_warning("the copy-on-write area of %s is %" PRIu64
			   " %% full (of %" PRIu64 " MiB)",
			   w->image->origin.name, percent,
			   fill->total / SC_MIB);
	else
		sc_warning("the copy-on-write area of %s is %" PRIu64
			   " %% full (of %" PRIu64 " MiB), full in %" PRIu64
			   " s at this rate",
			   w->image->origin.name, percent, fill->total / SC_MIB,
			   seconds);
}

/* 0, or -1 when the image is lost or to be given up. */
static int look(struct sc_dm_watch *w, struct sc_err *err)
{
	struct sc_dm_fill fill;
	uint64_t seconds;

	if (sc_dm_image_check(w->image, err) < 0 ||
	    sc_dm_image_fill(w->image, &fill, err) < 0)
		return -1;
	if (fill.valid)
		w->watcher.filled(w->watcher.ctx, &fill);
	if (!w->can_fill || !fill.valid)
		return 0;
	seconds = sc_dm_forecast_add(&w->forecast, sc_now_ms(), &fill);
	if (fill.used < fill.total / 100 * SC_DM_FULL_PERCENT) {
		warn(w, &fill, seconds);
		return 0;
	}
	return sc_err_set(
		err, SC_ER_CLONE_DISK_SPACE,
		"the copy-on-write area of %s (%" PRIu64
		" MiB, %s) is full: the image is given up; HINT: a larger dm_cow, dm_cow_size",
		w->image->origin.name, fill.total / SC_MIB, w->image->cow.text);
}

/* Wait for a device-mapper event, a moment, or the end: then false. Source:
 * linux/dm-ioctl.h, DM_DEV_ARM_POLL (Linux 4.13). */
static bool await_change(struct sc_dm_watch *w)
{
	struct pollfd p[2] = { { .fd = w->stop, .events = POLLIN },
			       { .fd = w->control, .events = POLLIN } };
	struct dm_ioctl arm = { .version = { 4, 37, 0 },
				.data_size = sizeof(arm) };

	(void)poll(p, 2, SC_DM_WATCH_MS);
	if (p[0].revents)
		return false;
	if (p[1].revents && ioctl(w->control, DM_DEV_ARM_POLL, &arm) < 0) {
		close(w->control);
		w->control = -1;
	}
	return true;
}

static void *watch_main(void *arg)
{
	struct sc_dm_watch *w = arg;
	struct sc_err err = SC_ERR_INIT;

	do {
		if (look(w, &err) < 0) {
			w->watcher.lost(w->watcher.ctx, &err);
			return NULL;
		}
	} while (await_change(w));
	return NULL;
}

int sc_dm_watch_start(struct sc_dm_image *image,
		      const struct sc_dm_watcher *watcher,
		      struct sc_dm_watch **ret, struct sc_err *err)
{
	struct sc_dm_watch *w = calloc(1, sizeof(*w));
	int rc;

	if (!w)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	w->image = image;
	w->watcher = *watcher;
	w->can_fill = sc_dm_cow_can_fill(&image->cow, &image->origin,
					 image->settings.chunk);
	/* Without its events the kernel is asked all the same, at intervals. */
	w->control = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
	w->stop = eventfd(0, EFD_CLOEXEC);
	rc = w->stop < 0 ? errno
			 : pthread_create(&w->thread, NULL, watch_main, w);
	if (rc == 0) {
		*ret = w;
		return 0;
	}
	if (w->stop >= 0)
		close(w->stop);
	if (w->control >= 0)
		close(w->control);
	free(w);
	return sc_err_sys(err, SC_ER_INTERNAL_ERROR, rc,
			  "cannot start a thread");
}

void sc_dm_watch_stop(struct sc_dm_watch *w)
{
	if (!w)
		return;
	(void)eventfd_write(w->stop, 1);
	pthread_join(w->thread, NULL);
	close(w->stop);
	if (w->control >= 0)
		close(w->control);
	free(w);
}
