/* SPDX-License-Identifier: GPL-2.0-only */
/* performance_schema.clone_status and clone_progress. */
#ifndef SC_PLUGIN_STATUS_TABLES_H
#define SC_PLUGIN_STATUS_TABLES_H

/* Add the two tables to performance_schema. Returns 0, or -1 when mysqld
 * refuses. */
int sc_tables_add(void);
/* Remove them; legal when they were not added. */
void sc_tables_remove(void);

#endif
