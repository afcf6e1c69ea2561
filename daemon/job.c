/* SPDX-License-Identifier: GPL-2.0-only */
/* What donor and recipient jobs have in common; see job.h. */
#include "daemon/job.h"

#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "io/base/num.h"

#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

/* How long a stopping job may take to tell the other side why. A KILL must be
 * through within a second. */
#define LAST_WORDS_MS 400

/* How long the plugin hears nothing of a failure because the image is being
 * given back. Less than the plugin waits for that (UNDO_MS in plugin/donor.c).
 */
#define UNDOING_MS 3000

void sc_job_init(struct sc_job *job, const struct sc_job_ops *ops,
		 struct sc_session *session, const uint8_t id[], uint8_t role,
		 const char *peer)
{
	job->ops = ops;
	job->session = session;
	job->wake = -1;
	memcpy(job->id, id, SC_JOB_ID_SIZE);
	job->role = role;
	snprintf(job->peer, sizeof(job->peer), "%s", peer);
	job->started_us = sc_wall_us();
	pthread_mutex_init(&job->lock, NULL);
	for (unsigned i = 0; i < SC_STAGE_COUNT; i++)
		job->stages[i].stage = (uint8_t)i;
}

void sc_job_destroy(struct sc_job *job)
{
	sc_enc_free(&job->done);
	pthread_mutex_destroy(&job->lock);
}

int sc_job_keep_done(struct sc_job *job, const struct sc_ctl_seal *seal,
		     struct sc_err *err)
{
	struct sc_ctl_done m = { .seal = *seal,
				 .checkpoint_lsn = job->checkpoint_lsn };

	sc_ctl_put_done(&job->done, &m);
	return job->done.failed ? sc_err_set(err, SC_ER_INTERNAL_ERROR,
					     "out of memory for the end")
				: 0;
}

void sc_job_wake(struct sc_job *job)
{
	/* A counter that is full is readable as well. */
	if (job->wake >= 0)
		(void)eventfd_write(job->wake, 1);
}

int sc_job_fail(struct sc_job *job, const struct sc_err *err)
{
	pthread_mutex_lock(&job->lock);
	if (!sc_err_is_set(&job->err))
		job->err = *err;
	pthread_mutex_unlock(&job->lock);
	if (!atomic_exchange(&job->stopping, true))
		job->stopping_since_ms = sc_now_ms();
	job->ops->cancel(job);
	sc_job_wake(job);
	return -1;
}

bool sc_job_overdue(const struct sc_job *job)
{
	return job->stopping_since_ms &&
	       sc_now_ms() - job->stopping_since_ms > LAST_WORDS_MS;
}

void sc_job_undoing(struct sc_job *job, bool begins)
{
	job->undoing_since_ms = begins ? sc_now_ms() : 0;
}

bool sc_job_undoes_long(const struct sc_job *job)
{
	uint64_t since = job->undoing_since_ms;

	return since && sc_now_ms() - since > UNDOING_MS;
}

int sc_job_cancelled(struct sc_err *err)
{
	return sc_err_set(err, SC_ER_QUERY_INTERRUPTED,
			  "the clone was cancelled");
}

void sc_job_cancel(struct sc_job *job)
{
	struct sc_err err = SC_ERR_INIT;

	sc_job_cancelled(&err);
	sc_job_fail(job, &err);
}

static void set_state(struct sc_job *job, unsigned stage, enum sc_state state)
{
	job->stages[stage].state = (uint8_t)state;
	job->dirty[stage] = true;
}

void sc_job_stage(struct sc_job *job, enum sc_stage stage)
{
	SC_LOCK_SCOPE(&job->lock);
	for (unsigned i = SC_STAGE_DROP_DATA; i < stage; i++) {
		if (job->stages[i].state != SC_STATE_COMPLETED)
			set_state(job, i, SC_STATE_COMPLETED);
	}
	set_state(job, stage, SC_STATE_IN_PROGRESS);
	job->stage = (uint8_t)stage;
	sc_job_wake(job);
}

void sc_job_count(struct sc_job *job, enum sc_stage stage, uint32_t threads,
		  uint64_t estimate, uint64_t data, uint64_t network)
{
	struct sc_ctl_progress *p = &job->stages[stage];

	SC_LOCK_SCOPE(&job->lock);
	if (p->threads == threads && p->estimate == estimate &&
	    p->data == data && p->network == network)
		return;
	p->threads = threads;
	p->estimate = estimate;
	p->data = data;
	p->network = network;
	job->dirty[stage] = true;
}

void sc_job_end_stage(struct sc_job *job, enum sc_state state)
{
	SC_LOCK_SCOPE(&job->lock);
	if (job->stage)
		set_state(job, job->stage, state);
}

void sc_job_redo(struct sc_job *job, uint64_t bytes)
{
	SC_LOCK_SCOPE(&job->lock);
	job->redo_bytes = bytes;
}

void sc_job_image(struct sc_job *job, const char *provider, uint64_t swap_us,
		  uint64_t undo_us)
{
	SC_LOCK_SCOPE(&job->lock);
	job->image.provider = provider;
	job->image.swap_us = swap_us;
	job->image.undo_us = undo_us;
}

void sc_job_area(struct sc_job *job, uint64_t used, uint64_t bytes)
{
	SC_LOCK_SCOPE(&job->lock);
	job->image.used = used;
	job->image.bytes = bytes;
}

void sc_job_status(struct sc_job *job, struct sc_ctl_job_status *ret)
{
	const struct sc_ctl_progress *copy = &job->stages[SC_STAGE_FILE_COPY];

	SC_LOCK_SCOPE(&job->lock);
	*ret = (struct sc_ctl_job_status){
		.role = job->role,
		.stage = job->stage,
		.state = job->stages[job->stage].state,
		.threads = copy->threads,
		.started_us = job->started_us,
		.estimate = copy->estimate,
		.data = copy->data,
		.network = copy->network,
		.redo = job->redo_bytes,
		.swap_us = job->image.swap_us,
		.undo_us = job->image.undo_us,
		.area_used = job->image.used,
		.area_bytes = job->image.bytes,
	};
	memcpy(ret->job_id, job->id, SC_JOB_ID_SIZE);
	snprintf(ret->provider, sizeof(ret->provider), "%s",
		 job->image.provider ? job->image.provider : "");
	snprintf(ret->peer, sizeof(ret->peer), "%s", job->peer);
	snprintf(ret->message, sizeof(ret->message), "%s", job->err.msg);
}
