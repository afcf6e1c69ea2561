/* SPDX-License-Identifier: GPL-2.0-only */
/* The last look at a built redo directory before it counts. */
#ifndef SC_IO_REDO_CHECK_H
#define SC_IO_REDO_CHECK_H

#include "io/base/err.h"

#include "io/pages.h"

#include <stdint.h>

/* The key of an encrypted log, and how the server must find it. */
struct sc_redo_check_key {
	struct sc_space_key key;
	const uint8_t *block; /* encryption block, 512 bytes, borrowed */
};

/*
 * Would a server that starts on this directory recover from checkpoint_lsn to
 * exactly end_lsn? By the server's own start-up rules: every header's crc and
 * format, one uuid, ids and LSNs without gaps, file sizes, the newest file's
 * flags, a creator that does not change recovery, one winning checkpoint, the
 * scan from its block. Stricter than the server: older files must be marked
 * full, no slot may hold another checkpoint, sizes are multiples of 64 KiB.
 * key: NULL when no block may be encrypted; else encrypted ones are judged by
 * their clear text, and the file with the checkpoint must have that block.
 * redo_dirfd: borrowed; the directory must not be in use. Reads all of
 * [checkpoint_lsn, end_lsn]. Returns 0 or -1. Thread rule: any thread, blocks.
 * Source: log/log0files_finder.cc; recv_find_max_checkpoint(),
 * recv_scan_log_recs() and recv_recovery_from_checkpoint_start() in
 * log/log0recv.cc; log_sys_handle_creator() in log/log0log.cc.
 */
int sc_redo_check(int redo_dirfd, uint64_t checkpoint_lsn, uint64_t end_lsn,
		  const struct sc_redo_check_key *key, struct sc_err *err);

#endif
