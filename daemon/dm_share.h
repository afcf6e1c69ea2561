/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Images of devices for the jobs of this process: one of a device at a time,
 * watched while it lives, shared by jobs that begin together, undone with its
 * last user. Any thread.
 *
 * A job that begins later does not share it: what DDL wrote without redo
 * between is not in the image, and the redo from before its begin is not read.
 */
#ifndef SC_DAEMON_DM_SHARE_H
#define SC_DAEMON_DM_SHARE_H

#include "daemon/dm_image.h"

struct sc_dm_shared;

/* A job's use of an image; the callbacks and ctx are set before
 * sc_dm_share_take(). */
struct sc_dm_user {
	/* As struct sc_dm_watcher's, from the watching thread, never two at a
	 * time for any users, not after sc_dm_share_drop() has returned. */
	void (*lost)(struct sc_dm_user *user, const struct sc_err *why);
	void (*filled)(struct sc_dm_user *user, const struct sc_dm_fill *fill);
	void *ctx;
	struct sc_dm_shared *shared; /* NULL: it has none */
	struct sc_dm_user *next;     /* of the same image */
};

/*
 * Could an image of the device under a directory be had by a job that asked at
 * that moment (CLOCK_MONOTONIC, microseconds)? 0 with the reason in why, `cap`
 * bytes ("xfs on the device vg-data, with ..."), or -1. Changes nothing; takes
 * as long as sc_dm_cow_probe().
 */
int sc_dm_share_probe(const struct sc_dm_settings *settings, int dir,
		      uint64_t asked_us, char *why, size_t cap,
		      struct sc_err *err);

/*
 * Use the image of the device under a directory: one that was made after the
 * job asked, or a new one. *ret_swap_us: as struct sc_dm_image's, 0 when
 * another job made it. 0, or -1 with nothing taken. Blocks while another one
 * is made or undone.
 */
int sc_dm_share_take(const struct sc_dm_settings *settings, int dir,
		     uint64_t asked_us, struct sc_dm_user *user,
		     uint64_t *ret_swap_us, struct sc_err *err);

/* Leave it; the last one undoes it (all descriptors from it must be closed),
 * and has *ret_undo_us set. 0, or -1 with what stayed. */
int sc_dm_share_drop(struct sc_dm_user *user, uint64_t *ret_undo_us,
		     struct sc_err *err);

/* The image that a user has, borrowed until the drop. */
struct sc_dm_image *sc_dm_share_image(const struct sc_dm_user *user);

#endif
