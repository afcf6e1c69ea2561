/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The files of a clone: what the donor's data directory holds that belongs
 * into it, and how it divides into chunks.
 *
 * Built by one thread before the copy begins and read-only while streams copy;
 * changed between passes by the job's thread (io/filechange.h).
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
/* Replaced as a whole, now and then; any version of it will do. */
#define SC_BUFFER_POOL_FILE "ib_buffer_pool"

enum sc_file_kind {
	SC_FILE_PAGES = 1,  /* tablespace: every page is checked */
	SC_FILE_OPAQUE = 2, /* bytes only (ib_buffer_pool, undo_N_trunc.log) */
};

/* Which file of the donor's that is, and when it was written last; zero on the
 * recipient. */
struct sc_file_id {
	uint64_t inode;
	int64_t birth_ns; /* 0: the file system does not know */
	int64_t mtime_ns;
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
	struct sc_file_id id; /* when listed */
	bool gone;	      /* not in the clone any more (io/filechange.h) */
	/* Donor: no DDL statement that ended before this LSN can have changed
	 * the file, without redo, after its copy began. 0: not known. */
	uint64_t settled_lsn;
};

struct sc_filelist {
	struct sc_file *files; /* owned */
	size_t n, cap;
	uint64_t chunks; /* of all files */
	uint64_t bytes;
	uint64_t stored;	    /* sum of the files' */
	int64_t taken_ns;	    /* CLOCK_REALTIME when its scan began */
	struct sc_key_source *keys; /* set before the scan, borrowed; NULL:
				       encrypted files are refused */
	/* Set before the scan: may a file of that tablespace have less than its
	 * page 0 says? One that somebody copies there for IMPORT TABLESPACE
	 * may. NULL: one that is being written, unless the image is atomic;
	 * another scan of the running files must look at it again. */
	bool (*may_be_short)(void *ctx, uint32_t space_id);
	/* May a file be left out that we have no permission to read? NULL: none
	 * may. */
	bool (*may_be_foreign)(void *ctx, const char *path);
	void *ctx;
};

void sc_filelist_free(struct sc_filelist *list);

/* Append a file; path is copied. 0 or -1 (out of memory, too many files). */
int sc_filelist_add(struct sc_filelist *list, const char *path,
		    enum sc_file_kind kind, uint64_t size,
		    const struct sc_page_spec *spec, struct sc_err *err);

/* The file added last has only so many bytes on disk; more than its size counts
 * as its size. */
void sc_filelist_set_stored(struct sc_filelist *list, uint64_t stored);

/* Append a file with all that is known of another, but for its chunks'
 * numbers; it is not gone. 0 or -1 (as above). */
int sc_filelist_add_like(struct sc_filelist *list, const struct sc_file *from,
			 struct sc_err *err);

/*
 * List a donor's data directory: *.ibd and *.ibu at any depth, undo_NNN, the
 * system tablespace files that data_file_path (innodb_data_file_path) names,
 * undo_N_trunc.log and ib_buffer_pool. Skips temporary tablespaces, redo,
 * doublewrite files and the clone's own. Refuses by name symbolic links and
 * tablespaces whose key the source does not find. Blocks.
 *
 * known: an earlier scan, best the one before, or NULL. What was not written to
 * since (same name, inode, times and size) is taken from it and not opened;
 * times less than a second older than that scan prove nothing.
 *
 * DDL may run: what vanishes meanwhile is left out, what is renamed meanwhile
 * may be listed under both names or not at all, and a file that is being made
 * may have no space id yet (its page 0 is read again in each scan). The scan
 * after it tells. Only files of the system tablespace must be there.
 */
int sc_filelist_scan(struct sc_image *image, const char *data_file_path,
		     uint32_t page_size, const struct sc_filelist *known,
		     struct sc_filelist *list, struct sc_err *err);

/* What an open file is; 0 or -errno. */
int sc_file_id_of(int fd, struct sc_file_id *ret);
/* The same of what statx(2) said, asked for at least these. */
#define SC_FILE_ID_STATX (STATX_INO | STATX_BTIME | STATX_MTIME)
struct statx;
struct sc_file_id sc_file_id_from(const struct statx *st);

/* Open a file that was listed, as image->open_file() does; -ESTALE: another one
 * has its name now. */
int sc_file_open_listed(struct sc_image *image, const struct sc_file *file,
			bool direct);

/* Is an open file of the tablespace that was listed under its name? By page 0,
 * which files of the system tablespace but the first do not have: true. */
bool sc_file_has_listed_space(int fd, const struct sc_file *file);

/* The same file, written since or not. */
static inline bool sc_file_id_same(const struct sc_file_id *a,
				   const struct sc_file_id *b)
{
	return a->inode == b->inode && a->birth_ns == b->birth_ns;
}

/* How many of its files are not gone. */
size_t sc_filelist_present(const struct sc_filelist *list);

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

/* Tablespaces lie in schema directories or below; deeper than that is
 * somebody's mistake. */
#define SC_MAX_DEPTH 16

/* The file that chunk index `chunk` (< list->chunks) belongs to. */
struct sc_file *sc_filelist_find_chunk(const struct sc_filelist *list,
				       uint64_t chunk);

/* A name that a file of a clone may have: no "." or "..", no empty component,
 * no line break, at most SC_PATH_MAX - 1 bytes, not one of ours (#clone);
 * absolute ones only *.ibd. Where it lies: io/base/roots.h. */
bool sc_path_ok(const char *path);

#endif
