/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the data channel costs: chunk frames of 1 MiB over loopback, a thread
 * that sends and one that receives, CPU seconds of each and wall time, for
 * every way in turn so that a change of the machine's load meets all of them.
 *
 * "record" is how it was done first and the base of the ratios: one SSL_write
 * per part on the socket, so one system call per record of 16 KiB, and SSL_read
 * from it. "collected" is libssl with few system calls, the base for records of
 * our own. "parts" is the first way without TLS.
 *
 * Usage: build/perf/bench_tls [rounds [MiB per round]] (make perf; 5, 2048)
 */
#include "daemon/conn.h"
#include "io/base/clock.h"
#include "io/base/num.h"
#include "io/frame.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_ROUNDS = 100 };

static const uint8_t job_id[SC_JOB_ID_SIZE] = { 1 };
static const uint8_t key[SC_JOB_KEY_SIZE] = { 2 };

static void die(const char *what, const struct sc_err *err)
{
	fprintf(stderr, "bench_tls: %s: %s\n", what,
		err ? err->msg : strerror(errno));
	exit(1);
}

/* ---- the old ways ----------------------------------------------------------
 */

struct old {
	struct sc_conn base;
	int fd;
	SSL_CTX *ctx;
	SSL *ssl; /* NULL: without TLS */
};

static int old_read(struct sc_conn *conn, void *buf, size_t len,
		    struct sc_err *err)
{
	struct old *c = (struct old *)conn;

	for (size_t done = 0; done < len;) {
		char *to = (char *)buf + done;
		ssize_t n = c->ssl ? SSL_read(c->ssl, to, (int)(len - done))
				   : recv(c->fd, to, len - done, 0);

		if (n <= 0)
			return sc_err_set(err, SC_ER_INTERNAL_ERROR, "read");
		done += (size_t)n;
	}
	return 0;
}

static int old_writev(struct sc_conn *conn, struct iovec *parts, int n,
		      struct sc_err *err)
{
	struct old *c = (struct old *)conn;

	for (int i = 0; i < n; i++) {
		size_t len = parts[i].iov_len, sent = 0;

		if (c->ssl && len)
			sent = (size_t)SSL_write(c->ssl, parts[i].iov_base,
						 (int)len);
		while (!c->ssl && sent < len) {
			char *from = (char *)parts[i].iov_base + sent;
			ssize_t k = send(c->fd, from, len - sent, 0);

			if (k <= 0)
				break;
			sent += (size_t)k;
		}
		if (sent != len)
			return sc_err_set(err, SC_ER_INTERNAL_ERROR, "write");
	}
	return 0;
}

static void old_free(struct sc_conn *conn)
{
	struct old *c = (struct old *)conn;

	SSL_free(c->ssl);
	SSL_CTX_free(c->ctx);
	close(c->fd);
	free(c);
}

static const struct sc_conn_ops old_ops = { .read = old_read,
					    .writev = old_writev,
					    .free = old_free };

static unsigned psk_server(SSL *ssl, const char *identity, unsigned char *psk,
			   unsigned max)
{
	(void)ssl;
	(void)identity;
	memcpy(psk, key, SC_MIN(max, sizeof(key)));
	return sizeof(key);
}

static unsigned psk_client(SSL *ssl, const char *hint, char *identity,
			   unsigned max_identity, unsigned char *psk,
			   unsigned max)
{
	(void)hint;
	snprintf(identity, max_identity, "bench");
	return psk_server(ssl, NULL, psk, max);
}

static struct sc_conn *open_old(int fd, bool server, bool tls)
{
	struct old *c = calloc(1, sizeof(*c));

	if (!c)
		die("memory", NULL);
	c->base.ops = &old_ops;
	c->fd = fd;
	if (!tls)
		return &c->base;
	c->ctx =
		SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	SSL_CTX_set_min_proto_version(c->ctx, TLS1_3_VERSION);
	SSL_CTX_set_ciphersuites(c->ctx, "TLS_AES_128_GCM_SHA256");
	SSL_CTX_set_psk_server_callback(c->ctx, psk_server);
	SSL_CTX_set_psk_client_callback(c->ctx, psk_client);
	c->ssl = SSL_new(c->ctx);
	SSL_set_fd(c->ssl, fd);
	if ((server ? SSL_accept(c->ssl) : SSL_connect(c->ssl)) != 1)
		die("old handshake", NULL);
	return &c->base;
}

