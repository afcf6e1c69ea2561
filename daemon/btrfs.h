/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the btrfs provider asks of the file system. All calls but
 * sc_btrfs_nested() need CAP_SYS_ADMIN; all block; any thread.
 *
 * A snapshot lies in the top of the file system, where only a mount of the top
 * itself (subvolid=5) shows it, as SC_BTRFS_PREFIX and the id of its job: a
 * name that begins with a dot, which neither InnoDB nor we look into. While its
 * daemon lives it has a lock (flock) on the snapshot's root.
 */
#ifndef SC_DAEMON_BTRFS_H
#define SC_DAEMON_BTRFS_H

#include "io/base/ctl.h"
#include "io/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SC_BTRFS_PREFIX ".snapclone-"
#define SC_BTRFS_NAME_SIZE (sizeof(SC_BTRFS_PREFIX) + 2 * SC_JOB_ID_SIZE)
/* The top has one while a daemon makes or looks for snapshots there. Everybody
 * who can open it may take that lock, too: nobody waits for it longer. */
#define SC_BTRFS_LOCK_MS 5000
/* Room for the path of a directory in its subvolume: struct
 * btrfs_ioctl_ino_lookup_args. */
#define SC_BTRFS_PATH_SIZE 4080

/* Where a directory lies. */
struct sc_btrfs_place {
	uint64_t subvolume;
	char path[SC_BTRFS_PATH_SIZE]; /* in it; "" = its root */
};

/* Is a directory on btrfs? */
bool sc_btrfs_is(int dir);

/* 0 or -errno. */
int sc_btrfs_place(int dir, struct sc_btrfs_place *ret);

/* The first subvolume, or other file system, mounted or lying below a
 * directory: its path relative to that in ret. 1, 0 when there is none, or
 * -errno. */
int sc_btrfs_nested(int dir, char *ret, size_t cap);

/* Mount a subvolume of the file system that dir lies on where nobody sees it
 * (0: the top). A descriptor of its root, with which the mount goes, or -errno.
 */
int sc_btrfs_mount(int dir, uint64_t subvolume);

/*
 * Make a read-only snapshot of a subvolume and lock it. top: from
 * sc_btrfs_mount(dir, 0); source: root of the subvolume; us: how long it took.
 * A descriptor of the snapshot's root, which has the lock, or -1.
 */
int sc_btrfs_snapshot(int top, int source, const char *name, uint64_t *us,
		      struct sc_err *err);
/* Remove it. 0 or -1. */
int sc_btrfs_remove(int top, const char *name, struct sc_err *err);

/* The snapshots in that top that no daemon has locked: their number, or -1 with
 * the first failure. remove: they are gone then. Another daemon may be at work
 * there until until_ms (sc_now_ms()). */
int sc_btrfs_reap_top(int top, bool remove, uint64_t until_ms,
		      struct sc_err *err);
/* btrfs_reap.c: in those of all btrfs that are mounted here. */
int sc_btrfs_reap(bool remove, struct sc_err *err);

#endif
