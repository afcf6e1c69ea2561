/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Checks and GTID repair after recovery of a clone; see finish.h and
 * docs/design.md, "Why the result is right". One thread, started at plugin
 * init, which waits for the server to be up.
 */
#include "plugin/finish.h"

#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "io/base/step.h"
#include "plugin/finish_replace.h"
#include "plugin/services.h"
#include "plugin/sql.h"
#include "plugin/status.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAIT_UP_MS (30 * 60 * 1000) /* crash recovery can be long */

/* What a step returns, beside 0: it could not be done, and the next start may;
 * or the data is not the clone that it should be. */
enum { NOT_DONE = -1, BAD_CLONE = -2 };

static pthread_t thread;
static bool running;
static atomic_bool stop;

static bool is_one(const struct sc_rows *rows, size_t column)
{
	const char *value = sc_rows_get(rows, 0, column);

	return value && !strcmp(value, "1");
}

static int bad_clone(struct sc_err *err, const char *what, const char *detail)
{
	sc_err_set(err, SC_ER_INTERNAL_ERROR, "%s%s; clone again", what,
		   detail);
	return BAD_CLONE;
}

/*
 * F is a subset of what was recovered, and this, apart from transactions of
 * this server itself, of G. Channels that came with the donor's repository
 * may have applied more since the start.
 */
static int check_recovered(struct sc_sql *sql, const struct sc_end *end,
			   struct sc_err *err)
{
	CLEANUP_ROWS struct sc_rows rows = { 0 };
	CLEANUP_FREE char *replaced = sc_finish_saved_gtids();
	const char *missing;

	if (sc_sql_queryf(
		    sql, &rows, err,
		    "SELECT REPLACE(GTID_SUBTRACT('%s', @@GLOBAL.gtid_executed), CHAR(10), ''), GTID_SUBSET(GTID_SUBTRACT(GTID_SUBTRACT(@@GLOBAL.gtid_executed, CONCAT(@@GLOBAL.server_uuid, ':1-9223372036854775806')), '%s'), '%s'), (SELECT COUNT(*) > 0 FROM performance_schema.replication_applier_status WHERE service_state = 'ON')",
		    end->gtid_flushed, replaced ? replaced : "",
		    end->gtid_executed) < 0)
		return NOT_DONE;
	missing = sc_rows_get(&rows, 0, 0);
	if (!missing || *missing)
		return bad_clone(
			err,
			"cloned data is incomplete: transactions the donor had committed are missing after recovery: ",
			missing ? missing : "unknown");
	if (!is_one(&rows, 1) && !is_one(&rows, 2))
		return bad_clone(
			err,
			"cloned data has transactions the donor did not have at the end of the clone",
			"");
	return 0;
}

/* gtid_executed := executed + G. */
static int repair(struct sc_sql *sql, const struct sc_end *end,
		  struct sc_err *err)
{
	CLEANUP_ROWS struct sc_rows rows = { 0 };
	const char *missing;

	if (sc_sql_queryf(
		    sql, &rows, err,
		    "SELECT REPLACE(GTID_SUBTRACT('%s', @@GLOBAL.gtid_executed), CHAR(10), '')",
		    end->gtid_executed) < 0)
		return -1;
	missing = sc_rows_get(&rows, 0, 0);
	if (!missing || !*missing)
		return 0;
	sc_server_log(
		ST_LOG_INFO,
		"clone: adding GTIDs of statements without an InnoDB commit: %.300s",
		missing);
	return sc_sql_queryf(sql, NULL, err, "SET GLOBAL gtid_purged = '+%s'",
			     missing);
}

/* Redo was lost: G is what InnoDB recovered, which clone_status has. A set that
 * was not written completely lacks some of F. */
static int take_recovered(struct sc_sql *sql, struct sc_end *end,
			  struct sc_err *err)
{
	CLEANUP_ROWS struct sc_rows rows = { 0 };
	struct sc_status now;
	int rc;

	sc_status_snapshot(&now);
	rc = sc_end_set_gtids(end, now.gtid_executed ? now.gtid_executed : "");
	sc_status_free(&now);
	if (rc == 0 &&
	    sc_sql_queryf(sql, &rows, err, "SELECT GTID_SUBSET('%s', '%s')",
			  end->gtid_flushed, end->gtid_executed) < 0)
		return NOT_DONE;
	if (rc < 0 || !is_one(&rows, 0))
		return bad_clone(
			err,
			"the GTIDs that InnoDB recovered are not in clone_status",
			"");
	sc_status_set_redo_lost(end->redo_lost);
	return 0;
}

/* ---- steps --------------------------------------------------------------- */

