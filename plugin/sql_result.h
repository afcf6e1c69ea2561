/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The callbacks mysqld gives the result of a statement to, for sql.c. They run
 * on the thread of the session.
 */
#ifndef SC_PLUGIN_SQL_RESULT_H
#define SC_PLUGIN_SQL_RESULT_H

#include "plugin/abi.h"
#include "plugin/sql.h"

/* What one statement gave; the callbacks' context. */
struct sc_sql_result {
	struct sc_rows *rows; /* NULL: not wanted */
	unsigned error;	      /* 0: none */
	char text[512];
};

extern const struct st_result_callbacks sc_sql_callbacks;

#endif
