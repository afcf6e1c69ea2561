/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Verify a finished clone against its manifest.
 *
 * Before its first start every file's size, every chunk's digest, every page
 * and the redo log up to E are checked, and that no tablespace is missing or
 * there besides. From the first start on the server changes its files: then
 * the pages of all tablespaces that are there.
 *
 * How the two are told apart: a clone that counts has #snapclone_end and
 * #replace_files in #clone. InnoDB writes #status_recovery there before it
 * recovers and, when it has recovered, removes #replace_files; our plugin then
 * renames #snapclone_end. Source: clone_files_recovery() and
 * clone_update_gtid_status() in clone/clone0api.cc.
 */
#ifndef SC_VERIFY_H
#define SC_VERIFY_H

#include "io/base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define SC_VERIFY_MAX_THREADS 128

struct sc_verify_report {
	bool before_start;
	uint64_t files;
	uint64_t bytes, bytes_total; /* read so far, of */
	uint64_t digests;	     /* chunks compared */
	uint64_t shared;    /* files without digests: their extents were
			       shared, not copied */
	uint64_t pages;	    /* checked */
	uint64_t unchecked; /* pages encrypted with a key we do not have, or
			       that no checksum covers */
	bool redo_checked, redo_encrypted;
	uint64_t found; /* differences */
};

struct sc_verify_params {
	int dir; /* the clone's data directory, borrowed, as are those of */
	int undo_dir;	  /* undo tablespaces, -1: the same, */
	int home_dir;	  /* and of the system tablespace, likewise. External
			     ones lie where the manifest says */
	unsigned threads; /* that read, 1..SC_VERIFY_MAX_THREADS */
	/* A difference: one line, without its end. From any thread, one at a
	 * time. */
	void (*found)(void *arg, const char *text);
	/* Several times a second, in the caller's thread; or NULL. */
	void (*tick)(void *arg, const struct sc_verify_report *now);
	void *arg;
};

/*
 * Only reads, and follows no symbolic link. Blocks. 0: done, ret->found tells
 * the outcome; -1: this cannot be verified (no manifest or a damaged one, a
 * clone that does not count, a server runs on it, out of memory).
 */
int sc_verify(const struct sc_verify_params *params,
	      struct sc_verify_report *ret, struct sc_err *err);

#endif
