/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tablespaces in places where no clone looks for them. From a thread that has a
 * session; nothing here waits for a metadata lock.
 */
#ifndef SC_PLUGIN_OUTSIDE_H
#define SC_PLUGIN_OUTSIDE_H

#include "io/base/ctl.h"
#include "io/base/err.h"
#include "plugin/sql.h"

/* An undo tablespace that lies in another directory than new ones would: its
 * path, or "" when there is none. 0 or -1. */
int sc_undo_elsewhere(struct sc_sql *sql, char *ret, size_t cap,
		      struct sc_err *err);

/*
 * Other tablespaces outside of the data directory and of what
 * innodb_directories names, or behind symbolic links there: "a, b, c and 4
 * more", or "" when there is none. roots: directories as they were opened. 0 or
 * -1.
 */
int sc_tables_elsewhere(struct sc_sql *sql, const struct sc_ctl_roots *roots,
			char *ret, size_t cap, struct sc_err *err);

/*
 * A symbolic link in the data directory that stands for a schema's directory
 * with tablespaces in it: its name, or "" when there is none. No SQL. 0 or -1.
 */
int sc_linked_schema(char *ret, size_t cap, struct sc_err *err);

/* Of the directories for external tablespaces, those that have none become
 * SC_EXTERNAL_LATER. 0 or -1. */
int sc_external_mark(struct sc_sql *sql, struct sc_ctl_roots *roots,
		     struct sc_err *err);

#endif
