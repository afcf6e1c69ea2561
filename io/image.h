/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An image: the donor's files as a provider shows them. Shared by the streams
 * of a job; open_file and check may be called from any of them.
 */
#ifndef SC_IMAGE_H
#define SC_IMAGE_H

#include "io/base/err.h"
#include "io/base/roots.h"

#include <stdbool.h>
#include <stdint.h>

struct sc_image {
	/* Open a file for reading by its name in the clone (io/base/roots.h).
	 * direct: with O_DIRECT where the file system can, else without.
	 * Returns a descriptor the caller closes, or -errno. */
	int (*open_file)(struct sc_image *image, const char *path, bool direct);
	/* Open a directory by its path, relative to the data directory or,
	 * below another directory of tablespaces, absolute. Returns a
	 * descriptor the caller closes, or -errno (-ELOOP or -ENOTDIR: it is
	 * a symbolic link). NULL: they are all beneath root. */
	int (*open_dir)(struct sc_image *image, const char *path);
	/* Did all that was read so far come from the image? Called after a
	 * batch of reads, and once more after the last one, before the seal.
	 * Any thread. 0 or -1; NULL: nothing can come between. */
	int (*check)(struct sc_image *image, struct sc_err *err);
	/* Nothing is read any more: give back what the image costs the donor.
	 * Sets undo_us. Called once at most, by the job's thread, when no file
	 * of the image is open; NULL: close() does it. 0 or -1 (what stayed,
	 * and how to remove it; the clone can go on); the image is not used
	 * after either. */
	int (*undo)(struct sc_image *image, struct sc_err *err);
	/* Free it, with undo() when that was not called. */
	void (*close)(struct sc_image *image);
	const char *provider; /* name, for messages and the manifest */
	int root;	      /* data directory of the image */
	/* Its directories of tablespaces; borrowed. NULL: root is the only
	 * one. */
	const struct sc_roots *roots;
	int redo;      /* atomic: #innodb_redo of the image, -1: it lies
			  elsewhere, then C is older than the image */
	bool atomic;   /* all files show one moment */
	bool live;     /* no image: the running files themselves */
	bool buffered; /* never with O_DIRECT: the server keeps its
			  data files in the page cache */
	/* The longest a write of the donor may have waited, microseconds. */
	uint64_t swap_us; /* while the image was made */
	uint64_t undo_us; /* while it was given back */
};

#endif
