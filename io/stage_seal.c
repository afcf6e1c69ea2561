/* SPDX-License-Identifier: GPL-2.0-only */
/* The end of staging: everything checked, made durable, and counted or
 * removed; see stage.h. One thread. */
#include "io/stage_impl.h"

#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "io/base/fdio.h"
#include "io/base/log.h"
#include "io/base/num.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int check_chunks(struct sc_staged *stage, const struct sc_file *file,
			struct sc_err *err)
{
	for (uint64_t i = 0; i < sc_chunks_of(file->size); i++) {
		if (!stage->have[file->first_chunk + i])
			return sc_err_set(err, SC_ER_CLONE_PROTOCOL,
					  "chunk %" PRIu64
					  " of %s never arrived",
					  i, file->path);
	}
	return 0;
}

/* A page newer than E would need redo the clone does not have: the server only
 * logs that and goes on into corruption. */
static int check_newest(const struct sc_file *file,
			const struct stage_newest *newest, uint64_t end_lsn,
			struct sc_err *err)
{
	if (newest->lsn <= end_lsn)
		return 0;
	return sc_err_set(
		err, SC_ER_INTERNAL_ERROR,
		"page %" PRIu64 " of %s has LSN %" PRIu64
		", above the end of the clone, %" PRIu64
		"; HINT: a file that waits for IMPORT TABLESPACE comes from another server: import or remove it, and clone again",
		newest->page, file->path, newest->lsn, end_lsn);
}

static int check_complete(struct sc_staged *stage, const struct sc_seal *seal,
			  struct sc_err *err)
{
	if (!stage->list || !stage->redo || seal->n_sizes != stage->list->n)
		return sc_frame_bad(err, "sealed before it was complete");
	for (size_t i = 0; i < stage->list->n; i++) {
		const struct sc_file *file = &stage->list->files[i];

		if (file->gone)
			continue;
		if (check_chunks(stage, file, err) < 0 ||
		    check_newest(file, &stage->newest[i], seal->mark.end_lsn,
				 err) < 0)
			return -1;
	}
	return 0;
}

int sc_stage_redo_key(struct sc_staged *stage, const struct sc_space_key *key,
		      struct sc_err *err)
{
	if (!stage->redo)
		return sc_frame_bad(err, "a redo key before the redo");
	stage->redo_key.key = *key;
	stage->have_redo_key = true;
	return sc_redo_build_set_key(stage->redo, key, err);
}

static int finish_redo(struct sc_staged *stage, const struct sc_seal *seal,
		       struct sc_err *err)
{
	uint64_t end_lsn = seal->mark.end_lsn;
	CLEANUP_CLOSE int dir = -1;
	char name[STAGE_NAME_CAP];

	stage->redo_key.block = seal->redo_encryption;
	sc_redo_build_set_encryption(stage->redo, seal->redo_encryption);
	if (sc_redo_build_finish(stage->redo, end_lsn, err) < 0)
		return -1;
	dir = openat(stage_name(stage, SC_REDO_DIR, name), name,
		     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
				  "cannot open staged " SC_REDO_DIR);
	return sc_redo_check(dir, stage->checkpoint_lsn, end_lsn,
			     stage->have_redo_key ? &stage->redo_key : NULL,
			     err);
}

/* GTID sets print with newlines; the file has one line per key, whatever the
 * donor sent. */
static void write_text(FILE *f, const char *key, const char *text)
{
	fprintf(f, "%s=", key);
	for (const char *p = text ? text : ""; *p; p++) {
		if (*p != '\n' && *p != '\r')
			fputc(*p, f);
	}
	fputc('\n', f);
}

static void format_end(FILE *f, const struct sc_staged *stage,
		       const struct sc_seal *seal)
{
	const struct sc_ctl_seal *m = &seal->mark;

	fprintf(f, "format=1\n");
	fprintf(f, "checkpoint_lsn=%" PRIu64 "\n", stage->checkpoint_lsn);
	fprintf(f, "end_lsn=%" PRIu64 "\n", m->end_lsn);
	fprintf(f, "seal_begin_us=%" PRIu64 "\n", m->seal_begin_us);
	write_text(f, "donor_uuid", seal->donor_uuid);
	write_text(f, "binlog_file", m->binlog_file);
	fprintf(f, "binlog_position=%" PRIu64 "\n", m->binlog_position);
	write_text(f, "gtid_flushed", m->gtid_flushed);
	write_text(f, "gtid_executed", m->gtid_executed);
	if (*m->redo_lost)
		write_text(f, "redo_lost", m->redo_lost);
}

/* The text of #snapclone_end, for our plugin in the server on the clone. */
static char *end_text(const struct sc_staged *stage, const struct sc_seal *seal,
		      struct sc_err *err)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	bool bad;

	if (f) {
		format_end(f, stage, seal);
		bad = ferror(f);
		if (fclose(f) == 0 && !bad)
			return text;
	}
	free(text);
	sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	return NULL;
}

