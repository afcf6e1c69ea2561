/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A job: one side of one clone. It runs in a thread of its own; its session
 * (the control connection that began it) passes messages on, tells progress to
 * the plugin and cancels it when the connection ends.
 */
#ifndef SC_DAEMON_JOB_H
#define SC_DAEMON_JOB_H

#include "io/base/ctl.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct sc_config;
struct sc_job;
struct sc_session;

struct sc_job_ops {
	/* The whole job, in its thread; it undoes what it did when it fails.
	 * 0, or -1 after sc_job_fail(). */
	int (*run)(struct sc_job *job);
	/* A message from the plugin, in the session's thread. 0 or -1 (out of
	 * order, malformed). */
	int (*message)(struct sc_job *job, const struct sc_ctl_msg *msg,
		       struct sc_err *err);
	/* Wake every thread of the job so that run() returns soon. Any thread;
	 * called again until it did. */
	void (*cancel)(struct sc_job *job);
	/* Bring the stages' numbers up to date; the session's thread. */
	void (*tick)(struct sc_job *job);
	void (*free)(struct sc_job *job);
};

struct sc_job {
	const struct sc_job_ops *ops;
	struct sc_session *session;
	int wake; /* the session's eventfd, -1 = it has none */
	uint8_t id[SC_JOB_ID_SIZE];
	uint8_t role; /* as struct sc_ctl_job_status */
	char peer[256];
	uint64_t started_us;
	pthread_t thread;
	atomic_bool stopping; /* failed or cancelled */
	atomic_uint_fast64_t stopping_since_ms;
	atomic_uint_fast64_t undoing_since_ms; /* 0: it does not */
	bool told;	      /* the session's: the plugin knows how it ended */
	atomic_bool finished; /* run() returned */
	bool failed;	      /* it returned -1; after that */

	pthread_mutex_t lock; /* what follows */
	struct sc_err err;    /* the first failure */
	struct sc_ctl_progress stages[SC_STAGE_COUNT];
	bool dirty[SC_STAGE_COUNT]; /* changed since it was told */
	uint8_t stage;		    /* the one in progress */
	uint64_t redo_bytes;
	struct sc_job_image {
		const char *provider; /* static text */
		uint64_t swap_us, undo_us;
		uint64_t used, bytes; /* of its copy-on-write area */
	} image;
	uint64_t checkpoint_lsn; /* C */
	/* The body of DONE: made before anything counts, so that what counts is
	 * told whatever memory is left. */
	struct sc_enc done;
	struct sc_job *next; /* in the registry */
};

/* Common fields; called by the creators of jobs. */
void sc_job_init(struct sc_job *job, const struct sc_job_ops *ops,
		 struct sc_session *session, const uint8_t id[], uint8_t role,
		 const char *peer);
void sc_job_destroy(struct sc_job *job);

/* What a job that was cancelled ends with. Returns -1. */
int sc_job_cancelled(struct sc_err *err);

/* Keep the error unless there is one, and cancel the job. Any thread.
 * Returns -1. */
int sc_job_fail(struct sc_job *job, const struct sc_err *err);
/* The same for a cancellation. */
void sc_job_cancel(struct sc_job *job);

/* Encode DONE; to be called before the step after which the clone counts. 0 or
 * -1. */
int sc_job_keep_done(struct sc_job *job, const struct sc_ctl_seal *seal,
		     struct sc_err *err);

/* Something changed that the session must not wait a tick to see. Any thread
 * of the job; never blocks. */
void sc_job_wake(struct sc_job *job);

/* The job has been stopping for so long that its last words to the other side
 * can wait no more: cancel() now ends every connection. */
bool sc_job_overdue(const struct sc_job *job);

/* The job has failed, and begins or ends to give its image back. */
void sc_job_undoing(struct sc_job *job, bool begins);
/* That takes so long that the plugin is to hear of the failure before its end.
 */
bool sc_job_undoes_long(const struct sc_job *job);

/* Begin a stage: the one before it is Completed. */
void sc_job_stage(struct sc_job *job, enum sc_stage stage);
/* Numbers of a stage. */
void sc_job_count(struct sc_job *job, enum sc_stage stage, uint32_t threads,
		  uint64_t estimate, uint64_t data, uint64_t network);
/* The stage in progress ended with the job. */
void sc_job_end_stage(struct sc_job *job, enum sc_state state);
void sc_job_redo(struct sc_job *job, uint64_t bytes);
/* The donor's image: what it cost; how full its area is. Any thread. */
void sc_job_image(struct sc_job *job, const char *provider, uint64_t swap_us,
		  uint64_t undo_us);
void sc_job_area(struct sc_job *job, uint64_t used, uint64_t bytes);

/* For `snapclone status`. */
void sc_job_status(struct sc_job *job, struct sc_ctl_job_status *ret);

/*
 * Makers of the two kinds of jobs, from a START message, whose descriptors
 * they take. config: borrowed while the job lives. NULL with err when the
 * message is malformed.
 */
struct sc_job *sc_donor_new(struct sc_session *session, struct sc_ctl_msg *msg,
			    const struct sc_config *config, struct sc_err *err);
struct sc_job *sc_recipient_new(struct sc_session *session,
				struct sc_ctl_msg *msg, struct sc_err *err);

#endif
