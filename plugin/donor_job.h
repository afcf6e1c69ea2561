/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Inside of a donor job, shared by the donor_*.c files. Threads:
 *
 *   job       has the SQL session, now and then the backup lock; runs the steps
 *   reader    receives from the daemon, sets the flags below
 *   consumer  has the SQL session of the redo consumer, which must never wait
 *             for anything else
 *   killer    exists while a cancel interrupts SQL of the job thread
 *
 * All fields below `lock` are under it, `changed` is broadcast on each change.
 */
#ifndef SC_PLUGIN_DONOR_JOB_H
#define SC_PLUGIN_DONOR_JOB_H

#include "plugin/daemon_link.h"
#include "plugin/donor.h"
#include "plugin/killer.h"
#include "plugin/roots.h"
#include "plugin/sql.h"

#include <pthread.h>
#include <stdatomic.h>

/* Facts about this server that the daemon needs, from SQL. */
struct sc_donor_server {
	uint32_t page_size;
	bool buffered; /* data files in the page cache */
	char uuid[SC_UUID_LEN + 1];
	char data_file_path[1024];
	char redo_dir[1024];	    /* the directory #innodb_redo itself */
	char doublewrite_dir[1024]; /* as struct sc_ctl_donor_start */
	char spool_dir[1024];
	/* As the variables say. */
	char undo_dir[1024], data_home[1024];
	char directories[SC_DIRECTORIES_MAX];
};

/* What the daemon has said so far. */
struct sc_donor_heard {
	bool followed; /* reads the redo */
	bool imaged;   /* DDL may go on */
	bool ready, copied, sealed, redo_done, done;
	bool settled; /* answered LOCKED, by */
	struct sc_ctl_settled settlement;
	bool lost; /* failed or gone: err says why */
	struct sc_ctl_done result;
};

struct sc_consumer {
	pthread_t thread;
	bool running; /* thread to join; owned by the job thread */
	bool started; /* under lock: register was tried */
	atomic_bool stop;
	_Atomic uint64_t followed_lsn;
	_Atomic uint64_t followed_ms; /* sc_now_ms() of the last; 0: none yet */
};

struct sc_donor {
	struct sc_donor_request request;
	struct sc_donor_server server;
	struct sc_link link; /* opened and closed by the job thread */
	struct sc_consumer consumer;
	pthread_t job_thread, reader_thread;
	struct sc_ctl_seal seal; /* job thread until DONE */
	bool start_sent;	 /* DONOR_START: the daemon may have a job */
	/* The job thread's: the backup lock, and what was found under it. */
	bool lock_held;
	uint64_t locked_ms, quiet_lsn;
	bool quiet_image;      /* it was held until the image was made */
	uint64_t flushed_us;   /* wall clock: when gtid_flushed was read */
	char *gtid_flushed;    /* F, should the clone end at S; owned */
	uint64_t redo_mark_us; /* wall clock: redo logging was on */
	unsigned long long alter_instance; /* statements so far, then */
	uint32_t n_discarded, discarded[SC_MAX_DISCARDED];
	struct sc_ctl_roots roots; /* what the daemon looks at */

	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct sc_donor_state state;
	struct sc_donor_heard heard;
	struct sc_key_list keys; /* master keys the daemon asked for */
	bool reader_running;
	bool cancelled;
	bool link_open; /* others than the job thread may send on it */
	struct sc_ctl_limits limits; /* that the daemon knows */
	unsigned session_id;	     /* of the job thread; 0 = not in SQL */
	bool job_ended;
	struct sc_killer killer;
};

/* The error of a job that was cancelled: 1317. */
extern const struct sc_err sc_donor_cancelled;

/* donor_steps.c: the whole job, in its thread; everything is undone when it
 * returns. 0 or -1. */
int sc_donor_run(struct sc_donor *d, struct sc_sql *sql, struct sc_err *err);

