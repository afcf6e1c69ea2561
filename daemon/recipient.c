/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The recipient's job: its life from the START message to the end. Its steps
 * are in recipient_steps.c.
 */
#include "daemon/recipient.h"

#include "daemon/roots.h"
#include "daemon/session.h"
#include "io/base/cleanup.h"
#include "io/base/clock.h"

#include <stdlib.h>
#include <string.h>

/* A data connection that broke: how long stream 0 may take to say why. */
#define REASON_WAIT_MS 1500

/* DONE, or why not, so that the donor need not guess. The clone stands whether
 * or not the donor hears of it. */
static void send_result(struct recipient *r, int rc)
{
	struct sc_conn *conn = r->links[0].conn;
	struct sc_err ignored = SC_ERR_INIT;
	struct sc_ctl_error m = { 0 };
	struct sc_enc enc = { 0 };

	if (!conn || r->job.err.code == SC_ER_CLONE_DONOR)
		return;
	if (rc == 0) {
		(void)sc_frame_send(conn, SC_FRAME_DONE, 0, NULL, 0, NULL, 0,
				    &ignored);
		return;
	}
	m.code = (uint32_t)r->job.err.code;
	memcpy(m.message, r->job.err.msg, sizeof(m.message));
	sc_ctl_put_error(&enc, &m);
	(void)sc_frame_send_enc(conn, SC_FRAME_ERROR, &enc, &ignored);
}

static int recipient_run(struct sc_job *job)
{
	struct recipient *r = (struct recipient *)job;
	struct sc_err err = SC_ERR_INIT;
	int rc = recipient_run_steps(r, &err);

	if (rc < 0)
		sc_job_fail(job, &err);
	recipient_join_streams(r);
	send_result(r, rc);
	if (rc < 0 && r->stage && !r->committed)
		sc_stage_abort(r->stage);
	sc_job_end_stage(job, rc < 0 ? SC_STATE_FAILED : SC_STATE_COMPLETED);
	return rc;
}

static int recipient_message(struct sc_job *job, const struct sc_ctl_msg *msg,
			     struct sc_err *err)
{
	struct recipient *r = (struct recipient *)job;

	if (msg->type == SC_CTL_KEYS)
		return sc_keys_take(&r->keys, msg, err);
	SC_LOCK_SCOPE(&r->lock);
	if (msg->type == SC_CTL_PREPARE && !r->prepare)
		r->prepare = true;
	else if (msg->type == SC_CTL_COMMIT && r->prepare && !r->commit)
		r->commit = true;
	else
		return sc_err_set(err, SC_ER_CLONE_PROTOCOL,
				  "unexpected control message %u", msg->type);
	pthread_cond_broadcast(&r->changed);
	return 0;
}

static void recipient_cancel(struct sc_job *job)
{
	struct recipient *r = (struct recipient *)job;
	bool hard = sc_job_overdue(job);

	sc_keys_stop(&r->keys);
	SC_LOCK_SCOPE(&r->lock);
	for (unsigned i = 0; i <= r->start.streams; i++)
		recipient_wake_link(&r->links[i], i == 0 && !hard);
	pthread_cond_broadcast(&r->changed);
}

static void recipient_tick(struct sc_job *job)
{
	struct recipient *r = (struct recipient *)job;
	uint64_t lost = r->lost_since_ms;
	struct sc_ctl_job_status now;

	if (lost && !job->stopping && sc_now_ms() - lost > REASON_WAIT_MS)
		sc_job_fail(job, &r->lost);
	sc_job_status(job, &now);
	if (now.stage < SC_STAGE_FILE_COPY)
		return;
	recipient_tune(r);
	sc_job_count(job, SC_STAGE_FILE_COPY, r->n_streams, r->planned,
		     sc_stage_bytes(r->stage), r->network);
	sc_job_count(job, SC_STAGE_REDO_COPY, 1, now.redo, now.redo, now.redo);
}

static void recipient_free(struct sc_job *job)
{
	struct recipient *r = (struct recipient *)job;

	for (unsigned i = 0; r->links && i <= r->start.streams; i++) {
		if (r->links[i].conn)
			r->links[i].conn->ops->free(r->links[i].conn);
	}
	sc_stage_free(r->stage);
	sc_filelist_free(&r->list);
	sc_seal_free(&r->seal);
	sc_keys_destroy(&r->keys);
	close(r->target);
	if (r->parent >= 0)
		close(r->parent);
	for (unsigned i = 0; i + 1 < r->roots.n; i++)
		close(r->others[i]);
	pthread_cond_destroy(&r->changed);
	explicit_bzero(r->start.key, sizeof(r->start.key));
	pthread_mutex_destroy(&r->lock);
	sc_job_destroy(job);
	free(r->links);
	free(r->redo_buf);
	free(r);
}

static const struct sc_job_ops recipient_ops = {
	.run = recipient_run,
	.message = recipient_message,
	.cancel = recipient_cancel,
	.tick = recipient_tick,
	.free = recipient_free,
};

static struct recipient *new_recipient(const struct sc_ctl_recipient_start *m,
				       struct sc_session *session)
{
	struct recipient *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->start = *m;
	r->links = calloc(m->streams + 1, sizeof(*r->links));
	r->redo_buf = malloc(SC_FRAME_MAX_DATA);
	if (sc_keys_init(&r->keys, session) < 0 || !r->links || !r->redo_buf) {
		sc_keys_destroy(&r->keys);
		free(r->links);
		free(r->redo_buf);
		free(r);
		return NULL;
	}
	for (unsigned i = 0; i <= m->streams; i++)
		r->links[i] = (struct link){ .r = r, .stream = i, .fd = -1 };
	return r;
}

/* Of the descriptors, that of the first directory besides the target. */
static int first_other(const struct sc_ctl_recipient_start *m)
{
	return m->in_place ? 1 : 2;
}

/* Nothing is asked of the parent: from there only the target itself is removed,
 * by its inode. */
static void take_fds(struct recipient *r, struct sc_ctl_msg *msg)
{
	int first = first_other(&r->start);

	r->target = msg->fds[0];
	r->parent = r->start.in_place ? -1 : msg->fds[1];
	for (int i = first; i < msg->nfds; i++)
		r->others[i - first] = msg->fds[i];
	memset(msg->fds, -1, sizeof(msg->fds));
}

struct sc_job *sc_recipient_new(struct sc_session *session,
				struct sc_ctl_msg *msg, struct sc_err *err)
{
	struct sc_ctl_recipient_start start;
	struct sc_dec dec = sc_ctl_body(msg);
	struct sc_roots roots;
	struct recipient *r;

	if (sc_ctl_get_recipient_start(&dec, &start) < 0 ||
	    msg->nfds != first_other(&start) + start.places.roots.n - 1 ||
	    sc_roots_from(&roots, &start.places.roots,
			  start.places.data_file_path, msg->fds[0],
			  msg->fds + first_other(&start),
			  sc_session_peer(session), err) < 0) {
		sc_err_set(err, SC_ER_CLONE_PROTOCOL,
			   "malformed RECIPIENT_START");
		return NULL;
	}
	r = new_recipient(&start, session);
	if (!r) {
		sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
		return NULL;
	}
	r->roots = roots;
	take_fds(r, msg);
	pthread_cond_init(&r->changed, NULL);
	pthread_mutex_init(&r->lock, NULL);
	sc_job_init(&r->job, &recipient_ops, session, start.job_id, 1,
		    start.peer);
	return &r->job;
}
