/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The delta on the donor: a follower thread reads the redo log into the spool
 * and tells the plugin how far it is; a sender thread takes it from the spool
 * to the sink. The follower never waits for the sender.
 */
#include "daemon/donor.h"

#include "daemon/session.h"
#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "io/base/log.h"
#include "io/base/num.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define REDO_BUFFER (1u << 20)
/* While nothing new is there: twice as long each time, so that an idle donor's
 * log costs little. With FOLLOWED_EVERY_MS at most 50 ms, which
 * docs/protocol.md promises. */
#define FOLLOW_WAIT_MS 2
#define FOLLOW_WAIT_MAX_MS 10
/* The plugin takes the redo consumer away from a daemon that is silent for
 * 200 ms (design, step 1). */
#define FOLLOWED_EVERY_MS 40
/* An idle donor lets the recipient know that it lives. */
#define KEEPALIVE_MS 5000
/* The delta may wait for a slow recipient up to this; it is disk space in the
 * donor's temporary directory. */
#define SPOOL_LIMIT (64 * SC_GIB)

static int tell_followed(struct donor *d, uint64_t *last_ms, bool now,
			 struct sc_err *err)
{
	struct sc_enc enc = { 0 };
	uint64_t ms = sc_now_ms();

	if (!now && ms - *last_ms < FOLLOWED_EVERY_MS)
		return 0;
	*last_ms = ms;
	/* Reading begins at the checkpoint's block; the consumer stands at the
	 * checkpoint and takes no LSN below. */
	sc_enc_u64(&enc,
		   SC_MAX(sc_redo_follow_lsn(d->follow), d->followed_from.lsn));
	return sc_session_send(d->job.session, SC_CTL_FOLLOWED, &enc, err);
}

/* Everything up to E has been read: hand over the last block, which may still
 * be partial in the log. */
int donor_end_redo(struct donor *d, struct sc_err *err)
{
	uint8_t block[SC_REDO_BLOCK];
	uint64_t lsn;

	if (sc_redo_follow_partial(d->follow, block, &lsn) == 1 &&
	    (donor_scan_redo(d, block, sizeof(block), lsn, err) < 0 ||
	     sc_redo_spool_append(d->spool, lsn, block, sizeof(block), err) <
		     0))
		return -1;
	sc_redo_spool_end(d->spool);
	return 0;
}

/* Until it is time for the next look; a poke ends it. */
static void pause_follower(struct donor *d, unsigned pokes, unsigned ms)
{
	struct timespec until = sc_after_ms(CLOCK_MONOTONIC, ms);

	SC_LOCK_SCOPE(&d->lock);
	while (d->pokes == pokes && !d->job.stopping &&
	       pthread_cond_timedwait(&d->changed, &d->lock, &until) !=
		       ETIMEDOUT)
		;
}

/* One look at the log; 1 when E is reached. */
static int follow_once(struct donor *d, void *buf, unsigned *idle_ms,
		       struct sc_err *err)
{
	unsigned pokes = d->pokes;
	uint64_t end = d->end_lsn;
	struct sc_redo_run run;
	int rc = sc_redo_follow_read(d->follow, buf, REDO_BUFFER, &run, err);

	if (rc < 0)
		return -1;
	if (rc == 1 && donor_scan_redo(d, buf, run.len, run.lsn, err) < 0)
		return -1;
	if (rc == 1 &&
	    sc_redo_spool_append(d->spool, run.lsn, buf, run.len, err) < 0)
		return sc_err_context(err, "redo spool");
	if (donor_scan_partial(d, err) < 0)
		return -1;
	d->followed_lsn = sc_redo_follow_lsn(d->follow);
	if (end && sc_redo_follow_lsn(d->follow) >= end)
		return donor_end_redo(d, err) < 0 ? -1 : 1;
	if (rc == 1 || end)
		*idle_ms = FOLLOW_WAIT_MS;
	if (rc == 0) {
		pause_follower(d, pokes, *idle_ms);
		*idle_ms = SC_MIN(2 * *idle_ms, FOLLOW_WAIT_MAX_MS);
	}
	return 0;
}

