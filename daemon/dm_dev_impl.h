/* SPDX-License-Identifier: GPL-2.0-only */
/* What dm_dev.c and dm_dev_change.c share: one task is one call of the kernel.
 * All but the lock itself under the lock. */
#ifndef SC_DAEMON_DM_DEV_IMPL_H
#define SC_DAEMON_DM_DEV_IMPL_H

#include "daemon/dm_dev.h"

#include <libdevmapper.h>
#include <pthread.h>

/* The library's global state. */
extern pthread_mutex_t sc_dm_lock;

static inline void sc_dm_cleanup_task(struct dm_task **task)
{
	if (*task)
		dm_task_destroy(*task);
}
#define CLEANUP_TASK __attribute__((cleanup(sc_dm_cleanup_task)))

/* A task of that type (DM_DEVICE_*), for a device by its number. NULL: out of
 * memory. */
struct dm_task *sc_dm_task_new(int type);
struct dm_task *sc_dm_task_for(int type, dev_t dev);

/* "device-mapper: cannot WHAT NAME: " and what the library said, else the error
 * of the ioctl. task may be NULL. Returns -1. */
int sc_dm_task_failed(struct dm_task *task, const char *what, const char *name,
		      struct sc_err *err);

/* As sc_dm_info(). */
int sc_dm_get_info(dev_t dev, struct sc_dm_info *ret, struct sc_err *err);

/* "253:0" */
const char *sc_dm_number(dev_t dev, char buf[static 24]);

#endif
