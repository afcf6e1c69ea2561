/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A KILL at any moment leaves the server as it was: a commit in place that is
 * taken back, and super_read_only after the old data was dropped first. The
 * server is a model of what mysqld does with sessions of plugins: KILL QUERY
 * ends the statement that runs; between two statements it ends the session.
 */
#include "plugin/drop_data.c"
#include "plugin/killer.c"
#include "plugin/replace.c"
#include "plugin/replace_steps.c"
#include "plugin/sql_result.c"

#include "tests/unit/dir_fixture.h"

#include <setjmp.h>

#include <cmocka.h>

#define WAIT_MS 200 /* of a statement for its KILL */

struct sc_sql {
	unsigned id;
	bool killed;
	struct sc_sql *next;
};

struct variables {
	bool read_only, super_read_only, receiver, applier;
};

static struct {
	pthread_mutex_t lock;
	struct sc_sql *sessions;
	unsigned ids;
	struct variables now;
	/* KILL QUERY the first session in, or after, its n-th statement; 0:
	 * do not. */
	unsigned kill_in, kill_after, statements;
	bool clone_killed; /* the CLONE statement, by its user */
	unsigned dropped, errors;
	char basename[128];
} server = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* ---- the server ---------------------------------------------------------- */

struct sc_sql *sc_sql_open_beside(struct sc_err *err)
{
	struct sc_sql *sql = calloc(1, sizeof(*sql));
	SC_LOCK_SCOPE(&server.lock);

	(void)err;
	sql->id = ++server.ids;
	sql->next = server.sessions;
	server.sessions = sql;
	return sql;
}

struct sc_sql *sc_sql_open(struct sc_err *err)
{
	return sc_sql_open_beside(err);
}

void sc_sql_close(struct sc_sql *sql)
{
	SC_LOCK_SCOPE(&server.lock);

	for (struct sc_sql **p = &server.sessions; *p; p = &(*p)->next) {
		if (*p == sql) {
			*p = sql->next;
			break;
		}
	}
	free(sql);
}

unsigned sc_sql_id(const struct sc_sql *sql)
{
	return sql->id;
}

static void put_row(struct sc_rows *rows, const char *const *values, size_t n)
{
	rows->columns = n;
	rows->values = calloc(n, sizeof(*rows->values));
	for (size_t i = 0; i < n; i++)
		rows->values[i] = strdup(values[i]);
	rows->cap = n;
	rows->count = 1;
}

static void answer(const char *query, struct sc_rows *rows)
{
	const char *one[] = { server.now.read_only ? "1" : "0",
			      server.now.super_read_only ? "1" : "0" };
	static const char *const channel[] = { "west", "1", "1" };
	static const char *const log[] = { "binlog.000001" };

	if (strstr(query, "@@GLOBAL.read_only"))
		put_row(rows, one, 2);
	else if (strstr(query, "replication_connection_status"))
		put_row(rows, channel, 3);
	else
		put_row(rows, log, 1); /* any text */
}

static bool begins(const char *query, const char *with)
{
	return !strncmp(query, with, strlen(with));
}

static void change(const char *query)
{
	if (begins(query, "SET GLOBAL super_read_only = ON"))
		server.now.read_only = server.now.super_read_only = true;
	else if (begins(query, "SET GLOBAL super_read_only = OFF"))
		server.now.super_read_only = false;
	else if (begins(query, "SET GLOBAL read_only = OFF"))
		server.now.read_only = server.now.super_read_only = false;
	else if (begins(query, "STOP REPLICA"))
		server.now.receiver = server.now.applier = false;
	else if (begins(query, "START REPLICA IO_THREAD"))
		server.now.receiver = true;
	else if (begins(query, "START REPLICA SQL_THREAD"))
		server.now.applier = true;
	else if (begins(query, "DROP "))
		server.dropped++;
}

static void kill_session(unsigned id)
{
	for (struct sc_sql *sql = server.sessions; sql; sql = sql->next)
		sql->killed = sql->killed || sql->id == id;
}

/* Statements of the clone that was killed: each gives the killer time. */
static void await_kill(struct sc_sql *sql)
{
	for (int ms = 0; server.clone_killed && !sql->killed && ms < WAIT_MS;
	     ms += 5) {
		pthread_mutex_unlock(&server.lock);
		sc_sleep_ms(5);
		pthread_mutex_lock(&server.lock);
	}
}

/* The KILLs of this test count the first session's statements. Returns false
 * when the statement is killed; after it a KILL finds nothing to end. */
static bool passes(struct sc_sql *sql)
{
	if (sql->killed)
		return false;
	await_kill(sql);
	server.statements += sql->id == 1;
	if (sql->killed ||
	    (sql->id == 1 && server.statements == server.kill_in)) {
		sql->killed = false; /* as at the end of a statement */
		return false;
	}
	sql->killed = sql->id == 1 && server.statements == server.kill_after;
	return true;
}

int sc_sql_query(struct sc_sql *sql, struct sc_rows *rows, const char *query,
		 struct sc_err *err)
{
	SC_LOCK_SCOPE(&server.lock);

	if (rows)
		sc_rows_free(rows);
	if (begins(query, "KILL QUERY ")) {
		kill_session((unsigned)atoi(query + strlen("KILL QUERY ")));
		return 0;
	}
	server.clone_killed = server.clone_killed || begins(query, "DROP ");
	if (!passes(sql))
		return sc_err_interrupted(err);
	change(query);
	if (rows)
		answer(query, rows);
	return 0;
}

