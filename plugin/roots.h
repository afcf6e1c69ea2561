/* SPDX-License-Identifier: GPL-2.0-only */
/* This server's directories of tablespaces, opened; see io/base/roots.h. */
#ifndef SC_PLUGIN_ROOTS_H
#define SC_PLUGIN_ROOTS_H

#include "io/base/ctl.h"
#include "io/base/err.h"
#include "plugin/sql.h"

/* What the server variables of these names say; NULL as "". */
struct sc_root_settings {
	const char *undo_directory;
	const char *data_home_dir;
	const char *data_file_path;
};

struct sc_own_roots {
	struct sc_ctl_roots m;
	int fd[SC_MAX_ROOTS]; /* owned */
};

/*
 * Open the data directory, which is mysqld's working directory, and those that
 * the settings name and that are others. To be closed also after a failure. 0
 * or -1. Any thread; no SQL.
 */
int sc_own_roots_open(struct sc_own_roots *ret,
		      const struct sc_root_settings *settings,
		      struct sc_err *err);
/* The same by what the variables of this server say, with the message that
 * tells a daemon. From a thread that has a session. */
int sc_own_places_open(struct sc_own_roots *ret, struct sc_ctl_places *places,
		       struct sc_err *err);
/* An undo tablespace that lies in another directory than new ones would: its
 * path, or "" when there is none. Waits for no metadata lock. 0 or -1. */
int sc_undo_elsewhere(struct sc_sql *sql, char *ret, size_t cap,
		      struct sc_err *err);
void sc_own_roots_close(struct sc_own_roots *roots);
#define CLEANUP_ROOTS __attribute__((cleanup(sc_own_roots_close)))

#endif
