/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The seal of a donor's job: E has come from the plugin, the sizes of the files
 * are taken, and the redo is followed to E.
 */
#include "daemon/donor.h"

#include "daemon/session.h"
#include "io/base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Wait for the plugin's SEAL. */
static int await_seal(struct donor *d, struct sc_err *err)
{
	SC_LOCK_SCOPE(&d->lock);
	while (!d->have_seal && !d->job.stopping)
		pthread_cond_wait(&d->changed, &d->lock);
	return donor_stopped(d, err);
}

/*
 * The sizes of the files, after E was fixed and before the plugin lets go of
 * the backup lock: redo that grows a file does not update the size InnoDB
 * compares at start. At S they are those in the image.
 */
static int take_sizes(struct donor *d, struct sc_err *err)
{
	d->seal.sizes = calloc(d->list.n + 1, sizeof(uint64_t));
	if (!d->seal.sizes)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	d->seal.n_sizes = d->list.n;
	for (size_t i = 0; i < d->list.n; i++) {
		const struct sc_file *file = &d->list.files[i];
		CLEANUP_CLOSE int fd = -1;
		struct stat st;

		if (file->gone)
			continue;
		if (d->at_image) {
			d->seal.sizes[i] = file->size;
			continue;
		}
		fd = d->running->open_file(d->running, file->path, false);
		if (fd < 0 || fstat(fd, &st) < 0)
			return sc_err_sys(
				err, SC_ER_INTERNAL_ERROR, fd < 0 ? -fd : errno,
				"cannot stat %s at the seal", file->path);
		d->seal.sizes[i] = (uint64_t)st.st_size;
	}
	return 0;
}

/* Nothing can be begun anew here: the files are settled. */
static int follow_to_end(struct donor *d, struct sc_err *err)
{
	donor_set_end(d, d->seal.mark.end_lsn);
	donor_join_follower(d);
	if (!d->redo_lost)
		return 0;
	*err = d->lost;
	return sc_err_context(err, "seal");
}

int donor_seal(struct donor *d, struct sc_err *err)
{
	sc_job_stage(&d->job, SC_STAGE_REDO_COPY);
	if (await_seal(d, err) < 0 || take_sizes(d, err) < 0 ||
	    sc_session_send(d->job.session, SC_CTL_SEALED, NULL, err) < 0)
		return -1;
	memcpy(d->seal.donor_uuid, d->start.donor_uuid,
	       sizeof(d->seal.donor_uuid));
	snprintf(d->seal.provider, sizeof(d->seal.provider), "%s",
		 d->share      ? sc_provider_reflink.name
		 : d->restarts ? d->running->provider
			       : d->image->provider);
	d->seal.swap_us = d->share ? d->sharing.longest_us : d->image->swap_us;
	d->seal.undo_us = d->image->undo_us;
	if (!d->at_image && follow_to_end(d, err) < 0)
		return -1;
	if (donor_stopped(d, err) < 0 || donor_seal_redo_key(d, err) < 0 ||
	    sc_session_send(d->job.session, SC_CTL_REDO_DONE, NULL, err) < 0)
		return -1;
	donor_join_sender(d);
	return donor_stopped(d, err);
}
