/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Devices that somebody has suspended: whatever touches a file system on one
 * may wait for as long as that lasts, and cannot be ended. So they are found
 * without touching any: by the table of mounts, and by what sysfs says of
 * device-mapper. No state, any thread.
 */
#ifndef SC_DAEMON_SUSPENDED_H
#define SC_DAEMON_SUSPENDED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/*
 * Is a device suspended on which a directory stands, or what is mounted below
 * it? Layers below the file system's device count. path: as it is written, no
 * symbolic link of it is followed. True with what to call the device in ret,
 * `cap` bytes ("dm-0 (vg-data)"). False also where that cannot be found. A file
 * system that is frozen without its device (fsfreeze) is not known.
 */
bool sc_suspended_under(const char *path, char *ret, size_t cap);

/* ---- for tests: with another table of mounts and sysfs --------------------
 */

/* mountinfo: read from where it is. sys: as sc_sys_open() gives it. path:
 * absolute, without "." and "..". Source: proc_pid_mountinfo(5). */
bool sc_suspended_look(FILE *mountinfo, int sys, const char *path, char *ret,
		       size_t cap);

/* The absolute path of a name without looking at it: no "." or ".." in it, nor
 * "//". False: longer than cap. */
bool sc_path_absolute(const char *path, char *ret, size_t cap);

#endif
