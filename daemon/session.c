/* SPDX-License-Identifier: GPL-2.0-only */
/* Sessions on the control socket; see session.h. */
#include "daemon/session_impl.h"

#include "daemon/provider.h"
#include "daemon/roots.h"
#include "io/base/cleanup.h"
#include "io/base/log.h"
#include "io/inplace.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

/* A peer that connects and says nothing is cut off. */
#define HELLO_MS 5000

int sc_session_send(struct sc_session *session, uint16_t type,
		    struct sc_enc *enc, struct sc_err *err)
{
	struct sc_enc none = { 0 };

	SC_LOCK_SCOPE(&session->send_lock);
	return sc_ctl_send_enc(session->sock, type, enc ? enc : &none, NULL, 0,
			       err);
}

const struct sc_peer *sc_session_peer(const struct sc_session *session)
{
	return &session->peer;
}

/* Log sink of an embedded daemon. A plugin that is gone reads no log. */
static void log_to_peer(void *ctx, enum sc_log_level level, const char *line)
{
	struct sc_err ignored = SC_ERR_INIT;
	struct sc_enc enc = { 0 };

	sc_enc_u8(&enc, (uint8_t)level);
	sc_enc_str(&enc, line);
	(void)sc_session_send(ctx, SC_CTL_LOG, &enc, &ignored);
}

void session_send_error(struct sc_session *s, const struct sc_err *e)
{
	struct sc_err err = SC_ERR_INIT;
	struct sc_ctl_error m = { .code = (uint32_t)e->code };
	struct sc_enc enc = { 0 };

	snprintf(m.message, sizeof(m.message), "%s", e->msg);
	sc_ctl_put_error(&enc, &m);
	if (sc_session_send(s, SC_CTL_ERROR, &enc, &err) < 0)
		sc_debug("the peer is gone before it heard of: %s", e->msg);
}

/* ---- messages
 * ------------------------------------------------------------------ */

static int reply_status(struct sc_session *s, struct sc_err *err)
{
	struct sc_registry *r = s->registry;
	char left[SC_ERR_MSG_SIZE];
	struct sc_enc enc = { 0 };

	pthread_mutex_lock(&r->lock);
	sc_enc_u32(&enc, r->n_jobs);
	for (struct sc_job *job = r->jobs; job; job = job->next) {
		struct sc_ctl_job_status st;

		job->ops->tick(job);
		sc_job_status(job, &st);
		sc_ctl_put_job_status(&enc, &st);
	}
	pthread_mutex_unlock(&r->lock);
	sc_provider_left(r->config, left);
	sc_enc_str(&enc, left);
	return sc_session_send(s, SC_CTL_STATUS_REPLY, &enc, err);
}

/* What a job that died left in a data directory. */
static int clean(struct sc_session *s, struct sc_ctl_msg *msg,
		 struct sc_err *err)
{
	struct sc_dec dec = sc_ctl_body(msg);
	struct sc_ctl_places places;
	struct sc_roots roots;

	if (!s->may_start || s->job || sc_ctl_get_places(&dec, &places) < 0 ||
	    msg->nfds != places.roots.n)
		return sc_err_set(err, SC_ER_CLONE_PROTOCOL, "malformed CLEAN");
	if (sc_roots_from(&roots, &places.roots, places.data_file_path,
			  msg->fds[0], msg->fds + 1, &s->peer, err) < 0 ||
	    sc_inplace_clean(msg->fds[0], &roots, err) < 0)
		return -1;
	return sc_session_send(s, SC_CTL_CLEANED, NULL, err);
}

static int handle(struct sc_session *s, struct sc_ctl_msg *msg,
		  struct sc_err *err)
{
	switch (msg->type) {
	case SC_CTL_STATUS:
		return reply_status(s, err);
	case SC_CTL_DONOR_START:
	case SC_CTL_RECIPIENT_START:
		return session_start_job(s, msg, err);
	case SC_CTL_CLEAN:
		return clean(s, msg, err);
	case SC_CTL_CANCEL:
		if (s->job)
			sc_job_cancel(s->job);
		return 0;
	default:
		/* A job that just ended may have a message under way to it. */
		return s->job ? s->job->ops->message(s->job, msg, err) : 0;
	}
}

