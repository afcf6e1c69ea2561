/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * SQL from inside the plugin: a session of its own, as mysql.session with all
 * privileges, on a thread of its own (never a statement's thread, whose row in
 * performance_schema.threads would get lost). One thread uses a session, and
 * may have a second one beside it.
 */
#ifndef SC_PLUGIN_SQL_H
#define SC_PLUGIN_SQL_H

#include "io/base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct sc_sql;

/* A result: text values, row by row; NULL is SQL's NULL. */
struct sc_rows {
	char **values; /* owned, columns * count */
	size_t columns, count, cap;
	bool failed; /* out of memory */
};

void sc_rows_free(struct sc_rows *rows);
#define CLEANUP_ROWS __attribute__((cleanup(sc_rows_free)))

/* The value, or NULL when it is NULL or out of range. Borrowed from rows. */
const char *sc_rows_get(const struct sc_rows *rows, size_t row, size_t column);

/*
 * Announce the calling thread to mysqld and open a session on it. NULL with
 * err set on failure. Needs a server that is up (server_is_available). The
 * thread must close the session before it ends.
 */
struct sc_sql *sc_sql_open(struct sc_err *err);

/*
 * Another session on a thread that has one, to be closed before that one; so
 * that a KILL of the one does not stop what the other is for. NULL with err on
 * failure.
 */
struct sc_sql *sc_sql_open_beside(struct sc_err *err);

/* Close the session (rolls back, gives back its locks) and the thread's
 * announcement. NULL is legal. */
void sc_sql_close(struct sc_sql *sql);

/* The id to KILL it by; constant while the session is open. */
unsigned sc_sql_id(const struct sc_sql *sql);

/*
 * Run one statement; rows (may be NULL) is cleared first. Returns 0, or -1
 * with the server's error number and message. A session that was killed, also
 * by KILL QUERY between two statements, runs none any more: 1317 for each.
 */
int sc_sql_query(struct sc_sql *sql, struct sc_rows *rows, const char *query,
		 struct sc_err *err);
/* The same with a format; GTID sets make statements of megabytes. */
int sc_sql_queryf(struct sc_sql *sql, struct sc_rows *rows, struct sc_err *err,
		  const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/*
 * Take or give back the instance's backup lock for this session; DDL of others
 * waits. The statement LOCK INSTANCE is not allowed to sessions of plugins.
 * Waits at most timeout_s seconds (1205), ends early by a KILL (1317).
 * Closing the session gives it back too.
 */
int sc_sql_lock_backup(struct sc_sql *sql, unsigned timeout_s,
		       struct sc_err *err);
void sc_sql_unlock_backup(struct sc_sql *sql);

/* The one value of a query of one row and one column, as an unsigned number;
 * anything else is an error. */
int sc_sql_u64(struct sc_sql *sql, const char *query, unsigned long long *ret,
	       struct sc_err *err);
/* A server status variable (SHOW GLOBAL STATUS) as a number. */
int sc_sql_status(struct sc_sql *sql, const char *name, unsigned long long *ret,
		  struct sc_err *err);

#endif
