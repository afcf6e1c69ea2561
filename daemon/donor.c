/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The donor's job: its life from the START message to the end. The steps are
 * in donor_steps.c, the redo threads in donor_redo.c.
 */
#include "daemon/donor.h"

#include "daemon/roots.h"
#include "daemon/session.h"
#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "io/base/log.h"
#include "io/base/num.h"

#include <stdlib.h>
#include <string.h>

/* Tell the recipient why its clone failed, on stream 0, which nobody else uses
 * any more. Best effort: it may be the recipient that is gone. */
static void send_last_words(struct donor *d)
{
	struct sc_conn *conn =
		d->server ? sc_data_server_conns(d->server)[0] : NULL;
	struct sc_err ignored = SC_ERR_INIT;
	struct sc_ctl_error m = { 0 };
	struct sc_enc enc = { 0 };

	if (!conn || d->job.err.code == SC_ER_QUERY_INTERRUPTED)
		return;
	m.code = (uint32_t)d->job.err.code;
	memcpy(m.message, d->job.err.msg, sizeof(m.message));
	sc_ctl_put_error(&enc, &m);
	(void)sc_frame_send_enc(conn, SC_FRAME_ERROR, &enc, &ignored);
}

/* Nobody reads the image after that. */
static void end_streams(struct donor *d)
{
	struct sc_data_server *server;

	/* An image that is given up now cancels what is still there. */
	pthread_mutex_lock(&d->lock);
	server = d->server;
	d->server = NULL;
	pthread_mutex_unlock(&d->lock);
	sc_data_server_free(server);
}

/* What the donor pays for first. */
static void undo_all(struct donor *d)
{
	send_last_words(d);
	sc_job_undoing(&d->job, true);
	end_streams(d);
	donor_close_image(d);
	sc_job_undoing(&d->job, false);
	if (d->stage && !d->committed)
		sc_stage_abort(d->stage);
}

static int donor_run(struct sc_job *job)
{
	struct donor *d = (struct donor *)job;
	struct sc_err err = SC_ERR_INIT;
	int rc = donor_run_steps(d, &err);

	if (rc < 0)
		sc_job_fail(job, &err);
	donor_join_follower(d);
	donor_join_sender(d);
	if (rc < 0)
		undo_all(d);
	sc_job_end_stage(job, rc < 0 ? SC_STATE_FAILED : SC_STATE_COMPLETED);
	return rc;
}

static int take_locked(struct donor *d, struct sc_dec *dec, struct sc_err *err)
{
	struct sc_ctl_locked locked;
	SC_LOCK_SCOPE(&d->lock);

	if (sc_ctl_get_locked(dec, &locked) < 0 || d->locked.lsn)
		return sc_err_set(err, SC_ER_CLONE_PROTOCOL,
				  "malformed or repeated LOCKED");
	d->locked = locked;
	pthread_cond_broadcast(&d->changed);
	return 0;
}

/* For the bytes that wait for their turn, too. */
static int take_limits(struct donor *d, struct sc_dec *dec, struct sc_err *err)
{
	struct sc_ctl_limits limits;

	if (sc_ctl_get_limits(dec, &limits) < 0)
		return sc_err_set(err, SC_ER_CLONE_PROTOCOL,
				  "malformed LIMITS");
	sc_rate_set(&d->data_rate, limits.data_bandwidth);
	sc_rate_set(&d->network_rate, limits.network_bandwidth);
	sc_info("limits (MiB/s, 0: none) are now: data %u, network %u",
		limits.data_bandwidth, limits.network_bandwidth);
	return 0;
}

static int donor_message(struct sc_job *job, const struct sc_ctl_msg *msg,
			 struct sc_err *err)
{
	struct donor *d = (struct donor *)job;
	struct sc_dec dec = sc_ctl_body(msg);
	struct sc_ctl_seal seal;

	if (msg->type == SC_CTL_LOCKED)
		return take_locked(d, &dec, err);
	if (msg->type == SC_CTL_LIMITS)
		return take_limits(d, &dec, err);
	if (msg->type == SC_CTL_KEYS)
		return sc_keys_take(&d->keys, msg, err);
	if (msg->type != SC_CTL_SEAL)
		return sc_err_set(err, SC_ER_CLONE_PROTOCOL,
				  "unexpected control message %u", msg->type);
	if (sc_ctl_get_seal(&dec, &seal) < 0 || !seal.end_lsn) {
		sc_ctl_seal_free(&seal);
		if (dec.no_memory)
			return sc_err_set(err, SC_ER_INTERNAL_ERROR,
					  "out of memory for the seal");
		return sc_err_set(err, SC_ER_CLONE_PROTOCOL, "malformed SEAL");
	}
	SC_LOCK_SCOPE(&d->lock);
	if (d->have_seal) {
		sc_ctl_seal_free(&seal);
		return sc_err_set(err, SC_ER_CLONE_PROTOCOL, "sealed twice");
	}
	d->seal.mark = seal;
	d->have_seal = true;
	pthread_cond_broadcast(&d->changed);
	return 0;
}

static void donor_cancel(struct sc_job *job)
{
	struct donor *d = (struct donor *)job;

	d->copy.stop = true;
	sc_keys_stop(&d->keys);
	SC_LOCK_SCOPE(&d->lock);
	if (d->server)
		sc_data_server_cancel(d->server, sc_job_overdue(job));
	if (d->spool)
		sc_redo_spool_abort(d->spool, &job->err);
	pthread_cond_broadcast(&d->changed);
}