static int hello(struct sc_session *s, struct sc_err *err)
{
	CLEANUP_MSG struct sc_ctl_msg msg = { 0 };
	struct sc_ctl_hello theirs, mine = { SC_CTL_VERSION, SC_VERSION };
	struct sc_enc enc = { 0 };
	struct sc_dec dec;

	if (sc_ctl_recv(s->sock, &msg, HELLO_MS, err) != 1)
		return sc_err_set(err, SC_ER_CLONE_PROTOCOL, "no HELLO");
	dec = sc_ctl_body(&msg);
	if (msg.type != SC_CTL_HELLO || sc_ctl_get_hello(&dec, &theirs) < 0)
		return sc_err_set(err, SC_ER_CLONE_PROTOCOL, "expected HELLO");
	/* Answered whatever its version is: the peer words the complaint. */
	sc_ctl_put_hello(&enc, &mine);
	if (sc_session_send(s, SC_CTL_HELLO, &enc, err) < 0)
		return -1;
	if (theirs.version != SC_CTL_VERSION)
		return sc_err_set(err, SC_ER_CLONE_PROTOCOL,
				  "peer %s speaks control version %u, not %u",
				  theirs.software, theirs.version,
				  SC_CTL_VERSION);
	return 0;
}

/* One turn of the session; -1 ends it. */
static int turn(struct sc_session *s, struct sc_err *err)
{
	CLEANUP_MSG struct sc_ctl_msg msg = { 0 };
	int rc = 0;

	if (session_await_event(s, true))
		rc = sc_ctl_recv(s->sock, &msg, 0, err);
	if (rc > 0)
		rc = handle(s, &msg, err);
	if (rc >= 0 && s->job && s->job->stopping)
		s->job->ops->cancel(s->job);
	if (rc >= 0 && s->job)
		session_watch_undo(s);
	if (rc >= 0 && s->job)
		rc = s->job->finished ? session_end_job(s, err)
				      : session_send_progress(s, err);
	return rc;
}

static void fail_shutdown(struct sc_job *job)
{
	struct sc_err err = SC_ERR_INIT;

	sc_err_set(&err, SC_ER_INTERNAL_ERROR,
		   "snapcloned was told to end (SIGTERM)");
	sc_job_fail(job, &err);
}

/* Until the connection ends. */
static void serve(struct sc_session *s, struct sc_err *err)
{
	if (s->wake < 0) {
		sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
			   "snapcloned cannot serve another connection");
		return;
	}
	if (sc_peer_of(s->sock, &s->peer, err) < 0 || hello(s, err) < 0)
		return;
	if (s->registry->log_to_peer && s->may_start)
		sc_log_redirect(log_to_peer, s);
	while (!s->registry->shutdown && turn(s, err) >= 0)
		;
}

void sc_session_serve(int sock, struct sc_registry *registry, bool may_start)
{
	struct sc_session s = { .sock = sock,
				.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
				.registry = registry,
				.may_start = may_start };
	struct sc_err err = SC_ERR_INIT;

	pthread_mutex_init(&s.send_lock, NULL);
	serve(&s, &err);
	/* A peer that left, whatever it was told, is no news. */
	if (err.sys_errno != ECONNRESET && err.sys_errno != EPIPE &&
	    sc_err_is_set(&err)) {
		sc_warning("control connection: %s", err.msg);
		/* A job may have succeeded meanwhile: it tells the end. */
		if (s.job)
			sc_job_fail(s.job, &err);
		else
			session_send_error(&s, &err);
	}
	if (s.job) {
		struct sc_err ignored = SC_ERR_INIT;

		if (registry->shutdown)
			fail_shutdown(s.job);
		sc_job_cancel(s.job);
		session_end_job(&s, &ignored);
	}
	if (registry->log_to_peer && may_start)
		sc_log_redirect(NULL, NULL);
	pthread_mutex_destroy(&s.send_lock);
	if (s.wake >= 0)
		close(s.wake);
	close(sock);
}
