/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Redo that the server recycled before it was read (design, "Redo lost"). An
 * image of one moment is a clone without it: the redo up to S is in the image,
 * if the follower does not have it already. Otherwise the job begins anew,
 * once.
 */
#include "daemon/donor.h"

#include "io/base/clock.h"
#include "io/base/log.h"
#include "io/base/step.h"

#include <inttypes.h>
#include <stdio.h>

#define FOLLOW_POLL_MS 5

void donor_lose_redo(struct donor *d, const struct sc_err *err)
{
	d->lost = *err;
	if (!d->one_moment || d->list_changed) {
		d->copy_cut = true;
		d->copy.next_chunk = UINT64_MAX / 2;
	}
	d->redo_lost = true;
}

int donor_save_redo(struct donor *d, struct sc_err *err)
{
	if (!d->one_moment)
		return 0;
	/* That is long past, but for a follower that is far behind. */
	while (!d->redo_lost && d->followed_lsn < d->seal.image_lsn) {
		if (donor_stopped(d, err) < 0)
			return -1;
		donor_poke_follower(d);
		sc_sleep_ms(FOLLOW_POLL_MS);
	}
	if (!d->redo_lost || d->copy_cut)
		return 0;
	donor_join_follower(d);
	if (donor_follow_image(d, err) < 0)
		return -1;
	sc_step_done("lost", "save redo");
	return 0;
}

/* Why the clone cannot end with S; NULL: it can. */
static const char *find_obstacle(struct donor *d, bool quiet_image)
{
	if (!d->one_moment)
		return "there is no image of one moment that has the redo log";
	if (d->list_changed)
		return "files that DDL changed since the image have been copied again";
	if (d->copy_cut)
		return "that was before the image was made";
	if (!quiet_image)
		return "DDL ran while the image was made, or it took more than a second";
	if (sc_redo_follow_lsn(d->follow) < d->seal.image_lsn)
		return "the redo up to the image is lost, too";
	return NULL;
}

static int end_at_image(struct donor *d, struct sc_err *err)
{
	struct sc_ctl_settled settled = { .what = SC_SETTLED_IMAGE,
					  .image_lsn = d->seal.image_lsn };

	if (!d->end_lsn && donor_end_redo(d, err) < 0)
		return -1;
	snprintf(settled.why, sizeof(settled.why), "%s", d->lost.msg);
	sc_warning(
		"%s; the clone ends at the LSN of its image, %" PRIu64
		", without the redo after it; HINT: raise innodb_redo_log_capacity",
		d->lost.msg, d->seal.image_lsn);
	d->at_image = true;
	if (donor_send_settled(d, &settled, err) < 0)
		return -1;
	sc_step_done("lost", "end at image");
	return 1;
}

int donor_settle_lost(struct donor *d, const struct sc_ctl_locked *locked,
		      struct sc_err *err)
{
	struct sc_ctl_settled settled = { .what = SC_SETTLED_RESTART };
	const char *obstacle;

	donor_join_follower(d);
	obstacle = find_obstacle(d, locked->quiet_image);
	if (!obstacle)
		return end_at_image(d, err);
	d->restarts++;
	sc_warning(
		"%s; the clone starts again from the beginning (%s); HINT: raise innodb_redo_log_capacity",
		d->lost.msg, obstacle);
	if (donor_send_settled(d, &settled, err) < 0)
		return -1;
	sc_step_done("lost", "ask for another beginning");
	return 0;
}

/* Everything goes, everything comes again. */
static int change_everything(struct donor *d, uint64_t lsn,
			     struct sc_file_changes *changes,
			     struct sc_err *err)
{
	for (size_t i = 0; i < d->list.n; i++) {
		if (!d->list.files[i].gone &&
		    sc_file_changes_drop(changes, (uint32_t)i, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < d->known.n; i++) {
		if (sc_filelist_add_like(&changes->adds, &d->known.files[i],
					 err) < 0)
			return -1;
		changes->adds.files[i].settled_lsn = lsn;
	}
	return 0;
}

int donor_restart(struct donor *d, uint64_t lsn,
		  struct sc_file_changes *changes, struct sc_err *err)
{
	donor_forget_redo(d);
	if (donor_start_follower(d, err) < 0)
		return -1;
	d->checkpoint = d->followed_from;
	d->seal.image_lsn = 0; /* nothing of the image stays */
	if (donor_list_running(d, err) < 0 ||
	    change_everything(d, lsn, changes, err) < 0 ||
	    donor_change_list(d, changes, err) < 0 ||
	    donor_begin_redo(d, err) < 0 || donor_start_sender(d, err) < 0)
		return -1;
	sc_step_done("lost", "begin anew");
	return 0;
}
