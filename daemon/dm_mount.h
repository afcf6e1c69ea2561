/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A file system on a block device, mounted read-only where nobody sees it: the
 * mount has no place in any namespace and ends with its descriptor. Any thread.
 */
#ifndef SC_DAEMON_DM_MOUNT_H
#define SC_DAEMON_DM_MOUNT_H

#include "io/base/err.h"

/*
 * Set the device read-only, then mount it without recovery of its log: a
 * frozen file system needs none. fs: "xfs" or "ext4". device: an open
 * descriptor of it, borrowed. Returns a descriptor of the mount or -1; the
 * mount ends when that and all descriptors below it are closed. Source: ioctl
 * BLKROSET; fsopen(2), fsmount(2) (Linux 5.2).
 */
int sc_dm_mount(const char *fs, int device, struct sc_err *err);

/*
 * The directory in the mounted image that `dir` is on the origin: the same
 * inode, found by its handle, so no path is needed and none can mislead.
 * Returns a descriptor to be closed or -1. Source: name_to_handle_at(2).
 */
int sc_dm_same_dir(int mounted, int dir, struct sc_err *err);

#endif
