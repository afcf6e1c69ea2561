/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The end of a clone, on the server that was started on it: the daemon left
 * #clone/#snapclone_end there, which says what the donor had at the seal. A
 * thread checks that recovery brought exactly that and completes the GTID set
 * by those of statements without an InnoDB commit. When the clone ends with S,
 * as redo was lost, its GTIDs are those that InnoDB recovered.
 */
#ifndef SC_PLUGIN_FINISH_H
#define SC_PLUGIN_FINISH_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define SC_END_FILE "#clone/#snapclone_end"
/* Its name after the checks: these are not repeated when mysqld dies before
 * the rest is done. */
#define SC_END_CHECKED "#clone/#snapclone_checked"
#define SC_END_FAILED "#clone/#snapclone_failed"

/* Contents of the file, key=value lines. Strings are owned. */
struct sc_end {
	uint64_t format; /* 1 */
	uint64_t checkpoint_lsn, end_lsn;
	uint64_t seal_begin_us;
	uint64_t binlog_position;
	char *donor_uuid, *binlog_file;
	char *gtid_flushed, *gtid_executed; /* F, G */
	char *redo_lost; /* a sentence about it; NULL: it was not */
};

/* Parse and validate; unknown keys are skipped. 0, or -1: not usable. Free
 * the result in both cases. */
int sc_end_parse(FILE *in, struct sc_end *ret);
void sc_end_free(struct sc_end *end);
/* Take another G, as the server prints sets. 0, or -1: no set. */
int sc_end_set_gtids(struct sc_end *end, const char *gtids);

/* Start the thread if there is something to finish. Returns at once. */
void sc_finish_start(void);
/* Stop it; waits for the statement it is in. Legal when not started. */
void sc_finish_stop(void);

#endif
