/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What performance_schema.clone_status and clone_progress show: one record of
 * the last clone into or from this server's SQL, kept in memory and in
 * #clone/ of the data directory as the stock plugin keeps it. All functions
 * are thread-safe; at most one clone at a time is recorded.
 */
#ifndef SC_PLUGIN_STATUS_H
#define SC_PLUGIN_STATUS_H

#include "io/base/ctl.h"
#include "io/base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define SC_STATUS_TEXT 512
#define SC_LOCAL_INSTANCE "LOCAL INSTANCE"

/* A row of clone_progress; stages are enum sc_stage. */
struct sc_stage_row {
	uint32_t state; /* enum sc_state */
	uint32_t threads;
	uint64_t begin_us, end_us;	  /* wall clock, 0 = NULL */
	uint64_t estimate, data, network; /* bytes */
};

struct sc_status {
	uint32_t id; /* 0: no clone yet */
	uint32_t pid;
	uint32_t state; /* enum sc_state */
	uint32_t error_no;
	uint64_t begin_us, end_us;
	uint64_t binlog_position;
	char source[SC_STATUS_TEXT];
	char destination[SC_STATUS_TEXT];
	char error_text[SC_STATUS_TEXT];
	char binlog_file[SC_STATUS_TEXT];
	char *gtid_executed; /* owned, may be NULL */
	struct sc_stage_row stages[SC_STAGE_COUNT];
	uint32_t stage; /* in progress, SC_STAGE_NONE = none */
	uint32_t data_speed, network_speed; /* bytes/s of that stage */
};

/* Load what the last run left in #clone/ of the data directory. */
void sc_status_load(void);
/* Free memory. */
void sc_status_unload(void);

/*
 * A clone begins: reset the record. source: "host:port" or NULL for this
 * server; destination: directory or NULL for this server. Returns 0, or -1
 * (3634) when another one is running.
 */
int sc_status_begin(unsigned long pid, const char *source,
		    const char *destination, struct sc_err *err);
/* The copy of files begins; `bytes` is the estimate. */
void sc_status_copying(uint32_t threads, uint64_t bytes);
/* Bytes and stage, from the daemon. */
void sc_status_progress(const struct sc_ctl_progress *progress);
/* Position and GTIDs of the finished clone. */
void sc_status_seal(const struct sc_ctl_seal *seal);
/*
 * The clone ended; err empty = success. target_fd: directory cloned into,
 * whose own #clone/ gets the record, or -1.
 */
void sc_status_end(const struct sc_err *err, int target_fd);

/* In place: the clone is committed and the server will restart; what comes of
 * it is recorded then. No other clone can begin until that. */
void sc_status_restarting(void);

/* A clone replaces this server's own data: it runs, or waits for the restart.
 */
bool sc_status_replacing(void);

/* What start-up found out about a clone this server was started on. */
void sc_status_set_position(const char *binlog_file, uint64_t position,
			    const char *gtid_executed);
/* Without a position, its error text says why; the GTIDs are InnoDB's. */
void sc_status_set_redo_lost(const char *text);
void sc_status_set_failed(int error_no, const char *text);
/* A start did what an earlier one had failed with; text as of
 * sc_status_set_redo_lost(), or NULL. */
void sc_status_set_finished(const char *text);
/* Take in, and remove, what InnoDB wrote about a recovery. */
void sc_status_recovered(void);

/* A consistent copy; free with sc_status_free(). Takes in what InnoDB wrote
 * about a recovery (#status_recovery) first. */
void sc_status_snapshot(struct sc_status *ret);
void sc_status_free(struct sc_status *st);

/* ---- status_file.c: the files, on a record the caller owns --------------- */

/* Read #view_status, #view_progress beneath dirfd (a data directory), and
 * remove what a write of them left that a crash of the host cut off. */
void sc_status_read(int dirfd, struct sc_status *st);
/* Write them; dirfd's #clone/ is made when `make`. A clone still in progress
 * is written as interrupted. Errors are ignored as stock does: the record is
 * a convenience. */
void sc_status_write(int dirfd, const struct sc_status *st, bool make);
/* Merge and remove #status_recovery. True when something was merged. */
bool sc_status_recover(int dirfd, struct sc_status *st);

/* Parse and print, for tests: text as in the files. */
void sc_status_parse_view(FILE *in, struct sc_status *st);
void sc_status_print_view(FILE *out, const struct sc_status *st);
void sc_status_parse_progress(FILE *in, struct sc_status *st);
void sc_status_print_progress(FILE *out, const struct sc_status *st);
/* unknown_end_us: the end of the recovery when the file does not tell; 0:
 * InnoDB has not finished, so that it failed, and its GTIDs are not there yet.
 */
void sc_status_parse_recovery(FILE *in, struct sc_status *st,
			      uint64_t unknown_end_us);

#endif
