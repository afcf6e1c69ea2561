/* SPDX-License-Identifier: GPL-2.0-only */
/* This server's directories of tablespaces, opened; see io/base/roots.h. */
#ifndef SC_PLUGIN_ROOTS_H
#define SC_PLUGIN_ROOTS_H

#include "io/base/ctl.h"
#include "io/base/err.h"

/* What the server variables of these names say; NULL as "". */
struct sc_root_settings {
	const char *undo_directory;
	const char *data_home_dir;
	const char *data_file_path;
	const char *directories; /* innodb_directories */
};
/* Bytes of innodb_directories that are understood. */
#define SC_DIRECTORIES_MAX 8192

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
/* Of a clone into a new directory: the data directory, in whose place it comes,
 * and those of external tablespaces. */
int sc_external_places_open(struct sc_own_roots *ret,
			    struct sc_ctl_places *places, struct sc_err *err);
void sc_own_roots_close(struct sc_own_roots *roots);
#define CLEANUP_ROOTS __attribute__((cleanup(sc_own_roots_close)))

#endif
