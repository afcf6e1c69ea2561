/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * clone_drop_data_first: give the room of the old data to the clone, as the
 * stock plugin always does. Nothing brings the old data back.
 */
#ifndef SC_PLUGIN_DROP_DATA_H
#define SC_PLUGIN_DROP_DATA_H

#include "io/base/err.h"
#include "plugin/abi.h"

/*
 * Stop replication, drop all schemas but the server's own and all general
 * tablespaces, not written to the binary log, then wait delay_s seconds
 * (clone_delay_after_data_drop). Statement thread; ends early by KILL (1317).
 * Returns 0 or -1; what was dropped until then is gone.
 */
int sc_drop_data(struct st_thd *thd, unsigned delay_s, struct sc_err *err);

#endif
