/* SPDX-License-Identifier: GPL-2.0-only */
/* The thread of a replacement; see replace.h. What it does with SQL is in
 * replace_steps.c. */
#include "plugin/replace_job.h"

#include "io/base/cleanup.h"
#include "io/base/step.h"
#include "plugin/services.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

static void set_session(struct sc_replace *r, unsigned id)
{
	SC_LOCK_SCOPE(&r->lock);

	r->session_id = id;
}

/* The killer works while the thread is quiescing, not when it undoes. A KILL
 * that comes late hits a session that has nothing to do any more. */
static unsigned session_to_kill(void *owner)
{
	struct sc_replace *r = owner;
	SC_LOCK_SCOPE(&r->lock);

	return r->quiescing ? r->session_id : 0;
}

bool sc_replace_cancelled(struct sc_replace *r)
{
	SC_LOCK_SCOPE(&r->lock);

	return r->verdict != SC_REPLACE_OPEN;
}

static int quiesce(struct sc_replace *r, struct sc_sql *sql, struct sc_err *err)
{
	for (size_t i = 0; i < sc_replace_n_steps; i++) {
		if (sc_replace_cancelled(r))
			return sc_err_interrupted(err);
		r->reached = i + 1;
		if (sc_replace_steps[i].run(r, sql, err) < 0)
			return -1;
		sc_step_done("replace", sc_replace_steps[i].name);
	}
	return 0;
}

static void report(struct sc_replace *r, int rc, const struct sc_err *err)
{
	SC_LOCK_SCOPE(&r->lock);

	r->quiescing = false;
	r->quiesced = rc == 0;
	r->err = *err;
	pthread_cond_broadcast(&r->changed);
}

static enum sc_replace_verdict await_verdict(struct sc_replace *r)
{
	SC_LOCK_SCOPE(&r->lock);

	while (r->verdict == SC_REPLACE_OPEN)
		pthread_cond_wait(&r->changed, &r->lock);
	return r->verdict;
}

/* The steps that were begun, backwards; all are tried. */
static void undo(struct sc_replace *r, struct sc_sql *sql)
{
	for (size_t i = r->reached; i-- > 0;) {
		struct sc_err err = SC_ERR_INIT;

		if (sc_replace_steps[i].undo &&
		    sc_replace_steps[i].undo(r, sql, &err) < 0)
			sc_server_log(ST_LOG_ERROR,
				      "clone: cannot undo '%s': %s",
				      sc_replace_steps[i].name, err.msg);
	}
}

/* `sql` quiesces and holds the backup lock. KILL QUERY between two statements
 * ends a session for good: the undo has one of its own, which nobody kills and
 * which is there before anything changes. */
static void run(struct sc_replace *r, struct sc_sql *sql, struct sc_sql *undoer,
		struct sc_err *err)
{
	int rc = -1;

	if (undoer) {
		set_session(r, sc_sql_id(sql));
		rc = quiesce(r, sql, err);
		set_session(r, 0);
	}
	report(r, rc, err);
	switch (await_verdict(r)) {
	case SC_REPLACE_COMMIT:
		sc_replace_reset(sql);
		break;
	case SC_REPLACE_FREEZE:
		sc_server_log(
			ST_LOG_ERROR,
			"clone: this server stays super_read_only, because a clone that failed could not be removed from its data directory; HINT: restart it, which rolls back");
		break;
	default:
		undo(r, undoer);
	}
}

static void *replace_main(void *arg)
{
	struct sc_err err = SC_ERR_INIT;
	struct sc_sql *sql = sc_sql_open(&err);
	struct sc_sql *undoer = sql ? sc_sql_open_beside(&err) : NULL;

	run(arg, sql, undoer, &err);
	sc_sql_close(undoer);
	sc_sql_close(sql);
	return NULL;
}

struct sc_replace *sc_replace_start(unsigned ddl_timeout, struct sc_err *err)
{
	struct sc_replace *r = calloc(1, sizeof(*r));
	int rc = r ? 0 : ENOMEM;

	if (rc == 0) {
		r->ddl_timeout = ddl_timeout;
		r->quiescing = true;
		pthread_mutex_init(&r->lock, NULL);
		pthread_cond_init(&r->changed, NULL);
		rc = pthread_create(&r->thread, NULL, replace_main, r);
	}
	if (rc == 0)
		return r;
	sc_err_sys(err, SC_ER_INTERNAL_ERROR, rc,
		   "cannot start a thread for the commit");
	free(r);
	return NULL;
}

int sc_replace_await(struct sc_replace *r, unsigned timeout_ms,
		     struct sc_err *err)
{
	struct timespec until;
	SC_LOCK_SCOPE(&r->lock);

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += (long)timeout_ms * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	while (r->quiescing) {
		if (pthread_cond_timedwait(&r->changed, &r->lock, &until) ==
		    ETIMEDOUT)
			return 0;
	}
	if (r->quiesced)
		return 1;
	*err = r->err;
	return -1;
}

static void give_verdict(struct sc_replace *r, enum sc_replace_verdict verdict)
{
	SC_LOCK_SCOPE(&r->lock);

	r->verdict = verdict;
	pthread_cond_broadcast(&r->changed);
}

void sc_replace_end(struct sc_replace *r, enum sc_replace_verdict verdict)
{
	if (!r)
		return;
	give_verdict(r, verdict);
	if (verdict != SC_REPLACE_COMMIT)
		sc_killer_start(&r->killer, session_to_kill, r);
	pthread_join(r->thread, NULL);
	sc_killer_join(&r->killer);
	sc_rows_free(&r->channels);
	pthread_cond_destroy(&r->changed);
	pthread_mutex_destroy(&r->lock);
	free(r);
}
