/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which files DDL changed while they were copied. Redo repeats what DDL does to
 * pages, but for indexes that are built: their pages are written without it.
 * The redo tells of these, too (io/redo/notes.h). A file that was copied from a
 * moment on when no DDL ran (settled_lsn) is right if nothing of that kind was
 * noted for it since.
 */
#include "daemon/donor.h"

#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "io/base/log.h"
#include "io/base/num.h"
#include "io/filediff.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Everything below the LSN that was asked for is on disk; it is only read. */
#define FOLLOW_MS 60000
#define FOLLOW_POLL_MS 1

/* ---- which files are to be copied again -----------------------------------
 */

/* The tablespace was discarded when the job began, or since then: its file is
 * not the server's until IMPORT TABLESPACE has rewritten it, without redo and
 * without a note. */
static bool is_discarded(struct donor *d, uint32_t space_id)
{
	uint32_t n = d->start.n_discarded;

	if (sc_redo_notes_deleted(d->notes, space_id, d->start.quiet_lsn))
		return true;

	for (uint32_t i = 0; i < n && n <= SC_MAX_DISCARDED; i++) {
		if (d->start.discarded[i] == space_id)
			return true;
	}
	return n > SC_MAX_DISCARDED; /* not listed: any */
}

/* A file that is shorter than it says is somebody's who copies it there, when
 * the server did not have it at the beginning; else it was cut. */
static bool may_be_short(void *ctx, uint32_t space_id)
{
	struct donor *d = ctx;

	for (size_t i = 0; i < d->list.n; i++) {
		if (d->list.files[i].spec.space_id == space_id)
			return is_discarded(d, space_id);
	}
	return true;
}

/* A file that came since the clone began, and that the server's own user may
 * not read: somebody copies it there for IMPORT TABLESPACE, and will give it to
 * the server before that. A look under the lock finds it then. */
static bool may_be_foreign(void *ctx, const char *path)
{
	struct donor *d = ctx;

	for (size_t i = 0; i < d->list.n; i++) {
		if (!d->list.files[i].gone &&
		    !strcmp(d->list.files[i].path, path))
			return false;
	}
	sc_info("%s cannot be read: not a file of the server's, and not cloned",
		path);
	return true;
}

static bool was_written(const struct sc_file *have, const struct sc_file *now)
{
	return have->id.mtime_ns != now->id.mtime_ns || have->size != now->size;
}

#ifdef SC_TEST_HOOKS
/* For a test that must fail then: does the storm of DDL see what is missing? */
static bool ignores_notes(void)
{
	return getenv("SNAPCLONE_IGNORE_NOTES") != NULL;
}
#else
static bool ignores_notes(void)
{
	return false;
}
#endif

/* DDL may have written pages of the file without redo since it was copied. */
static bool is_unlogged(struct donor *d, const struct sc_file *file,
			uint64_t bytes)
{
	uint32_t id = file->spec.space_id;

	/* Pages of the system tablespace are numbered through its files. */
	if (!id)
		bytes = UINT64_MAX;
	if (ignores_notes())
		return false;
	return sc_redo_notes_unlogged(d->notes, id, file->settled_lsn, bytes) ||
	       sc_redo_notes_deleted(d->notes, id, file->settled_lsn);
}

static bool is_stale(void *ctx, const struct sc_file *have,
		     const struct sc_file *now)
{
	struct donor *d = ctx;

	if (d->aside[have - d->list.files])
		return true;
	if (have->kind != SC_FILE_PAGES)
		return strcmp(have->path, SC_BUFFER_POOL_FILE) != 0 &&
		       was_written(have, now);
	if (is_unlogged(d, have, now->size))
		return true;
	/* An import, or DDL that nobody knows of when it was copied. */
	return (!have->settled_lsn || is_discarded(d, have->spec.space_id)) &&
	       was_written(have, now);
}

/* DDL took its name away, or gave that to another. Copies of an image are other
 * inodes. */
static bool is_moved(struct donor *d, const struct sc_file *file)
{
	CLEANUP_CLOSE int fd =
		d->running->open_file(d->running, file->path, false);
	struct sc_file_id id;

	if (fd < 0 || sc_file_id_of(fd, &id) < 0)
		return true;
	return d->image->live ? !sc_file_id_same(&id, &file->id)
			      : !sc_file_has_listed_space(fd, file);
}

bool donor_excused(void *ctx, const struct sc_file *file)
{
	struct donor *d = ctx;

	return is_unlogged(d, file, UINT64_MAX) ||
	       is_discarded(d, file->spec.space_id) || is_moved(d, file);
}

/* ---- a look under the lock ------------------------------------------------
 */

static int await_followed(struct donor *d, uint64_t lsn, struct sc_err *err)
{
	uint64_t deadline = sc_now_ms() + FOLLOW_MS;

	while (d->followed_lsn < lsn && !d->redo_lost) {
		if (donor_stopped(d, err) < 0)
			return -1;
		if (sc_now_ms() > deadline)
			return sc_err_set(err, SC_ER_INTERNAL_ERROR,
					  "redo was read to LSN %" PRIu64
					  " only in %d s, %" PRIu64
					  " is on disk",
					  (uint64_t)d->followed_lsn,
					  FOLLOW_MS / 1000, lsn);
		donor_poke_follower(d);
		sc_sleep_ms(FOLLOW_POLL_MS);
	}
	return 0;
}

int donor_list_running(struct donor *d, struct sc_err *err)
{
	struct sc_filelist now = { .keys = &d->keys.source,
				   .may_be_short = may_be_short,
				   .may_be_foreign = may_be_foreign,
				   .ctx = d };

	if (sc_filelist_scan(d->running, d->start.data_file_path,
			     d->start.page_size, &d->known, &now, err) < 0) {
		sc_filelist_free(&now);
		return -1;
	}
	sc_filelist_free(&d->known);
	d->known = now;
	return 0;
}

int donor_find_changes(struct donor *d, uint64_t lsn,
		       struct sc_file_changes *changes, struct sc_err *err)
{
	struct sc_filediff diff = {
		.have = &d->list, .now = &d->known, .stale = is_stale, .ctx = d
	};

	if (await_followed(d, lsn, err) < 0 || donor_weed_notes(d, err) < 0 ||
	    donor_list_running(d, err) < 0 ||
	    sc_filediff(&diff, changes, err) < 0)
		return -1;
	for (size_t i = 0; i < changes->adds.n; i++)
		changes->adds.files[i].settled_lsn = lsn;
	return 0;
}
