/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A local clone on the donor's own file system: its files share the extents of
 * the running ones, which takes no longer for large files than for small ones.
 * Every page is whole (io/reflink.h), as in a reflink image; but none is read,
 * so none is checked, and chunks have no digests.
 */
#include "daemon/donor.h"

#include "daemon/reserve.h"
#include "io/base/cleanup.h"
#include "io/base/log.h"
#include "io/base/num.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

bool donor_may_share(struct donor *d, const struct sc_image_request *request)
{
	char why[SC_WHY_SIZE];
	int rc;

	if (!d->start.local || (d->start.provider != SC_PROVIDER_AUTO &&
				d->start.provider != SC_PROVIDER_REFLINK))
		return false;
	rc = sc_reflink_try(request->datadir, d->fds[SC_DONOR_FD_TARGET]);
	if (rc < 0) {
		sc_info("files are not shared with the target directory: %s",
			strerrordesc_np(-rc));
		return false;
	}
	/* The target goes on sharing: what the server overwrites will take new
	 * blocks for as long as it exists. */
	if (!sc_reserve_has_room(request, why)) {
		sc_info("files are not shared with the target directory: %s",
			why);
		return false;
	}
	sc_info("files are shared with the target directory: pages are not read, so they are not checked, and there are no digests (clone_provider=LIVE copies and checks)");
	return true;
}

/* 0, 1 when it has to be copied (*why: errno), or -1. */
static int share_file(struct donor *d, size_t i, bool locked, int *why,
		      struct sc_err *err)
{
	struct sc_file *file = &d->list.files[i];
	CLEANUP_CLOSE int src = sc_file_open_listed(d->running, file, false);
	int rc;

	if (!locked && (src == -ENOENT || src == -ESTALE)) {
		d->aside[i] = 1;
		return 0;
	}
	if (src < 0)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, -src,
				  "cannot open %s", file->path);
	rc = sc_stage_share(d->stage, i, src, &d->sharing, &d->job.stopping,
			    why, err);
	if (rc)
		return rc;
	file->shared = true;
	d->copy.bytes_read += file->size;
	return 0;
}

int donor_share_files(struct donor *d, size_t from, bool locked,
		      struct sc_err *err)
{
	size_t shared = 0, copied = 0;
	int why = 0;

	for (size_t i = from; d->share && i < d->list.n; i++) {
		int rc = share_file(d, i, locked, &why, err);

		if (rc > 0)
			rc = sc_stage_share_not(d->stage, i, err);
		if (rc < 0)
			return -1;
		shared += d->list.files[i].shared;
		copied += !d->list.files[i].shared && !d->aside[i];
	}
	if (!shared && !copied)
		return 0;
	sc_info("shared %zu files, %" PRIu64
		" MiB; the longest slice, for which a write of this server may have waited, took %" PRIu64
		".%03" PRIu64 " ms",
		shared, d->sharing.bytes / SC_MIB, d->sharing.longest_us / 1000,
		d->sharing.longest_us % 1000);
	if (copied)
		sc_warning("%zu files are copied, as they cannot be shared: %s",
			   copied, strerrordesc_np(why));
	return 0;
}
