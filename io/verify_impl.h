/* SPDX-License-Identifier: GPL-2.0-only */
/* Inside of the verification, shared by verify*.c only. */
#ifndef SC_VERIFY_IMPL_H
#define SC_VERIFY_IMPL_H

#include "io/inplace.h"
#include "io/manifest.h"
#include "io/verify.h"

#include <pthread.h>
#include <stdatomic.h>

/* What is to be known of a file of the work list. */
struct verify_file {
	uint32_t origin;  /* its index in the manifest; before the start */
	bool system;	  /* of the system tablespace: spec is right */
	atomic_bool skip; /* cannot be opened, and that was said */
};

struct verify {
	const struct sc_verify_params *params;
	struct sc_manifest m;
	struct sc_roots roots;
	int top; /* "/", owned, when there are external tablespaces; -1 */
	bool before_start;
	bool waiting; /* in place: X.#clone counts where it is there */
	char **old;   /* waiting: old data's files, sorted; owned */
	size_t n_old;
	size_t shared;	/* files without digests; before the start */
	char *old_text; /* what they point into */

	/* What is read: size is that of the file. */
	struct sc_filelist work;
	struct verify_file *files; /* one per file of work */
	atomic_uint_fast64_t next_chunk, bytes, digests, pages, unchecked;
	atomic_uint_fast64_t found;
	atomic_uint running;
	atomic_bool stop;

	pthread_mutex_t lock; /* found(), err */
	struct sc_err err;    /* first failure of a thread */
};

#define VERIFY_NAME_CAP (SC_PATH_MAX + 16)

/* Report a difference. Any thread. */
void verify_found(struct verify *v, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* The name under which a path of the clone lies now, relative to the returned
 * directory; buf: VERIFY_NAME_CAP. */
int verify_name(const struct verify *v, const char *path, char *buf);

/* verify_files.c: where files lie that have directories of their own; the
 * manifest is read. 0 or -1. */
int verify_set_roots(struct verify *v, struct sc_err *err);

/* verify_files.c: a file for the work list. file: its kind and pages. 0 or -1.
 */
int verify_add_work(struct verify *v, const struct sc_file *file,
		    const char *path, uint64_t size, bool system,
		    struct sc_err *err);
/* verify_files.c: its size, or -1 after saying what is wrong with it. */
int64_t verify_size_of(struct verify *v, const char *path);
/* verify_files.c: work that the manifest names. After the first start that is
 * only the system tablespace, ... */
int verify_list_known(struct verify *v, struct sc_err *err);
/* ... and external tablespaces that are still there. plain: what is assumed of
 * them at first. */
int verify_list_external(struct verify *v, const struct sc_file *plain,
			 struct sc_err *err);

/* verify_walk.c: compare what is there with the manifest, and make the work
 * list. 0 or -1. */
int verify_list(struct verify *v, struct sc_err *err);

/* verify_stream.c: read chunks of the work list until there are none. A
 * thread's whole work; 0 or -1. */
int verify_stream(struct verify *v, struct sc_err *err);

#endif
