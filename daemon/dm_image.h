/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A snapshot of one device, with the file system on it mounted where nobody
 * sees it. Made and undone by one table of steps (dm_steps.c); what every step
 * made is undone when a later one fails, when the image is closed, or by
 * sc_dm_reap() when the process died.
 */
#ifndef SC_DAEMON_DM_IMAGE_H
#define SC_DAEMON_DM_IMAGE_H

#include "daemon/dm_cow.h"
#include "daemon/dm_origin.h"

#include "io/base/err.h"

struct sc_dm_image {
	int sys;
	struct sc_dm_settings settings;
	struct sc_dm_origin origin;
	int dir; /* a directory on the origin */

	struct sc_dm_cow cow;
	dev_t real; /* the origin's table, under the origin */
	dev_t snap; /* the snapshot */
	int device; /* descriptor of it */
	int mounted;
	bool swapped;
	uint64_t made_us; /* just before the swap, CLOCK_MONOTONIC */
	unsigned done;	  /* steps */
	bool locked;
	bool stays; /* an undo failed; what is under that is in use */

	/* What a write may have waited: for the swap, and for the swap back.
	 * Microseconds. */
	uint64_t swap_us, undo_us;
};

/*
 * Make an image of the device under the directory `dir` (borrowed for the
 * call). 0, or -1; what could not be undone then is kept (daemon/left.h). One
 * image of a device at a time. Takes as long as the file system's dirty pages
 * take to write. Any thread.
 */
int sc_dm_image_open(const struct sc_dm_settings *settings, int dir,
		     struct sc_dm_image **ret, struct sc_err *err);

/* The origin still writes through us, and the snapshot is whole: all that was
 * read up to now is of the image. 0 or -1. Any thread. */
int sc_dm_image_check(struct sc_dm_image *image, struct sc_err *err);

/* How full the copy-on-write area is. 0 or -1. Any thread. */
int sc_dm_image_fill(struct sc_dm_image *image, struct sc_dm_fill *ret,
		     struct sc_err *err);

/* Undo everything and free it; all descriptors from the image must be closed.
 * ret_undo_us may be NULL. 0, or -1 with what stayed. */
int sc_dm_image_close(struct sc_dm_image *image, uint64_t *ret_undo_us,
		      struct sc_err *err);

/*
 * Undo what processes left that died: give origins their tables back and
 * remove our devices. Does nothing while a process lives that has an image.
 * Number of images removed, or -1 with the first failure after trying the rest.
 */
int sc_dm_reap(struct sc_err *err);

/* Is there any device of ours on this host, of a process that lives too? Also
 * when that cannot be seen. */
bool sc_dm_remains(void);

#endif
