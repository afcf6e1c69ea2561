/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The thread that listens to the daemon for a donor job. It does nothing that
 * waits but to read the keyring, so that positions of the redo follower reach
 * the consumer thread at once even while the job thread is in SQL. A keyring
 * may hang for long: it is read without d->lock, so that the consumer thread
 * can give up meanwhile.
 */
#include "plugin/donor_job.h"

#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "plugin/services.h"
#include "plugin/status.h"

#include <string.h>

#define POLL_MS 100

static int on_ready(struct sc_donor *d, struct sc_dec *dec)
{
	if (sc_ctl_get_donor_ready(dec, &d->state.ready) < 0)
		return -1;
	d->heard.ready = true;
	if (d->request.local)
		sc_status_copying(1, d->state.ready.bytes);
	return 0;
}

static int on_followed(struct sc_donor *d, struct sc_dec *dec)
{
	uint64_t lsn = sc_dec_u64(dec);

	if (sc_dec_end(dec) < 0 || lsn < atomic_load(&d->consumer.followed_lsn))
		return -1;
	atomic_store(&d->consumer.followed_lsn, lsn);
	atomic_store(&d->consumer.followed_ms, sc_now_ms());
	d->heard.followed = true;
	return 0;
}

static int on_settled(struct sc_donor *d, struct sc_dec *dec)
{
	if (sc_ctl_get_settled(dec, &d->heard.settlement) < 0 ||
	    d->heard.settled || d->heard.copied)
		return -1;
	d->heard.settled = true;
	return 0;
}

static int on_progress(struct sc_donor *d, struct sc_dec *dec)
{
	struct sc_ctl_progress progress;

	if (sc_ctl_get_progress(dec, &progress) < 0)
		return -1;
	if (d->request.local)
		sc_status_progress(&progress);
	return 0;
}

static int on_done(struct sc_donor *d, struct sc_dec *dec)
{
	if (!d->heard.redo_done || sc_ctl_get_done(dec, &d->heard.result) < 0)
		return -1;
	d->heard.done = true;
	return 0;
}

static int on_error(struct sc_donor *d, struct sc_dec *dec)
{
	struct sc_ctl_error error;

	if (sc_ctl_get_error(dec, &error) < 0)
		return -1;
	sc_err_set(&d->state.err, (int)error.code, "%s", error.message);
	d->heard.lost = true;
	return 0;
}

/* Set a flag that may be set only after another one. */
static int on_flag(bool *flag, bool after)
{
	if (*flag || !after)
		return -1;
	*flag = true;
	return 0;
}

/* Under d->lock. -1: the message is malformed or out of order. */
static int handle(struct sc_donor *d, struct sc_ctl_msg *msg)
{
	struct sc_donor_heard *heard = &d->heard;
	struct sc_dec dec = sc_ctl_body(msg);

	switch (msg->type) {
	case SC_CTL_DONOR_READY:
		return on_ready(d, &dec);
	case SC_CTL_FOLLOWED:
		return on_followed(d, &dec);
	case SC_CTL_PROGRESS:
		return on_progress(d, &dec);
	case SC_CTL_IMAGED:
		return on_flag(&heard->imaged, true);
	case SC_CTL_COPIED:
		return on_flag(&heard->copied, heard->ready);
	case SC_CTL_SETTLED:
		return on_settled(d, &dec);
	case SC_CTL_SEALED:
		return on_flag(&heard->sealed, heard->settled);
	case SC_CTL_REDO_DONE:
		return on_flag(&heard->redo_done, heard->sealed);
	case SC_CTL_DONE:
		return on_done(d, &dec);
	case SC_CTL_ERROR:
		return on_error(d, &dec);
	}
	return -1;
}

static void take(struct sc_donor *d, struct sc_ctl_msg *msg)
{
	SC_LOCK_SCOPE(&d->lock);

	if (handle(d, msg) < 0) {
		sc_err_set(
			&d->state.err, SC_ER_INTERNAL_ERROR,
			"unexpected message %u from the daemon (%s); restart the service or reinstall the plugin",
			msg->type, d->link.name);
		d->heard.lost = true;
	}
	pthread_cond_broadcast(&d->changed);
}

static void lose(struct sc_donor *d, const struct sc_err *err)
{
	SC_LOCK_SCOPE(&d->lock);

	if (!d->heard.done && !sc_err_is_set(&d->state.err))
		d->state.err = *err;
	d->heard.lost = true;
	pthread_cond_broadcast(&d->changed);
}

/* A clone that cannot have its keys has failed. */
static void on_keys_wanted(struct sc_donor *d, struct sc_ctl_msg *msg)
{
	struct sc_dec dec = sc_ctl_body(msg);
	struct sc_err err = SC_ERR_INIT;

	if (sc_donor_give_keys(d, &dec, &err) < 0)
		lose(d, &err);
}

static bool stop_wanted(struct sc_donor *d)
{
	SC_LOCK_SCOPE(&d->lock);

	return !d->reader_running || d->heard.lost || d->heard.done;
}

static void *reader_main(void *arg)
{
	CLEANUP_MSG struct sc_ctl_msg msg = { 0 };
	struct sc_donor *d = arg;
	struct sc_err err = SC_ERR_INIT;

	while (!stop_wanted(d)) {
		int rc = sc_link_recv(&d->link, &msg, POLL_MS, &err);

		if (rc < 0)
			lose(d, &err);
		else if (rc == 1 && msg.type == SC_CTL_KEYS_WANTED)
			on_keys_wanted(d, &msg);
		else if (rc == 1)
			take(d, &msg);
	}
	return NULL;
}

int sc_donor_reader_start(struct sc_donor *d, struct sc_err *err)
{
	int rc;
	SC_LOCK_SCOPE(&d->lock);

	rc = pthread_create(&d->reader_thread, NULL, reader_main, d);
	if (rc)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, rc,
				  "cannot start a thread");
	d->reader_running = true;
	return 0;
}

void sc_donor_reader_stop(struct sc_donor *d)
{
	pthread_mutex_lock(&d->lock);
	if (!d->reader_running) {
		pthread_mutex_unlock(&d->lock);
		return;
	}
	d->reader_running = false;
	pthread_mutex_unlock(&d->lock);
	pthread_join(d->reader_thread, NULL);
}
