/* SPDX-License-Identifier: GPL-2.0-only */
/* Dropping the old data first; see drop_data.h. SQL runs on a thread of its
 * own, whose statement is interrupted when the clone is killed. */
#include "plugin/drop_data.h"

#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "plugin/killer.h"
#include "plugin/services.h"
#include "plugin/sql.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

struct drop {
	struct sc_err err;
	atomic_bool killed, ended;
	atomic_uint session_id; /* 0 = not in SQL */
};

/* `name` with its backticks doubled. */
static void quote(const char *name, char *buf, size_t cap)
{
	size_t n = 0;

	for (; *name && n + 3 < cap; name++) {
		if (*name == '`')
			buf[n++] = '`';
		buf[n++] = *name;
	}
	buf[n] = '\0';
}

/* Run a DROP for every name that a query finds. */
static int drop_each(struct drop *d, struct sc_sql *sql, const char *query,
		     const char *what, struct sc_err *err)
{
	CLEANUP_ROWS struct sc_rows rows = { 0 };

	if (sc_sql_query(sql, &rows, query, err) < 0)
		return -1;
	for (size_t i = 0; i < rows.count; i++) {
		const char *name = sc_rows_get(&rows, i, 0);
		char quoted[600];

		if (d->killed)
			return sc_err_interrupted(err);
		quote(name ? name : "", quoted, sizeof(quoted));
		if (sc_sql_queryf(sql, NULL, err, "DROP %s `%s`", what,
				  quoted) < 0)
			return -1;
	}
	return 0;
}

static int drop_all(struct drop *d, struct sc_sql *sql, struct sc_err *err)
{
	static const char *const prepare[] = {
		"STOP REPLICA",
		"SET SESSION sql_log_bin = OFF, foreign_key_checks = OFF",
	};

	for (size_t i = 0; i < sizeof(prepare) / sizeof(*prepare); i++) {
		if (sc_sql_query(sql, NULL, prepare[i], err) < 0)
			return -1;
	}
	if (drop_each(
		    d, sql,
		    "SELECT schema_name FROM information_schema.schemata WHERE schema_name NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema')",
		    "DATABASE", err) < 0)
		return -1;
	return drop_each(
		d, sql,
		"SELECT name FROM information_schema.innodb_tablespaces WHERE space_type = 'General' AND name <> 'mysql'",
		"TABLESPACE", err);
}

static int set_super_read_only(struct sc_sql *sql, const char *value,
			       struct sc_err *err)
{
	return sc_sql_queryf(sql, NULL, err, "SET GLOBAL super_read_only = %s",
			     value);
}

/* super_read_only would refuse it; the server gets it back at once, from a
 * session that the KILL of the clone does not reach. */
static int drop_writable(struct drop *d, struct sc_sql *sql, struct sc_err *err)
{
	struct sc_sql *restorer = sc_sql_open_beside(err);
	struct sc_err back = SC_ERR_INIT;
	int rc;

	if (!restorer)
		return -1;
	rc = set_super_read_only(sql, "OFF", err);
	if (rc == 0)
		rc = drop_all(d, sql, err);
	d->session_id = 0;
	if (set_super_read_only(restorer, "ON", &back) < 0)
		sc_server_log(ST_LOG_ERROR,
			      "clone: super_read_only cannot be set again: %s",
			      back.msg);
	sc_sql_close(restorer);
	return rc;
}

static int drop(struct drop *d, struct sc_sql *sql, struct sc_err *err)
{
	unsigned long long super;

	if (sc_sql_u64(sql, "SELECT @@GLOBAL.super_read_only", &super, err) < 0)
		return -1;
	return super ? drop_writable(d, sql, err) : drop_all(d, sql, err);
}

static void *drop_main(void *arg)
{
	struct drop *d = arg;
	struct sc_sql *sql = sc_sql_open(&d->err);

	if (sql) {
		d->session_id = sc_sql_id(sql);
		drop(d, sql, &d->err);
		d->session_id = 0;
	}
	sc_sql_close(sql);
	d->ended = true;
	return NULL;
}

static unsigned session_of(void *owner)
{
	return ((struct drop *)owner)->session_id;
}

static int wait_delay(struct st_thd *thd, unsigned delay_s, struct sc_err *err)
{
	uint64_t until = sc_now_ms() + delay_s * 1000ull;

	while (sc_now_ms() < until) {
		if (sc_interrupted(thd))
			return sc_err_interrupted(err);
		sc_sleep_ms(100);
	}
	return 0;
}

int sc_drop_data(struct st_thd *thd, unsigned delay_s, struct sc_err *err)
{
	struct drop d = { .err = SC_ERR_INIT };
	struct sc_killer killer = { 0 };
	pthread_t thread;
	int rc = pthread_create(&thread, NULL, drop_main, &d);

	if (rc)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, rc,
				  "cannot start a thread");
	sc_server_log(
		ST_LOG_WARNING,
		"clone: dropping this server's data first, because clone_drop_data_first is ON");
	while (!d.ended) {
		if (sc_interrupted(thd) && !d.killed) {
			d.killed = true;
			sc_killer_start(&killer, session_of, &d);
		}
		sc_sleep_ms(20);
	}
	pthread_join(thread, NULL);
	sc_killer_join(&killer);
	if (sc_err_is_set(&d.err)) {
		*err = d.err;
		return sc_err_context(err, "dropping the old data");
	}
	return wait_delay(thd, delay_s, err);
}