void donor_poke_follower(struct donor *d)
{
	SC_LOCK_SCOPE(&d->lock);
	d->pokes++;
	pthread_cond_broadcast(&d->changed);
}

void donor_set_end(struct donor *d, uint64_t end_lsn)
{
	d->end_lsn = end_lsn;
	donor_poke_follower(d);
}

static bool is_lost(struct donor *d)
{
	return sc_redo_follow_is_lost(d->follow) || d->played_lost;
}

static int follow(struct donor *d, struct sc_err *err)
{
	CLEANUP_FREE void *buf = malloc(REDO_BUFFER);
	unsigned idle_ms = FOLLOW_WAIT_MS;
	uint64_t last_ms = 0;
	int rc = 0;

	if (!buf)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	while (rc == 0) {
		if (d->job.stopping)
			return sc_job_cancelled(err);
		if (donor_plays_lost(d, false, err))
			return -1;
		rc = follow_once(d, buf, &idle_ms, err);
		if (rc >= 0 && tell_followed(d, &last_ms, rc == 1, err) < 0)
			rc = -1;
		if (rc == 0 && donor_plays_lost(d, true, err))
			return -1;
	}
	return rc;
}

static void *follower_main(void *arg)
{
	struct donor *d = arg;
	struct sc_err err = SC_ERR_INIT;

	if (follow(d, &err) >= 0)
		return NULL;
	if (is_lost(d) && d->restarts)
		sc_err_context(&err,
			       "the clone was started again for that once");
	else if (is_lost(d) && !d->end_lsn) {
		donor_lose_redo(d, &err);
		return NULL;
	}
	sc_redo_spool_abort(d->spool, &err);
	sc_job_fail(&d->job, &err);
	return NULL;
}

/* The job's from here on: donor_cancel() looks at it, donor_free() frees it. */
static int open_spool(struct donor *d, struct sc_err *err)
{
	struct sc_redo_spool *spool;

	if (sc_redo_spool_new(d->fds[SC_DONOR_FD_SPOOL], SPOOL_LIMIT, &spool,
			      err) < 0)
		return -1;
	pthread_mutex_lock(&d->lock);
	d->spool = spool;
	pthread_mutex_unlock(&d->lock);
	return 0;
}

/* A log that has a key uses it sooner or later: ask before the recipient
 * begins. */
static int ask_redo_key(struct donor *d, struct sc_err *err)
{
	struct sc_space_key key;
	int rc;

	if (!d->followed_from.encrypted)
		return 0;
	rc = donor_redo_key(d, &key, err);
	explicit_bzero(&key, sizeof(key));
	return rc < 0 ? sc_err_context(err, "redo log") : 0;
}

int donor_start_follower(struct donor *d, struct sc_err *err)
{
	int rc;

	if (sc_redo_newest_checkpoint(d->fds[SC_DONOR_FD_REDO],
				      &d->followed_from, err) < 0 ||
	    sc_redo_follow_open(d->fds[SC_DONOR_FD_REDO], d->followed_from.lsn,
				&d->follow, err) < 0 ||
	    open_spool(d, err) < 0)
		return -1;
	sc_redo_follow_set_key(d->follow, donor_redo_key, d);
	sc_redo_notes_free(d->notes);
	d->notes = sc_redo_notes_new();
	if (!d->notes)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	d->followed_lsn = 0;
	if (ask_redo_key(d, err) < 0)
		return -1;
	sc_debug("following redo from checkpoint %" PRIu64,
		 d->followed_from.lsn);
	rc = pthread_create(&d->follower, NULL, follower_main, d);
	if (rc)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, rc,
				  "cannot start the redo follower");
	d->following = true;
	return 0;
}

