/* SPDX-License-Identifier: GPL-2.0-only */
/* The recipient's connections, and the threads that receive chunks. */
#include "daemon/recipient.h"

#include "daemon/conn.h"
#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "io/base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Two streams, so that two CPUs decrypt and check. */
#define FIRST_STREAMS 2

static int say_hello(struct recipient *r, struct sc_conn *conn, unsigned stream,
		     struct sc_err *err)
{
	CLEANUP_FRAME struct sc_frame frame = { 0 };
	struct sc_hello hello = { .version = SC_FRAME_VERSION,
				  .stream = (uint16_t)stream };
	struct sc_enc enc = { 0 };

	memcpy(hello.job_id, r->start.job_id, sizeof(hello.job_id));
	if (!r->start.tls)
		memcpy(hello.token, r->start.key, sizeof(hello.token));
	sc_frame_put_hello(&enc, &hello);
	if (sc_frame_send_enc(conn, SC_FRAME_HELLO, &enc, err) < 0 ||
	    sc_frame_recv(conn, &frame, NULL, err) < 0)
		return -1;
	if (frame.type != SC_FRAME_HELLO_OK)
		return sc_frame_bad(err, "expected HELLO_OK");
	return 0;
}

static void set_link(struct link *link, int fd, struct sc_conn *conn)
{
	SC_LOCK_SCOPE(&link->r->lock);
	link->fd = fd;
	link->conn = conn;
	/* Cancelled while nobody could see the descriptor. */
	if (link->r->job.stopping)
		recipient_wake_link(link, false);
}

int recipient_connect(struct recipient *r, unsigned stream, struct sc_err *err)
{
	/* It sends next to nothing. */
	const struct sc_tls_options options = { .no_kernel = true };
	struct link *link = &r->links[stream];
	struct sc_conn *conn;
	int fd = sc_connect(r->start.address, r->start.port, SC_HANDSHAKE_MS,
			    &r->job.stopping, err);

	if (fd < 0)
		return -1;
	sc_socket_timeout(fd, SC_HANDSHAKE_MS);
	set_link(link, fd, NULL);
	conn = r->start.tls ? sc_conn_tls_client(fd, r->start.job_id,
						 r->start.key, &options, err)
			    : sc_conn_plain_new(fd);
	set_link(link, -1, conn);
	if (!conn) {
		close(fd);
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	}
	if (say_hello(r, conn, stream, err) < 0)
		return sc_err_context(err, "the donor's data port, %s port %u",
				      r->start.address, r->start.port);
	sc_socket_timeout(fd, 0);
	return 0;
}

void recipient_wake_link(struct link *link, bool read_only)
{
	if (link->conn)
		link->conn->ops->shutdown(link->conn, read_only);
	else if (link->fd >= 0)
		shutdown(link->fd, SHUT_RDWR);
}

/* All chunks of a data stream. */
static int receive_all(struct receiver *rx, struct sc_frame *frame,
		       struct sc_err *err)
{
	struct sc_conn *conn = rx->link->conn;

	for (;;) {
		if (receiver_ready(rx, err) < 0 ||
		    sc_frame_recv_head(conn, frame, true, err) < 0)
			return -1;
		if (frame->type == SC_FRAME_CHUNKS_END)
			return 0;
		if (frame->type != SC_FRAME_CHUNK)
			return sc_frame_bad(err, "unexpected frame");
		if (receiver_take(rx, frame, err) < 0)
			return -1;
	}
}

static int receive_chunks(struct link *link, struct sc_err *err)
{
	CLEANUP_FRAME struct sc_frame frame = { 0 };
	struct receiver rx;
	int rc = receiver_open(&rx, link, err);

	if (rc == 0)
		rc = receiver_begin(&rx, err);
	if (rc == 0)
		rc = receiver_end(&rx, receive_all(&rx, &frame, err), err);
	receiver_close(&rx);
	return rc;
}

/* A broken connection is a symptom: the donor may be about to say on stream 0
 * what happened. Anything else is ours and ends the job. */
static void stream_failed(struct recipient *r, const struct sc_err *err)
{
	if (err->sys_errno != ECONNRESET && err->sys_errno != EPIPE) {
		sc_job_fail(&r->job, err);
		return;
	}
	SC_LOCK_SCOPE(&r->lock);
	if (!r->lost_since_ms) {
		r->lost = *err;
		sc_err_context(&r->lost, "lost the donor");
		r->lost_since_ms = sc_now_ms();
	}
}

static void *stream_main(void *arg)
{
	struct link *link = arg;
	struct sc_err err = SC_ERR_INIT;

	if (recipient_connect(link->r, link->stream, &err) < 0 ||
	    receive_chunks(link, &err) < 0)
		stream_failed(link->r, &err);
	return NULL;
}

/* Up to `want` streams; the lock is held. */
static int open_streams(struct recipient *r, unsigned want, struct sc_err *err)
{
	while (r->n_streams < want) {
		struct link *link = &r->links[r->n_streams + 1];
		int rc = pthread_create(&link->thread, NULL, stream_main, link);

		if (rc)
			return sc_err_sys(err, SC_ER_INTERNAL_ERROR, rc,
					  "cannot start a stream's thread");
		link->running = true;
		r->n_streams++;
	}
	return 0;
}

int recipient_start_streams(struct recipient *r, struct sc_err *err)
{
	SC_LOCK_SCOPE(&r->lock);
	sc_autotune_init(&r->tune, FIRST_STREAMS, r->start.streams,
			 r->start.autotune, sc_now_ms());
	return open_streams(r, r->tune.now, err);
}

void recipient_tune(struct recipient *r)
{
	struct sc_err err = SC_ERR_INIT;
	unsigned want;

	SC_LOCK_SCOPE(&r->lock);
	/* Before the first and after the last there is nothing to tune. */
	if (!r->n_streams || r->all_open || r->job.stopping ||
	    sc_stage_bytes(r->stage) >= r->planned)
		return;
	want = sc_autotune_step(&r->tune, sc_stage_bytes(r->stage),
				sc_now_ms());
	if (open_streams(r, want, &err) < 0) {
		sc_warning("no more streams: %s", err.msg);
		r->all_open = true;
	}
}

void recipient_join_streams(struct recipient *r)
{
	pthread_mutex_lock(&r->lock);
	r->all_open = true;
	pthread_mutex_unlock(&r->lock);
	for (unsigned i = 1; i <= r->start.streams; i++) {
		if (r->links[i].running)
			pthread_join(r->links[i].thread, NULL);
		r->links[i].running = false;
	}
}
