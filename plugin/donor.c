/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The donor job: its steps in order, each undone in reverse whatever happens;
 * see donor.h and donor_job.h. The order is the consistency argument of
 * docs/design.md: consumer, then follower, then copy, then the files that DDL
 * changed meanwhile, then seal.
 */
#include "plugin/donor_job.h"

#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "plugin/services.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define READY_MS 60000	/* daemon: directory scan and checkpoint */
#define SEALED_MS 60000 /* daemon: sizes of all files */
#define UNDO_MS 4000	/* daemon: stop streams, remove what it made */

static const struct sc_err cancelled_err = {
	.code = SC_ER_QUERY_INTERRUPTED,
	.msg = "Query execution was interrupted",
};

static void set_phase(struct sc_donor *d, enum sc_donor_phase phase)
{
	SC_LOCK_SCOPE(&d->lock);

	d->state.phase = phase;
	pthread_cond_broadcast(&d->changed);
}

int sc_donor_check_cancel(struct sc_donor *d, struct sc_err *err)
{
	SC_LOCK_SCOPE(&d->lock);

	if (!d->cancelled)
		return 0;
	*err = cancelled_err;
	return -1;
}

int sc_donor_await_or(struct sc_donor *d, const bool *flag, int timeout_ms,
		      struct sc_err *err)
{
	struct timespec until = sc_after_ms(
		CLOCK_MONOTONIC, timeout_ms < 0 ? 0 : (unsigned)timeout_ms);
	SC_LOCK_SCOPE(&d->lock);

	while (!*flag && !d->heard.lost && !d->cancelled) {
		int rc = timeout_ms < 0
				 ? pthread_cond_wait(&d->changed, &d->lock)
				 : pthread_cond_timedwait(&d->changed, &d->lock,
							  &until);

		if (rc == ETIMEDOUT)
			return 0;
	}
	if (d->cancelled) {
		*err = cancelled_err;
		return -1;
	}
	if (d->heard.lost) {
		*err = d->state.err;
		return -1;
	}
	return 1;
}

int sc_donor_await(struct sc_donor *d, const bool *flag, int timeout_ms,
		   const char *what, struct sc_err *err)
{
	int rc = sc_donor_await_or(d, flag, timeout_ms, err);

	if (rc == 0)
		return sc_err_set(
			err, SC_ER_INTERNAL_ERROR,
			"the daemon did not %s within %d s; see its log", what,
			timeout_ms / 1000);
	return rc < 0 ? -1 : 0;
}

/* ---- steps of the job ---------------------------------------------------- */

/* The daemon starts while the prechecks run. */
static int open_link(struct sc_donor *d, struct sc_err *err)
{
	if (sc_link_start(&d->link, err) < 0) {
		sc_link_close(&d->link);
		return -1;
	}
	pthread_mutex_lock(&d->lock);
	d->link_open = true;
	pthread_mutex_unlock(&d->lock);
	return 0;
}

/* A job that ends early is cancelled; the daemon answers when everything it
 * made is undone. */
static void await_undone(struct sc_donor *d)
{
	struct sc_err ignored = SC_ERR_INIT;
	struct timespec until;
	SC_LOCK_SCOPE(&d->lock);

	if (!d->reader_running || d->heard.done || d->heard.lost)
		return;
	if (!d->cancelled &&
	    sc_link_send(&d->link, SC_CTL_CANCEL, NULL, NULL, 0, &ignored) < 0)
		return;
	until = sc_after_ms(CLOCK_MONOTONIC, UNDO_MS);
	while (!d->heard.lost && !d->heard.done) {
		if (pthread_cond_timedwait(&d->changed, &d->lock, &until) ==
		    ETIMEDOUT)
			return;
	}
}

static void close_link(struct sc_donor *d)
{
	await_undone(d);
	pthread_mutex_lock(&d->lock);
	d->link_open = false;
	pthread_mutex_unlock(&d->lock);
	sc_donor_reader_stop(d);
	sc_link_close(&d->link);
}