static int sync_clone_dir(void)
{
	int fd = open("#clone", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = fd < 0 ? -1 : fsync(fd);

	if (fd >= 0)
		close(fd);
	return rc;
}

/* The next start does not take a bad clone for the old data, nor check it
 * again; what could not be done now it tries once more. */
static void fail(const struct sc_err *err, bool bad)
{
	sc_server_log(ST_LOG_ERROR, "clone: %s%s", err->msg,
		      bad ? "" : "; the next start of the server tries again");
	sc_status_set_failed(err->code, err->msg);
	if (!bad)
		return;
	sc_finish_forget();
	if (rename(SC_END_CHECKED, SC_END_FAILED) < 0)
		rename(SC_END_FILE, SC_END_FAILED);
	sync_clone_dir();
}

static int add_gtids(struct sc_sql *sql, const char *set, struct sc_err *err)
{
	return set && *set
		       ? sc_sql_queryf(sql, NULL, err,
				       "SET GLOBAL gtid_purged = '+%s'", set)
		       : 0;
}

static void say_done(const struct sc_end *end)
{
	const char *uuid = end->donor_uuid ? end->donor_uuid : "";
	unsigned long long lsn = end->end_lsn;

	if (end->redo_lost)
		sc_server_log(
			ST_LOG_WARNING,
			"clone: this server is the donor %s at LSN %llu; %s",
			uuid, lsn, end->redo_lost);
	else
		sc_server_log(
			ST_LOG_INFO,
			"clone: this server is the donor %s at LSN %llu, binary log %s:%llu; GTIDs are complete",
			uuid, lsn, end->binlog_file,
			(unsigned long long)end->binlog_position);
}

static int finish_with(struct sc_sql *sql, struct sc_end *end, bool checked,
		       struct sc_err *err)
{
	CLEANUP_FREE char *extra = NULL;
	int rc = 0;

	if (!checked) {
		rc = check_recovered(sql, end, err);
		if (rc < 0)
			return rc;
		if (rename(SC_END_FILE, SC_END_CHECKED) < 0)
			return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
					  "cannot rename %s", SC_END_FILE);
		sync_clone_dir();
		sc_step_done("finish", "check");
	}
	if (end->redo_lost)
		rc = take_recovered(sql, end, err);
	if (rc < 0)
		return rc;
	if (sc_finish_reset(sql, end->gtid_executed, &extra, err) < 0)
		return NOT_DONE;
	sc_step_done("finish", "reset");
	if (repair(sql, end, err) < 0 || add_gtids(sql, extra, err) < 0)
		return NOT_DONE;
	sc_step_done("finish", "repair");
	say_done(end);
	sc_status_set_finished(end->redo_lost);
	sc_finish_cleanup(sql);
	sc_step_done("finish", "clean up");
	unlink(SC_END_FAILED); /* of an earlier clone */
	unlink(SC_END_CHECKED);
	sync_clone_dir();
	return 0;
}

/* Statements fail then, which says nothing of the clone. */
static bool ending(void)
{
	return atomic_load(&stop) ||
	       !sc_session_service()->server_is_available();
}

static FILE *open_end(bool *ret_checked)
{
	FILE *in = fopen(SC_END_CHECKED, "re");

	*ret_checked = in != NULL;
	return in ? in : fopen(SC_END_FILE, "re");
}

static void finish(struct sc_sql *sql)
{
	struct sc_err err = SC_ERR_INIT;
	struct sc_end end;
	bool checked;
	FILE *in = open_end(&checked);
	int rc;

	if (!in) {
		sc_finish_rolled_back(sql);
		return;
	}
	if (sc_end_parse(in, &end) < 0)
		rc = bad_clone(&err, "damaged: ",
			       checked ? SC_END_CHECKED : SC_END_FILE);
	else
		rc = finish_with(sql, &end, checked, &err);
	fclose(in);
	if (rc == BAD_CLONE || (rc == NOT_DONE && !ending()))
		fail(&err, rc == BAD_CLONE);
	sc_end_free(&end);
}

static bool wait_up(void)
{
	uint64_t deadline = sc_now_ms() + WAIT_UP_MS;

	while (!sc_session_service()->server_is_available()) {
		if (atomic_load(&stop) || sc_now_ms() > deadline)
			return false;
		/* Soon after the server is up: clients may look at once. */
		sc_sleep_ms(5);
	}
	return true;
}

static void *finish_main(void *arg)
{
	struct sc_err err = SC_ERR_INIT;
	struct sc_sql *sql;

	if (!wait_up())
		return arg;
	sc_status_recovered(); /* InnoDB has written all of it by now */
	sql = sc_sql_open(&err);
	if (sql)
		finish(sql);
	else
		sc_server_log(ST_LOG_ERROR, "clone: cannot finish: %s",
			      err.msg);
	sc_sql_close(sql);
	return arg;
}

/* clone_status tells E's position from the first moment on; what InnoDB wrote
 * into #status_recovery is the position of an earlier time, or none. S has no
 * position: clone_status says why. */
static void show_position(FILE *in)
{
	struct sc_end end;

	if (sc_end_parse(in, &end) < 0)
		;
	else if (end.redo_lost)
		sc_status_set_redo_lost(end.redo_lost);
	else
		sc_status_set_position(end.binlog_file, end.binlog_position,
				       end.gtid_executed);
	sc_end_free(&end);
}

void sc_finish_start(void)
{
	bool checked;
	FILE *in = open_end(&checked);

	sc_finish_half_written();
	if (!in && !sc_finish_replace_needed())
		return;
	if (in) {
		show_position(in);
		fclose(in);
	}
	atomic_store(&stop, false);
	running = pthread_create(&thread, NULL, finish_main, NULL) == 0;
	if (!running)
		sc_server_log(ST_LOG_ERROR,
			      "clone: cannot start the thread that finishes");
}

void sc_finish_stop(void)
{
	if (!running)
		return;
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	running = false;
}
