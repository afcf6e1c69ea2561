/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The steps of the donor job in order, each undone in reverse whatever happens,
 * and waiting for the daemon between them; see donor_job.h. The order is the
 * consistency argument of docs/design.md: consumer, then follower, then copy,
 * then the files that DDL changed meanwhile, then seal.
 */
#include "plugin/donor_job.h"

#include "io/base/cleanup.h"
#include "io/base/clock.h"

#include <errno.h>

#define READY_MS 60000	/* daemon: directory scan and checkpoint */
#define SEALED_MS 60000 /* daemon: sizes of all files */
#define UNDO_MS 4000	/* daemon: stop streams, remove what it made */

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
	*err = sc_donor_cancelled;
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
		*err = sc_donor_cancelled;
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
 * made is undone. Without a job it answers nothing. */
static void await_undone(struct sc_donor *d)
{
	struct sc_err ignored = SC_ERR_INIT;
	struct timespec until;
	SC_LOCK_SCOPE(&d->lock);

	if (!d->start_sent || d->heard.done || d->heard.lost)
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
	if (sc_donor_quiet(d, sql, err) < 0 || sc_consumer_start(d, err) < 0)
		return -1;
	return copy_and_seal(d, sql, err);
}

/* The daemon, and the steps; released in reverse. */
int sc_donor_run(struct sc_donor *d, struct sc_sql *sql, struct sc_err *err)
{
	int rc;

	if (open_link(d, err) < 0)
		return -1;
	rc = run_steps(d, sql, err);
	/* DDL need not wait for the end of a daemon that failed. */
	sc_donor_unlock(d, sql);
	sc_consumer_stop(d);
	close_link(d);
	return rc;
}
