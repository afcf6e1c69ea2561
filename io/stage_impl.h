/* SPDX-License-Identifier: GPL-2.0-only */
/* Inside of the stage, shared by stage*.c only. */
#ifndef SC_STAGE_IMPL_H
#define SC_STAGE_IMPL_H

#include "io/stage.h"

#include "io/base/log.h"
#include "io/base/outside.h"
#include "io/inplace.h"
#include "io/manifest.h"
#include "io/redo/build.h"
#include "io/redo/check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

struct stage_stream {
	struct sc_slots *slots; /* borrowed */
	struct sc_openfiles files;
};

/* The page of a file with the highest LSN. */
struct stage_newest {
	uint64_t lsn, page;
};

struct sc_staged {
	int target, parent;
	const struct sc_roots *roots;
	char name[256];
	uid_t uid;
	gid_t gid;
	uint32_t page_size;
	bool in_place, local, share;
	int lock_fd;	/* in place: descriptor of the mark, -1 = none */
	char *end_text; /* in place: of #snapclone_end, from the seal on */
	/* Borrowed; changed by its owner between passes: files[] moves. */
	const struct sc_filelist *list;
	size_t n_chunks, n_files;	    /* entries of what follows */
	atomic_uchar *have;		    /* one per chunk of the list */
	uint8_t (*digests)[SC_DIGEST_SIZE]; /* one per chunk of the list */
	struct stage_newest *newest;	    /* one per file, under lock */
	atomic_uint_fast64_t bytes, redo_bytes;
	struct stage_stream *per_stream; /* 0: the passes */
	unsigned streams;
	struct sc_redo_build *redo;
	struct sc_redo_check_key redo_key; /* of an encrypted log */
	bool have_redo_key;
	uint64_t checkpoint_lsn;
	bool redo_may_restart;	   /* every file was dropped since it began */
	struct sc_outside outside; /* a new directory: what was made outside */

	/* For the manifest. */
	char donor_version[33];
	uint64_t began_us; /* wall clock */
	/* CLOCK_MONOTONIC, ms: all files created, the last chunk taken, the
	 * seal begun. */
	uint64_t begin_ms, created_ms, sealing_ms;
	atomic_uint_fast64_t copied_ms;
	uint64_t network;

	pthread_mutex_t lock; /* what follows */
	unsigned streams_used;
	const char *engine; /* of a stream */
};

/* stage_open.c: the error of a system call on the clone's directory. */
int stage_error(int sys_errno, const char *what, struct sc_err *err);
/* stage_open.c: make a directory there, owned like it; its descriptor. */
int stage_make_dir(struct sc_staged *stage, const char *name,
		   struct sc_err *err);

/* stage_files.c: may these files come, and is there room for them, wherever
 * they go? Before any of them is made. 0 or -1. */
int stage_check_files(struct sc_staged *stage, const struct sc_filelist *list,
		      struct sc_err *err);
/* stage_files.c: what is kept of every chunk and file, for so many of them;
 * what is known stays. 0 or -1. */
int stage_grow(struct sc_staged *stage, uint64_t chunks, size_t files,
	       struct sc_err *err);
/* stage_files.c: make a file's directories, and note what an undo has to
 * remove; or also an empty file of its whole size. 0 or -1. */
int stage_note_file(struct sc_staged *stage, const char *path,
		    struct sc_err *err);
int stage_create_file(struct sc_staged *stage, const struct sc_file *file,
		      struct sc_err *err);
/* stage_files.c: give a file that was just made the size it was listed with. */
int stage_set_size(int fd, const struct sc_file *file, struct sc_err *err);

/* stage_sync.c: give every file its size at the seal (bytes, one per file of
 * the list) and make it durable. */
int stage_sync_files(struct sc_staged *stage, const uint64_t *sizes,
		     struct sc_err *err);

/* stage_external.c: may a file of that name come into the clone? An external
 * one only into a directory for those, and not where a file is. 0 or -1. */
int stage_check_external(const struct sc_staged *stage, const char *path,
			 struct sc_err *err);
/* stage_external.c: a new directory: note, durably, what is about to be made
 * outside of it (a directory: with '/' at the end). 0 or -1. */
int stage_note_outside(struct sc_staged *stage, const char *name,
		       struct sc_err *err);
/* stage_external.c: make the names of external files durable. 0 or -1. */
int stage_sync_external(const struct sc_staged *stage, struct sc_err *err);
/* stage_external.c: a new directory: final names, durably. 0 or -1, then
 * stage_remove_external() undoes it. */
int stage_place_external(struct sc_staged *stage, struct sc_err *err);
/* stage_external.c: remove all that was made outside. Failures are logged. */
void stage_remove_external(struct sc_staged *stage);

/* stage_manifest.c: write the manifest, under its staged name; all files are
 * complete and durable. Its descriptor, to be fsynced and closed, or -1. */
int stage_write_manifest(struct sc_staged *stage, const struct sc_seal *seal,
			 struct sc_err *err);

#define STAGE_NAME_CAP (SC_PATH_MAX + 16)

/* The name a path of the clone has while it is staged, relative to the returned
 * directory; buf: STAGE_NAME_CAP. */
static inline int stage_name(const struct sc_staged *stage, const char *path,
			     char *buf)
{
	struct sc_place place =
		sc_roots_place(stage->roots, stage->target, path);
	bool beside = stage->in_place || sc_is_external(path);

	snprintf(buf, STAGE_NAME_CAP, "%s%s", place.path,
		 beside ? SC_CLONE_SUFFIX : "");
	return place.dir;
}

#endif
