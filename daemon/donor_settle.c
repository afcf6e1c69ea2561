/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From the first copy to the seal (design, "Passes"). The plugin takes the
 * backup lock for a moment; the running files are listed and compared with
 * what was copied (donor_pass.c). What is little is copied at once, and the
 * seal follows under the same lock; what is much is copied after the plugin let
 * go of it, and then comes another look.
 */
#include "daemon/donor.h"

#include "daemon/session.h"
#include "io/base/cleanup.h"
#include "io/base/log.h"
#include "io/base/num.h"
#include "io/base/step.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* What may be copied under the lock: some tens of milliseconds. */
#define LOCKED_BYTES (16 * SC_MIB)
#define LOCKED_FILES 64
/* DDL that never ends: then the lock is held for as long as it takes. */
#define MAX_PASSES 8

static int grow_aside(struct donor *d, size_t from, struct sc_err *err)
{
	size_t n = d->list.n;
	atomic_uchar *aside =
		realloc((void *)d->aside, (n + 1) * sizeof(*aside));

	if (!aside)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	d->aside = aside;
	memset((void *)(aside + from), 0, n + 1 - from);
	return 0;
}

int donor_prepare_aside(struct donor *d, struct sc_err *err)
{
	return grow_aside(d, 0, err);
}

/* Copy what was added, as stream 0. locked: nothing may be amiss with it. */
static int copy_added(struct donor *d, bool locked, struct sc_err *err)
{
	d->copy.same_files = true;
	d->copy.aside = locked ? NULL : d->aside;
	d->passing = false;
	if (donor_share_files(d, d->added_from, locked, err) < 0)
		return -1;
	return donor_copy_stream(d, 0, err);
}

int donor_change_list(struct donor *d, const struct sc_file_changes *changes,
		      struct sc_err *err)
{
	size_t n = d->list.n;
	uint64_t chunks = d->list.chunks;

	d->list_changed = true;
	if (d->sink->ops->change(d->sink, changes, err) < 0 ||
	    sc_file_changes_apply(changes, &d->list, err) < 0 ||
	    grow_aside(d, n, err) < 0)
		return -1;
	d->planned = d->list.bytes;
	d->copy.next_chunk = chunks;
	d->added_from = n;
	d->passing = changes->adds.n > 0;
	sc_debug("pass %u: %zu files dropped, %zu renamed, %zu added (%" PRIu64
		 " MiB)",
		 d->passes, changes->n_drops, changes->n_renames,
		 changes->adds.n, changes->adds.bytes / SC_MIB);
	return 0;
}

static bool fits(const struct donor *d, const struct sc_file_changes *changes)
{
	return d->start.block_ddl || d->passes >= MAX_PASSES ||
	       (changes->adds.bytes <= LOCKED_BYTES &&
		changes->adds.n <= LOCKED_FILES);
}

int donor_send_settled(struct donor *d, const struct sc_ctl_settled *settled,
		       struct sc_err *err)
{
	struct sc_enc enc = { 0 };

	sc_ctl_put_settled(&enc, settled);
	return sc_session_send(d->job.session, SC_CTL_SETTLED, &enc, err);
}

/* ---- the loop -------------------------------------------------------------
 */

static int await_locked(struct donor *d, struct sc_ctl_locked *ret,
			struct sc_err *err)
{
	SC_LOCK_SCOPE(&d->lock);
	while (!d->locked.lsn && !d->job.stopping)
		pthread_cond_wait(&d->changed, &d->lock);
	*ret = d->locked;
	d->locked.lsn = 0;
	return donor_stopped(d, err);
}

/* Under the lock: 1 all is right and nothing was left to copy, 0 there is more
 * to copy, which is added to the list, or redo was lost, -1. */
static int look(struct donor *d, uint64_t lsn, struct sc_err *err)
{
	CLEANUP_CHANGES struct sc_file_changes changes = { 0 };
	bool now;

	if (d->restarts && d->redo_lost)
		return donor_restart(d, lsn, &changes, err);
	if (donor_find_changes(d, lsn, &changes, err) < 0)
		return -1;
	if (d->redo_lost || sc_file_changes_none(&changes))
		return !d->redo_lost;
	now = fits(d, &changes);
	if (donor_change_list(d, &changes, err) < 0)
		return -1;
	donor_play_change(d);
	if (now && copy_added(d, true, err) < 0)
		return -1;
	return now && !d->redo_lost;
}

/* A pass: 1 settled, 0 another one is needed, -1. */
static int settle_once(struct donor *d, struct sc_err *err)
{
	struct sc_ctl_settled settled = { .what = SC_SETTLED_MORE };
	struct sc_ctl_locked locked;
	bool lost;
	int rc;

	/* What can be done without the lock. */
	if (donor_weed_notes(d, err) < 0 || donor_list_running(d, err) < 0 ||
	    sc_session_send(d->job.session, SC_CTL_COPIED, NULL, err) < 0 ||
	    await_locked(d, &locked, err) < 0)
		return -1;
	lost = d->redo_lost;
	rc = lost ? donor_settle_lost(d, &locked, err) : 0;
	if (rc)
		return rc;
	if (lost && await_locked(d, &locked, err) < 0)
		return -1;
	rc = look(d, locked.lsn, err);
	if (rc > 0)
		settled.what = SC_SETTLED_DONE;
	if (rc < 0 || donor_send_settled(d, &settled, err) < 0)
		return -1;
	sc_step_done("donor", "look");
	/* Also when redo is lost by now: the other side awaits the end of what
	 * was added. */
	return d->passing ? copy_added(d, false, err) : rc;
}

int donor_settle(struct donor *d, struct sc_err *err)
{
	int rc;

	for (;; d->passes++) {
		rc = settle_once(d, err);
		if (rc)
			return rc < 0 ? -1 : donor_stopped(d, err);
	}
}