void donor_join_follower(struct donor *d)
{
	if (d->following)
		pthread_join(d->follower, NULL);
	d->following = false;
}

/* Hand on what lies at C's block or behind it: the follower began before an
 * atomic image was made, whose checkpoint may be newer. */
static int pass_on(struct donor *d, uint64_t lsn, const char *data, size_t n,
		   struct sc_err *err)
{
	uint64_t begin = sc_align_down(d->checkpoint.lsn, SC_REDO_BLOCK);
	size_t skip = lsn < begin ? SC_MIN(n, begin - lsn) : 0;

	if (n && skip == n)
		return 0;
	return d->sink->ops->redo(d->sink, lsn + skip, data + skip, n - skip,
				  err);
}

static int send_redo(struct donor *d, struct sc_err *err)
{
	CLEANUP_FREE void *buf = malloc(REDO_BUFFER);
	uint64_t lsn = 0, total = 0;
	bool ended = false;

	if (!buf)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	for (;;) {
		int64_t n = sc_redo_spool_read(d->spool, buf, REDO_BUFFER,
					       KEEPALIVE_MS, &lsn, &ended, err);

		if (n < 0)
			return -1;
		if (n == 0 && ended)
			return 0;
		if (pass_on(d, lsn, buf, (size_t)n, err) < 0)
			return -1;
		total += (uint64_t)n;
		sc_job_redo(&d->job, total);
	}
}

static void *sender_main(void *arg)
{
	struct donor *d = arg;
	struct sc_err err = SC_ERR_INIT;

	if (send_redo(d, &err) < 0)
		sc_job_fail(&d->job, &err);
	return NULL;
}

int donor_start_sender(struct donor *d, struct sc_err *err)
{
	int rc = pthread_create(&d->sender, NULL, sender_main, d);

	if (rc)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, rc,
				  "cannot start the redo sender");
	d->sending = true;
	return 0;
}

/* Another follower goes on in the image; false: its redo is not there. */
static bool switch_to_image(struct donor *d)
{
	uint64_t lsn = sc_redo_follow_lsn(d->follow);
	struct sc_err why = SC_ERR_INIT;
	struct sc_redo_follow *f;

	if (sc_redo_follow_open(d->image->redo, lsn, &f, &why) < 0) {
		sc_warning("redo log of the image: %s", why.msg);
		return false;
	}
	sc_info("following the redo of the image from LSN %" PRIu64, lsn);
	sc_redo_follow_free(d->follow);
	d->follow = f;
	sc_redo_follow_set_key(f, donor_redo_key, d);
	return true;
}

int donor_follow_image(struct donor *d, struct sc_err *err)
{
	struct sc_err why = SC_ERR_INIT;
	int rc;

	if (sc_redo_follow_lsn(d->follow) >= d->seal.image_lsn ||
	    !switch_to_image(d))
		return 0;
	d->end_lsn = d->seal.image_lsn;
	rc = follow(d, &why);
	/* An image in use cannot be given back, which comes next. */
	sc_redo_follow_close(d->follow);
	if (rc >= 0 || sc_redo_follow_is_lost(d->follow))
		return 0;
	*err = why;
	return sc_err_context(err, "redo log of the image");
}

void donor_forget_redo(struct donor *d)
{
	donor_join_follower(d);
	/* DDL waits meanwhile: not for a recipient that is far behind. */
	sc_redo_spool_discard(d->spool);
	donor_join_sender(d);
	pthread_mutex_lock(&d->lock);
	sc_redo_spool_free(d->spool);
	d->spool = NULL;
	pthread_mutex_unlock(&d->lock);
	sc_redo_follow_free(d->follow);
	d->follow = NULL;
	d->keyscan = (struct sc_redo_keyscan){ 0 };
	d->end_lsn = 0;
	d->redo_lost = d->played_lost = false;
}

void donor_join_sender(struct donor *d)
{
	if (d->sending)
		pthread_join(d->sender, NULL);
	d->sending = false;
}
