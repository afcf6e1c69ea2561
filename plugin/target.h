/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The directory a clone goes into (DATA DIRECTORY): made by the plugin as
 * mysqld's user, handed to the daemon as a descriptor, removed when the clone
 * fails. Statement thread.
 */
#ifndef SC_PLUGIN_TARGET_H
#define SC_PLUGIN_TARGET_H

#include "io/base/err.h"

#include <stdint.h>

#define SC_TARGET_PATH 4096
#define SC_TARGET_MADE (SC_TARGET_PATH / 2) /* "/a/a/a..." */

struct sc_target {
	char path[SC_TARGET_PATH]; /* absolute, without '/' at its end */
	char name[256];		   /* last component */
	int fd, parent_fd;
	/* What was made, the target last: lengths of the names in path. */
	uint16_t made[SC_TARGET_MADE];
	unsigned n_made;
};

/*
 * Make and open it, with parents that are missing, mode 0750. data_dir: what
 * mysqld gave; it has checked that it does not exist. Returns 0, or -1 (1006)
 * with nothing left behind.
 */
int sc_target_make(struct sc_target *target, const char *data_dir,
		   struct sc_err *err);

/* Close it. */
void sc_target_close(struct sc_target *target);

/* Remove it with all it holds, and the parents that were made for it; then
 * close it. What cannot be removed is logged. */
void sc_target_remove(struct sc_target *target);

#endif
