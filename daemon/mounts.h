/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The file systems that a server's directories of tablespaces stand on: their
 * own, and those mounted below them, in whose places an image of the file
 * system above has empty directories. No state, any thread.
 */
#ifndef SC_DAEMON_MOUNTS_H
#define SC_DAEMON_MOUNTS_H

#include "io/base/err.h"
#include "io/base/roots.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct sc_mount {
	/* Relative to the data directory ("" = that), or absolute: what is not
	 * beneath it. Owned. */
	char *path;
	int dir;   /* root of what is mounted there, owned */
	dev_t dev; /* it is on */
	/* A directory that no image need have (sc_roots_in_image()): what comes
	 * there is read from the running files. */
	bool later;
};

struct sc_mounts {
	/* First the directories of tablespaces, by their indexes. */
	struct sc_mount *mounts;
	size_t n, cap;
};

/*
 * Look at all directories of tablespaces that a list of their files enters
 * (sc_dir_wanted()). Bind mounts count, from the same device too. 0 with *ret
 * to be freed, or -1; something that is mounted over a file is an error.
 * Blocks.
 */
int sc_mounts_find(const struct sc_roots *roots, struct sc_mounts *ret,
		   struct sc_err *err);
void sc_mounts_free(struct sc_mounts *mounts);

/* In which of them a path lies, relative to the data directory or absolute: its
 * index, and in *ret_rest the path relative to it ("" = its root). n: an
 * absolute path in none. */
size_t sc_mounts_of(const struct sc_mounts *mounts, const char *path,
		    const char **ret_rest);

/* The path of a file of the clone for sc_mounts_of(); it lies in buf, `cap`
 * bytes, when name is not that already. NULL: too long. */
const char *sc_mounts_path(const struct sc_roots *roots, const char *name,
			   char *buf, size_t cap);

#endif
