/* SPDX-License-Identifier: GPL-2.0-only */
/* Inside of a recipient job, shared by recipient*.c. */
#ifndef SC_DAEMON_RECIPIENT_H
#define SC_DAEMON_RECIPIENT_H

#include "daemon/job.h"
#include "daemon/keys.h"
#include "io/autotune.h"
#include "io/redo/format.h"
#include "io/squeeze.h"
#include "io/stage.h"

struct recipient;

/* One connection to the donor. */
struct link {
	struct recipient *r;
	unsigned stream;
	pthread_t thread; /* data streams */
	bool running;
	/* Under the job's lock: */
	int fd; /* while the handshake goes on */
	struct sc_conn *conn;
};

/* What receives chunks on a stream, and writes them into the stage. */
struct receiver {
	struct link *link;
	struct sc_slots slots;
	struct sc_squeeze *squeeze;
};

struct recipient {
	struct sc_job job;
	struct sc_ctl_recipient_start start;
	int target, parent;	      /* parent -1 in place */
	int others[SC_MAX_ROOTS - 1]; /* in place, of roots; owned */
	struct sc_roots roots;	      /* directories of tablespaces */
	struct sc_staged *stage;
	bool committed;
	struct sc_filelist list;
	bool listed;
	atomic_uint_fast64_t planned; /* bytes of all files, gone ones too */
	/* Stream 0's: changes that came since the last pass, the one that goes
	 * on, and what receives its chunks, made for the first. */
	struct sc_file_changes changes;
	bool passing, have_receiver;
	struct receiver receiver;
	void *redo_buf; /* SC_FRAME_MAX_DATA bytes, stream 0's */
	struct sc_seal seal;
	struct sc_keys keys;
	bool prepare, commit; /* asked for by the plugin; under lock */
	pthread_cond_t changed;
	atomic_uint_fast64_t network; /* bytes received */

	pthread_mutex_t lock;
	struct link *links; /* by stream, 0..streams */
	/* Streams are opened one after the other until the last is joined. */
	struct sc_autotune tune;
	atomic_uint n_streams; /* also read without the lock */
	bool all_open;
	/* A data connection broke: the donor may say why on stream 0. */
	struct sc_err lost;
	atomic_uint_fast64_t lost_since_ms;
};

/* Connect stream `stream` and say HELLO. */
int recipient_connect(struct recipient *r, unsigned stream, struct sc_err *err);
/* recipient_control.c: everything on stream 0 up to and including SEAL. */
int recipient_receive_control(struct recipient *r, struct sc_err *err);
/* recipient_steps.c: join the data streams; -1 when one was lost or the job
 * shall stop. */
int recipient_await_streams(struct recipient *r, struct sc_err *err);
/* The whole job, step by step. */
int recipient_run_steps(struct recipient *r, struct sc_err *err);

/* recipient_chunks.c, each in the stream's thread: what a stream needs is
 * allocated; close it also after a failure. 0 or -1. */
int receiver_open(struct receiver *rx, struct link *link, struct sc_err *err);
void receiver_close(struct receiver *rx);
/* The stream, or a pass on it, begins; it ends with receiver_end(). */
int receiver_begin(struct receiver *rx, struct sc_err *err);
/* Before the wait for a frame: a slot is idle, all writes are on their way. */
int receiver_ready(struct receiver *rx, struct sc_err *err);
/* Take a CHUNK whose header and body came; receiver_ready() was called. */
int receiver_take(struct receiver *rx, const struct sc_frame *frame,
		  struct sc_err *err);
/* Wait for all writes. rc: what there was so far; returned, or -1. */
int receiver_end(struct receiver *rx, int rc, struct sc_err *err);

/* Wake whatever uses the link; the job's lock is held. */
void recipient_wake_link(struct link *link, bool read_only);
/* Start the first data streams, later more if that helps, and join them all.
 * Only one thread at a time starts or joins. */
int recipient_start_streams(struct recipient *r, struct sc_err *err);
void recipient_tune(struct recipient *r);
void recipient_join_streams(struct recipient *r);

#endif