/* ---- ways ------------------------------------------------------------------
 */

enum way { RECORD, COLLECT, OURS, KERNEL, PARTS, PLAIN, WAYS };

static const struct {
	const char *name;
	enum way base; /* what its ratio is to */
} ways[WAYS] = {
	[RECORD] = { "TLS, call per record", RECORD },
	[COLLECT] = { "TLS, collected", RECORD },
	[OURS] = { "TLS, own records", COLLECT },
	[KERNEL] = { "TLS, kernel sends", RECORD },
	[PARTS] = { "plain, call per part", PARTS },
	[PLAIN] = { "plain, one call", PARTS },
};

static struct sc_conn *open_way(enum way way, int fd, bool server,
				struct sc_err *err)
{
	struct sc_tls_options options = { .no_kernel = way != KERNEL,
					  .no_records = way == COLLECT };

	if (way == RECORD || way == PARTS)
		return open_old(fd, server, way == RECORD);
	if (way == PLAIN)
		return sc_conn_plain_new(fd);
	return server ? sc_conn_tls_server(fd, job_id, key, &options, err)
		      : sc_conn_tls_client(fd, job_id, key, &options, err);
}

struct cost {
	double user, sys;
};

struct side {
	pthread_t thread;
	enum way way;
	bool sends;
	int fd;
	unsigned frames;
	bool in_kernel;
	struct cost cost;
};

static struct cost cpu_now(void)
{
	struct rusage u;

	getrusage(RUSAGE_THREAD, &u);
	return (struct cost){
		(double)u.ru_utime.tv_sec + (double)u.ru_utime.tv_usec / 1e6,
		(double)u.ru_stime.tv_sec + (double)u.ru_stime.tv_usec / 1e6
	};
}

static void move(struct side *s, struct sc_conn *conn, uint8_t *data)
{
	CLEANUP_FRAME struct sc_frame frame = { 0 };
	uint8_t body[SC_CHUNK_BODY_SIZE] = { 0 };
	struct sc_err err = SC_ERR_INIT;

	for (unsigned i = 0; i < s->frames; i++) {
		/* Another place each time, as from a pool of buffers. */
		uint8_t *at = data + i % 8 * SC_CHUNK_SIZE;

		if ((s->sends ? sc_frame_send(conn, SC_FRAME_CHUNK, 0, body,
					      sizeof(body), at, SC_CHUNK_SIZE,
					      &err)
			      : sc_frame_recv(conn, &frame, at, &err)) < 0)
			die("transfer", &err);
	}
}

static void *side_main(void *arg)
{
	struct side *s = arg;
	uint8_t *data = malloc(8 * SC_CHUNK_SIZE);
	struct sc_err err = SC_ERR_INIT;
	struct sc_conn *conn;
	struct cost before, after;

	if (!data)
		die("memory", NULL);
	memset(data, 0xa5, 8 * SC_CHUNK_SIZE);
	conn = open_way(s->way, s->fd, s->sends, &err);
	if (!conn)
		die("connection", &err);
	s->in_kernel = s->way == KERNEL && sc_conn_tls_in_kernel(conn);
	before = cpu_now();
	if (s->way != KERNEL || s->in_kernel || !s->sends)
		move(s, conn, data);
	after = cpu_now();
	s->cost = (struct cost){ after.user - before.user,
				 after.sys - before.sys };
	conn->ops->free(conn);
	free(data);
	return NULL;
}

/* ---- rounds ----------------------------------------------------------------
 */

struct result {
	double wall;
	struct cost sender, receiver;
};

static double total(const struct result *r)
{
	return r->sender.user + r->sender.sys + r->receiver.user +
	       r->receiver.sys;
}

