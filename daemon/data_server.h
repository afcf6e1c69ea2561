/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The donor's side of the data connections of one job: listens, admits peers
 * that hold the key, and runs the stream function of the job for each data
 * stream in a thread of its own.
 */
#ifndef SC_DATA_SERVER_H
#define SC_DATA_SERVER_H

#include "daemon/job.h"
#include "io/conn.h"

struct sc_data_server;

struct sc_data_server_params {
	struct sc_job *job;
	const char *address; /* numeric */
	uint16_t port;	     /* 0 = any free one */
	bool tls;
	uint64_t bytes;	    /* what the job will send, about; 0 = unknown. Up
			       to SC_TLS_KERNEL_MAX the kernel may encrypt */
	unsigned streams;   /* data streams at most, 1..SC_MAX_STREAMS */
	const uint8_t *key; /* SC_JOB_KEY_SIZE bytes, borrowed */
	int handshake_ms;   /* how long a peer may take to be admitted, in
			       all; 0 = SC_HANDSHAKE_MS */
	/* Runs stream 1..streams in its thread; 0 or -1 with err. */
	int (*run_stream)(struct sc_job *job, unsigned stream,
			  struct sc_err *err);
};

/* Listen and admit; *ret_port is where. 0 or -1. */
int sc_data_server_start(const struct sc_data_server_params *params,
			 struct sc_data_server **ret, uint16_t *ret_port,
			 struct sc_err *err);

/* Connections by stream number, 0..streams; those not made yet are NULL. */
struct sc_conn **sc_data_server_conns(struct sc_data_server *server);

/* Wait until stream 0 is connected. 0, or -1 (nobody came in time, or the job
 * is stopping). */
int sc_data_server_await_control(struct sc_data_server *server, int timeout_ms,
				 struct sc_err *err);

/* Wait until a data stream ran to its end and with it all that are connected:
 * the recipient opens as many as it likes. 0 or -1. */
int sc_data_server_await_streams(struct sc_data_server *server,
				 struct sc_err *err);

/* Wake everything but, unless hard, a write on stream 0: the last words of the
 * job go there. Any thread, more than once. */
void sc_data_server_cancel(struct sc_data_server *server, bool hard);

/* Close, join, free. NULL is legal. */
void sc_data_server_free(struct sc_data_server *server);

#endif
