/* SPDX-License-Identifier: GPL-2.0-only */
/* Undoing what a job in place left in this server's data directory when its
 * daemon or the server died: a daemon does it, which knows the names. */
#ifndef SC_PLUGIN_CLEAN_H
#define SC_PLUGIN_CLEAN_H

#include "io/base/err.h"

#include <stdbool.h>

/* True when a job staged here and did not end. */
bool sc_clean_needed(void);

/* Have it undone; blocks up to a minute. Returns 0 or -1. Legal when nothing is
 * left. Refuses when a commit waits for the restart. */
int sc_clean_data_directory(struct sc_err *err);

/* The clone is the data directory now: forget that somebody staged here. A
 * power cut just after the commit brings the mark of that back. */
void sc_clean_forget(void);

#endif
