/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Replacing a data directory in place: the clone is staged as X.#clone beside
 * each X, and the commit writes the lists by which InnoDB swaps them in at the
 * next start, or rolls back when that start fails early.
 *
 * The steps are a table, so that tests can stop after each of them. Any state
 * between two steps is safe: without `#clone/#status_error` and without lists
 * the old data is untouched; with `#status_error` the next start rolls back;
 * when it is removed, last, the next start swaps.
 *
 * One thread; the data directory's server is running and holds its backup
 * lock. Source for names and states: storage/innobase/clone/clone0api.cc.
 */
#ifndef SC_INPLACE_H
#define SC_INPLACE_H

#include "io/filelist.h"
#include "io/manifest.h"

#include <stdio.h>
#include <sys/types.h>

#define SC_CLONE_DIR "#clone"
#define SC_CLONE_SUFFIX ".#clone"
#define SC_REDO_DIR "#innodb_redo"

/* Names in #clone. */
#define SC_IN_PROGRESS "#status_in_progress" /* a new directory, incomplete */
#define SC_STATUS_ERROR "#status_error"	     /* the next start rolls back */
#define SC_STATUS_FIX                                                          \
	"#status_fix"		  /* make schema directories, empty tables     \
				   */
#define SC_OLD_FILES "#old_files" /* only in the old data */
#define SC_REPLACE_FILES "#replace_files" /* X exists, clone is X.#clone */
#define SC_NEW_FILES "#new_files"	  /* only in the clone, final name */
#define SC_STATUS_RECOVERY                                                     \
	"#status_recovery"		 /* InnoDB: a start on the clone       \
					  */
#define SC_STAGE_MARK "#snapclone_stage" /* locked while a job stages here */
#define SC_END_NAME "#snapclone_end"	 /* E and what belongs to it */

/* Most bytes of the list of directories made, in SC_STAGE_MARK. */
#define SC_MADE_DIRS_MAX (4u << 20)

/*
 * In all that follows, roots: the server's directories of tablespaces, the data
 * directory the first, borrowed; NULL: it is the only one. In the lists, files
 * of the others have absolute names.
 */
struct sc_inplace {
	int datadir;
	const struct sc_roots *roots;
	uid_t uid;
	gid_t gid;
	const struct sc_filelist *list; /* the clone's files, staged */
	const char *end;		/* text of #snapclone_end */
	size_t end_len;
};

struct sc_inplace_step {
	const char *name;
	int (*run)(struct sc_inplace *ip, struct sc_err *err);
};

/* The commit up to, but not including, the point where it counts. */
extern const struct sc_inplace_step sc_inplace_steps[];
extern const size_t sc_inplace_n_steps;

/* Run all of them in order. After a failure: sc_inplace_undo(). */
int sc_inplace_prepare(struct sc_inplace *ip, struct sc_err *err);

/* Let the commit count: remove #status_error, durably. After a failure it does
 * not count: sc_inplace_undo(). */
int sc_inplace_commit(int datadir, struct sc_err *err);

/*
 * Back to the old data, from any state before sc_inplace_commit(): final names
 * of new files, lists, all X.#clone, #status_error last. Idempotent.
 */
int sc_inplace_undo(int datadir, const struct sc_roots *roots,
		    struct sc_err *err);

/* Take the lock, undo, and remove the mark too: after a job that died. */
int sc_inplace_clean(int datadir, const struct sc_roots *roots,
		     struct sc_err *err);

/*
 * Take the lock of #clone/#snapclone_stage, so that a daemon that outlived its
 * job cannot write beside another one. *ret_fd holds it until it is closed;
 * it is set also when the lock was taken and something failed after that. Fails
 * when it is held, or when a commit is waiting for a restart.
 */
int sc_inplace_lock(int datadir, uid_t uid, gid_t gid, int *ret_fd,
		    struct sc_err *err);

/*
 * Note, durably, a directory that is about to be made: an undo removes it, and
 * no others. lock_fd: the descriptor of the lock.
 */
int sc_inplace_note_dir(int lock_fd, const char *dir, struct sc_err *err);

/*
 * Remove those of the noted directories that are empty: files that were staged
 * in them are gone. They stay noted. 0 or -1.
 */
int sc_inplace_trim_dirs(int datadir, const struct sc_roots *roots,
			 struct sc_err *err);

/* The name a file is staged under. buf: SC_PATH_MAX + 16 bytes. */
static inline const char *sc_inplace_name(const char *path, char *buf,
					  size_t cap)
{
	snprintf(buf, cap, "%s" SC_CLONE_SUFFIX, path);
	return buf;
}

#endif