static void donor_tick(struct sc_job *job)
{
	struct donor *d = (struct donor *)job;
	uint64_t bytes = d->copy.bytes_read;
	struct sc_ctl_job_status now;

	sc_job_status(job, &now);
	if (now.stage < SC_STAGE_FILE_COPY)
		return;
	sc_job_count(job, SC_STAGE_FILE_COPY, d->n_streams, d->planned, bytes,
		     d->start.local ? 0 : bytes);
	sc_job_count(job, SC_STAGE_REDO_COPY, 1, now.redo, now.redo,
		     d->start.local ? 0 : now.redo);
}

static void donor_free(struct sc_job *job)
{
	struct donor *d = (struct donor *)job;
	struct sc_redo_spool *spool;

	end_streams(d);
	pthread_mutex_lock(&d->lock);
	spool = d->spool;
	d->spool = NULL;
	pthread_mutex_unlock(&d->lock);
	free(d->sink);
	sc_stage_free(d->stage);
	sc_redo_spool_free(spool);
	sc_redo_follow_free(d->follow);
	sc_filelist_free(&d->list);
	sc_filelist_free(&d->known);
	sc_redo_notes_free(d->notes);
	free((void *)d->aside);
	donor_close_image(d);
	for (int i = 0; i < SC_DONOR_FDS_MAX; i++) {
		if (d->fds[i] >= 0)
			close(d->fds[i]);
	}
	sc_seal_free(&d->seal);
	sc_keys_destroy(&d->keys);
	sc_rate_destroy(&d->data_rate);
	sc_rate_destroy(&d->network_rate);
	explicit_bzero(d->start.key, sizeof(d->start.key));
	pthread_cond_destroy(&d->changed);
	pthread_mutex_destroy(&d->lock);
	sc_job_destroy(job);
	free(d);
}

static const struct sc_job_ops donor_ops = {
	.run = donor_run,
	.message = donor_message,
	.cancel = donor_cancel,
	.tick = donor_tick,
	.free = donor_free,
};

/* The descriptors of a job that is not local have no target among them. */
static int take_fds(struct donor *d, struct sc_ctl_msg *msg, struct sc_err *err)
{
	int first = d->start.local ? SC_DONOR_FDS_LOCAL : SC_DONOR_FDS_REMOTE;
	int want = first + d->start.roots.n - 1;

	memset(d->fds, -1, sizeof(d->fds));
	if (msg->nfds != want)
		return sc_err_set(err, SC_ER_CLONE_PROTOCOL,
				  "DONOR_START with %d descriptors, not %d",
				  msg->nfds, want);
	for (int i = 0; i < want; i++) {
		d->fds[i < first ? i : i - first + SC_DONOR_FDS_LOCAL] =
			msg->fds[i];
		msg->fds[i] = -1;
	}
	return 0;
}

/* Nothing is asked of the target's parent: from there only the target itself is
 * removed, by its inode. */
static int check_fds(const struct donor *d, const struct sc_peer *peer,
		     struct sc_err *err)
{
	static const struct {
		unsigned fd;
		enum sc_peer_need need;
	} checks[] = {
		{ SC_DONOR_FD_REDO, SC_PEER_SHARED },
		{ SC_DONOR_FD_SPOOL, SC_PEER_WRITE },
		{ SC_DONOR_FD_TARGET, SC_PEER_OWN },
	};

	for (size_t i = 0; i < SC_ARRAY_SIZE(checks); i++) {
		int fd = d->fds[checks[i].fd];

		if (fd >= 0 && sc_peer_check(peer, fd, checks[i].need, err) < 0)
			return -1;
	}
	return 0;
}

static int set_roots(struct donor *d, const struct sc_peer *peer,
		     struct sc_err *err)
{
	return sc_roots_from(&d->roots, &d->start.roots,
			     d->start.data_file_path,
			     d->fds[SC_DONOR_FD_DATADIR],
			     d->fds + SC_DONOR_FDS_LOCAL, peer, err);
}

struct sc_job *sc_donor_new(struct sc_session *session, struct sc_ctl_msg *msg,
			    const struct sc_config *config, struct sc_err *err)
{
	struct donor *d = calloc(1, sizeof(*d));
	const struct sc_peer *peer = sc_session_peer(session);
	struct sc_dec dec = sc_ctl_body(msg);
	pthread_condattr_t attr;

	if (!d) {
		sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
		return NULL;
	}
	if (sc_ctl_get_donor_start(&dec, &d->start) < 0) {
		free(d);
		sc_err_set(err, SC_ER_CLONE_PROTOCOL, "malformed DONOR_START");
		return NULL;
	}
	if (sc_keys_init(&d->keys, session) < 0) {
		sc_keys_destroy(&d->keys);
		free(d);
		sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
		return NULL;
	}
	if (take_fds(d, msg, err) < 0 || check_fds(d, peer, err) < 0 ||
	    set_roots(d, peer, err) < 0) {
		for (int i = 0; i < SC_DONOR_FDS_MAX; i++) {
			if (d->fds[i] >= 0)
				close(d->fds[i]);
		}
		sc_keys_destroy(&d->keys);
		free(d);
		return NULL;
	}
	d->config = config;
	pthread_mutex_init(&d->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&d->changed, &attr);
	pthread_condattr_destroy(&attr);
	sc_rate_init(&d->data_rate, d->start.data_bandwidth);
	sc_rate_init(&d->network_rate, d->start.network_bandwidth);
	d->copy.data_rate = &d->data_rate;
	sc_job_init(&d->job, &donor_ops, session, d->start.job_id,
		    d->start.local ? 2 : 0, d->start.peer);
	return &d->job;
}
