/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reads the redo log of a running server from outside, without its help: the
 * newest checkpoint, then every complete block in LSN order while the server
 * appends, rewrites its last block, switches, recycles and removes files.
 * Blocks are self-describing (number, epoch, crc), so nothing is believed that
 * was not checked; what is not there yet is read again later.
 *
 * One thread per follower. Calls block on file reads only and never wait for
 * the server: poll at an interval that suits (1 to 10 ms under load).
 */
#ifndef SC_IO_REDO_FOLLOW_H
#define SC_IO_REDO_FOLLOW_H

#include "io/base/err.h"
#include "io/redo/cipher.h"
#include "io/redo/format.h"

struct sc_redo_checkpoint {
	uint64_t lsn;
	uint32_t uuid;	  /* of the redo log: changes when it is created anew */
	char creator[33]; /* of the newest file, as its flags */
	uint32_t flags;
	bool encrypted; /* the file with the checkpoint has encryption info */
	uint8_t encryption_block[SC_REDO_BLOCK]; /* all zero when not */
	uint64_t capacity_bytes; /* sum of file sizes, spare ones included */
};

/*
 * Find the checkpoint that recovery would start from now: the highest one of
 * all slots of all files that lies within its own file.
 * redo_dirfd: the directory #innodb_redo, borrowed. Looks again for up to
 * 200 ms when files change under it. Returns 0, or -1: no redo files, redo
 * logging disabled, not initialised, an unknown format, files of different
 * logs, no checkpoint.
 * Source: recv_find_max_checkpoint() in log/log0recv.cc,
 * log_files_find_and_analyze() in log/log0files_finder.cc.
 */
int sc_redo_newest_checkpoint(int redo_dirfd, struct sc_redo_checkpoint *ret,
			      struct sc_err *err);

struct sc_redo_follow;

/*
 * Start at lsn (any; blocks are read from its own on). redo_dirfd: borrowed,
 * duplicated. *ret: free with sc_redo_follow_free(). Returns 0, or -1: the redo
 * of lsn is not there (see sc_redo_follow_is_lost() for followers; here the
 * message tells), I/O.
 */
int sc_redo_follow_open(int redo_dirfd, uint64_t lsn,
			struct sc_redo_follow **ret, struct sc_err *err);
void sc_redo_follow_free(struct sc_redo_follow *f);

/* Let go of the directory and its file; what was read is still told. After it
 * nothing is read any more. Idempotent. */
void sc_redo_follow_close(struct sc_redo_follow *f);

/*
 * Where the key of the log comes from: called from sc_redo_follow_read() at
 * the first encrypted block, which may come at any moment. Without it such a
 * block is an error. key: 0 with the key, or -1. ctx: borrowed.
 */
typedef int sc_redo_key_fn(void *ctx, struct sc_space_key *ret,
			   struct sc_err *err);
void sc_redo_follow_set_key(struct sc_redo_follow *f, sc_redo_key_fn *key,
			    void *ctx);

/* The cipher, for what was read; NULL: nothing was encrypted yet. Borrowed. */
struct sc_redo_cipher *sc_redo_follow_cipher(const struct sc_redo_follow *f);

static inline void sc_redo_follow_cleanup(struct sc_redo_follow **f)
{
	sc_redo_follow_free(*f);
}
#define CLEANUP_REDO_FOLLOW __attribute__((cleanup(sc_redo_follow_cleanup)))

/* A run of complete blocks. */
struct sc_redo_run {
	uint64_t lsn; /* of the first block; runs follow each other */
	size_t len;   /* bytes, multiple of 512 */
};

/*
 * Read the next complete blocks into buf. cap: bytes, multiple of 512, at
 * least 512. Returns 1 and *run when there were any, 0 when there is nothing
 * new now, -1 on error: lost, encrypted without a key, written without
 * checksums, damaged (a block with a wrong crc for 2 s although a later one is
 * complete), another redo log, I/O. After an error only close() and free() may
 * follow.
 */
int sc_redo_follow_read(struct sc_redo_follow *f, void *buf, size_t cap,
			struct sc_redo_run *run, struct sc_err *err);

/*
 * LSN up to which valid redo was seen, the newest partial block included, as
 * the server counts (a block boundary is the 12 of the next block: comparable
 * with the LSN of performance_schema.log_status).
 */
uint64_t sc_redo_follow_lsn(const struct sc_redo_follow *f);

/*
 * The newest valid partial block behind the last complete one, as of the last
 * sc_redo_follow_read(). Returns 1 with block and its LSN (multiple of 512), 0
 * when there is none.
 */
int sc_redo_follow_partial(const struct sc_redo_follow *f,
			   uint8_t block[SC_REDO_BLOCK], uint64_t *lsn);

/* True when the last error was: the server recycled redo before it was read. */
bool sc_redo_follow_is_lost(const struct sc_redo_follow *f);

#endif
