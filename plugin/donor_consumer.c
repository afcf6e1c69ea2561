/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The redo consumer: while it is registered, mysqld keeps the redo files the
 * follower has not read yet. A consumer that lags stalls every write of the
 * donor, so this thread does nothing but advance it, and gives the
 * registration up rather than let the donor wait.
 * Source: MySQL storage/innobase/log/log0meb.cc (UDFs), log0write.cc
 * (log_writer_wait_on_consumers).
 */
#include "plugin/donor_job.h"

#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "io/base/num.h"
#include "plugin/services.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define ADVANCE_MS 50	/* how often the position is given to mysqld */
#define CHECK_MS 100	/* how often the lag is looked at */
#define DEADLINE_MS 200 /* how long it may be too far behind */
/* A daemon that was not heard yet is still starting. */
#define STARTING_MS 1000
/* Bytes of redo in CHECK_MS: background threads write some. */
#define NEXT_TO_NOTHING (64ull << 10)

/* How far behind, and since when too far. */
struct lag {
	uint64_t base_lsn; /* mysqld keeps redo from here until we advance */
	uint64_t base_ms;  /* when we registered */
	uint64_t base_lag; /* how far behind the checkpoint was then; 0 when the
			      follower has read that */
	uint64_t checked_ms;
	uint64_t too_far_since; /* 0: it is not */
	uint64_t checked_lsn;	/* the server's, then */
	uint64_t stalled_since; /* 0: it writes, or is not far ahead */
};

static int call(struct sc_sql *sql, const char *expression, struct sc_err *err)
{
	unsigned long long rc;
	char query[128];

	snprintf(query, sizeof(query), "SELECT innodb_redo_log_consumer_%s",
		 expression);
	if (sc_sql_u64(sql, query, &rc, err) < 0)
		return -1;
	if (rc != 0)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "innodb_redo_log_consumer_%s was refused",
				  expression);
	return 0;
}

static int advance(struct sc_sql *sql, uint64_t lsn, struct sc_err *err)
{
	char expression[64];

	snprintf(expression, sizeof(expression), "advance(%" PRIu64 ")", lsn);
	return call(sql, expression, err);
}

static int measure(struct sc_sql *sql, uint64_t *ret_lsn,
		   uint64_t *ret_capacity, struct sc_err *err)
{
	unsigned long long current, capacity;

	if (sc_sql_status(sql, "Innodb_redo_log_current_lsn", &current, err) <
		    0 ||
	    sc_sql_u64(sql, "SELECT @@GLOBAL.innodb_redo_log_capacity",
		       &capacity, err) < 0)
		return -1;
	*ret_lsn = current;
	*ret_capacity = capacity;
	return 0;
}

/*
 * How far behind is too far: a quarter of the capacity, or of what the server
 * had left of it when we registered. That is far from the point where mysqld
 * stalls. A daemon that is silent gets half of it.
 */
static uint64_t limit(struct lag *lag, uint64_t behind, uint64_t capacity,
		      bool silent)
{
	uint64_t part = silent ? 8 : 4;

	if (!silent && behind <= capacity / 8)
		lag->base_lag = 0;
	if (lag->base_lag >= capacity)
		return capacity;
	return lag->base_lag + (capacity - lag->base_lag) / part;
}

/*
 * The server may stall before that: threads wait from somewhere between 2/5 and
 * 4/5 of the capacity on, which nothing tells, and the checkpoint was nearly as
 * old when we registered. Is it there? Then it writes next to nothing. A busy
 * server whose redo log is large and half full is not: the follower needs
 * seconds to read that.
 * Source: log_free_check_capacity(), log0chkp.cc
 * (LOG_CONCCURENCY_MARGIN_MAX_PCT).
 */
static bool is_stalled(struct lag *lag, uint64_t lsn, uint64_t behind,
		       uint64_t capacity, uint64_t now)
{
	bool writes = lsn - SC_MIN(lsn, lag->checked_lsn) >
		      SC_MIN(capacity / 1024, NEXT_TO_NOTHING);

	lag->checked_lsn = lsn;
	if (writes || behind <= capacity * 3 / 8)
		lag->stalled_since = 0;
	else if (lag->stalled_since == 0)
		lag->stalled_since = now;
	return lag->stalled_since != 0;
}

