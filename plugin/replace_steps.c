/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The steps that bring the recipient to rest before its data is replaced, each
 * with its undo; see replace.h. All run in the replacement's thread.
 */
#include "plugin/replace_job.h"

#include "io/base/cleanup.h"
#include "io/base/fdio.h"
#include "io/base/num.h"
#include "io/base/step.h"
#include "plugin/services.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int sys_failed(const char *what, struct sc_err *err)
{
	return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno, "%s", what);
}

/* In slices of a second, so that a cancel is heard in between. */
static int step_lock(struct sc_replace *r, struct sc_sql *sql,
		     struct sc_err *err)
{
	unsigned waited = 0;

	for (;;) {
		struct sc_err once = SC_ERR_INIT;

		if (sc_sql_lock_backup(sql, 1, &once) == 0)
			return 0;
		if (once.code != SC_ER_LOCK_WAIT_TIMEOUT ||
		    ++waited >= SC_MAX(r->ddl_timeout, 1u) ||
		    sc_replace_cancelled(r)) {
			*err = once;
			return sc_err_context(err, "backup lock");
		}
	}
}

static bool is_on(const struct sc_rows *rows, size_t column)
{
	const char *value = sc_rows_get(rows, 0, column);

	return value && !strcmp(value, "1");
}

/* No new .ibd of the old server may take a space id or a name of the clone. */
static int step_read_only(struct sc_replace *r, struct sc_sql *sql,
			  struct sc_err *err)
{
	CLEANUP_ROWS struct sc_rows rows = { 0 };

	if (sc_sql_query(sql, &rows,
			 "SELECT @@GLOBAL.read_only, @@GLOBAL.super_read_only",
			 err) < 0)
		return -1;
	r->read_only = is_on(&rows, 0);
	r->super_read_only = is_on(&rows, 1);
	r->read_only_known = true;
	return sc_sql_query(sql, NULL, "SET GLOBAL super_read_only = ON", err);
}

static int undo_read_only(struct sc_replace *r, struct sc_sql *sql,
			  struct sc_err *err)
{
	if (!r->read_only_known || r->super_read_only)
		return 0;
	if (sc_sql_query(sql, NULL, "SET GLOBAL super_read_only = OFF", err) <
	    0)
		return -1;
	return r->read_only ? 0
			    : sc_sql_query(sql, NULL,
					   "SET GLOBAL read_only = OFF", err);
}

/* A channel's name as it stands between quotes, in this session's sql_mode. */
#define QUOTED_CHANNEL                                                         \
	"REPLACE(REPLACE(c.channel_name, X'27', X'2727'), X'5C', IF(FIND_IN_SET('NO_BACKSLASH_ESCAPES', @@SESSION.sql_mode), X'5C', X'5C5C'))"

/* As stock: replication stops before the data goes. STOP REPLICA ignores the
 * backup lock while a CLONE replaces data. Group Replication's own channels
 * are not ours to stop; it cannot run now (3875). */
static int step_stop_replica(struct sc_replace *r, struct sc_sql *sql,
			     struct sc_err *err)
{
	if (sc_sql_query(
		    sql, &r->channels,
		    "SELECT " QUOTED_CHANNEL
		    ", c.service_state <> 'OFF', a.service_state = 'ON' FROM performance_schema.replication_connection_status c JOIN performance_schema.replication_applier_status a USING (channel_name) WHERE c.channel_name NOT LIKE 'group|_replication|_%' ESCAPE '|' AND (c.service_state <> 'OFF' OR a.service_state = 'ON')",
		    err) < 0)
		return -1;
	for (size_t i = 0; i < r->channels.count; i++) {
		if (sc_sql_queryf(sql, NULL, err,
				  "STOP REPLICA FOR CHANNEL '%s'",
				  sc_rows_get(&r->channels, i, 0)) < 0)
			return -1;
	}
	return 0;
}

static int start_thread(struct sc_replace *r, struct sc_sql *sql, size_t row,
			size_t column, const char *what, struct sc_err *err)
{
	const char *ran = sc_rows_get(&r->channels, row, column);

	if (!ran || strcmp(ran, "1"))
		return 0;
	return sc_sql_queryf(sql, NULL, err,
			     "START REPLICA %s FOR CHANNEL '%s'", what,
			     sc_rows_get(&r->channels, row, 0));
}

static int undo_stop_replica(struct sc_replace *r, struct sc_sql *sql,
			     struct sc_err *err)
{
	int rc = 0;

	for (size_t i = 0; i < r->channels.count; i++) {
		if (start_thread(r, sql, i, 1, "IO_THREAD", err) < 0 ||
		    start_thread(r, sql, i, 2, "SQL_THREAD", err) < 0)
			rc = -1;
	}
	return rc;
}

/* ---- what a rollback at start-up needs
 * -------------------------------------------- */

static int write_clone_file(const char *path, const char *text,
			    struct sc_err *err)
{
	CLEANUP_CLOSE int dir = -1;