/* From a moment without DDL until the daemon listens. What DDL does once the
 * redo is followed, the daemon notes; until there is an image DDL waits, so
 * that the image can be the clone should redo be lost. */
static int start_copy(struct sc_donor *d, struct sc_sql *sql,
		      struct sc_err *err)
{
	if (sc_donor_reader_start(d, err) < 0 ||
	    sc_donor_send_start(d, sql, err) < 0 ||
	    sc_donor_await(d, &d->heard.followed, READY_MS, "follow the redo",
			   err) < 0 ||
	    sc_donor_await_image(d, sql, err) < 0)
		return -1;
	return sc_donor_await(d, &d->heard.ready, READY_MS, "get ready", err);
}

/* To the daemon's DONE. */
static int copy_and_seal(struct sc_donor *d, struct sc_sql *sql,
			 struct sc_err *err)
{
	if (start_copy(d, sql, err) < 0)
		return -1;
	set_phase(d, SC_DONOR_READY);
	if (sc_donor_settle(d, sql, err) < 0 ||
	    sc_donor_make_seal(d, sql, err) < 0 ||
	    sc_donor_await(d, &d->heard.sealed, SEALED_MS, "seal", err) < 0)
		return -1;
	sc_donor_unlock(d, sql);
	set_phase(d, SC_DONOR_SEALED);
	if (sc_donor_await(d, &d->heard.redo_done, -1, "read the redo", err) <
	    0)
		return -1;
	sc_consumer_stop(d);
	return sc_donor_await(d, &d->heard.done, -1, "finish", err);
}

/* With the session: lock, consumer, copy. DDL may take its time until there is
 * the lock: the consumer comes after it, as nobody reads the redo before. */
static int run_steps(struct sc_donor *d, struct sc_sql *sql, struct sc_err *err)
{
	if (sc_donor_precheck(d, sql, err) < 0 ||
	    sc_link_greet(&d->link, err) < 0)
		return -1;
	/* Closing the session gives the lock back. */
	if (sc_donor_quiet(d, sql, err) < 0 || sc_consumer_start(d, err) < 0)
		return -1;
	return copy_and_seal(d, sql, err);
}

/* The daemon, and the steps; released in reverse. */
static int run_job(struct sc_donor *d, struct sc_sql *sql, struct sc_err *err)
{
	int rc;

	if (open_link(d, err) < 0)
		return -1;
	rc = run_steps(d, sql, err);
	sc_consumer_stop(d);
	close_link(d);
	return rc;
}

static void set_session(struct sc_donor *d, unsigned id)
{
	SC_LOCK_SCOPE(&d->lock);

	d->session_id = id;
}

static void end_job(struct sc_donor *d, int rc, const struct sc_err *err)
{
	SC_LOCK_SCOPE(&d->lock);

	if (rc < 0) {
		d->state.phase = SC_DONOR_FAILED;
		d->state.err = d->cancelled ? cancelled_err : *err;
	} else {
		d->state.phase = SC_DONOR_DONE;
	}
	d->job_ended = true;
	pthread_cond_broadcast(&d->changed);
}

static void log_result(const struct sc_donor *d, int rc,
		       const struct sc_err *err)
{
	const char *kind =
		d->request.local ? "local clone to" : "clone donor for";

	if (rc < 0)
		sc_server_log(ST_LOG_WARNING, "%s %s failed: %d : %s", kind,
			      d->request.peer, err->code, err->msg);
	else
		sc_server_log(ST_LOG_INFO, "%s %s finished at LSN %llu", kind,
			      d->request.peer,
			      (unsigned long long)d->seal.end_lsn);
}

static void *job_main(void *arg)
{
	struct sc_donor *d = arg;
	struct sc_err err = SC_ERR_INIT;
	struct sc_sql *sql = sc_sql_open(&err);
	int rc = -1;

	if (sql) {
		set_session(d, sc_sql_id(sql));
		rc = run_job(d, sql, &err);
		set_session(d, 0);
		/* Gives back the lock, before anyone hears of the end. */
		sc_sql_close(sql);
	}
	log_result(d, rc, &err);
	end_job(d, rc, &err);
	return NULL;
}

