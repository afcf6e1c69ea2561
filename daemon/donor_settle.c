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
	if (donor_share_files(d, d->added_from, locked, err) < 0)
		return -1;
	return donor_copy_stream(d, 0, err);
}

static int change_list(struct donor *d, const struct sc_file_changes *changes,
		       struct sc_err *err)
{
	size_t n = d->list.n;
	uint64_t chunks = d->list.chunks;

	if (d->sink->ops->change(d->sink, changes, err) < 0 ||
	    sc_file_changes_apply(changes, &d->list, err) < 0 ||
	    grow_aside(d, n, err) < 0)
		return -1;
	d->planned = d->list.bytes;
	d->copy.next_chunk = chunks;
	d->added_from = n;
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

static int send_settled(struct donor *d, enum sc_settled settled,
			struct sc_err *err)
{
	struct sc_enc enc = { 0 };

	sc_enc_u8(&enc, (uint8_t)settled);
	return sc_session_send(d->job.session, SC_CTL_SETTLED, &enc, err);
}

/* ---- redo was lost --------------------------------------------------------
 */

/* Ask the plugin to hold redo files anew; LOCKED comes again. Once: then a loss
 * ends the job (follower_main()). */
static int begin_restart(struct donor *d, struct sc_err *err)
{
	d->restarts++;
	sc_warning(
		"%s; the clone starts again from the beginning; HINT: raise innodb_redo_log_capacity",
		d->lost.msg);
	return send_settled(d, SC_SETTLED_RESTART, err);
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

/* From a new C on. */
static int restart(struct donor *d, uint64_t lsn,
		   struct sc_file_changes *changes, struct sc_err *err)
{
	donor_forget_redo(d);
	if (donor_start_follower(d, err) < 0)
		return -1;
	d->checkpoint = d->followed_from;
	if (donor_list_running(d, err) < 0 ||
	    change_everything(d, lsn, changes, err) < 0 ||
	    change_list(d, changes, err) < 0 || donor_begin_redo(d, err) < 0)
		return -1;
	return donor_start_sender(d, err);
}

/* ---- the loop -------------------------------------------------------------
 */

static int await_locked(struct donor *d, uint64_t *ret_lsn, struct sc_err *err)
{
	SC_LOCK_SCOPE(&d->lock);
	while (!d->locked_lsn && !d->job.stopping)
		pthread_cond_wait(&d->changed, &d->lock);
	*ret_lsn = d->locked_lsn;
	d->locked_lsn = 0;
	return donor_stopped(d, err);
}

/* Under the lock: 1 all is right and nothing was left to copy, 0 there is more
 * to copy, which is added to the list, -1. */
static int look(struct donor *d, uint64_t lsn, struct sc_err *err)
{
	CLEANUP_CHANGES struct sc_file_changes changes = { 0 };
	bool now;

	if (d->restarts && d->redo_lost)
		return restart(d, lsn, &changes, err);
	if (donor_find_changes(d, lsn, &changes, err) < 0)
		return -1;
	if (d->redo_lost || sc_file_changes_none(&changes))
		return !d->redo_lost;
	now = fits(d, &changes);
	if (change_list(d, &changes, err) < 0)
		return -1;
	if (now && copy_added(d, true, err) < 0)
		return -1;
	return now;
}

int donor_settle(struct donor *d, struct sc_err *err)
{
	uint64_t lsn;
	int rc;

	for (;; d->passes++) {
		/* What can be done without the lock. */
		if (donor_weed_notes(d, err) < 0 ||
		    donor_list_running(d, err) < 0 ||
		    sc_session_send(d->job.session, SC_CTL_COPIED, NULL, err) <
			    0 ||
		    await_locked(d, &lsn, err) < 0)
			return -1;
		if (d->redo_lost && (begin_restart(d, err) < 0 ||
				     await_locked(d, &lsn, err) < 0))
			return -1;
		rc = look(d, lsn, err);
		if (rc < 0 ||
		    send_settled(d, rc ? SC_SETTLED_DONE : SC_SETTLED_MORE,
				 err) < 0)
			return -1;
		sc_step_done("donor", "look");
		if (rc)
			return donor_stopped(d, err);
		if (copy_added(d, false, err) < 0)
			return -1;
	}
}
