/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Device-mapper devices through libdevmapper, which is used here only. The
 * library has global state: every call holds one lock, so any thread may call,
 * and none holds it for long (a swap: as long as the swap takes).
 *
 * Devices are named by their number; numbers stay while a device is open, and
 * what is swapped here is mounted or our own.
 */
#ifndef SC_DAEMON_DM_DEV_H
#define SC_DAEMON_DM_DEV_H

#include "daemon/dm_table.h"

#include "io/base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Every device of ours has a uuid that begins so. */
#define SC_DM_UUID_PREFIX "SNAPCLONE-"

struct sc_dm_info {
	dev_t dev;
	char name[SC_DM_NAME_SIZE];
	char uuid[SC_DM_UUID_SIZE];	/* empty: it has none */
	bool suspended, live, inactive; /* the latter: has such a table */
	int open_count;
};

/* Open the kernel's control device and keep it open. May be called again.
 * Fails where the kernel has no device-mapper or the caller is not root. */
int sc_dm_setup(struct sc_err *err);

/* 1, 0 when there is no such device, -1. */
int sc_dm_info(dev_t dev, struct sc_dm_info *ret, struct sc_err *err);

/* All devices; the caller frees *ret. */
int sc_dm_list(dev_t **ret, unsigned *ret_n, struct sc_err *err);

/* The live table, or the one in the inactive slot (empty when there is none).
 * Keys in it are not left in the library's or the kernel's buffers. */
int sc_dm_read(dev_t dev, bool inactive, struct sc_dm_table *ret,
	       struct sc_err *err);

/* State of a snapshot device. */
int sc_dm_fill(dev_t dev, struct sc_dm_fill *ret, struct sc_err *err);

/* A new device of ours, active, that udev leaves alone. */
int sc_dm_create(const char *name, const char *uuid,
		 const struct sc_dm_table *table, dev_t *ret,
		 struct sc_err *err);

/* Put a table into the inactive slot; empty the slot. */
int sc_dm_load(dev_t dev, const struct sc_dm_table *table, struct sc_err *err);
int sc_dm_clear(dev_t dev, struct sc_err *err);

/*
 * Make the inactive table of a live device the live one, by one resume ioctl:
 * the kernel freezes the file system on it, waits for what is under way, swaps
 * and thaws. A device that is suspended already is refused: whoever suspended
 * it has a reason. When it fails, the device runs on with its old table.
 * ret_us: how long the ioctl took, which is the longest that a write waited.
 */
int sc_dm_swap(dev_t dev, uint64_t *ret_us, struct sc_err *err);

/* Remove a device of ours; waits up to wait_ms for the last user to close it
 * (io_uring and mounts of a killed process end after the process). Fine when it
 * is gone already. */
#define SC_DM_REMOVE_MS 10000
int sc_dm_remove(dev_t dev, unsigned wait_ms, struct sc_err *err);

#endif
