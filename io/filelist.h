/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The files of a clone: what the donor's data directory holds that belongs
 * into it, and how it divides into chunks.
 *
 * Built by one thread before the copy begins and read-only after that, but for
 * the sizes at the seal, which the job's thread sets when nobody copies.
 */
#ifndef SC_FILELIST_H
#define SC_FILELIST_H

#include "io/base/err.h"
#include "io/blockmap.h"
#include "io/image.h"
#include "io/keys.h"
#include "io/pages.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SC_PATH_MAX 1024
#define SC_MAX_FILES (2u << 20)

enum sc_file_kind {
	SC_FILE_PAGES = 1,  /* tablespace: every page is checked */
	SC_FILE_OPAQUE = 2, /* bytes only (ib_buffer_pool, undo_N_trunc.log) */
};

struct sc_file {
	char *path; /* relative to the data directory; owned */
	enum sc_file_kind kind;
	uint64_t size;	      /* bytes when listed */
	uint64_t sealed_size; /* bytes at the seal, >= size */
	uint64_t first_chunk; /* index of its first chunk in the whole list */
	uint64_t stored;      /* bytes on the donor's disk, <= size */
	bool shared;	      /* not copied but its extents shared: no chunk
				 of it is read, and none has a digest */
	struct sc_page_spec spec;
};

struct sc_filelist {
	struct sc_file *files; /* owned */
	size_t n, cap;
	uint64_t chunks; /* of all files */
	uint64_t bytes;
	uint64_t stored;	    /* sum of the files' */
	struct sc_key_source *keys; /* set before the scan, borrowed; NULL:
				       encrypted files are refused */
};

void sc_filelist_free(struct sc_filelist *list);

/* Append a file; path is copied. 0 or -1 (out of memory, too many files). */
int sc_filelist_add(struct sc_filelist *list, const char *path,
		    enum sc_file_kind kind, uint64_t size,
		    const struct sc_page_spec *spec, struct sc_err *err);

/* The file added last has only so many bytes on disk; more than its size counts
 * as its size. */
void sc_filelist_set_stored(struct sc_filelist *list, uint64_t stored);

/*
 * List a donor's data directory: *.ibd and *.ibu at any depth, undo_NNN, the
 * system tablespace files that data_file_path (innodb_data_file_path) names,
 * undo_N_trunc.log and ib_buffer_pool. Skips temporary tablespaces, redo,
 * doublewrite files and the clone's own. Refuses by name symbolic links and
 * tablespaces whose key the source does not find. Blocks; the caller keeps DDL
 * away from a live image.
 */
int sc_filelist_scan(struct sc_image *image, const char *data_file_path,
		     uint32_t page_size, struct sc_filelist *list,
		     struct sc_err *err);

/* Chunks of a file of that size. */
static inline uint64_t sc_chunks_of(uint64_t size)
{
	return (size + SC_CHUNK_SIZE - 1) / SC_CHUNK_SIZE;
}

/* It has holes, which the clone shall have too. */
static inline bool sc_file_is_sparse(const struct sc_file *file)
{
	return file->stored + SC_BLOCK_SIZE <= file->size;
}

/*
 * Would a server, and sc_filelist_scan(), take a file of that name for
 * InnoDB's? name: without directory; depth: of its directory below the data
 * directory, 0: that itself. Files of the system tablespace have any name: not
 * told here.
 */
bool sc_file_wanted(const char *name, int depth, enum sc_file_kind *kind);

/* The file that chunk index `chunk` (< list->chunks) belongs to. */
struct sc_file *sc_filelist_find_chunk(const struct sc_filelist *list,
				       uint64_t chunk);

/* A path that may be created below a target: relative, no "." or "..", no
 * empty component, no line break, at most SC_PATH_MAX - 1 bytes, not one of
 * ours (#clone). */
bool sc_path_ok(const char *path);

#endif
