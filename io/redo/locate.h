/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which redo file holds an LSN, while the server renames and recycles them.
 * The descriptor in hand stays good when its file is renamed or removed; a
 * listing is only believed when several looks agree. Internal to
 * io/redo/follow.c; one thread.
 */
#ifndef SC_IO_REDO_LOCATE_H
#define SC_IO_REDO_LOCATE_H

#include "io/base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct sc_redo_place {
	int dirfd, fd;	     /* owned; fd -1 = no file in hand */
	uint64_t start, end; /* LSNs of the file in hand */
	uint32_t uuid;	     /* of the log, once known */
	bool uuid_known, lost;
	uint64_t stuck_since; /* ms, 0 = not stuck */
};

/* Get the file that holds lsn in hand. Returns 1; 0 = not there yet; -1 on
 * error (recycled: `lost` is set; behind the end; another log; I/O). */
int sc_redo_place_find(struct sc_redo_place *p, uint64_t lsn,
		       struct sc_err *err);

/* The block of lsn is not in the file in hand: not written yet, or the file was
 * recycled. Let go of it in the latter case. Returns 0 or -1. */
int sc_redo_place_recheck(struct sc_redo_place *p, uint64_t lsn,
			  struct sc_err *err);

/* True once something that should pass in a moment has lasted for 2 s;
 * stuck_since = 0 says that it passed. */
bool sc_redo_place_stuck(struct sc_redo_place *p);

void sc_redo_place_close(struct sc_redo_place *p);

#endif
