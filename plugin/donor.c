/* SPDX-License-Identifier: GPL-2.0-only */
/* The donor job from its begin to its end, as the statement sees it; see
 * donor.h and donor_job.h. Its steps are in donor_steps.c. */
#include "plugin/donor_job.h"

#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "plugin/services.h"
#include "plugin/status.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

const struct sc_err sc_donor_cancelled = {
	.code = SC_ER_QUERY_INTERRUPTED,
	.msg = "Query execution was interrupted",
};

/* ---- the job's thread ---------------------------------------------------- */

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
		d->state.err = d->cancelled ? sc_donor_cancelled : *err;
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
		rc = sc_donor_run(d, sql, &err);
		set_session(d, 0);
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

/* As stock. Once that clone is committed the new files have their names, but
 * the server still is the old one. */
int sc_donor_check_own(struct sc_err *err)
{
	if (!sc_status_replacing())
		return 0;
	return sc_err_set(
		err, SC_ER_CLONE_TOO_MANY,
		"a clone replaces this server's own data, so it cannot be a donor");
}

struct sc_donor *sc_donor_start(const struct sc_donor_request *request,
				struct sc_err *err)
{
	struct sc_donor *d;
	int rc;

	if (sc_donor_check_own(err) < 0)
		return NULL;
	d = calloc(1, sizeof(*d));
	rc = d ? make_secrets(&d->state) : ENOMEM;
	if (rc == 0)
		rc = init_sync(d);
	if (rc == 0) {
		d->request = *request;
		d->limits =
			(struct sc_ctl_limits){ request->data_bandwidth,
						request->network_bandwidth };
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

void sc_donor_limit(struct sc_donor *d, uint32_t data_bandwidth,
		    uint32_t network_bandwidth)
{
	const struct sc_ctl_limits now = { data_bandwidth, network_bandwidth };
	struct sc_err ignored = SC_ERR_INIT;
	struct sc_enc enc = { 0 };
	SC_LOCK_SCOPE(&d->lock);

	if (!d->link_open || !d->heard.ready || d->heard.done ||
	    d->heard.lost ||
	    (now.data_bandwidth == d->limits.data_bandwidth &&
	     now.network_bandwidth == d->limits.network_bandwidth))
		return;
	sc_ctl_put_limits(&enc, &now);
	/* Under the lock, as in sc_donor_cancel(). A daemon that is gone is
	 * noticed by its reader; what could not be sent is tried again. */
	if (sc_link_send(&d->link, SC_CTL_LIMITS, &enc, NULL, 0, &ignored) == 0)
		d->limits = now;
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
