/* SPDX-License-Identifier: GPL-2.0-only */
/* Data connections on the donor; see data_server.h. */
#include "daemon/data_server.h"

#include "daemon/conn.h"
#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "io/base/log.h"
#include "io/frame.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* Longest body a stranger may send. */
#define HELLO_MAX 64
/* Connections that are not admitted yet; more are turned away. */
#define MAX_GUESTS 32

struct guest {
	struct sc_data_server *server;
	pthread_t thread;
	uint64_t since_ms;
	bool used;
	/* Under the server's lock: */
	int fd;		      /* -1 once a connection owns it */
	struct sc_conn *conn; /* until it is admitted or turned away */
	bool ended;
};

struct sc_data_server {
	struct sc_data_server_params p;
	int listener;
	int wake; /* eventfd: the accept loop ends */
	pthread_t acceptor;
	bool accepting;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct sc_conn *conns[SC_MAX_STREAMS + 1];
	bool taken[SC_MAX_STREAMS + 1];	      /* a stream is admitted once */
	unsigned streams_open, streams_ended; /* data streams */
	bool cancelled;
	struct guest guests[MAX_GUESTS + SC_MAX_STREAMS + 1];
};

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

static void *guest_main(void *arg)
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

/* A free place, reaping threads that ended. */
static struct guest *guest_place(struct sc_data_server *s)
{
	for (size_t i = 0; i < MAX_GUESTS + s->p.streams + 1; i++) {
		struct guest *g = &s->guests[i];
		bool ended;

		if (!g->used)
			return g;
		pthread_mutex_lock(&s->lock);
		ended = g->ended;
		pthread_mutex_unlock(&s->lock);
		if (ended) {
			pthread_join(g->thread, NULL);
			if (g->fd >= 0)
				close(g->fd);
			*g = (struct guest){ 0 };
			return g;
		}
	}
	return NULL;
}

static void receive_guest(struct sc_data_server *s, int fd)
{
	struct guest *g = guest_place(s);
	int rc;

	if (!g) {
		sc_warning("data connection refused: too many at once");
		close(fd);
		return;
	}
	*g = (struct guest){
		.server = s, .since_ms = sc_now_ms(), .fd = fd, .used = true
	};
	rc = pthread_create(&g->thread, NULL, guest_main, g);
	if (rc) {
		sc_warning("data connection refused: %s", strerrordesc_np(rc));
		close(fd);
		*g = (struct guest){ 0 };
	}
}

/* Wake a guest that is still in its handshake; no other. */
static void wake_guest(struct sc_data_server *s, struct guest *g)
{
	SC_LOCK_SCOPE(&s->lock);
	if (g->conn)
		g->conn->ops->shutdown(g->conn, false);
	else if (g->fd >= 0)
		shutdown(g->fd, SHUT_RDWR);
}

/* One read of a slow peer is bounded by its socket; all of them together here.
 */
static void drop_slow_guests(struct sc_data_server *s)
{
	for (size_t i = 0; i < MAX_GUESTS + s->p.streams + 1; i++) {
		struct guest *g = &s->guests[i];

		if (g->used &&
		    sc_now_ms() - g->since_ms > (uint64_t)s->p.handshake_ms)
			wake_guest(s, g);
	}
}

static void *accept_main(void *arg)
{
	struct sc_data_server *s = arg;
	struct pollfd p[2] = { { .fd = s->listener, .events = POLLIN },
			       { .fd = s->wake, .events = POLLIN } };

	for (;;) {
		int fd, n = poll(p, 2, s->p.handshake_ms / 4);

		if (n < 0 && errno != EINTR)
			break;
		drop_slow_guests(s);
		if (n <= 0)
			continue;
		if (p[1].revents)
			break;
		fd = sc_accept(s->listener);
		if (fd >= 0)
			receive_guest(s, fd);
		else if (errno == EMFILE || errno == ENFILE)
			sc_sleep_ms(100);
	}
	return NULL;
}

int sc_data_server_start(const struct sc_data_server_params *params,
			 struct sc_data_server **ret, uint16_t *ret_port,
			 struct sc_err *err)
{
	struct sc_data_server *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	s->p = *params;
	if (!s->p.handshake_ms)
		s->p.handshake_ms = SC_HANDSHAKE_MS;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->changed, NULL);
	s->wake = eventfd(0, EFD_CLOEXEC);
	rc = s->wake < 0 ? errno : 0;
	s->listener = sc_listen(params->address, params->port, ret_port, err);
	if (rc == 0 && s->listener >= 0)
		rc = pthread_create(&s->acceptor, NULL, accept_main, s);
	if (rc || s->listener < 0) {
		if (!sc_err_is_set(err))
			sc_err_sys(err, SC_ER_INTERNAL_ERROR, rc,
				   "cannot start the data server's thread");
		sc_data_server_free(s);
		return -1;
	}
	s->accepting = true;
	*ret = s;
	return 0;
}

struct sc_conn **sc_data_server_conns(struct sc_data_server *server)
{
	return server->conns;
}

int sc_data_server_await_control(struct sc_data_server *s, int timeout_ms,
				 struct sc_err *err)
{
	struct timespec until =
		sc_after_ms(CLOCK_REALTIME, (unsigned)timeout_ms);

	SC_LOCK_SCOPE(&s->lock);
	while (!s->conns[0] && !s->cancelled) {
		if (pthread_cond_timedwait(&s->changed, &s->lock, &until) ==
		    ETIMEDOUT)
			return sc_err_set(
				err, SC_ER_INTERNAL_ERROR,
				"the recipient did not connect to the data port within %d s; HINT: is the port open in the firewall",
				timeout_ms / 1000);
	}
	return s->cancelled ? sc_job_cancelled(err) : 0;
}

int sc_data_server_await_streams(struct sc_data_server *s, struct sc_err *err)
{
	SC_LOCK_SCOPE(&s->lock);
	/* A stream ends well only when no chunk is left to take. */
	while (!s->cancelled &&
	       (!s->streams_ended || s->streams_ended < s->streams_open))
		pthread_cond_wait(&s->changed, &s->lock);
	return s->cancelled ? sc_job_cancelled(err) : 0;
}

void sc_data_server_cancel(struct sc_data_server *s, bool hard)
{
	SC_LOCK_SCOPE(&s->lock);
	s->cancelled = true;
	for (unsigned i = 0; i <= s->p.streams; i++) {
		if (s->conns[i])
			s->conns[i]->ops->shutdown(s->conns[i],
						   i == 0 && !hard);
	}
	pthread_cond_broadcast(&s->changed);
}

static void join_guests(struct sc_data_server *s)
{
	for (size_t i = 0; i < sizeof(s->guests) / sizeof(s->guests[0]); i++) {
		struct guest *g = &s->guests[i];

		if (!g->used)
			continue;
		wake_guest(s, g);
		pthread_join(g->thread, NULL);
		if (g->fd >= 0)
			close(g->fd);
	}
}

void sc_data_server_free(struct sc_data_server *s)
{
	if (!s)
		return;
	if (s->accepting) {
		(void)eventfd_write(s->wake, 1);
		pthread_join(s->acceptor, NULL);
	}
	if (s->listener >= 0)
		close(s->listener);
	sc_data_server_cancel(s, true);
	join_guests(s);
	for (unsigned i = 0; i <= s->p.streams; i++) {
		if (s->conns[i])
			s->conns[i]->ops->free(s->conns[i]);
	}
	if (s->wake >= 0)
		close(s->wake);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
