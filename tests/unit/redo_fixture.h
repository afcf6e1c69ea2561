/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A server's redo log for tests: writes files the way InnoDB does (partial
 * block rewritten in place, next file made as _tmp and renamed, old file marked
 * full, files recycled by renaming). The byte at every LSN follows from the
 * LSN, so tests can tell what they read.
 */
#ifndef SC_TESTS_REDO_FIXTURE_H
#define SC_TESTS_REDO_FIXTURE_H

#include "io/redo/format.h"

enum { FX_UUID = 0x5eed1234, FX_START = 8192 };

struct redo_fixture {
	char dir[64]; /* removed by redo_fixture_close() */
	int dirfd;
	uint64_t file_size;    /* bytes of each new file */
	uint64_t first_id, id; /* oldest and newest file in use */
	uint64_t start;	       /* of the newest file */
	uint64_t lsn;	       /* end of the log, never at a block boundary */
	uint64_t seed;	       /* another seed, another log */
	int fd;		       /* newest file */
	unsigned checkpoints;
	bool encrypt; /* set the encryption bit on what is written */
};

void redo_fixture_open(struct redo_fixture *fx, uint64_t file_size);
/* The same with the first file beginning at start_lsn (multiple of 512). */
void redo_fixture_open_at(struct redo_fixture *fx, uint64_t file_size,
			  uint64_t start_lsn);
void redo_fixture_close(struct redo_fixture *fx);

/* Advance to lsn (normal: not in a block header), switching files. */
void redo_fixture_write_to(struct redo_fixture *fx, uint64_t lsn);

/* Write a checkpoint into the file that holds lsn, slots in turn. */
void redo_fixture_checkpoint(struct redo_fixture *fx, uint64_t lsn);

/* Drop files that end at or below lsn: the last one becomes the spare that the
 * next switch reuses, the others are unlinked. */
void redo_fixture_recycle(struct redo_fixture *fx, uint64_t lsn);

/* Rewrite the header of the newest file with these flags, format and uuid. */
void redo_fixture_header(struct redo_fixture *fx, uint32_t flags,
			 uint32_t format, uint32_t uuid);

/* The block at lsn (multiple of 512) when the log ends at end. */
void redo_fixture_block(const struct redo_fixture *fx, uint64_t lsn,
			uint64_t end, uint8_t *block);

/* Overwrite bytes of the newest file at the place of lsn. */
void redo_fixture_poke(struct redo_fixture *fx, uint64_t lsn, const void *p,
		       size_t len);

/* A fresh empty directory; remove with redo_fixture_rmdir(). */
int redo_fixture_mkdir(char dir[64]);
void redo_fixture_rmdir(const char *dir, int dirfd);

#endif