	if (mkdir("#clone", 0750) < 0 && errno != EEXIST)
		return sys_failed("#clone", err);
	dir = open("#clone", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return sys_failed("#clone", err);
	if (sc_write_file(dir, path + strlen("#clone/"), text, strlen(text),
			  geteuid(), getegid(), err) < 0)
		return -1;
	return fsync(dir) < 0 ? sys_failed("fsync #clone", err) : 0;
}

static int step_save_gtids(struct sc_replace *r, struct sc_sql *sql,
			   struct sc_err *err)
{
	CLEANUP_ROWS struct sc_rows rows = { 0 };
	const char *set;

	(void)r;
	if (sc_sql_query(sql, &rows,
			 "SELECT REPLACE(@@GLOBAL.gtid_executed, CHAR(10), '')",
			 err) < 0)
		return -1;
	set = sc_rows_get(&rows, 0, 0);
	return write_clone_file(SC_SAVED_GTIDS, set ? set : "", err);
}

static int undo_save_gtids(struct sc_replace *r, struct sc_sql *sql,
			   struct sc_err *err)
{
	(void)r;
	(void)sql;
	if (unlink(SC_SAVED_GTIDS) < 0 && errno != ENOENT)
		return sys_failed(SC_SAVED_GTIDS, err);
	return 0;
}

static int remove_saved_binlogs(struct sc_err *err)
{
	CLEANUP_CLOSE int dir =
		open(SC_SAVED_BINLOGS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return errno == ENOENT ? 0 : sys_failed(SC_SAVED_BINLOGS, err);
	if (sc_tree_remove(dir, err) < 0)
		return -1;
	return rmdir(SC_SAVED_BINLOGS) < 0 ? sys_failed(SC_SAVED_BINLOGS, err)
					   : 0;
}

/* Keep one binary log, or its index, under a second name. */
static int link_log(const char *dir, const char *name, struct sc_err *err)
{
	char from[1024], to[600];

	snprintf(from, sizeof(from), "%.700s/%.255s", dir, name);
	snprintf(to, sizeof(to), SC_SAVED_BINLOGS "/%.255s", name);
	if (link(from, to) == 0)
		return 0;
	return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
			  "cannot keep %s beside the clone", from);
}

/* RESET removes them; a rollback at start-up can then say where they are.
 * Where they cannot be linked (another file system), the clone goes on. */
static int step_save_binlogs(struct sc_replace *r, struct sc_sql *sql,
			     struct sc_err *err)
{
	CLEANUP_ROWS struct sc_rows rows = { 0 };
	struct sc_err link_err = SC_ERR_INIT;
	char base[1024] = "";
	char *slash;

	(void)r;
	sc_server_variable("log_bin_basename", base, sizeof(base));
	slash = strrchr(base, '/');
	if (!slash)
		return 0;
	*slash = '\0';
	if (remove_saved_binlogs(err) < 0)
		return -1;
	if (mkdir(SC_SAVED_BINLOGS, 0750) < 0)
		return sys_failed(SC_SAVED_BINLOGS, err);
	if (sc_sql_query(sql, &rows, "SHOW BINARY LOGS", err) < 0)
		return -1;
	for (size_t i = 0; i < rows.count && !link_err.code; i++)
		link_log(base, sc_rows_get(&rows, i, 0), &link_err);
	if (link_err.code)
		sc_server_log(
			ST_LOG_WARNING,
			"clone: the old binary logs will not be there after a rollback: %s",
			link_err.msg);
	return 0;
}

static int undo_save_binlogs(struct sc_replace *r, struct sc_sql *sql,
			     struct sc_err *err)
{
	(void)r;
	(void)sql;
	return remove_saved_binlogs(err);
}

/* If the server dies between the commit and RESET, its start does it. Before
 * the sets are saved: without the mark they mean that RESET was made. */
static int step_mark_reset(struct sc_replace *r, struct sc_sql *sql,
			   struct sc_err *err)
{
	(void)r;
	(void)sql;
	return write_clone_file(SC_RESET_PENDING, "", err);
}

static int undo_mark_reset(struct sc_replace *r, struct sc_sql *sql,
			   struct sc_err *err)
{
	(void)r;
	(void)sql;
	if (unlink(SC_RESET_PENDING) < 0 && errno != ENOENT)
		return sys_failed(SC_RESET_PENDING, err);
	return 0;
}

const struct sc_replace_step sc_replace_steps[] = {
	{ "backup lock", step_lock, NULL },
	{ "read only", step_read_only, undo_read_only },
	{ "stop replica", step_stop_replica, undo_stop_replica },
	{ "mark reset", step_mark_reset, undo_mark_reset },
	{ "save gtids", step_save_gtids, undo_save_gtids },
	{ "save binary logs", step_save_binlogs, undo_save_binlogs },
};
const size_t sc_replace_n_steps = SC_ARRAY_SIZE(sc_replace_steps);

void sc_replace_reset(struct sc_sql *sql)
{
	struct sc_err err = SC_ERR_INIT;

	sc_step_done("replace", "committed");
	if (sql &&
	    sc_sql_query(sql, NULL, "RESET BINARY LOGS AND GTIDS", &err) == 0) {
		sc_step_done("replace", "reset");
		unlink(SC_RESET_PENDING);
		return;
	}
	sc_server_log(
		ST_LOG_WARNING,
		"clone: binary logs and GTIDs are not reset (%s); the start on the clone will do it",
		err.msg);
}
