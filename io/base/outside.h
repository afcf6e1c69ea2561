/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a clone into a new directory makes outside of it, for external
 * tablespaces: noted in #clone/#snapclone_outside of the new directory before
 * it is made, so that it goes when the clone fails, whoever died meanwhile.
 * One absolute name per line, directories with '/' at the end; before the final
 * name of a file, under which another one may be, stands which file it is.
 *
 * One thread.
 */
#ifndef SC_BASE_OUTSIDE_H
#define SC_BASE_OUTSIDE_H

#include "io/base/err.h"

#include <sys/stat.h>
#include <sys/types.h>

/* Names are not in use before sc_outside_sync(), which makes the note durable.
 * An open note; all zero and fd -1 before the first sc_outside_add(). */
struct sc_outside {
	int fd;
};
#define SC_OUTSIDE_INIT                                                        \
	{                                                                      \
		.fd = -1                                                       \
	}

/* Add a name, absolute. target: the new directory, in which #clone is; the note
 * belongs to uid:gid. 0 or -1. */
int sc_outside_add(struct sc_outside *note, int target, uid_t uid, gid_t gid,
		   const char *name, struct sc_err *err);
/* The same for a name that the file of that inode is about to get. Nothing
 * writes to it any more: the time of its last write tells it from a later file
 * with its inode. */
int sc_outside_add_final(struct sc_outside *note, int target, uid_t uid,
			 gid_t gid, const struct stat *st, const char *name,
			 struct sc_err *err);
int sc_outside_sync(struct sc_outside *note, struct sc_err *err);
void sc_outside_close(struct sc_outside *note);

/* The clone failed: remove what is noted. What is not there is fine, and so is
 * another file under a final name; a directory that is not empty stays, which
 * is a failure. 0 or -1 (the first failure, and how many; all are tried). */
int sc_outside_remove(int target, struct sc_err *err);

/* The clone counts: remove the note. */
void sc_outside_forget(int target);

#endif
