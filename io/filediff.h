/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What has to change in a clone's files so that they are those that the
 * donor has now. Tablespaces are told apart by their id on page 0, which
 * InnoDB never gives twice, whatever their names.
 */
#ifndef SC_FILEDIFF_H
#define SC_FILEDIFF_H

#include "io/filechange.h"

struct sc_filediff {
	/* What was copied so far. The ids of files that stay become those of
	 * `now`. */
	struct sc_filelist *have;
	const struct sc_filelist *now; /* a new scan of the running files */
	/* Was it changed, in a way that redo does not repeat, since it was
	 * copied? have: an entry of `have` that is not gone; now: the same
	 * tablespace in `now`. */
	bool (*stale)(void *ctx, const struct sc_file *have,
		      const struct sc_file *now);
	void *ctx;
};

/*
 * Find the changes that make `have` into `now`: what is not there any more or
 * stale or smaller than it was is dropped, what has another name is renamed,
 * what is new or stale is added. Files without a space id (without pages, or
 * whose page 0 is not written yet) are matched by name, and added anew when
 * their id or size differs. Where several files have the same space id, names
 * go first. Files of the system tablespace stay unless they are stale (tables
 * in it may get indexes without redo, in any of its files). Tablespaces' inodes
 * are not compared (those of an image may differ): stale() may. changes:
 * zero-initialised; freed by the caller also after a failure. 0 or -1.
 */
int sc_filediff(const struct sc_filediff *diff, struct sc_file_changes *changes,
		struct sc_err *err);

#endif
