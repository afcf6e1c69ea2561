/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The stage: where a recipient puts a clone's files until they count.
 *
 * In a new data directory (CLONE ... DATA DIRECTORY, CLONE LOCAL) they have
 * their final names, and `#clone/#status_in_progress` keeps mysqld from
 * starting on it while it is incomplete. In place they lie beside the old data
 * under names that a start ignores; see inplace.h for the commit.
 *
 * Threads: sc_stage_chunk() from one thread per stream side by side,
 * sc_stage_redo() from one thread beside them; everything else from the job's
 * thread alone.
 */
#ifndef SC_STAGE_H
#define SC_STAGE_H

#include "io/filechange.h"
#include "io/reflink.h"
#include "io/slots.h"

struct sc_staged;

struct sc_stage_params {
	int target;	  /* the new, empty directory; borrowed */
	int parent;	  /* the directory it lies in; borrowed */
	const char *name; /* its name there */
	bool in_place;	  /* target is a running server's data directory: stage
			     X.#clone beside each X; parent and name unused */
	const struct sc_roots *roots; /* in place: the server's directories of
					 tablespaces, target the first; borrowed
					 until free. NULL: target alone */
	uint32_t page_size;	      /* innodb_page_size, bytes */
	unsigned streams; /* chunk threads, numbered 1..streams; 0 is the
			     job's, in a pass */
	bool local;	  /* chunks did not travel: no digest to check */
	bool share;	  /* files are made empty and without a check of free
			     space: each gets its size by sc_stage_share() or
			     sc_stage_share_not() */
};

/* Mark the target as in progress. Files get the target directory's owner. On
 * success end with sc_stage_commit() or sc_stage_abort(), then free. A target
 * that is not empty is refused and left alone. */
int sc_stage_open(const struct sc_stage_params *params, struct sc_staged **ret,
		  struct sc_err *err);
void sc_stage_free(struct sc_staged *stage);

/* Create the files, after a check of free space. list: borrowed until free,
 * changed by its owner only after sc_stage_change(). */
int sc_stage_files(struct sc_staged *stage, const struct sc_filelist *list,
		   struct sc_err *err);

/*
 * A pass begins: remove, rename and create staged files. No stream is open;
 * redo may arrive meanwhile. When it returned 0, the caller does the same to
 * the list with sc_file_changes_apply(), and the chunks of added files may
 * come, usually from stream 0. -1: the changes do not fit the list, no space
 * (for the added files), a name that is taken, I/O; the stage can then only be
 * aborted.
 */
int sc_stage_change(struct sc_staged *stage,
		    const struct sc_file_changes *changes, struct sc_err *err);

/*
 * Let a staged file share the extents of another one: all of its chunks have
 * arrived then, without digests. index: of the list; src: open for reading;
 * stop: as sc_reflink_file(). Before streams are opened. 0, 1 when the file
 * systems cannot (*why: errno), or -1.
 */
int sc_stage_share(struct sc_staged *stage, size_t index, int src,
		   struct sc_reflink *cost, const atomic_bool *stop, int *why,
		   struct sc_err *err);
/* This one is copied: it gets its size. 0 or -1. */
int sc_stage_share_not(struct sc_staged *stage, size_t index,
		       struct sc_err *err);

/*
 * A stream's beginning and end; its engine and slots are the caller's. Nothing
 * is on its way when it is closed, which is allowed also when it was never
 * opened.
 */
int sc_stage_stream_open(struct sc_staged *stage, unsigned stream,
			 struct sc_slots *slots, struct sc_err *err);
void sc_stage_stream_close(struct sc_staged *stage, unsigned stream);

/*
 * Check the range and the digest (slot->hashed: as computed already) of the
 * slot's chunk, and queue its write. 1: it is on its way, on its completion
 * call sc_stage_wrote(); 0: done with the slot, there is nothing to write (all
 * zero: left as a hole); -1.
 */
int sc_stage_chunk(struct sc_staged *stage, unsigned stream,
		   struct sc_slot *slot, struct sc_err *err);

/* A write is complete. 1: another one is on its way; 0: the chunk is written;
 * -1. */
int sc_stage_wrote(struct sc_staged *stage, unsigned stream,
		   struct sc_slot *slot, struct sc_err *err);

/* What the redo is; once, and again after changes that dropped every file: then
 * what came so far is forgotten and removed. */
int sc_stage_redo_begin(struct sc_staged *stage, const struct sc_redo_begin *m,
			struct sc_err *err);
int sc_stage_redo(struct sc_staged *stage, uint64_t lsn, const void *data,
		  size_t len, struct sc_err *err);

/* The key of a log with encrypted blocks, before the seal; copied. 0 or -1. */
int sc_stage_redo_key(struct sc_staged *stage, const struct sc_space_key *key,
		      struct sc_err *err);

/*
 * All chunks and the redo up to E have arrived: check that nothing is missing
 * and that no page is newer than E, extend the files, finish and check the
 * redo, make everything durable, with a manifest (io/manifest.h) of it.
 */
int sc_stage_seal(struct sc_staged *stage, const struct sc_seal *seal,
		  struct sc_err *err);

/* Bytes that came over the network, for the manifest; before the seal. */
void sc_stage_set_network(struct sc_staged *stage, uint64_t bytes);

/* In place: everything of the commit but the point where it counts. */
int sc_stage_prepare(struct sc_staged *stage, struct sc_err *err);

/* The clone counts from here on; in place: at the next start. */
int sc_stage_commit(struct sc_staged *stage, struct sc_err *err);

/* Remove everything, a new target itself too. Failures are logged. */
void sc_stage_abort(struct sc_staged *stage);

/* Bytes of chunks taken so far, also of files that are gone, and of redo. Any
 * thread. */
uint64_t sc_stage_bytes(const struct sc_staged *stage);
uint64_t sc_stage_redo_bytes(const struct sc_staged *stage);

#endif
