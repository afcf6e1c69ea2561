/* SPDX-License-Identifier: GPL-2.0-only */
/* SQL sessions of the plugin; see sql.h. */
#include "plugin/sql_result.h"

#include "io/base/cleanup.h"
#include "plugin/raise.h"
#include "plugin/services.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sc_sql {
	struct st_session *session;
	unsigned id;
	bool announced; /* the thread, by this session */
	/* What the server says of the session and not of a statement: killed,
	 * shut down. Of this statement only. */
	struct sc_err err;
};

/* Called for as long as the session is open; 0 is an OK packet. */
static void on_session_error(void *ctx, unsigned nr, const char *text)
{
	struct sc_sql *sql = ctx;

	if (nr)
		sc_err_set(&sql->err, (int)nr, "%s", text ? text : "");
}

static struct st_thd *thd_of(const struct sc_sql *sql)
{
	return sc_session_info_service()->get_thd(sql->session);
}

/* Become mysql.session, with every privilege: that user lacks RELOAD, which
 * FLUSH needs. The session is the plugin's own and runs its own statements. */
static int become_internal_user(struct st_session *session, struct sc_err *err)
{
	struct st_security_service *security = sc_security_service();
	struct st_thd *thd = sc_session_info_service()->get_thd(session);
	void *ctx = NULL;

	if (security->thd_get(thd, &ctx) || !ctx ||
	    security->lookup(ctx, "mysql.session", "localhost", NULL, ""))
		return sc_err_set(
			err, SC_ER_INTERNAL_ERROR,
			"the user mysql.session@localhost, which the server makes at initialisation, is missing");
	sc_server.skip_grants(ctx, "mysql.session", "localhost");
	return 0;
}

static int say_refused(const struct sc_sql *sql, const char *what,
		       struct sc_err *err)
{
	if (!sc_err_is_set(&sql->err))
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "%s", what);
	return sc_err_set(err, sql->err.code, "%s: %s", what, sql->err.msg);
}

struct sc_sql *sc_sql_open_beside(struct sc_err *err)
{
	struct st_session_service *service = sc_session_service();
	struct sc_sql *sql = calloc(1, sizeof(*sql));

	if (!sql) {
		sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
		return NULL;
	}
	sql->session = service->open(on_session_error, sql);
	if (!sql->session) {
		say_refused(sql, "cannot open a session in the server", err);
	} else if (become_internal_user(sql->session, err) == 0) {
		sql->id =
			sc_session_info_service()->get_session_id(sql->session);
		return sql;
	} else {
		service->close(sql->session);
	}
	free(sql);
	return NULL;
}

struct sc_sql *sc_sql_open(struct sc_err *err)
{
	struct st_session_service *service = sc_session_service();
	struct sc_sql *sql;

	if (service->init_thread(sc_server.plugin)) {
		sc_err_set(err, SC_ER_INTERNAL_ERROR,
			   "cannot announce a thread to the server");
		return NULL;
	}
	sql = sc_sql_open_beside(err);
	if (sql)
		sql->announced = true;
	else
		service->deinit_thread();
	return sql;
}

void sc_sql_close(struct sc_sql *sql)
{
	if (!sql)
		return;
	sc_session_service()->close(sql->session);
	if (sql->announced)
		sc_session_service()->deinit_thread();
	free(sql);
}

unsigned sc_sql_id(const struct sc_sql *sql)
{
	return sql->id;
}

/* The server did not even begin with the statement. */
static int not_run(const struct sc_sql *sql, const char *query,
		   struct sc_err *err)
{
	char what[256];

	if (thd_killed(thd_of(sql)))
		return sc_err_interrupted(err);
	snprintf(what, sizeof(what), "the server did not run: %.200s", query);
	return say_refused(sql, what, err);
}

int sc_sql_query(struct sc_sql *sql, struct sc_rows *rows, const char *query,
		 struct sc_err *err)
{
	struct sc_sql_result res = { .rows = rows };
	union st_com_data data = { 0 };
	int rc;

	if (rows)
		sc_rows_free(rows);
	data.query.query = query;
	data.query.length = (unsigned)strlen(query);
	sql->err = (struct sc_err)SC_ERR_INIT;
	rc = sc_command_service()->run(sql->session, ST_COM_QUERY, &data, NULL,
				       &sc_sql_callbacks, ST_TEXT_PROTOCOL,
				       &res);
	if (res.error)
		return sc_err_set(err, (int)res.error, "%s", res.text);
	if (rc)
		return not_run(sql, query, err);
	if (rows && rows->failed)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "out of memory for the result of: %.200s",
				  query);
	return 0;
}

int sc_sql_queryf(struct sc_sql *sql, struct sc_rows *rows, struct sc_err *err,
		  const char *fmt, ...)
{
	CLEANUP_FREE char *query = NULL;
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vasprintf(&query, fmt, ap);
	va_end(ap);
	if (len < 0) {
		query = NULL;
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	}
	return sc_sql_query(sql, rows, query, err);
}

int sc_sql_lock_backup(struct sc_sql *sql, unsigned timeout_s,
		       struct sc_err *err)
{
	struct st_thd *thd = thd_of(sql);
	struct st_thd *previous = NULL;

	/* The error of an earlier try, which would stay otherwise, goes with
	 * the next statement. */
	if (sc_sql_query(sql, NULL, "DO 0", err) < 0)
		return -1;
	sc_session_service()->attach(sql->session, &previous);
	if (!sc_server.backup_lock->acquire(thd, 0, timeout_s))
		return 0;
	if (thd_killed(thd))
		return sc_err_interrupted(err);
	if (!sc_raised(thd, err))
		sc_err_set(
			err, SC_ER_LOCK_WAIT_TIMEOUT,
			"Lock wait timeout exceeded; try restarting transaction");
	return -1;
}

void sc_sql_unlock_backup(struct sc_sql *sql)
{
	sc_server.backup_lock->release(thd_of(sql));
}

int sc_sql_u64(struct sc_sql *sql, const char *query, unsigned long long *ret,
	       struct sc_err *err)
{
	CLEANUP_ROWS struct sc_rows rows = { 0 };
	const char *text;
	char *end;

	if (sc_sql_query(sql, &rows, query, err) < 0)
		return -1;
	text = sc_rows_get(&rows, 0, 0);
	errno = 0;
	*ret = text ? strtoull(text, &end, 10) : 0;
	if (!text || errno || end == text || *end)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "no number from: %.200s", query);
	return 0;
}

int sc_sql_status(struct sc_sql *sql, const char *name, unsigned long long *ret,
		  struct sc_err *err)
{
	char query[256];

	snprintf(
		query, sizeof(query),
		"SELECT variable_value FROM performance_schema.global_status WHERE variable_name = '%s'",
		name);
	return sc_sql_u64(sql, query, ret, err);
}
