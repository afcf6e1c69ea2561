/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The files a redo log is written into: file i covers `room` bytes of LSN from
 * base + i * room, so the place of every block is known when it arrives.
 * Internal to io/redo/build.c; one thread.
 *
 * A file gets its header (flag FULL) when the next one is begun, the first one
 * only at the end, together with the checkpoint: what is not finished is no
 * log that a server would start on.
 */
#ifndef SC_IO_REDO_OUT_H
#define SC_IO_REDO_OUT_H

#include "io/base/err.h"
#include "io/redo/format.h"

#include <sys/types.h>

struct sc_redo_out {
	int dirfd, fd;	   /* fd of file `index`, -1 = none in hand; owned */
	uint64_t index;	   /* of the newest file */
	uint64_t base;	   /* LSN of the first block */
	uint64_t max_size; /* bytes of every file but the last */
	uint32_t uuid;
	uint64_t checkpoint;
	char creator[SC_REDO_CREATOR_MAX + 1];
	uint8_t encryption[SC_REDO_BLOCK];
	uid_t uid; /* (uid_t)-1 = as created */
	gid_t gid;
	mode_t mode;
};

/* Close what is open; errors do not matter any more. */
void sc_redo_out_close(struct sc_redo_out *out);

/*
 * Have the file that holds LSN pos in hand: begin files up to it, or remove
 * the later ones. Returns 0 or -1.
 */
int sc_redo_out_seek(struct sc_redo_out *out, uint64_t pos, struct sc_err *err);

/* Write len bytes (multiple of 512) at LSN pos, over file borders. */
int sc_redo_out_write(struct sc_redo_out *out, uint64_t pos,
		      const uint8_t *data, size_t len, struct sc_err *err);

/* Read back the block at LSN pos, which must lie in the file in hand. */
int sc_redo_out_read(struct sc_redo_out *out, uint64_t pos, uint8_t *block,
		     struct sc_err *err);

/*
 * End in the file in hand: nothing at or behind LSN end (multiple of 512)
 * stays, zeros up to a size the server accepts, headers, fsync of files and
 * directory. Returns 0 or -1.
 */
int sc_redo_out_finish(struct sc_redo_out *out, uint64_t end,
		       struct sc_err *err);

#endif
