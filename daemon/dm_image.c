/* SPDX-License-Identifier: GPL-2.0-only */
/* An image of a device, from begin to end; see dm_image.h. Its steps are in
 * dm_steps.c. */
#include "daemon/dm_image.h"

#include "daemon/dm_dev.h"
#include "daemon/dm_lock.h"
#include "daemon/dm_steps.h"
#include "daemon/dm_sysfs.h"
#include "daemon/left.h"
#include "io/base/log.h"
#include "io/base/num.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

static void image_free(struct sc_dm_image *im)
{
	if (im->locked)
		sc_dm_lock_drop();
	sc_dm_origin_free(&im->origin);
	if (im->dir >= 0)
		close(im->dir);
	if (im->sys >= 0)
		close(im->sys);
	free(im);
}

static int prepare(struct sc_dm_image *im, int dir, struct sc_err *err)
{
	im->sys = sc_sys_open(err);
	if (im->sys < 0)
		return -1;
	im->dir = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (im->dir < 0)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
				  "cannot open the data directory");
	if (sc_dm_lock_take(err) < 0)
		return -1;
	im->locked = true;
	return sc_dm_origin_find(im->sys, im->dir, &im->origin, err);
}

static int undo_steps(struct sc_dm_image *im, struct sc_err *err)
{
	if (sc_dm_steps_undo(im, err) == 0)
		return 0;
	return sc_err_context(
		err,
		"undoing the image of %s (`snapclone cleanup` removes what stayed)",
		im->origin.name);
}

int sc_dm_image_open(const struct sc_dm_settings *settings, int dir,
		     struct sc_dm_image **ret, struct sc_err *err)
{
	struct sc_dm_image *im = calloc(1, sizeof(*im));
	struct sc_err undo = SC_ERR_INIT;

	if (!im)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	im->settings = *settings;
	im->sys = im->dir = im->device = im->mounted = -1;
	if (prepare(im, dir, err) == 0 && sc_dm_steps_make(im, err) == 0) {
		*ret = im;
		return 0;
	}
	if (undo_steps(im, &undo) < 0)
		sc_left_keep("dm", &undo);
	image_free(im);
	return -1;
}

int sc_dm_image_check(struct sc_dm_image *im, struct sc_err *err)
{
	struct sc_dm_fill fill;
	int rc = sc_dm_runs_through_us(im, err);

	if (rc == 0)
		return sc_err_set(
			err, SC_ER_INTERNAL_ERROR,
			"somebody else changed the table of the device %s (lvextend, lvchange?) while it was being cloned: the image is not whole",
			im->origin.name);
	if (rc < 0 || sc_dm_fill(im->snap, &fill, err) < 0)
		return -1;
	if (!fill.valid)
		return sc_err_set(
			err, SC_ER_CLONE_DISK_SPACE,
			"the copy-on-write area of %s (%" PRIu64
			" MiB, %s) is full or failed: the image is lost; HINT: a larger dm_cow, dm_cow_size",
			im->origin.name, im->cow.bytes / SC_MIB, im->cow.text);
	return 0;
}

int sc_dm_image_fill(struct sc_dm_image *im, struct sc_dm_fill *ret,
		     struct sc_err *err)
{
	if (sc_dm_fill(im->snap, ret, err) < 0)
		return -1;
	sc_dm_cow_fill(im->sys, &im->cow, ret);
	return 0;
}

int sc_dm_image_close(struct sc_dm_image *im, uint64_t *ret_undo_us,
		      struct sc_err *err)
{
	int rc = undo_steps(im, err);

	if (ret_undo_us)
		*ret_undo_us = im->undo_us;
	image_free(im);
	return rc;
}