/* Does the kernel take keys at all? Else the way is left out. */
static bool kernel_has_tls(void)
{
	int fd = -1, sv[2], rc;
	struct sc_err err = SC_ERR_INIT;
	atomic_bool never = false;
	uint16_t port;

	fd = sc_listen("127.0.0.1", 0, &port, &err);
	sv[0] = sc_connect("127.0.0.1", port, 1000, &never, &err);
	sv[1] = accept(fd, NULL, NULL);
	rc = setsockopt(sv[0], SOL_TCP, TCP_ULP, "tls", 4);
	close(fd);
	close(sv[0]);
	close(sv[1]);
	return rc == 0;
}

static struct result run(enum way way, unsigned frames)
{
	struct side s[2] = { { .way = way, .sends = true, .frames = frames },
			     { .way = way, .frames = frames } };
	struct sc_err err = SC_ERR_INIT;
	atomic_bool never = false;
	uint64_t began;
	uint16_t port;
	int listener = sc_listen("127.0.0.1", 0, &port, &err);

	if (listener < 0)
		die("listen", &err);
	s[1].fd = sc_connect("127.0.0.1", port, 1000, &never, &err);
	s[0].fd = accept(listener, NULL, NULL);
	if (s[0].fd < 0 || s[1].fd < 0)
		die("connect", &err);
	close(listener);
	began = sc_now_ms();
	for (int i = 0; i < 2; i++)
		pthread_create(&s[i].thread, NULL, side_main, &s[i]);
	for (int i = 0; i < 2; i++)
		pthread_join(s[i].thread, NULL);
	return (struct result){ (double)(sc_now_ms() - began) / 1000, s[0].cost,
				s[1].cost };
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v, int n)
{
	qsort(v, (size_t)n, sizeof(*v), compare);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* Pair by pair, so that both of a ratio saw the same machine. */
static void summary(struct result r[][WAYS], int rounds, const bool *used)
{
	printf("\nmedians of %d pairs, way to base\n", rounds);
	for (int w = 0; w < WAYS; w++) {
		double cpu[MAX_ROUNDS], wall[MAX_ROUNDS], snd[MAX_ROUNDS],
			rcv[MAX_ROUNDS];

		if (!used[w] || ways[w].base == (enum way)w)
			continue;
		for (int i = 0; i < rounds; i++) {
			struct result *x = &r[i][w], *y = &r[i][ways[w].base];

			cpu[i] = total(x) / total(y);
			wall[i] = x->wall / y->wall;
			snd[i] = (x->sender.user + x->sender.sys) /
				 (y->sender.user + y->sender.sys);
			rcv[i] = (x->receiver.user + x->receiver.sys) /
				 (y->receiver.user + y->receiver.sys);
		}
		printf("%-22s wall %.2f, CPU %.2f (sender %.2f, receiver %.2f)\n",
		       ways[w].name, median(wall, rounds), median(cpu, rounds),
		       median(snd, rounds), median(rcv, rounds));
	}
}

int main(int argc, char **argv)
{
	static struct result r[MAX_ROUNDS][WAYS];
	int rounds = argc > 1 ? atoi(argv[1]) : 5;
	int mib = argc > 2 ? atoi(argv[2]) : 2048;
	bool used[WAYS] = { true, true, true, kernel_has_tls(), true, true };

	if (rounds < 1 || rounds > MAX_ROUNDS || mib < 1)
		die("usage: bench_tls [rounds [MiB per round]]", NULL);
	signal(SIGPIPE, SIG_IGN);
	if (!used[KERNEL])
		printf("this kernel has no TLS: that way is left out\n");
	printf("%-22s %7s | %-15s | %-15s\n", "way", "wall s",
	       "sender user+sys", "receiver u+s");
	for (int i = 0; i < rounds; i++) {
		for (int w = 0; w < WAYS; w++) {
			struct result *x = &r[i][w];

			if (!used[w])
				continue;
			*x = run((enum way)w, (unsigned)mib);
			printf("%-22s %7.2f | %5.2f + %5.2f   | %5.2f + %5.2f\n",
			       ways[w].name, x->wall, x->sender.user,
			       x->sender.sys, x->receiver.user,
			       x->receiver.sys);
			fflush(stdout);
		}
	}
	summary(r, rounds, used);
	return 0;
}
