/* SPDX-License-Identifier: GPL-2.0-only */
/* Data connections on the donor: who listens and waits; see data_server.h. */
#include "daemon/data_server_impl.h"

#include "daemon/conn.h"
#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "io/base/log.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

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
