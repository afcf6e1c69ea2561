/* SPDX-License-Identifier: GPL-2.0-only */
/* What comes of errors that the server reports to a session of the plugin. */
#include "plugin/raise.c"
#include "plugin/sql.c"
#include "plugin/sql_result.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define ER_SESSION_WAS_KILLED 3169
#define ER_SOMETHING 1064

/* The server: one session, its diagnostics area, and how it answers. */
static struct {
	void (*handler)(void *ctx, unsigned nr, const char *text);
	void *handler_ctx;
	bool full, down, killed;
	unsigned raised;      /* diagnostics area */
	unsigned lock_raises; /* by the next try of the backup lock */
	bool lock_killed;     /* KILL while it waits */
} server;

static char session; /* address only */

static int init_thread(const void *plugin)
{
	(void)plugin;
	return 0;
}

static void deinit_thread(void)
{
}

static struct st_session *open_session(void (*handler)(void *ctx, unsigned nr,
						       const char *text),
				       void *ctx)
{
	server.handler = handler;
	server.handler_ctx = ctx;
	if (!server.full)
		return (struct st_session *)&session;
	handler(ctx, 1040, "Too many connections");
	return NULL;
}

static int close_session(struct st_session *s)
{
	(void)s;
	return 0;
}

static int attach(struct st_session *s, struct st_thd **prev)
{
	(void)s;
	*prev = NULL;
	return 0;
}

static struct st_thd *get_thd(struct st_session *s)
{
	return (struct st_thd *)s;
}

static unsigned get_session_id(struct st_session *s)
{
	(void)s;
	return 7;
}

/* Srv_session::execute_command() and the parts of dispatch_command() that
 * matter. */
static int run(struct st_session *s, int command, const union st_com_data *data,
	       const void *charset, const struct st_result_callbacks *callbacks,
	       int protocol, void *ctx)
{
	(void)s;
	(void)command;
	(void)charset;
	(void)protocol;
	if (server.down || server.killed) {
		server.handler(server.handler_ctx, ER_SESSION_WAS_KILLED,
			       "Session was killed");
		return 1;
	}
	server.raised = 0;
	if (strcmp(data->query.query, "bad") != 0)
		return 0;
	server.raised = ER_SOMETHING;
	callbacks->handle_error(ctx, ER_SOMETHING, "syntax", "42000");
	return 1;
}

static char thd_get(struct st_thd *thd, void **ret)
{
	*ret = thd;
	return 0;
}

static char lookup(void *ctx, const char *user, const char *host,
		   const char *ip, const char *db)
{
	(void)ctx;
	(void)user;
	(void)host;
	(void)ip;
	(void)db;
	return 0;
}

static void skip_grants(void *ctx, const char *user, const char *host)
{
	(void)ctx;
	(void)user;
	(void)host;
}

/* THD::raise_condition(): the first error stays. */
static char acquire(struct st_thd *thd, int kind, unsigned long timeout_s)
{
	(void)thd;
	(void)kind;
	(void)timeout_s;
	server.killed = server.killed || server.lock_killed;
	if (!server.raised)
		server.raised = server.lock_raises;
	return server.lock_raises != 0;
}

static void get_error(struct st_thd *thd, uint32_t *nr, const char **text)
{
	(void)thd;
	*nr = server.raised;
	*text = "as raised";
}

struct sc_services sc_server;

struct st_session_service *sc_session_service(void)
{
	static struct st_session_service service = {
		.init_thread = init_thread,
		.deinit_thread = deinit_thread,
		.open = open_session,
		.close = close_session,
		.attach = attach,
	};

	return &service;
}

struct st_session_info_service *sc_session_info_service(void)
{
	static struct st_session_info_service service = {
		.get_thd = get_thd,
		.get_session_id = get_session_id,
	};

	return &service;
}

struct st_security_service *sc_security_service(void)
{
	static struct st_security_service service = {
		.thd_get = thd_get,
		.lookup = lookup,
	};

