/* SPDX-License-Identifier: GPL-2.0-only */
/* The snapshots that daemons left, on every btrfs of this host; see btrfs.h. */
#include "daemon/btrfs.h"

#include "io/base/cleanup.h"
#include "io/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Every btrfs that is mounted here; proc(5), mountinfo: "ID PARENT DEV ROOT
 * PATH OPTIONS ... - TYPE SOURCE OPTIONS". */
static int reap_mount(char *line, bool remove, uint64_t until_ms,
		      struct sc_err *err)
{
	char *type = strstr(line, " - "), path[4096];
	CLEANUP_CLOSE int dir = -1, top = -1;

	if (!type || strncmp(type + 3, "btrfs ", 6) != 0 ||
	    sscanf(line, "%*s %*s %*s %*s %4095s", path) != 1)
		return 0;
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || !sc_btrfs_is(dir))
		return 0; /* covered by another mount, or \040 in its name */
	top = sc_btrfs_mount(dir, 0);
	return top < 0 ? 0 : sc_btrfs_reap_top(top, remove, until_ms, err);
}

int sc_btrfs_reap(bool remove, struct sc_err *err)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	/* For all together: one file system may be mounted many times. Only to
	 * look is not worth a wait. */
	uint64_t until_ms = sc_now_ms() + (remove ? SC_BTRFS_LOCK_MS : 0);
	CLEANUP_FREE char *line = NULL;
	bool bad = false;
	size_t cap = 0;
	int n = 0;

	if (!f)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
				  "cannot read /proc/self/mountinfo");
	while (getline(&line, &cap, f) > 0) {
		int rc = reap_mount(line, remove, until_ms, err);

		n += rc > 0 ? rc : 0;
		bad |= rc < 0;
	}
	fclose(f);
	return bad ? -1 : n;
}