/* Is it time to give up? */
static bool too_far(struct sc_consumer *c, struct sc_sql *sql, struct lag *lag)
{
	uint64_t followed =
		SC_MAX(atomic_load(&c->followed_lsn), lag->base_lsn);
	uint64_t heard = SC_MAX(atomic_load(&c->followed_ms), lag->base_ms);
	uint64_t lsn, behind, capacity, now = sc_now_ms();
	struct sc_err ignored = SC_ERR_INIT;
	bool silent = now > heard + DEADLINE_MS;
	bool starting = !atomic_load(&c->followed_ms) &&
			now < lag->base_ms + STARTING_MS;

	if (now < lag->checked_ms + CHECK_MS)
		return false;
	lag->checked_ms = now;
	if (measure(sql, &lsn, &capacity, &ignored) < 0)
		return false;
	behind = lsn - SC_MIN(lsn, followed);
	if (is_stalled(lag, lsn, behind, capacity, now) && !starting &&
	    (silent || now > lag->stalled_since + DEADLINE_MS))
		return true;
	if (behind <= limit(lag, behind, capacity, silent)) {
		lag->too_far_since = 0;
		return false;
	}
	if (lag->too_far_since == 0)
		lag->too_far_since = now;
	return silent || now > lag->too_far_since + DEADLINE_MS;
}

static void pause_consumer(struct sc_donor *d)
{
	struct timespec until = sc_after_ms(CLOCK_MONOTONIC, ADVANCE_MS);
	SC_LOCK_SCOPE(&d->lock);

	while (!atomic_load(&d->consumer.stop) &&
	       pthread_cond_timedwait(&d->changed, &d->lock, &until) !=
		       ETIMEDOUT)
		;
}

/* Advance until told to stop; false: it had to give up. */
static bool follow(struct sc_donor *d, struct sc_sql *sql, struct sc_err *err)
{
	struct sc_consumer *c = &d->consumer;
	struct lag lag = { .base_ms = sc_now_ms() };
	unsigned long long base;
	uint64_t given = 0, capacity;

	if (sc_sql_status(sql, "Innodb_redo_log_checkpoint_lsn", &base, err) <
		    0 ||
	    measure(sql, &lag.checked_lsn, &capacity, err) < 0)
		return false;
	lag.base_lsn = base;
	lag.base_lag = lag.checked_lsn - SC_MIN(lag.checked_lsn, base);
	while (!atomic_load(&c->stop)) {
		uint64_t lsn = atomic_load(&c->followed_lsn);

		if (lsn > given && advance(sql, lsn, err) < 0)
			return false;
		given = lsn;
		if (too_far(c, sql, &lag)) {
			sc_err_set(
				err, SC_ER_INTERNAL_ERROR,
				"the redo follower is too far behind at LSN %" PRIu64,
				lsn);
			return false;
		}
		pause_consumer(d);
	}
	return true;
}

static void report_started(struct sc_donor *d)
{
	pthread_mutex_lock(&d->lock);
	d->consumer.started = true;
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
}

static void *consumer_main(void *arg)
{
	struct sc_donor *d = arg;
	struct sc_err err = SC_ERR_INIT;
	struct sc_sql *sql = sc_sql_open(&err);
	bool held = sql && call(sql, "register()", &err) == 0;

	report_started(d);
	if (held && follow(d, sql, &err)) {
		struct sc_err ignored = SC_ERR_INIT;

		call(sql, "unregister()", &ignored);
	} else {
		sc_server_log(
			ST_LOG_WARNING,
			"clone goes on without holding redo files (%s); when they are reused before they are read, it ends at its image or starts again",
			err.msg);
	}
	/* The end of the session unregisters as well. */
	sc_sql_close(sql);
	return NULL;
}

int sc_consumer_start(struct sc_donor *d, struct sc_err *err)
{
	int rc = pthread_create(&d->consumer.thread, NULL, consumer_main, d);

	if (rc)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, rc,
				  "cannot start a thread");
	d->consumer.running = true;
	return sc_donor_await(d, &d->consumer.started, 10000,
			      "register as redo consumer", err);
}

void sc_consumer_stop(struct sc_donor *d)
{
	if (!d->consumer.running)
		return;
	pthread_mutex_lock(&d->lock);
	atomic_store(&d->consumer.stop, true);
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
	pthread_join(d->consumer.thread, NULL);
	d->consumer.running = false;
}
