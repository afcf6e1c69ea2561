/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The backup lock of a donor. It is held for two moments only: when the
 * daemon begins to follow the redo, and for the seal; with clone_block_ddl=ON
 * all the time between. Runs on the job thread.
 *
 * A request for the lock that waits makes all other DDL wait behind it: so it
 * is made in short tries, between which DDL goes on as if there was no clone.
 */
#include "plugin/donor_job.h"

#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "io/base/num.h"
#include "io/base/step.h"
#include "plugin/services.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define TRY_S 1
#define BETWEEN_TRIES_MS 200
#define SAY_EVERY_MS 60000
#define SILENT_MS 60000 /* of a daemon under the lock: it is stopped */
#define IMAGE_MS 1000	/* DDL waits for an image */

/* 1 held, 0 not within the time, -1 (killed, cancelled, this server is being
 * replaced). A clone that replaces it holds this lock while it commits, and
 * waits for it before: while we have it, the files are this server's. */
static int try_lock(struct sc_donor *d, struct sc_sql *sql, unsigned timeout_s,
		    struct sc_err *err)
{
	struct sc_err why = SC_ERR_INIT;

	if (sc_donor_check_cancel(d, err) < 0)
		return -1;
	if (sc_sql_lock_backup(sql, timeout_s, &why) == 0) {
		d->lock_held = true;
		d->locked_ms = sc_now_ms();
		return sc_donor_check_own(err) < 0 ? -1 : 1;
	}
	if (why.code == SC_ER_LOCK_WAIT_TIMEOUT)
		return 0;
	*err = why;
	return -1;
}

void sc_donor_unlock(struct sc_donor *d, struct sc_sql *sql)
{
	uint64_t ms = sc_now_ms() - d->locked_ms;

	if (!d->lock_held)
		return;
	sc_sql_unlock_backup(sql);
	d->lock_held = false;
	sc_server_log(ST_LOG_INFO, "clone held DDL off for %llu ms",
		      (unsigned long long)ms);
}

/* Wait a moment; a cancel ends it. */
static void pause_tries(struct sc_donor *d)
{
	struct timespec until = sc_after_ms(CLOCK_MONOTONIC, BETWEEN_TRIES_MS);
	SC_LOCK_SCOPE(&d->lock);

	while (!d->cancelled && pthread_cond_timedwait(&d->changed, &d->lock,
						       &until) != ETIMEDOUT)
		;
}

/* Try until it is held, or until limit_ms passed (0: for as long as DDL runs).
 * Returns as try_lock(). */
static int lock_patiently(struct sc_donor *d, struct sc_sql *sql,
			  uint64_t limit_ms, struct sc_err *err)
{
	uint64_t began = sc_now_ms(), said = began;
	int rc;

	while ((rc = try_lock(d, sql, TRY_S, err)) == 0) {
		uint64_t now = sc_now_ms();

		if (limit_ms && now - began >= limit_ms)
			return 0;
		if (now - said >= SAY_EVERY_MS) {
			sc_server_log(
				ST_LOG_INFO,
				"clone waits for DDL statements that run: %llu s so far",
				(unsigned long long)(now - began) / 1000);
			said = now;
		}
		pause_tries(d);
	}
	return rc;
}

/* Everything that DDL did so far is in the redo, on disk, below *ret. */
static int flush_redo(struct sc_sql *sql, uint64_t *ret, struct sc_err *err)
{
	unsigned long long lsn;

	if (sc_sql_query(sql, NULL, "FLUSH LOCAL ENGINE LOGS", err) < 0 ||
	    sc_sql_status(sql, "Innodb_redo_log_flushed_to_disk_lsn", &lsn,
			  err) < 0)
		return -1;
	*ret = lsn;
	return 0;
}

/* Tablespaces that IMPORT TABLESPACE may bring back. Waits for nothing. */
static int find_discarded(struct sc_donor *d, struct sc_sql *sql,
			  struct sc_err *err)
{
	CLEANUP_ROWS struct sc_rows rows = { 0 };

	if (sc_sql_query(
		    sql, &rows,
		    "SELECT space FROM information_schema.innodb_tablespaces WHERE state = 'discarded'",
		    err) < 0)
		return -1;
	d->n_discarded = rows.count > SC_MAX_DISCARDED ? UINT32_MAX
						       : (uint32_t)rows.count;
	for (size_t i = 0; i < rows.count && i < SC_MAX_DISCARDED; i++) {
		const char *id = sc_rows_get(&rows, i, 0);

		d->discarded[i] = id ? (uint32_t)strtoul(id, NULL, 10) : 0;
	}
	return 0;
}

