/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who works on images of devices: one process of the host at a time, known by
 * a lock on a file, which ends with the process. Any thread.
 */
#ifndef SC_DAEMON_DM_LOCK_H
#define SC_DAEMON_DM_LOCK_H

#include "io/base/err.h"

/* Counted within the process: the lock goes with the last drop. 0, or -1 when
 * another process has it; err names that. */
int sc_dm_lock_take(struct sc_err *err);
void sc_dm_lock_drop(void);

/* Take it for reaping: 1, 0 when another process has images, or -1 (this one
 * has). */
int sc_dm_lock_idle(struct sc_err *err);

#endif