int sc_sql_queryf(struct sc_sql *sql, struct sc_rows *rows, struct sc_err *err,
		  const char *fmt, ...)
{
	char query[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(query, sizeof(query), fmt, ap);
	va_end(ap);
	return sc_sql_query(sql, rows, query, err);
}

int sc_sql_u64(struct sc_sql *sql, const char *query, unsigned long long *ret,
	       struct sc_err *err)
{
	*ret = server.now.super_read_only;
	return sc_sql_query(sql, NULL, query, err);
}

int sc_sql_lock_backup(struct sc_sql *sql, unsigned timeout_s,
		       struct sc_err *err)
{
	(void)timeout_s;
	return sc_sql_query(sql, NULL, "the lock", err);
}

int sc_server_variable(const char *name, char *buf, size_t cap)
{
	assert_string_equal(name, "log_bin_basename");
	snprintf(buf, cap, "%s", server.basename);
	return 0;
}

void sc_server_log(int level, const char *fmt, ...)
{
	(void)fmt;
	server.errors += level == ST_LOG_ERROR;
}

bool sc_interrupted(struct st_thd *thd)
{
	SC_LOCK_SCOPE(&server.lock);

	(void)thd;
	return server.clone_killed;
}

static void start_server(struct variables now)
{
	server.now = now;
	server.ids = server.statements = server.errors = server.dropped = 0;
	server.kill_in = server.kill_after = 0;
	server.clone_killed = false;
}

static void as_before(const struct variables *want, unsigned at)
{
	const struct variables *got = &server.now;

	if (want->read_only != got->read_only ||
	    want->super_read_only != got->super_read_only ||
	    want->receiver != got->receiver || want->applier != got->applier)
		fail_msg("statement %u: read_only %d, super_read_only %d, "
			 "receiver %d, applier %d",
			 at, got->read_only, got->super_read_only,
			 got->receiver, got->applier);
	assert_int_equal(server.errors, 0);
	assert_null(server.sessions);
}

/* ---- tests --------------------------------------------------------------- */

static int setup(void **state)
{
	static struct dir_fixture dir;

	dir_fixture_open(&dir);
	dir_fixture_put(dir.fd, "binlog.000001", "x", 1);
	snprintf(server.basename, sizeof(server.basename), "%s/binlog",
		 dir.path);
	*state = &dir;
	return chdir(dir.path);
}

static int teardown(void **state)
{
	dir_fixture_close(*state);
	return chdir("/");
}

static const struct variables servers[] = {
	{ false, false, true, true }, /* a source that replicates */
	{ true, false, true, true },
	{ true, true, true, true }, /* a replica */
};

/* A commit in place that is taken back. Returns as sc_replace_await(). */
static int try_replace(struct sc_err *err)
{
	struct sc_replace *r = sc_replace_start(1, err);
	int rc;

	assert_non_null(r);
	while ((rc = sc_replace_await(r, 1000, err)) == 0)
		;
	sc_replace_end(r, SC_REPLACE_UNDO);
	return rc;
}

/* Returns false when there is no such statement. */
static bool replace_killed(struct dir_fixture *dir, const struct variables *now,
			   unsigned kill_in, unsigned kill_after)
{
	struct sc_err err = SC_ERR_INIT;
	int rc;

	start_server(*now);
	server.kill_in = kill_in;
	server.kill_after = kill_after;
	rc = try_replace(&err);
	as_before(now, kill_in + kill_after);
	if (rc < 0)
		assert_int_equal(err.code, SC_ER_QUERY_INTERRUPTED);
	assert_false(dir_fixture_has(dir->fd, SC_SAVED_GTIDS));
	assert_false(dir_fixture_has(dir->fd, SC_SAVED_BINLOGS));
	assert_false(dir_fixture_has(dir->fd, SC_RESET_PENDING));
	return server.statements >= kill_in + kill_after;
}

static void a_kill_between_statements(void **state)
{
	for (size_t i = 0; i < SC_ARRAY_SIZE(servers); i++) {
		unsigned at = 0;

		while (replace_killed(*state, &servers[i], 0, at))
			at++;
		assert_in_range(at, 7, 12);
	}
}

static void a_kill_in_a_statement(void **state)
{
	for (size_t i = 0; i < SC_ARRAY_SIZE(servers); i++) {
		unsigned at = 0;

		while (replace_killed(*state, &servers[i], at, 0))
			at++;
		assert_in_range(at, 7, 12);
	}
}

/* The user kills the clone in the first DROP; the killer goes on until it is
 * told to stop. */
static void dropped_by_a_clone_that_is_killed(void **state)
{
	struct sc_err err = SC_ERR_INIT;
	struct variables after = servers[2];

	(void)state;
	start_server(servers[2]);
	assert_int_equal(sc_drop_data(NULL, 0, &err), -1);
	assert_int_equal(err.code, SC_ER_QUERY_INTERRUPTED);
	after.receiver = after.applier = false;
	as_before(&after, 0);
}

static void dropping_killed_between_statements(void **state)
{
	(void)state;
	for (unsigned at = 1; at < 8; at++) {
		struct sc_err err = SC_ERR_INIT;

		start_server(servers[2]);
		server.kill_after = at;
		sc_drop_data(NULL, 0, &err);
		assert_int_equal(err.code, SC_ER_QUERY_INTERRUPTED);
		server.now.receiver = server.now.applier = true;
		as_before(&servers[2], at);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_kill_between_statements),
		TEST(a_kill_in_a_statement),
		TEST(dropped_by_a_clone_that_is_killed),
		TEST(dropping_killed_between_statements),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