int sc_donor_quiet(struct sc_donor *d, struct sc_sql *sql, struct sc_err *err)
{
	unsigned timeout_s = SC_MAX(d->request.ddl_timeout, 1u);
	int rc;

	if (d->request.block_ddl) {
		rc = try_lock(d, sql, timeout_s, err);
		if (rc == 0)
			return sc_err_set(
				err, SC_ER_LOCK_WAIT_TIMEOUT,
				"Lock wait timeout exceeded; try restarting transaction");
	} else {
		rc = lock_patiently(d, sql, 1000ull * timeout_s, err);
		if (rc == 0)
			sc_server_log(
				ST_LOG_WARNING,
				"clone begins while DDL runs that began more than clone_ddl_timeout=%u s ago: what is written meanwhile is copied twice",
				timeout_s);
	}
	if (rc < 0 || find_discarded(d, sql, err) < 0 ||
	    sc_donor_redo_mark(d, sql, err) < 0 ||
	    sc_donor_flush_gtids(d, sql, err) < 0)
		return -1;
	return rc > 0 ? flush_redo(sql, &d->quiet_lsn, err) : 0;
}

int sc_donor_await_image(struct sc_donor *d, struct sc_sql *sql,
			 struct sc_err *err)
{
	int rc = 1;

	if (d->lock_held)
		rc = sc_donor_await_or(d, &d->heard.imaged, IMAGE_MS, err);
	if (rc < 0)
		return -1;
	d->quiet_image = d->lock_held && (rc > 0 || d->request.block_ddl);
	if (!d->request.block_ddl)
		sc_donor_unlock(d, sql);
	return 0;
}

/* Does the daemon say how far it has read the redo? */
static bool is_heard(struct sc_donor *d, unsigned within_ms)
{
	SC_LOCK_SCOPE(&d->lock);

	return !d->heard.lost && !d->cancelled &&
	       sc_now_ms() - atomic_load(&d->consumer.followed_ms) < within_ms;
}

/* The daemon lists the files and copies what is small: that takes as long as it
 * takes, but DDL does not wait for a daemon that does nothing. */
static int await_settled(struct sc_donor *d, struct sc_err *err)
{
	int ms = sc_test_ms("SNAPCLONE_SILENT_MS", SILENT_MS), rc;

	while ((rc = sc_donor_await_or(d, &d->heard.settled, ms, err)) == 0) {
		if (!is_heard(d, (unsigned)ms))
			return sc_err_set(
				err, SC_ER_INTERNAL_ERROR,
				"the daemon was silent for %d s while DDL was held off; see its log",
				ms / 1000);
	}
	return rc < 0 ? -1 : 0;
}

/* LOCKED, and what the daemon says to it. */
static int ask_settled(struct sc_donor *d, struct sc_sql *sql,
		       struct sc_err *err)
{
	struct sc_ctl_locked locked = { .quiet_image = d->quiet_image };
	struct sc_enc enc = { 0 };

	if (flush_redo(sql, &locked.lsn, err) < 0)
		return -1;
	pthread_mutex_lock(&d->lock);
	d->heard.copied = d->heard.settled = false;
	pthread_mutex_unlock(&d->lock);
	sc_ctl_put_locked(&enc, &locked);
	if (sc_link_send(&d->link, SC_CTL_LOCKED, &enc, NULL, 0, err) < 0)
		return -1;
	return await_settled(d, err);
}

/* The follower begins anew: so does what keeps the redo for it. */
static int hold_redo_again(struct sc_donor *d, struct sc_err *err)
{
	sc_consumer_stop(d);
	atomic_store(&d->consumer.stop, false);
	atomic_store(&d->consumer.followed_lsn, 0);
	atomic_store(&d->consumer.followed_ms, 0); /* not heard yet */
	pthread_mutex_lock(&d->lock);
	d->consumer.started = false;
	pthread_mutex_unlock(&d->lock);
	return sc_consumer_start(d, err);
}

int sc_donor_settle(struct sc_donor *d, struct sc_sql *sql, struct sc_err *err)
{
	for (;;) {
		if (sc_donor_await(d, &d->heard.copied, -1, "copy", err) < 0)
			return -1;
		if (!d->lock_held && lock_patiently(d, sql, 0, err) < 0)
			return -1;
		if (sc_donor_redo_stayed_on(d, sql, err) < 0 ||
		    sc_donor_no_new_places(d, sql, err) < 0)
			return -1;
		if (ask_settled(d, sql, err) < 0)
			return -1;
		if (d->heard.settlement.what == SC_SETTLED_RESTART &&
		    (hold_redo_again(d, err) < 0 ||
		     ask_settled(d, sql, err) < 0))
			return -1;
		if (d->heard.settlement.what == SC_SETTLED_DONE ||
		    d->heard.settlement.what == SC_SETTLED_IMAGE)
			return 0;
		if (!d->request.block_ddl)
			sc_donor_unlock(d, sql);
	}
}
