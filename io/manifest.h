/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The manifest of a clone: which files it has, the digest of every chunk, and
 * where all of it comes from. JSON Lines (docs/protocol.md, "Manifest"): a
 * head, one line per file, a tail with the digest of all before it, so that
 * neither side holds more of it as JSON than one line.
 *
 * One thread at a time; both functions block on I/O.
 */
#ifndef SC_MANIFEST_H
#define SC_MANIFEST_H

#include "io/digest.h"
#include "io/filelist.h"

#include <sys/types.h>

/* Its name in #clone. */
#define SC_MANIFEST_NAME "#snapclone_manifest.jsonl"

/* The head. Texts: borrowed when written, owned when read; NULL is "". */
struct sc_manifest_head {
	uint64_t checkpoint_lsn; /* C */
	uint64_t image_lsn;	 /* S, 0: no image of one moment */
	uint64_t end_lsn;	 /* E */
	uint64_t seal_begin_us;	 /* wall clock */
	uint64_t binlog_position;
	uint64_t began_us;   /* wall clock */
	uint64_t create_ms;  /* until all files were created */
	uint64_t copy_ms;    /* then until the last chunk */
	uint64_t redo_ms;    /* then until E was reached */
	uint64_t seal_ms;    /* then until everything was durable */
	uint64_t swap_us;    /* a donor's write waited at most, for the image */
	uint64_t undo_us;    /* the same while it was given back */
	uint64_t streams;    /* that carried chunks */
	uint64_t redo_bytes; /* delta */
	uint64_t wire_bytes; /* received; 0 of a local clone */
	uint64_t page_size;  /* innodb_page_size, bytes */
	bool redo_encrypted; /* the delta may have encrypted blocks */
	const char *binlog_file, *gtid_flushed, *gtid_executed;
	const char *redo_lost; /* why E is S, "": it is not */
	const char *donor_uuid, *donor_version, *provider, *engine, *snapclone;
};

/* What is written beside the head; all borrowed. */
struct sc_manifest_files {
	const struct sc_filelist *list; /* files that are gone are left out */
	const uint64_t *sizes;		/* bytes at the seal, one per file */
	const uint8_t (*digests)[SC_DIGEST_SIZE]; /* one per chunk of list */
};

/*
 * Write it to an empty file, which the caller fsyncs. fd: borrowed. Fails also
 * for numbers above INT64_MAX, which JSON libraries do not read. 0 or -1.
 */
int sc_manifest_write(int fd, const struct sc_manifest_head *head,
		      const struct sc_manifest_files *files,
		      struct sc_err *err);

/* One that was read; zero-initialise, free with sc_manifest_free(). */
struct sc_manifest {
	struct sc_manifest_head head;
	struct sc_filelist list; /* size: bytes that have digests, at the
				    listing; sealed_size: bytes at the seal */
	uint8_t (*digests)[SC_DIGEST_SIZE]; /* one per chunk of list */
};
void sc_manifest_free(struct sc_manifest *m);
#define CLEANUP_MANIFEST __attribute__((cleanup(sc_manifest_free)))

/*
 * Read and validate all of it: limits, paths (sc_path_ok(), none twice), one
 * digest per chunk, the digest of the whole. fd: borrowed, its offset is moved.
 * 0, or -1 with the number of the line that is wrong; free m in either case.
 */
int sc_manifest_read(int fd, struct sc_manifest *m, struct sc_err *err);

#endif
