/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Notes of DDL in the redo of a running server, for test_redo_notes.py, which
 * also compiles it.
 *
 *	redo_notes_main REDO_DIR
 *
 * A line on stdin, "LSN SPACE ABOVE BYTES": follow to LSN, then answer for that
 * tablespace in one line of key=value words. Exit status 1 with a message on
 * stderr.
 */
#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "io/redo/follow.h"
#include "io/redo/notes.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

enum { CAP = 1 << 20 };

static uint8_t buf[CAP];

/* Complete blocks and the partial one behind them, until lsn was reached. */
static int follow_to(struct sc_redo_follow *f, struct sc_redo_notes *notes,
		     uint64_t lsn, struct sc_err *err)
{
	struct sc_redo_run run;
	uint64_t partial;
	int rc;

	while ((rc = sc_redo_follow_read(f, buf, CAP, &run, err)) >= 0) {
		for (size_t i = 0; rc && i < run.len; i += SC_REDO_BLOCK)
			if (sc_redo_notes_block(notes, buf + i, run.lsn + i,
						err) < 0)
				return -1;
		if (rc)
			continue;
		if (sc_redo_follow_partial(f, buf, &partial) &&
		    sc_redo_notes_block(notes, buf, partial, err) < 0)
			return -1;
		if (sc_redo_follow_lsn(f) >= lsn)
			return 0;
		sc_sleep_ms(1);
	}
	return -1;
}

static void answer(struct sc_redo_notes *notes, uint32_t space, uint64_t above,
		   uint64_t bytes)
{
	struct sc_redo_notes_count c;

	sc_redo_notes_count(notes, &c);
	printf("created=%" PRIu64 " renamed=%" PRIu64 " deleted=%" PRIu64
	       " loaded=%" PRIu64 " built=%" PRIu64 " decrypted=%" PRIu64
	       " unlogged=%d gone=%d\n",
	       c.created, c.renamed, c.deleted, c.loaded, c.built, c.decrypted,
	       sc_redo_notes_unlogged(notes, space, above, bytes),
	       sc_redo_notes_deleted(notes, space, 0));
	fflush(stdout);
}

/* Follow, lest redo is recycled unread, until there is a question. */
static int wait_for_line(struct sc_redo_follow *f, struct sc_redo_notes *notes,
			 struct sc_err *err)
{
	struct pollfd in = { .fd = 0, .events = POLLIN };
	int rc = 0;

	while (rc == 0 && poll(&in, 1, 2) == 0)
		rc = follow_to(f, notes, 0, err);
	return rc;
}

int main(int argc, char **argv)
{
	CLEANUP_CLOSE int dirfd =
		open(argc > 1 ? argv[1] : "", O_RDONLY | O_DIRECTORY);
	CLEANUP_REDO_FOLLOW struct sc_redo_follow *f = NULL;
	struct sc_redo_notes *notes = sc_redo_notes_new();
	struct sc_err err = SC_ERR_INIT;
	struct sc_redo_checkpoint c;
	uint64_t lsn, above, bytes;
	uint32_t space;
	int rc = -1;

	if (dirfd >= 0 && notes &&
	    sc_redo_newest_checkpoint(dirfd, &c, &err) == 0)
		rc = sc_redo_follow_open(dirfd, c.lsn, &f, &err);
	while (rc == 0 && (rc = wait_for_line(f, notes, &err)) == 0 &&
	       scanf("%" SCNu64 " %" SCNu32 " %" SCNu64 " %" SCNu64, &lsn,
		     &space, &above, &bytes) == 4) {
		rc = follow_to(f, notes, lsn, &err);
		if (rc == 0)
			answer(notes, space, above, bytes);
	}
	sc_redo_notes_free(notes);
	if (rc < 0)
		fprintf(stderr, "redo_notes_main: %s\n", err.msg);
	return rc < 0;
}
