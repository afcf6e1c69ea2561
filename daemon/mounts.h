/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * File systems that are mounted below a data directory: an image of the data
 * directory's own file system has empty directories in their places. No state,
 * any thread.
 */
#ifndef SC_DAEMON_MOUNTS_H
#define SC_DAEMON_MOUNTS_H

#include "io/base/err.h"

#include <stddef.h>
#include <sys/types.h>

struct sc_mount {
	char *path; /* relative to the data directory, "" = that; owned */
	int dir;    /* root of what is mounted there, owned */
	dev_t dev;  /* it is on */
};

struct sc_mounts {
	struct sc_mount *mounts; /* the first one is the data directory */
	size_t n, cap;
};

/*
 * Look at all directories of a data directory that a list of its files enters
 * (sc_dir_wanted()). Bind mounts count, from the same device too. 0 with *ret
 * to be freed, or -1; something that is mounted over a file is an error.
 * Blocks.
 */
int sc_mounts_find(int datadir, struct sc_mounts *ret, struct sc_err *err);
void sc_mounts_free(struct sc_mounts *mounts);

/* In which of them a path lies, relative to the data directory: its index, and
 * in *ret_rest the path relative to it ("" = its root). */
size_t sc_mounts_of(const struct sc_mounts *mounts, const char *path,
		    const char **ret_rest);

#endif
