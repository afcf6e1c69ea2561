/* SPDX-License-Identifier: GPL-2.0-only */
/* One data connection on the donor: its handshake, and who is turned away. */
#include "daemon/data_server_impl.h"

#include "daemon/conn.h"
#include "io/base/cleanup.h"
#include "io/base/log.h"
#include "io/frame.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Longest body a stranger may send. */
#define HELLO_MAX 64

static bool same_bytes(const uint8_t *a, const uint8_t *b, size_t len)
{
	uint8_t diff = 0;

	/* No early exit: the time must not tell how much was right. */
	for (size_t i = 0; i < len; i++)
		diff |= a[i] ^ b[i];
	return diff == 0;
}

static int check_hello(struct sc_data_server *s, const struct sc_hello *hello,
		       struct sc_err *err)
{
	static const uint8_t zero[SC_JOB_KEY_SIZE];

	if (hello->version != SC_FRAME_VERSION)
		return sc_frame_bad(err, "the peer has another version");
	if (!same_bytes(hello->job_id, s->p.job->id, SC_JOB_ID_SIZE) ||
	    !same_bytes(hello->token, s->p.tls ? zero : s->p.key,
			SC_JOB_KEY_SIZE))
		return sc_frame_bad(err, "wrong job or key");
	if (hello->stream > s->p.streams)
		return sc_frame_bad(err, "no such stream");
	SC_LOCK_SCOPE(&s->lock);
	/* Stream 0 may have heard HELLO_OK but not be registered yet. */
	while (hello->stream && s->taken[0] && !s->conns[0] && !s->cancelled)
		pthread_cond_wait(&s->changed, &s->lock);
	if (s->cancelled)
		return sc_frame_bad(err, "the job is ending");
	if (s->taken[hello->stream])
		return sc_frame_bad(err, "stream connected twice");
	if (hello->stream && !s->conns[0])
		return sc_frame_bad(err, "data stream before stream 0");
	s->taken[hello->stream] = true;
	return 0;
}

/* The peer left before it heard that it was admitted. */
static void give_back(struct sc_data_server *s, unsigned stream)
{
	SC_LOCK_SCOPE(&s->lock);
	s->taken[stream] = false;
	pthread_cond_broadcast(&s->changed);
}

/* Keys cannot be changed in the kernel: not for a job that may need it. */
static bool kernel_may_encrypt(const struct sc_data_server *s)
{
	return s->p.bytes && s->p.bytes <= SC_TLS_KERNEL_MAX;
}

/* Once per job; what holds for stream 0 holds for all. */
static void log_tls(const struct sc_data_server *s, const struct sc_conn *conn)
{
	const char *who = "OpenSSL encrypts (no TLS in this kernel)";

	if (sc_conn_tls_in_kernel(conn))
		who = "the kernel encrypts (kTLS)";
	else if (!kernel_may_encrypt(s))
		who = "OpenSSL encrypts (too much data for one key in the kernel)";
	sc_info("data connections: TLS 1.3, %s", who);
}

/* The guest's connection, with TLS where the job has it. */
static struct sc_conn *guest_conn(struct sc_data_server *s, struct guest *g,
				  struct sc_err *err)
{
	struct sc_tls_options options = { .no_kernel = !kernel_may_encrypt(s) };
	struct sc_conn *conn =
		s->p.tls ? sc_conn_tls_server(g->fd, s->p.job->id, s->p.key,
					      &options, err)
			 : sc_conn_plain_new(g->fd);

	if (!conn) {
		sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
		return NULL;
	}
	SC_LOCK_SCOPE(&s->lock);
	g->fd = -1;
	g->conn = conn;
	return conn;
}

/* TLS, HELLO and its answer; the stream's number, or -1. */
static int admit(struct sc_data_server *s, struct guest *g, struct sc_err *err)
{
	CLEANUP_FRAME struct sc_frame frame = { .limit = HELLO_MAX };
	struct sc_hello hello;
	struct sc_conn *conn;
	struct sc_dec dec;
	int fd = g->fd;

	sc_socket_timeout(fd, s->p.handshake_ms);
	conn = guest_conn(s, g, err);
	if (!conn)
		return -1;
	if (sc_frame_recv(conn, &frame, NULL, err) < 0)
		return -1;
	dec = sc_frame_body(&frame);
	if (frame.type != SC_FRAME_HELLO ||
	    sc_frame_get_hello(&dec, &hello) < 0)
		return sc_frame_bad(err, "expected HELLO");
	if (check_hello(s, &hello, err) < 0)
		return -1;
	if (sc_frame_send(conn, SC_FRAME_HELLO_OK, 0, NULL, 0, NULL, 0, err) <
	    0) {
		give_back(s, hello.stream);
		return -1;
	}
	if (s->p.tls && hello.stream == 0)
		log_tls(s, conn);
	sc_socket_timeout(fd, 0);
	return hello.stream;
}

/* Somebody knocked who is not our recipient: not our failure. */
static void turn_away(struct sc_data_server *s, struct guest *g,
		      const struct sc_err *err)
{
	struct sc_conn *conn;
	int fd;

	sc_warning("data connection refused: %s", err->msg);
	pthread_mutex_lock(&s->lock);
	conn = g->conn;
	fd = g->fd; /* without a connection when the handshake failed */
	g->conn = NULL;
	g->fd = -1;
	pthread_mutex_unlock(&s->lock);
	if (conn)
		conn->ops->free(conn);
	else if (fd >= 0)
		close(fd);
}

static void register_stream(struct sc_data_server *s, struct guest *g,
			    int stream)
{
	SC_LOCK_SCOPE(&s->lock);
	s->conns[stream] = g->conn;
	g->conn = NULL;
	if (s->cancelled)
		s->conns[stream]->ops->shutdown(s->conns[stream], false);
	s->streams_open += stream > 0;
	pthread_cond_broadcast(&s->changed);
}

void *guest_main(void *arg)
{
	struct guest *g = arg;
	struct sc_data_server *s = g->server;
	struct sc_err err = SC_ERR_INIT;
	int stream = admit(s, g, &err);

	if (stream < 0)
		turn_away(s, g, &err);
	else
		register_stream(s, g, stream);
	if (stream > 0 && s->p.run_stream(s->p.job, (unsigned)stream, &err) < 0)
		sc_job_fail(s->p.job, &err);
	pthread_mutex_lock(&s->lock);
	s->streams_ended += stream > 0;
	g->ended = true;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	return NULL;
}