/* ---- outside ------------------------------------------------------------- */

static int init_sync(struct sc_donor *d)
{
	pthread_condattr_t attr;
	int rc = pthread_condattr_init(&attr);

	if (rc)
		return rc;
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&d->lock, NULL);
	rc = pthread_cond_init(&d->changed, &attr);
	pthread_condattr_destroy(&attr);
	return rc;
}

static int make_secrets(struct sc_donor_state *state)
{
	return getrandom(state->job_id, sizeof(state->job_id), 0) ==
				       (ssize_t)sizeof(state->job_id) &&
			       getrandom(state->key, sizeof(state->key), 0) ==
				       (ssize_t)sizeof(state->key)
		       ? 0
		       : errno;
}

struct sc_donor *sc_donor_start(const struct sc_donor_request *request,
				struct sc_err *err)
{
	struct sc_donor *d = calloc(1, sizeof(*d));
	int rc = d ? make_secrets(&d->state) : ENOMEM;

	if (rc == 0)
		rc = init_sync(d);
	if (rc == 0) {
		d->request = *request;
		d->link.sock = -1;
		rc = pthread_create(&d->job_thread, NULL, job_main, d);
	}
	if (rc == 0)
		return d;
	sc_err_sys(err, SC_ER_INTERNAL_ERROR, rc, "cannot start a donor job");
	free(d);
	return NULL;
}

void sc_donor_get_state(struct sc_donor *d, struct sc_donor_state *ret)
{
	SC_LOCK_SCOPE(&d->lock);

	*ret = d->state;
	/* Before the job ended it has not undone everything. */
	if (d->heard.lost && d->state.phase != SC_DONOR_FAILED)
		ret->err = (struct sc_err)SC_ERR_INIT;
}

void sc_donor_wait(struct sc_donor *d, enum sc_donor_phase seen,
		   unsigned timeout_ms)
{
	struct timespec until = sc_after_ms(CLOCK_MONOTONIC, timeout_ms);
	SC_LOCK_SCOPE(&d->lock);

	while (d->state.phase == seen && !d->job_ended) {
		if (pthread_cond_timedwait(&d->changed, &d->lock, &until) ==
		    ETIMEDOUT)
			return;
	}
}

const struct sc_ctl_seal *sc_donor_seal(const struct sc_donor *d)
{
	return &d->seal;
}

/* ---- cancel -------------------------------------------------------------- */

/* The session to interrupt, 0 when there is none left. */
static unsigned session_to_kill(void *owner)
{
	struct sc_donor *d = owner;
	SC_LOCK_SCOPE(&d->lock);

	return d->job_ended ? 0 : d->session_id;
}

void sc_donor_cancel(struct sc_donor *d)
{
	struct sc_err ignored = SC_ERR_INIT;
	bool tell;

	pthread_mutex_lock(&d->lock);
	tell = d->link_open && !d->cancelled;
	if (!d->cancelled && !d->job_ended)
		sc_killer_start(&d->killer, session_to_kill, d);
	d->cancelled = true;
	pthread_cond_broadcast(&d->changed);
	/* Under the lock, so that the job does not close the link meanwhile;
	 * the message is 12 bytes and the daemon reads. */
	if (tell)
		sc_link_send(&d->link, SC_CTL_CANCEL, NULL, NULL, 0, &ignored);
	pthread_mutex_unlock(&d->lock);
}

void sc_donor_free(struct sc_donor *d)
{
	if (!d)
		return;
	sc_donor_cancel(d);
	pthread_join(d->job_thread, NULL);
	sc_killer_join(&d->killer);
	free(d->gtid_flushed);
	sc_ctl_seal_free(&d->seal);
	sc_ctl_seal_free(&d->heard.result.seal);
	sc_key_list_free(&d->keys);
	explicit_bzero(d->state.key, sizeof(d->state.key));
	pthread_cond_destroy(&d->changed);
	pthread_mutex_destroy(&d->lock);
	free(d);
}
