/* SPDX-License-Identifier: GPL-2.0-only */
/* Inside of a recipient job, shared by recipient*.c. */
#ifndef SC_DAEMON_RECIPIENT_H
#define SC_DAEMON_RECIPIENT_H

#include "daemon/job.h"
#include "daemon/keys.h"
#include "io/autotune.h"
#include "io/redo/format.h"
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

struct recipient {
	struct sc_job job;
	struct sc_ctl_recipient_start start;
	int target, parent; /* parent -1 in place */
	struct sc_staged *stage;
	bool committed;
	struct sc_filelist list;
	bool listed;
	void *redo_buf; /* SC_FRAME_MAX_DATA bytes, stream 0's */
	struct sc_seal seal;
	struct sc_keys keys;
	bool prepare, commit; /* asked for by the plugin; under lock */
	pthread_cond_t changed;
	atomic_uint_fast64_t network; /* bytes received */

	pthread_mutex_t lock;
	struct link *links; /* by stream, 0..streams */
	/* A data connection broke: the donor may say why on stream 0. */
	/* Streams are opened one after the other until the last is joined. */
	struct sc_autotune tune;
	unsigned n_streams;
	bool all_open;
	struct sc_err lost;
	atomic_uint_fast64_t lost_since_ms;
};

/* Connect stream `stream` and say HELLO. */
int recipient_connect(struct recipient *r, unsigned stream, struct sc_err *err);
/* recipient_control.c: everything on stream 0 up to and including SEAL. */
int recipient_receive_control(struct recipient *r, struct sc_err *err);
/* Wake whatever uses the link; the job's lock is held. */
void recipient_wake_link(struct link *link, bool read_only);
/* Start the first data streams, later more if that helps, and join them all.
 * Only one thread at a time starts or joins. */
int recipient_start_streams(struct recipient *r, struct sc_err *err);
void recipient_tune(struct recipient *r);
void recipient_join_streams(struct recipient *r);

#endif
