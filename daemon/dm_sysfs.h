/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Block devices as sysfs shows them: what they are and what lies under them.
 * `sys` is a descriptor of /sys/dev/block (tests give another directory of
 * that form). Any thread.
 */
#ifndef SC_DAEMON_DM_SYSFS_H
#define SC_DAEMON_DM_SYSFS_H

#include "io/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

int sc_sys_open(struct sc_err *err);

/* An attribute's text without its newline. Its length or -errno; -ENODATA when
 * it does not fit. Source: Documentation/ABI/stable/sysfs-block. */
int sc_sys_get(int sys, dev_t dev, const char *attr, char *buf, size_t cap);
int sc_sys_set(int sys, dev_t dev, const char *attr, const char *value);

/* A device-mapper device, a partition. */
bool sc_sys_has(int sys, dev_t dev, const char *attr);

/* Bytes written since boot, 0 when unknown. Source: block/stat.rst, field 7. */
uint64_t sc_sys_written(int sys, dev_t dev);

/* "sda1", "dm-0 (vg-data)", or "8:1". */
const char *sc_sys_name(int sys, dev_t dev, char *buf, size_t cap);

/* Open the device's node below /dev, whatever it is called there. A descriptor
 * or -errno. */
int sc_sys_open_node(int sys, dev_t dev, int flags);

/*
 * Visit a device and all that lies under it, through device-mapper, md,
 * partitions, and the file systems of loop devices' files. visit: returns
 * non-zero to stop. Returns what stopped it, 0, or -1 with err where a layer
 * cannot be seen through.
 */
int sc_sys_walk(int sys, dev_t dev, int (*visit)(dev_t dev, void *ctx),
		void *ctx, struct sc_err *err);

/* `wanted` is dev or lies under it: 1, 0 or -1. */
int sc_sys_stands_on(int sys, dev_t dev, dev_t wanted, struct sc_err *err);

/* A layer of dev encrypts: 1, 0 or -1. */
int sc_sys_encrypted(int sys, dev_t dev, struct sc_err *err);

#endif