/*
 * What start-up finds in #clone: an empty #replace_files makes InnoDB record
 * the recovery, #status_fix makes it create missing schema directories and
 * empty MyISAM and CSV tables (both as the stock plugin leaves them). Source:
 * clone/clone0api.cc.
 */
static int write_end(struct sc_staged *stage, struct sc_err *err)
{
	const struct sc_small_file files[] = {
		{ SC_END_NAME, stage->end_text, strlen(stage->end_text) },
		{ SC_REPLACE_FILES, "", 0 },
		{ SC_STATUS_FIX, "", 0 },
	};
	CLEANUP_CLOSE int dir =
		openat(stage->target, SC_CLONE_DIR,
		       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (dir < 0)
		return stage_error(errno, SC_CLONE_DIR, err);
	return sc_write_files(dir, files, SC_ARRAY_SIZE(files), stage->uid,
			      stage->gid, err);
}

int sc_stage_seal(struct sc_staged *stage, const struct sc_seal *seal,
		  struct sc_err *err)
{
	CLEANUP_CLOSE int manifest = -1;

	stage->sealing_ms = sc_now_ms();
	if (check_complete(stage, seal, err) < 0 ||
	    finish_redo(stage, seal, err) < 0 ||
	    stage_sync_files(stage, seal->sizes, err) < 0)
		return -1;
	manifest = stage_write_manifest(stage, seal, err);
	if (manifest < 0)
		return -1;
	stage->end_text = end_text(stage, seal, err);
	if (!stage->end_text || (!stage->in_place && write_end(stage, err) < 0))
		return -1;
	if (fsync(manifest) < 0)
		return stage_error(errno, SC_MANIFEST_NAME, err);
	return stage_sync_external(stage, err) < 0
		       ? -1
		       : sc_tree_sync_dirs(stage->target, err);
}

int sc_stage_prepare(struct sc_staged *stage, struct sc_err *err)
{
	struct sc_inplace ip = { .datadir = stage->target,
				 .uid = stage->uid,
				 .gid = stage->gid,
				 .roots = stage->roots,
				 .list = stage->list,
				 .end = stage->end_text,
				 .end_len = strlen(stage->end_text) };

	return sc_inplace_prepare(&ip, err);
}

/* The mark is of no use any more; a stale one would only be removed later. */
static void remove_mark(struct sc_staged *stage)
{
	if (unlinkat(stage->target, SC_CLONE_DIR "/" SC_STAGE_MARK, 0) < 0)
		sc_warning("cannot remove " SC_STAGE_MARK ": %s",
			   strerrordesc_np(errno));
}

static int commit_new(struct sc_staged *stage, struct sc_err *err)
{
	CLEANUP_CLOSE int dir =
		openat(stage->target, SC_CLONE_DIR,
		       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (dir < 0)
		return stage_error(errno, SC_CLONE_DIR, err);
	if (stage_place_external(stage, err) < 0)
		return -1;
	if (unlinkat(dir, SC_IN_PROGRESS, 0) < 0)
		return stage_error(errno, SC_IN_PROGRESS, err);
	if (fsync(dir) < 0 || fsync(stage->target) < 0 ||
	    fsync(stage->parent) < 0)
		return stage_error(errno, "fsync", err);
	return 0;
}

int sc_stage_commit(struct sc_staged *stage, struct sc_err *err)
{
	if (!stage->in_place)
		return commit_new(stage, err);
	if (sc_inplace_commit(stage->target, err) < 0)
		return -1;
	remove_mark(stage);
	return 0;
}

static void abort_in_place(struct sc_staged *stage)
{
	struct sc_err err = SC_ERR_INIT;

	if (sc_inplace_undo(stage->target, stage->roots, &err) < 0)
		sc_error(
			"what was staged in the data directory is not removed: %s",
			err.msg);
	else
		remove_mark(stage);
}

/* The parent may be anybody's, who may have put another directory there. */
static int remove_target(const struct sc_staged *stage)
{
	struct stat ours, there;

	if (fstat(stage->target, &ours) < 0 ||
	    fstatat(stage->parent, stage->name, &there, AT_SYMLINK_NOFOLLOW) <
		    0)
		return -errno;
	if (ours.st_dev != there.st_dev || ours.st_ino != there.st_ino)
		return -ESTALE;
	return unlinkat(stage->parent, stage->name, AT_REMOVEDIR) < 0 ? -errno
								      : 0;
}

void sc_stage_abort(struct sc_staged *stage)
{
	struct sc_err err = SC_ERR_INIT;
	int rc;

	if (stage->in_place) {
		abort_in_place(stage);
		return;
	}
	stage_remove_external(stage);
	if (sc_tree_remove(stage->target, &err) < 0) {
		sc_error("target directory %s is not removed: %s", stage->name,
			 err.msg);
		return;
	}
	rc = remove_target(stage);
	if (rc < 0)
		sc_error("target directory %s is not removed: %s", stage->name,
			 strerrordesc_np(-rc));
}