/* donor.c: 0, or -1 (3634) when this server is being replaced by a clone. */
int sc_donor_check_own(struct sc_err *err);

/* 0, or -1 (1317) when the job was cancelled. */
int sc_donor_check_cancel(struct sc_donor *d, struct sc_err *err);

/* Wait for a flag of d->heard, at most timeout_ms (-1: no limit). 1, 0 when
 * time is over, or -1 when the daemon failed or the job was cancelled. */
int sc_donor_await_or(struct sc_donor *d, const bool *flag, int timeout_ms,
		      struct sc_err *err);
/* The same; that time is over is an error that says what was awaited. 0 or -1.
 */
int sc_donor_await(struct sc_donor *d, const bool *flag, int timeout_ms,
		   const char *what, struct sc_err *err);

/* donor_reader.c: the daemon's messages. */
int sc_donor_reader_start(struct sc_donor *d, struct sc_err *err);
void sc_donor_reader_stop(struct sc_donor *d);

/* donor_prepare.c: prechecks, and what DONOR_START carries. */
int sc_donor_precheck(struct sc_donor *d, struct sc_sql *sql,
		      struct sc_err *err);
/* Redo logging, which is on now, ... */
int sc_donor_redo_mark(struct sc_donor *d, struct sc_sql *sql,
		       struct sc_err *err);
/* ... was on all the time since. The backup lock is held. 0 or -1. */
int sc_donor_redo_stayed_on(struct sc_donor *d, struct sc_sql *sql,
			    struct sc_err *err);
/*
 * No tablespace came meanwhile where the daemon does not look. Only directories
 * of innodb_directories may have them: InnoDB lets nobody name others, and in
 * the rest the daemon sees them. The backup lock is held. 0 or -1.
 */
int sc_donor_no_new_places(struct sc_donor *d, struct sc_sql *sql,
			   struct sc_err *err);
int sc_donor_send_start(struct sc_donor *d, struct sc_sql *sql,
			struct sc_err *err);

/*
 * donor_lock.c. Before the daemon begins: wait for DDL that runs, at most
 * clone_ddl_timeout, and note the LSN of the moment when there was none
 * (quiet_lsn); the lock is held then, until sc_donor_unlock(). 0 or -1.
 */
int sc_donor_quiet(struct sc_donor *d, struct sc_sql *sql, struct sc_err *err);
/* When the daemon has copied: under the lock, until its files are those that
 * are here now. The lock is held when it returns 0. */
int sc_donor_settle(struct sc_donor *d, struct sc_sql *sql, struct sc_err *err);
void sc_donor_unlock(struct sc_donor *d, struct sc_sql *sql);
/* The daemon follows the redo: let go of the lock when it has made the image,
 * or that takes too long. 0 or -1. */
int sc_donor_await_image(struct sc_donor *d, struct sc_sql *sql,
			 struct sc_err *err);

/* donor_consumer.c: keep the redo files until they are read. Returns when
 * registration was tried; not being registered is logged, not an error. */
int sc_consumer_start(struct sc_donor *d, struct sc_err *err);
void sc_consumer_stop(struct sc_donor *d);

/* donor_keys.c: answer KEYS_WANTED; reader thread, without d->lock, as it takes
 * as long as the keyring does. 0 or -1. */
int sc_donor_give_keys(struct sc_donor *d, struct sc_dec *dec,
		       struct sc_err *err);
/* The error of encrypted data without TLS. -1. */
int sc_donor_needs_tls(struct sc_err *err);

/* donor_seal.c: FLUSH LOCAL BINARY LOGS before the image, and F. 0 or -1. */
int sc_donor_flush_gtids(struct sc_donor *d, struct sc_sql *sql,
			 struct sc_err *err);
/* Fix E, or take S when redo was lost, and send it. The backup lock is held. */
int sc_donor_make_seal(struct sc_donor *d, struct sc_sql *sql,
		       struct sc_err *err);

#endif
