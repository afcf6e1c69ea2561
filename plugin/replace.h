/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The server's part of a commit in place: nobody may write or change the old
 * data while the lists are written, and binary logs and GTIDs of the old data
 * are reset when the commit counts. Runs in a thread with a session of its
 * own, since it has to hold the backup lock; the statement's thread drives it.
 *
 * Quiesce: backup lock, super_read_only (not persisted), STOP REPLICA, the
 * GTID sets saved and the binary logs hard-linked in #clone. Then, after the
 * daemon's commit, RESET BINARY LOGS AND GTIDS; without it, everything back,
 * whatever was killed.
 */
#ifndef SC_PLUGIN_REPLACE_H
#define SC_PLUGIN_REPLACE_H

#include "io/base/err.h"

#include <stdbool.h>

/* Files of #clone, relative to the data directory. */
#define SC_SAVED_GTIDS "#clone/#snapclone_gtids"
#define SC_SAVED_BINLOGS "#clone/#snapclone_binlogs"
#define SC_RESET_PENDING "#clone/#snapclone_reset"

struct sc_replace;

/* Begin to quiesce. ddl_timeout: seconds to wait for the backup lock. NULL
 * with err when not even a thread can be had. */
struct sc_replace *sc_replace_start(unsigned ddl_timeout, struct sc_err *err);

/* Wait up to timeout_ms. 1 quiesced, 0 not yet, -1 failed, err says why. */
int sc_replace_await(struct sc_replace *replace, unsigned timeout_ms,
		     struct sc_err *err);

enum sc_replace_verdict {
	SC_REPLACE_OPEN,
	/* The next start swaps: binary logs and GTIDs are reset, the server
	 * stays read-only until then. */
	SC_REPLACE_COMMIT,
	SC_REPLACE_UNDO, /* everything is as it was before */
	/* Lists are left that could not be removed: the next start deletes
	 * what has the names of the clone's new files, so nothing may be
	 * created. The server stays read-only. */
	SC_REPLACE_FREEZE,
};

/* The end, legal at any moment, also with NULL. Waits for it and frees. */
void sc_replace_end(struct sc_replace *replace,
		    enum sc_replace_verdict verdict);

#endif
