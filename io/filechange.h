/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a pass after the first changes in a clone's list of files. Files keep
 * their index: one that is dropped is marked gone, one that is copied anew is
 * dropped and added.
 */
#ifndef SC_FILECHANGE_H
#define SC_FILECHANGE_H

#include "io/filelist.h"

struct sc_file_rename {
	uint32_t file; /* index */
	char *path;    /* its new one; owned */
};

/* Applied in this order. Names may swap: all renames happen at once. */
struct sc_file_changes {
	uint32_t *drops; /* indexes; owned */
	size_t n_drops, cap_drops;
	struct sc_file_rename *renames; /* owned */
	size_t n_renames, cap_renames;
	struct sc_filelist adds; /* get the indexes behind the list's last */
};

void sc_file_changes_free(struct sc_file_changes *changes);
#define CLEANUP_CHANGES __attribute__((cleanup(sc_file_changes_free)))

/* Append; path is copied. 0 or -1 (out of memory). */
int sc_file_changes_drop(struct sc_file_changes *changes, uint32_t file,
			 struct sc_err *err);
int sc_file_changes_rename(struct sc_file_changes *changes, uint32_t file,
			   const char *path, struct sc_err *err);

static inline bool sc_file_changes_none(const struct sc_file_changes *changes)
{
	return !changes->n_drops && !changes->n_renames && !changes->adds.n;
}

/* Do they fit the list: indexes of files that are there, none dropped or
 * renamed twice? The other side's are not believed. */
bool sc_file_changes_ok(const struct sc_file_changes *changes,
			const struct sc_filelist *list);

/*
 * Change the list. Nobody else looks at it meanwhile: its memory moves. The
 * added files keep what the changes say of them, but for their chunks'
 * numbers. 0 or -1 (out of memory; the list is not to be used any more).
 */
int sc_file_changes_apply(const struct sc_file_changes *changes,
			  struct sc_filelist *list, struct sc_err *err);

#endif
