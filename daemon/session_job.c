/* SPDX-License-Identifier: GPL-2.0-only */
/* The job of a session, from its START to the word how it ended, and the list
 * of all jobs; see session_impl.h. */
#include "daemon/session_impl.h"

#include "io/base/cleanup.h"
#include "io/base/log.h"

#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>

/* How often progress is told; what cannot wait wakes the session. */
#define TICK_MS 50

void sc_registry_init(struct sc_registry *registry,
		      const struct sc_config *config)
{
	*registry = (struct sc_registry){ .config = config };
	pthread_mutex_init(&registry->lock, NULL);
}

static int registry_add(struct sc_registry *r, struct sc_job *job,
			struct sc_err *err)
{
	SC_LOCK_SCOPE(&r->lock);
	if (r->n_jobs >= r->config->max_jobs)
		return sc_err_set(
			err, SC_ER_INTERNAL_ERROR,
			"snapcloned runs %u jobs already (option max_jobs)",
			r->n_jobs);
	job->next = r->jobs;
	r->jobs = job;
	r->n_jobs++;
	return 0;
}

static void registry_remove(struct sc_registry *r, struct sc_job *job)
{
	SC_LOCK_SCOPE(&r->lock);
	for (struct sc_job **p = &r->jobs; *p; p = &(*p)->next) {
		if (*p == job) {
			*p = job->next;
			r->n_jobs--;
			return;
		}
	}
}

static void *job_main(void *arg)
{
	struct sc_job *job = arg;

	job->failed = job->ops->run(job) < 0;
	job->finished = true;
	sc_job_wake(job);
	return NULL;
}

int session_start_job(struct sc_session *s, struct sc_ctl_msg *msg,
		      struct sc_err *err)
{
	struct sc_job *job;
	int rc;

	if (!s->may_start || s->job)
		return sc_err_set(err, SC_ER_CLONE_PROTOCOL,
				  "this connection cannot begin a job");
	job = msg->type == SC_CTL_DONOR_START
		      ? sc_donor_new(s, msg, s->registry->config, err)
		      : sc_recipient_new(s, msg, err);
	if (!job)
		return -1;
	job->wake = s->wake;
	if (registry_add(s->registry, job, err) < 0) {
		job->ops->free(job);
		return -1;
	}
	rc = pthread_create(&job->thread, NULL, job_main, job);
	if (rc) {
		registry_remove(s->registry, job);
		job->ops->free(job);
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, rc,
				  "cannot start the job's thread");
	}
	s->job = job;
	return 0;
}

int session_send_progress(struct sc_session *s, struct sc_err *err)
{
	struct sc_ctl_progress changed[SC_STAGE_COUNT];
	unsigned n = 0;

	s->job->ops->tick(s->job);
	pthread_mutex_lock(&s->job->lock);
	for (unsigned i = 0; i < SC_STAGE_COUNT; i++) {
		if (s->job->dirty[i])
			changed[n++] = s->job->stages[i];
		s->job->dirty[i] = false;
	}
	pthread_mutex_unlock(&s->job->lock);
	for (unsigned i = 0; i < n; i++) {
		struct sc_enc enc = { 0 };

		sc_ctl_put_progress(&enc, &changed[i]);
		/* Out of memory: told at the next change. */
		if (enc.failed)
			continue;
		if (sc_session_send(s, SC_CTL_PROGRESS, &enc, err) < 0)
			return -1;
	}
	return 0;
}

int session_await_event(struct sc_session *s, bool hear)
{
	struct pollfd p[2] = { { .fd = s->wake, .events = POLLIN },
			       { .fd = s->sock, .events = POLLIN } };
	eventfd_t count;

	if (poll(p, hear ? 2 : 1, TICK_MS) <= 0)
		return 0;
	/* Before the job is looked at: what comes later wakes again. */
	if (p[0].revents)
		(void)eventfd_read(s->wake, &count);
	return p[1].revents != 0;
}

/* The job has failed; told once. */
static void tell_failure(struct sc_session *s, bool undone)
{
	struct sc_job *job = s->job;
	struct sc_err err;

	if (job->told)
		return;
	job->told = true;
	pthread_mutex_lock(&job->lock);
	err = job->err;
	pthread_mutex_unlock(&job->lock);
	if (!undone)
		sc_err_context(
			&err,
			"the image is still being given back (`snapclone status`)");
	sc_info("job failed: %s", err.msg);
	session_send_error(s, &err);
}

void session_watch_undo(struct sc_session *s)
{
	if (!s->job->finished && sc_job_undoes_long(s->job))
		tell_failure(s, false);
}

int session_end_job(struct sc_session *s, struct sc_err *err)
{
	struct sc_err ignored = SC_ERR_INIT;
	struct sc_job *job = s->job;
	int rc = 0;

	while (!job->finished) {
		job->ops->cancel(job);
		session_watch_undo(s);
		session_await_event(s, false);
	}
	pthread_join(job->thread, NULL);
	(void)session_send_progress(s, &ignored);
	registry_remove(s->registry, job);
	/* By what it did, not by what came when it had done it (CANCEL). */
	if (job->failed)
		tell_failure(s, true);
	else
		rc = sc_session_send(s, SC_CTL_DONE, &job->done, err);
	s->job = NULL;
	job->ops->free(job);
	return rc;
}
