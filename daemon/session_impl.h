/* SPDX-License-Identifier: GPL-2.0-only */
/* Inside of a session, shared by session*.c. All in the session's thread. */
#ifndef SC_DAEMON_SESSION_IMPL_H
#define SC_DAEMON_SESSION_IMPL_H

#include "daemon/session.h"

#include <pthread.h>
#include <stdbool.h>

struct sc_session {
	int sock;
	int wake; /* eventfd: the job has something to tell */
	struct sc_registry *registry;
	bool may_start;
	struct sc_peer peer;
	struct sc_job *job;
	pthread_mutex_t send_lock;
};

/* session.c: tell the peer; one that is gone hears nothing. */
void session_send_error(struct sc_session *s, const struct sc_err *e);

/* session_job.c: begin the job of a START message. 0 or -1. */
int session_start_job(struct sc_session *s, struct sc_ctl_msg *msg,
		      struct sc_err *err);
/* Tell the plugin what changed. 0 or -1. */
int session_send_progress(struct sc_session *s, struct sc_err *err);
/* 1 the peer has sent something or is gone, 0 it is time to look at the job. */
int session_await_event(struct sc_session *s, bool hear);
/* A clone that failed has given back its image when it ends; but nobody waits
 * for ever. */
void session_watch_undo(struct sc_session *s);
/* Join the job, say how it ended, forget it. 0 or -1. */
int session_end_job(struct sc_session *s, struct sc_err *err);

#endif
