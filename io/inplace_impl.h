/* SPDX-License-Identifier: GPL-2.0-only */
/* Inside of the replacement in place, shared by inplace*.c only. */
#ifndef SC_INPLACE_IMPL_H
#define SC_INPLACE_IMPL_H

#include "io/inplace.h"

#include <stdbool.h>

/* Names relative to the data directory, with a suffix or "./". */
#define INPLACE_NAME_CAP (SC_PATH_MAX + 16)

/* The manifest's path: staged, replaced and rolled back like a data file. */
#define INPLACE_MANIFEST SC_CLONE_DIR "/" SC_MANIFEST_NAME

/* Descriptor of #clone, or -1 with errno. */
int inplace_open_dir(int datadir);

/* True when something of that name is there. */
bool inplace_has(int at, const char *name);

/* inplace_names.c: a doublewrite file, staged or not. */
bool inplace_is_doublewrite(const char *name);
/* inplace_names.c: a file of the old data that must not meet the clone's, by
 * its path in the data directory. */
bool inplace_is_old_data(const char *path);

/* Where a file of the clone lies. */
static inline struct sc_place inplace_place(const struct sc_inplace *ip,
					    const char *path)
{
	return sc_roots_place(ip->roots, ip->datadir, path);
}

/* inplace.c: descriptor of #clone, or -1 with err. */
int inplace_clone_dir(const struct sc_inplace *ip, struct sc_err *err);
/* inplace.c: write a file of #clone, durably. 0 or -1. */
int inplace_put_file(const struct sc_inplace *ip, const char *name,
		     const char *text, size_t len, struct sc_err *err);

/* inplace_lists.c: the steps that write the lists. */
int inplace_list_old(struct sc_inplace *ip, struct sc_err *err);
int inplace_list_replaced(struct sc_inplace *ip, struct sc_err *err);
int inplace_list_new(struct sc_inplace *ip, struct sc_err *err);

/* fsync the directories of the data directory, and the other roots. */
int inplace_sync(int datadir, const struct sc_roots *roots, struct sc_err *err);

/* An error when a commit that counts waits for the restart. */
int inplace_check_not_committed(int clone_dir, struct sc_err *err);

/*
 * The directories that staging made and that are still to be undone, one per
 * line, parents before their children. Caller frees; NULL with err.
 */
char *inplace_made_dirs(int clone_dir, struct sc_err *err);

/* From the moment the clone counts, what the mark lists stays. */
int inplace_close_mark(int clone_dir, struct sc_err *err);

/* Take that back; while #status_error is there. */
int inplace_reopen_mark(int clone_dir, struct sc_err *err);

#endif