	return &service;
}

struct st_command_service *sc_command_service(void)
{
	static struct st_command_service service = { .run = run };

	return &service;
}

int thd_killed(const struct st_thd *thd)
{
	(void)thd;
	return server.killed;
}

/* A new server, a session in it. */
static struct sc_sql *start(struct sc_err *err)
{
	static struct st_backup_lock_service lock = { .acquire = acquire };
	static struct st_clone_protocol protocol = { .get_error = get_error };

	memset(&server, 0, sizeof(server));
	sc_server.backup_lock = &lock;
	sc_server.protocol = &protocol;
	sc_server.skip_grants = skip_grants;
	return sc_sql_open(err);
}

static void open_says_why(void **state)
{
	struct sc_err err = SC_ERR_INIT;

	(void)state;
	sc_sql_close(start(&err));
	server.full = true;
	assert_null(sc_sql_open(&err));
	assert_int_equal(err.code, 1040);
	assert_string_equal(
		err.msg,
		"cannot open a session in the server: Too many connections");
}

/* The record that sc_sql_open() got may be gone or hold another error. */
static void only_the_statement_fails(void **state)
{
	struct sc_err open_err = SC_ERR_INIT, err = SC_ERR_INIT;
	struct sc_sql *sql = start(&open_err);

	(void)state;
	server.down = true;
	assert_int_equal(sc_sql_query(sql, NULL, "DO 1", &err), -1);
	assert_int_equal(err.code, ER_SESSION_WAS_KILLED);
	assert_string_equal(err.msg,
			    "the server did not run: DO 1: Session was killed");
	assert_false(sc_err_is_set(&open_err));
	server.down = false;
	err = (struct sc_err)SC_ERR_INIT;
	assert_int_equal(sc_sql_query(sql, NULL, "bad", &err), -1);
	assert_int_equal(err.code, ER_SOMETHING);
	assert_string_equal(err.msg, "syntax");
	sc_sql_close(sql);
}

static void a_killed_session_is_1317(void **state)
{
	struct sc_err open_err = SC_ERR_INIT, err = SC_ERR_INIT;
	struct sc_sql *sql = start(&open_err);

	(void)state;
	server.killed = true;
	assert_int_equal(sc_sql_query(sql, NULL, "DO 1", &err), -1);
	assert_int_equal(err.code, SC_ER_QUERY_INTERRUPTED);
	err = (struct sc_err)SC_ERR_INIT;
	assert_int_equal(sc_sql_lock_backup(sql, 1, &err), -1);
	assert_int_equal(err.code, SC_ER_QUERY_INTERRUPTED);
	sc_sql_close(sql);
}

static int try_lock(struct sc_sql *sql, unsigned raises, bool killed)
{
	struct sc_err err = SC_ERR_INIT;

	server.lock_raises = raises;
	server.lock_killed = killed;
	return sc_sql_lock_backup(sql, 1, &err) < 0 ? err.code : 0;
}

/* The server keeps the first error of an attached session. */
static void each_try_of_the_lock_has_its_error(void **state)
{
	struct sc_err open_err = SC_ERR_INIT;
	struct sc_sql *sql = start(&open_err);

	(void)state;
	assert_int_equal(try_lock(sql, SC_ER_LOCK_WAIT_TIMEOUT, false),
			 SC_ER_LOCK_WAIT_TIMEOUT);
	assert_int_equal(try_lock(sql, 1213, false), 1213);
	assert_int_equal(try_lock(sql, SC_ER_LOCK_WAIT_TIMEOUT, true),
			 SC_ER_QUERY_INTERRUPTED);
	server.killed = false;
	assert_int_equal(try_lock(sql, 0, false), 0);
	sc_sql_close(sql);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(open_says_why),
		cmocka_unit_test(only_the_statement_fails),
		cmocka_unit_test(a_killed_session_is_1317),
		cmocka_unit_test(each_try_of_the_lock_has_its_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
