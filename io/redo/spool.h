/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Queue of redo between the follower, which must never wait (a lagging reader
 * of the redo log stalls the donor or loses redo), and the sender, which waits
 * for the network. The bytes lie in an unlinked file: what is read is punched
 * out, a queue that runs empty starts again at the beginning, so a sender that
 * keeps up costs some page cache and no disk.
 *
 * Thread rule: one writer thread (append, end) and one reader thread (read);
 * abort, discard and the counters from any thread; free when both are done.
 */
#ifndef SC_IO_REDO_SPOOL_H
#define SC_IO_REDO_SPOOL_H

#include "io/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sc_redo_spool;

/*
 * New spool with its file in dirfd (borrowed), owner-only, without a name.
 * limit_bytes: most bytes that may be queued, at least 64 KiB. Returns 0 or -1.
 * Source: open(2) O_TMPFILE; a file system without it gets a name for an
 * instant (mkostemp(3)).
 */
int sc_redo_spool_new(int dirfd, uint64_t limit_bytes,
		      struct sc_redo_spool **ret, struct sc_err *err);

/* Close the file; its bytes are gone. NULL is legal. */
void sc_redo_spool_free(struct sc_redo_spool *s);

/*
 * Append the redo at lsn; it must follow what was appended before (the first
 * may be anywhere). Never waits for the reader. len: bytes. Returns 0, or -1:
 * over the limit, not consecutive, ended or aborted, disk full, I/O.
 */
int sc_redo_spool_append(struct sc_redo_spool *s, uint64_t lsn,
			 const void *data, size_t len, struct sc_err *err);

/* No more will come. Idempotent. */
void sc_redo_spool_end(struct sc_redo_spool *s);

/* No more will come, and what is queued is not wanted: the reader, which may be
 * in the middle of a read, gets nothing after that. The writer has ended. */
void sc_redo_spool_discard(struct sc_redo_spool *s);

/*
 * Take up to cap bytes; *ret_lsn is the LSN of the first. Waits up to
 * timeout_ms (0: not at all) for some. Returns the number of bytes; 0 when
 * there were none in time or, *ret_ended true, never will be; -1 when aborted
 * or on I/O errors.
 */
int64_t sc_redo_spool_read(struct sc_redo_spool *s, void *buf, size_t cap,
			   unsigned timeout_ms, uint64_t *ret_lsn,
			   bool *ret_ended, struct sc_err *err);

/* Make both sides fail from now on and wake the reader. why: copied. */
void sc_redo_spool_abort(struct sc_redo_spool *s, const struct sc_err *why);

struct sc_redo_spool_stats {
	uint64_t appended_bytes, read_bytes, queued_bytes, peak_bytes;
};

void sc_redo_spool_stats(struct sc_redo_spool *s,
			 struct sc_redo_spool_stats *ret);

#endif
