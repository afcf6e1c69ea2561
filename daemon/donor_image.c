/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The image of a donor's job: made when the follower runs, given back when the
 * streams have ended. Of an atomic one recovery begins at the checkpoint that
 * is in it (design, "Why the result is right").
 */
#include "daemon/donor.h"

#include "daemon/left.h"
#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "io/base/fdio.h"
#include "io/base/log.h"
#include "io/base/num.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>

#define REDO_BUFFER (1u << 20)

static void give_up(void *ctx, const struct sc_err *why)
{
	struct donor *d = ctx;

	sc_job_fail(&d->job, why);
}

static void filled(void *ctx, uint64_t used, uint64_t bytes)
{
	struct donor *d = ctx;

	sc_job_area(&d->job, used, bytes);
}

/* The files as they are now: their sizes at the seal are asked of them, and
 * what an image does not have. */
static int open_running(struct donor *d, const struct sc_image_request *request,
			struct sc_err *err)
{
	return sc_provider_live.open(request, &d->running, err);
}

/* Files that are shared with the target need no other image of them. */
static int make_image(struct donor *d, const struct sc_image_request *request,
		      struct sc_err *err)
{
	return d->share ? sc_provider_live.open(request, &d->image, err)
			: sc_provider_open(request, d->start.provider,
					   &d->image, err);
}

/* C is the newest checkpoint in the image, not older than what is followed. */
static int find_checkpoint(struct donor *d, struct sc_err *err)
{
	if (sc_redo_newest_checkpoint(d->image->redo, &d->checkpoint, err) < 0)
		return sc_err_context(err, "redo log of the image");
	if (d->checkpoint.uuid == d->followed_from.uuid &&
	    d->checkpoint.lsn >= d->followed_from.lsn)
		return 0;
	return sc_err_set(err, SC_ER_INTERNAL_ERROR,
			  "the image has checkpoint %" PRIu64
			  " of redo log %u, expected at least %" PRIu64
			  " of %u",
			  d->checkpoint.lsn, d->checkpoint.uuid,
			  d->followed_from.lsn, d->followed_from.uuid);
}

/* Pages that the server was writing at that moment are whole there. */
static int load_doublewrite(struct donor *d, struct sc_err *err)
{
	const char *path = d->start.doublewrite_dir;
	CLEANUP_CLOSE int dir = sc_open_beneath(
		d->image->root, *path ? path : ".", O_RDONLY | O_DIRECTORY, 0);

	if (dir < 0)
		return sc_err_sys(
			err, SC_ER_INTERNAL_ERROR, -dir,
			"cannot open innodb_doublewrite_dir %s in the image",
			*path ? path : ".");
	return sc_dblwr_load(dir, d->start.page_size, d->checkpoint.lsn,
			     &d->dblwr, err);
}

int donor_open_image(struct donor *d, struct sc_err *err)
{
	struct sc_image_request request = {
		.config = d->config,
		.datadir = d->fds[SC_DONOR_FD_DATADIR],
		.redo = d->fds[SC_DONOR_FD_REDO],
		.roots = &d->roots,
		.doublewrite_dir = d->start.doublewrite_dir,
		.buffered = d->start.buffered,
		.give_up = give_up,
		.filled = filled,
		.asked_us = sc_clock_us(CLOCK_MONOTONIC),
		.ctx = d,
	};

	memcpy(request.job_id, d->start.job_id, sizeof(request.job_id));
	d->share = donor_may_share(d, &request);
	if (open_running(d, &request, err) < 0 ||
	    make_image(d, &request, err) < 0)
		return -1;
	sc_job_image(&d->job, d->image->provider, d->image->swap_us, 0);
	d->checkpoint = d->followed_from;
	if (d->image->redo >= 0 && find_checkpoint(d, err) < 0)
		return -1;
	d->one_moment = d->image->atomic && d->image->redo >= 0;
	return d->image->atomic ? load_doublewrite(d, err) : 0;
}

int donor_find_image_end(struct donor *d, struct sc_err *err)
{
	CLEANUP_REDO_FOLLOW struct sc_redo_follow *f = NULL;
	CLEANUP_FREE void *buf = NULL;
	struct sc_redo_run run;
	int rc = 1;

	if (d->image->redo < 0)
		return 0;
	buf = malloc(REDO_BUFFER);
	if (!buf)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	if (sc_redo_follow_open(d->image->redo, d->checkpoint.lsn, &f, err) < 0)
		return sc_err_context(err, "redo log of the image");
	sc_redo_follow_set_key(f, donor_redo_key, d);
	while (rc == 1 && !d->job.stopping)
		rc = sc_redo_follow_read(f, buf, REDO_BUFFER, &run, err);
	if (rc < 0)
		return sc_err_context(err, "redo log of the image");
	d->seal.image_lsn = sc_redo_follow_lsn(f);
	sc_info("the image is of LSN %" PRIu64 ", its checkpoint %" PRIu64,
		d->seal.image_lsn, d->checkpoint.lsn);
	return 0;
}

/* It has a directory of the image open. */
static void free_doublewrite(struct donor *d)
{
	d->copy.dblwr = NULL;
	sc_dblwr_free(d->dblwr);
	d->dblwr = NULL;
}

void donor_blame_image(struct donor *d, struct sc_err *err)
{
	struct sc_err lost = SC_ERR_INIT;

	if (!d->job.stopping && d->image && !d->given_back && d->image->check &&
	    d->image->check(d->image, &lost) < 0)
		*err = lost;
}

/* Once. What stays does not fail a clone, which has what it needs, and is not
 * why one failed. */
static void give_back(struct donor *d)
{
	struct sc_image *image = d->image;
	struct sc_err err = SC_ERR_INIT;

	free_doublewrite(d);
	if (d->given_back || !image->undo)
		return;
	d->given_back = true;
	if (image->undo(image, &err) < 0)
		sc_left_keep(image->provider, &err);
	sc_job_image(&d->job, image->provider, image->swap_us, image->undo_us);
	sc_job_area(&d->job, 0, 0);
	if (image->undo_us)
		sc_info("provider %s: image given back, a write of this server waited at most %" PRIu64
			".%03" PRIu64 " ms for it",
			image->provider, image->undo_us / 1000,
			image->undo_us % 1000);
}

int donor_drop_image(struct donor *d, struct sc_err *err)
{
	if (d->image->check && d->image->check(d->image, err) < 0)
		return -1;
	d->copy.image = d->running;
	give_back(d);
	return 0;
}

void donor_close_image(struct donor *d)
{
	if (d->image) {
		give_back(d);
		d->image->close(d->image);
	}
	if (d->running)
		d->running->close(d->running);
	d->image = d->running = NULL;
}
