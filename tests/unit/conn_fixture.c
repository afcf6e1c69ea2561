/* SPDX-License-Identifier: GPL-2.0-only */
#include "tests/unit/conn_fixture.h"

#include "io/base/num.h"
#include "tests/unit/dir_fixture.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

const uint8_t fx_job_id[SC_JOB_ID_SIZE] = { 1, 2, 0xfe };
static const uint8_t fx_key[SC_JOB_KEY_SIZE] = { 9, 8, 7, [31] = 1 };

struct fx_end fx_server, fx_client;
static unsigned fds_before;

void fx_tcp_pair(int *ret_server, int *ret_client)
{
	atomic_bool never = false;
	struct sc_err err = SC_ERR_INIT;
	uint16_t port;
	int listener = sc_listen("127.0.0.1", 0, &port, &err);

	assert_true(listener >= 0);
	*ret_client = sc_connect("127.0.0.1", port, FX_LIMIT_MS, &never, &err);
	assert_true(*ret_client >= 0);
	*ret_server = sc_accept(listener);
	assert_true(*ret_server >= 0);
	close(listener);
	sc_socket_timeout(*ret_server, FX_LIMIT_MS);
	sc_socket_timeout(*ret_client, FX_LIMIT_MS);
}

int fx_conn_setup(void **state)
{
	(void)state;
	fds_before = fx_count_fds();
	fx_server = (struct fx_end){ .server = true };
	fx_client = (struct fx_end){ .server = false };
	for (int i = 0; i < 2; i++) {
		struct fx_end *e = i ? &fx_client : &fx_server;

		memcpy(e->id, fx_job_id, sizeof(fx_job_id));
		memcpy(e->key, fx_key, sizeof(fx_key));
	}
	fx_tcp_pair(&fx_server.fd, &fx_client.fd);
	return 0;
}

void fx_hang_up(struct fx_end *e)
{
	if (e->conn)
		e->conn->ops->free(e->conn);
	else if (e->fd >= 0)
		close(e->fd);
	e->conn = NULL;
	e->fd = -1;
}

int fx_conn_teardown(void **state)
{
	(void)state;
	fx_hang_up(&fx_server);
	fx_hang_up(&fx_client);
	return fx_count_fds() == fds_before ? 0 : -1;
}

/* It hangs up when it failed, as the daemon does. */
static void *end_main(void *arg)
{
	struct fx_end *e = arg;

	e->conn = e->server ? sc_conn_tls_server(e->fd, e->id, e->key,
						 &e->options, &e->err)
			    : sc_conn_tls_client(e->fd, e->id, e->key,
						 &e->options, &e->err);
	if (!e->conn)
		fx_hang_up(e);
	return NULL;
}

void fx_start(struct fx_end *e)
{
	assert_int_equal(pthread_create(&e->thread, NULL, end_main, e), 0);
}

void fx_join(struct fx_end *e)
{
	pthread_join(e->thread, NULL);
}

void fx_shake_hands(void)
{
	fx_start(&fx_server);
	fx_start(&fx_client);
	fx_join(&fx_server);
	fx_join(&fx_client);
}

void fx_connected(void)
{
	fx_shake_hands();
	if (!fx_server.conn || !fx_client.conn)
		fail_msg("server '%s', client '%s'", fx_server.err.msg,
			 fx_client.err.msg);
}

/* ---- a man in the middle ---------------------------------------------------
 */

/* All of it, even when the other side has gone. */
static bool pass(int fd, const uint8_t *buf, size_t len)
{
	struct iovec part = { (void *)buf, len };

	return sc_socket_send(fd, &part, 1) == 0;
}

/* From side i to the other one; false: the end. */
static bool relay_step(struct fx_relay *r, int i)
{
	static _Thread_local uint8_t buf[65536];
	ssize_t n = recv(r->fd[i], buf, sizeof(buf), 0);
	uint64_t at = r->n;
	size_t len;

	if (n <= 0)
		return false;
	len = (size_t)n;
	if (i == 1)
		return pass(r->fd[0], buf, len);
	if (r->flip_at >= at && r->flip_at - at < len)
		buf[r->flip_at - at] ^= r->flip;
	if (r->cut_at < at + len) {
		pass(r->fd[1], buf, r->cut_at > at ? r->cut_at - at : 0);
		return false;
	}
	r->n += len;
	return pass(r->fd[1], buf, len);
}

static void *relay_main(void *arg)
{
	struct fx_relay *r = arg;
	struct pollfd p[2] = { { .fd = r->fd[0], .events = POLLIN },
			       { .fd = r->fd[1], .events = POLLIN } };
	bool on = true;

	while (on && poll(p, 2, FX_LIMIT_MS) > 0) {
		for (int i = 0; i < 2 && on; i++)
			on = !p[i].revents || relay_step(r, i);
	}
	close(r->fd[0]);
	close(r->fd[1]);
	return NULL;
}

void fx_relay_start(struct fx_relay *r)
{
	close(fx_client.fd);
	close(fx_server.fd);
	fx_tcp_pair(&fx_server.fd, &r->fd[0]);
	fx_tcp_pair(&r->fd[1], &fx_client.fd);
	r->n = 0;
	r->flip_at = r->cut_at = UINT64_MAX;
	assert_int_equal(pthread_create(&r->thread, NULL, relay_main, r), 0);
}

void fx_relay_join(struct fx_relay *r)
{
	pthread_join(r->thread, NULL);
}
