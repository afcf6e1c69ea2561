/* SPDX-License-Identifier: GPL-2.0-only */
/* The steps of an image (dm_steps.c), for dm_image.c. */
#ifndef SC_DAEMON_DM_STEPS_H
#define SC_DAEMON_DM_STEPS_H

#include "daemon/dm_dev.h"
#include "daemon/dm_image.h"

/* All steps, in order. 0, or -1: what was made is counted in image->done and
 * to be undone. */
int sc_dm_steps_make(struct sc_dm_image *image, struct sc_err *err);

/* Undo what was made, last first. Goes on after a failure: whatever can be
 * given back is. 0, or -1 with the first failure. */
int sc_dm_steps_undo(struct sc_dm_image *image, struct sc_err *err);

/* sc_dm_swap(), after which the origin's read-ahead is what it was: the kernel
 * computes it anew. */
int sc_dm_swap_keeping(int sys, const struct sc_dm_info *origin,
		       uint64_t *ret_us, struct sc_err *err);

/* 1: the origin runs through us; 0: somebody gave it another table; -1. */
int sc_dm_runs_through_us(struct sc_dm_image *image, struct sc_err *err);

#endif
