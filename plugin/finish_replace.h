/* SPDX-License-Identifier: GPL-2.0-only */
/* What a start-up has to finish after a replacement in place, beside the checks
 * and the GTID repair of finish.c. All in the finishing thread. */
#ifndef SC_PLUGIN_FINISH_REPLACE_H
#define SC_PLUGIN_FINISH_REPLACE_H

#include "plugin/sql.h"

/* Remove what a power cut left of files that were being written. */
void sc_finish_half_written(void);

/* True when a replacement left something behind, swapped in or not. */
bool sc_finish_replace_needed(void);

/*
 * The set the old data had executed before it was replaced, "" when unknown.
 * The caller frees; NULL when out of memory.
 */
char *sc_finish_saved_gtids(void);

/* The clone is in: reset binary logs and GTIDs if the old server died before
 * it could. *ret_extra: what was executed meanwhile and is in neither set
 * (replication that started by itself), to be added again; caller frees. */
int sc_finish_reset(struct sc_sql *sql, const char *gtid_executed,
		    char **ret_extra, struct sc_err *err);

/* The clone is in and its GTIDs are right: remove what only a rollback needed,
 * and the directories of schemas that are gone. */
void sc_finish_cleanup(struct sc_sql *sql);

/* The clone is in: no start from now on looks for the old data. What was saved
 * of its binary logs stays. */
void sc_finish_forget(void);

/* The old data is here: its GTIDs again, the stage removed, the record says
 * what happened. */
void sc_finish_rolled_back(struct sc_sql *sql);

#endif
