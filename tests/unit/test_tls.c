/* SPDX-License-Identifier: GPL-2.0-only */
/* Connections over loopback: TLS with the job's key against friends and
 * strangers of every kind, sockets, waits that end. */
#include "daemon/conn.h"
#include "io/base/clock.h"
#include "io/base/num.h"
#include "io/frame.h"
#include "tests/unit/conn_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { BIG = 3 << 20 };

static atomic_bool never;

/* ---- two ends --------------------------------------------------------------
 */

static int setup(void **state)
{
	return fx_conn_setup(state);
}

static int teardown(void **state)
{
	return fx_conn_teardown(state);
}

static void again(void)
{
	assert_int_equal(teardown(NULL), 0);
	assert_int_equal(setup(NULL), 0);
}

static void expect_refused(const struct fx_end *e)
{
	assert_null(e->conn);
	assert_true(sc_err_is_set(&e->err));
	assert_int_equal(e->err.code, SC_ER_CLONE_PROTOCOL);
	assert_non_null(strstr(e->err.msg, "data connection: "));
}

/* ---- friends ---------------------------------------------------------------
 */

struct transfer {
	pthread_t thread;
	struct sc_conn *conn;
	bool sends;
	uint8_t *buf;
	struct sc_err err;
};

static void *transfer_main(void *arg)
{
	struct transfer *t = arg;
	static const size_t pieces[] = { 1, 2, 100, 16384, 16385, 1 << 20 };
	size_t done = 0;

	for (size_t i = 0; done < BIG; i++) {
		size_t len = SC_MIN(pieces[i % 6], BIG - done);

		if ((t->sends ? sc_conn_write(t->conn, t->buf + done, len,
					      &t->err)
			      : sc_conn_read(t->conn, t->buf + done, len,
					     &t->err)) < 0)
			break;
		done += len;
	}
	return NULL;
}

static void one_way(struct sc_conn *from, struct sc_conn *to)
{
	struct transfer t[2] = { { .conn = from, .sends = true },
				 { .conn = to } };

	for (int i = 0; i < 2; i++)
		t[i].buf = calloc(1, BIG);
	for (uint32_t i = 0; i < BIG; i++)
		t[0].buf[i] = (uint8_t)(i * 2654435761u >> 24);
	for (int i = 0; i < 2; i++)
		pthread_create(&t[i].thread, NULL, transfer_main, &t[i]);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i].thread, NULL);
	if (sc_err_is_set(&t[0].err) || sc_err_is_set(&t[1].err))
		fail_msg("'%s' '%s'", t[0].err.msg, t[1].err.msg);
	assert_memory_equal(t[0].buf, t[1].buf, BIG);
	assert_true(from->bytes_out == BIG);
	free(t[0].buf);
	free(t[1].buf);
}

static void data_both_ways(void **state)
{
	(void)state;
	fx_connected();
	one_way(fx_client.conn, fx_server.conn);
	one_way(fx_server.conn, fx_client.conn);
}

static void plain_both_ways(void **state)
{
	(void)state;
	fx_server.conn = sc_conn_plain_new(fx_server.fd);
	fx_client.conn = sc_conn_plain_new(fx_client.fd);
	one_way(fx_client.conn, fx_server.conn);
	one_way(fx_server.conn, fx_client.conn);
}

/* New keys after so many bytes; the peer follows without noticing. */
static void new_keys_on_the_way(void **state)
{
	struct sc_err err = SC_ERR_INIT;
	char got[6];

	(void)state;
	fx_connected();
	for (uint64_t i = 1; i < 4; i++) {
		fx_server.conn->bytes_out = i * 64 * SC_GIB;
		assert_int_equal(
			sc_conn_write(fx_server.conn, "hello", 6, &err), 0);
		assert_int_equal(sc_conn_read(fx_client.conn, got, 6, &err), 0);
		assert_string_equal(got, "hello");
		assert_int_equal(
			sc_conn_write(fx_client.conn, "other", 6, &err), 0);
		assert_int_equal(sc_conn_read(fx_server.conn, got, 6, &err), 0);
		assert_string_equal(got, "other");
	}
}

static void hex_of_the_job(void **state)
{
	char hex[2 * SC_JOB_ID_SIZE + 1];

	(void)state;
	sc_job_id_hex(fx_job_id, hex);
	assert_string_equal(hex, "0102fe00000000000000000000000000");
}

/* ---- strangers -------------------------------------------------------------
 */

static void wrong_key(void **state)
{
	(void)state;
	for (unsigned bit = 0; bit < SC_JOB_KEY_SIZE * 8; bit += 37) {
		fx_client.key[bit / 8] ^= (uint8_t)(1 << bit % 8);
		fx_shake_hands();
		expect_refused(&fx_server);
		expect_refused(&fx_client);
		again();
	}
}

static void wrong_job(void **state)
{
	(void)state;
	fx_client.id[SC_JOB_ID_SIZE - 1] ^= 1;
	fx_shake_hands();
	expect_refused(&fx_server);
	expect_refused(&fx_client);
}

static void wrong_key_is_explained(void **state)
{
	(void)state;
	fx_client.key[0] ^= 1;
	fx_shake_hands();
	assert_non_null(strstr(fx_server.err.msg, "does the peer hold the"));
	assert_non_null(strstr(fx_client.err.msg, "does the peer hold the"));
}

/* What a peer without TLS sends first. */
static const struct {
	const char *bytes;
	size_t len;
} plain_talk[] = {
	{ "SCDF\1\0\0\0\64\0\0\0\0\0\0\0abcdefgh", 24 },
	{ "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27 },
	{ "\x16\x03\x01\x00\x05hello", 10 }, /* a TLS record with junk in it */
	{ "\x15\x03\x03\x00\x02\x02\x28", 7 }, /* a fatal alert */
	{ "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16 },
};

static void plain_peer_of_a_tls_end(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2 * SC_ARRAY_SIZE(plain_talk); i++) {
		struct fx_end *tls = i % 2 ? &fx_server : &fx_client;
		struct fx_end *other = i % 2 ? &fx_client : &fx_server;

		assert_true(write(other->fd, plain_talk[i / 2].bytes,
				  plain_talk[i / 2].len) > 0);
		fx_start(tls);
		shutdown(other->fd, SHUT_WR);
		fx_join(tls);
		expect_refused(tls);
		again();
	}
}

static void tls_peer_of_a_plain_server(void **state)
{
	CLEANUP_FRAME struct sc_frame frame = { 0 };
	struct sc_err err = SC_ERR_INIT;

	(void)state;
	fx_start(&fx_client);
	fx_server.conn = sc_conn_plain_new(fx_server.fd);
	assert_int_equal(sc_frame_recv(fx_server.conn, &frame, NULL, &err), -1);
	assert_non_null(strstr(err.msg, "not a snapclone frame"));
	fx_hang_up(&fx_server);
	fx_join(&fx_client);
	expect_refused(&fx_client);
}

static X509 *self_signed(EVP_PKEY *pkey)
{
	X509 *cert = X509_new();
	X509_NAME *name = X509_get_subject_name(cert);

	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
				   (const unsigned char *)"127.0.0.1", -1, -1,
				   0);
	X509_set_issuer_name(cert, name);
	X509_set_pubkey(cert, pkey);
	X509_sign(cert, pkey, EVP_sha256());
	return cert;
}

struct rogue {
	pthread_t thread;
	int fd;
	int version;  /* highest TLS version offered */
	bool accepts; /* a server with a certificate, else a client */
	int shook;    /* result of the handshake */
};

static void *rogue_main(void *arg)
{
	struct rogue *r = arg;
	SSL_CTX *ctx = SSL_CTX_new(r->accepts ? TLS_server_method()
					      : TLS_client_method());
	EVP_PKEY *pkey = EVP_EC_gen("P-256");
	X509 *cert = self_signed(pkey);
	SSL *ssl;

	SSL_CTX_set_max_proto_version(ctx, r->version);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
	if (r->accepts) {
		SSL_CTX_use_certificate(ctx, cert);
		SSL_CTX_use_PrivateKey(ctx, pkey);
	}
	ssl = SSL_new(ctx);
	SSL_set_fd(ssl, r->fd);
	r->shook = r->accepts ? SSL_accept(ssl) : SSL_connect(ssl);
	/* A client takes the server's Finished for the end; what the server
	 * thinks of it comes with the next read. */
	if (r->shook == 1) {
		char byte;

		r->shook = SSL_read(ssl, &byte, 1);
	}
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	X509_free(cert);
	EVP_PKEY_free(pkey);
	return NULL;
}

static void meet_rogue(struct fx_end *ours, struct fx_end *other, int version)
{
	struct rogue r = { .fd = other->fd,
			   .version = version,
			   .accepts = !ours->server };

	assert_int_equal(pthread_create(&r.thread, NULL, rogue_main, &r), 0);
	fx_start(ours);
	fx_join(ours);
	pthread_join(r.thread, NULL);
	expect_refused(ours);
	assert_true(r.shook != 1);
	again();
}

static void server_with_a_certificate(void **state)
{
	(void)state;
	meet_rogue(&fx_client, &fx_server, TLS1_3_VERSION);
	meet_rogue(&fx_client, &fx_server, TLS1_2_VERSION);
}

static void client_without_the_key(void **state)
{
	(void)state;
	meet_rogue(&fx_server, &fx_client, TLS1_3_VERSION);
	meet_rogue(&fx_server, &fx_client, TLS1_2_VERSION);
}

/* ---- ends and waits --------------------------------------------------------
 */

static void *read_one(void *arg)
{
	struct fx_end *e = arg;
	char byte;

	sc_conn_read(e->conn, &byte, 1, &e->err);
	return NULL;
}

static void wake_reader(bool read_only)
{
	struct sc_err err = SC_ERR_INIT;
	uint64_t began = sc_now_ms();

	pthread_create(&fx_client.thread, NULL, read_one, &fx_client);
	sc_sleep_ms(20);
	fx_client.conn->ops->shutdown(fx_client.conn, read_only);
	fx_join(&fx_client);
	assert_true(sc_now_ms() - began < FX_SOON_MS);
	assert_int_equal(fx_client.err.sys_errno, ECONNRESET);
	/* After read_only the last words still go out. */
	assert_int_equal(sc_conn_write(fx_client.conn, "x", 1, &err),
			 read_only ? 0 : -1);
}

static void shutdown_wakes_a_reader(void **state)
{
	(void)state;
	for (int read_only = 0; read_only < 2; read_only++) {
		fx_connected();
		wake_reader(read_only);
		again();
		fx_server.conn = sc_conn_plain_new(fx_server.fd);
		fx_client.conn = sc_conn_plain_new(fx_client.fd);
		wake_reader(read_only);
		again();
	}
}

static void *write_much(void *arg)
{
	static const uint8_t zeroes[1 << 20];
	struct fx_end *e = arg;

	while (sc_conn_write(e->conn, zeroes, sizeof(zeroes), &e->err) == 0)
		;
	return NULL;
}

static void shutdown_wakes_a_writer(void **state)
{
	(void)state;
	for (int tls = 0; tls < 2; tls++) {
		uint64_t began = sc_now_ms();

		if (tls)
			fx_connected();
		else
			fx_client.conn = sc_conn_plain_new(fx_client.fd);
		pthread_create(&fx_client.thread, NULL, write_much, &fx_client);
		sc_sleep_ms(50);
		fx_client.conn->ops->shutdown(fx_client.conn, false);
		fx_join(&fx_client);
		assert_true(sc_err_is_set(&fx_client.err));
		assert_true(sc_now_ms() - began < FX_SOON_MS);
		again();
	}
}

static void shutdown_wakes_a_handshake(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct fx_end *e = i ? &fx_server : &fx_client;
		uint64_t began = sc_now_ms();
		int fd = e->fd;

		fx_start(e);
		sc_sleep_ms(20);
		shutdown(fd, SHUT_RDWR);
		fx_join(e);
		expect_refused(e);
		assert_true(sc_now_ms() - began < FX_SOON_MS);
		again();
	}
}

/* A peer that hangs up: ECONNRESET tells callers that it is gone. */
static void peer_hangs_up(void **state)
{
	(void)state;
	fx_connected();
	fx_hang_up(&fx_server);
	read_one(&fx_client);
	assert_int_equal(fx_client.err.sys_errno, ECONNRESET);
	again();
	fx_client.conn = sc_conn_plain_new(fx_client.fd);
	fx_hang_up(&fx_server);
	read_one(&fx_client);
	assert_int_equal(fx_client.err.sys_errno, ECONNRESET);
}

static void writing_to_nobody(void **state)
{
	(void)state;
	fx_connected();
	fx_hang_up(&fx_server);
	write_much(&fx_client);
	assert_true(fx_client.err.sys_errno == EPIPE ||
		    fx_client.err.sys_errno == ECONNRESET);
}

static void junk_between_records(void **state)
{
	static const uint8_t junk[] = { 0x17, 3, 3, 0, 20, 1,  2, 3, 4,
					5,    6, 7, 8, 9,  1,  2, 3, 4,
					5,    6, 7, 8, 9,  10, 11 };

	(void)state;
	/* The kernel would encrypt the junk. */
	fx_server.options.no_kernel = true;
	fx_connected();
	assert_int_equal(write(fx_server.fd, junk, sizeof(junk)), sizeof(junk));
	read_one(&fx_client);
	assert_int_equal(fx_client.err.code, SC_ER_CLONE_PROTOCOL);
	assert_non_null(strstr(fx_client.err.msg, "data connection: read"));
}

static void silent_peer_is_left(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct fx_end *e = i ? &fx_server : &fx_client;
		uint64_t began = sc_now_ms();

		sc_socket_timeout(e->fd, 100);
		fx_start(e);
		fx_join(e);
		expect_refused(e);
		assert_true(sc_now_ms() - began >= 90);
		assert_true(sc_now_ms() - began < FX_SOON_MS);
		again();
	}
}

static void timeout_of_a_plain_read(void **state)
{
	(void)state;
	sc_socket_timeout(fx_client.fd, 50);
	fx_client.conn = sc_conn_plain_new(fx_client.fd);
	read_one(&fx_client);
	assert_int_equal(fx_client.err.sys_errno, EAGAIN);
}

static void failure_leaves_the_descriptor(void **state)
{
	int fd = fx_client.fd;

	(void)state;
	assert_true(write(fx_server.fd, "nonsense nonsense", 17) > 0);
	assert_null(sc_conn_tls_client(fd, fx_job_id, fx_client.key, NULL,
				       &fx_client.err));
	assert_int_equal(send(fd, "x", 1, MSG_NOSIGNAL), 1);
}

/* ---- sockets ---------------------------------------------------------------
 */

static void listen_addresses(void **state)
{
	static const struct {
		const char *address;
		const char *text; /* NULL: works */
	} cases[] = {
		{ "127.0.0.1", NULL },
		{ "0.0.0.0", NULL },
		{ "localhost", "not a numeric address" },
		{ "", "not a numeric address" },
		{ "127.0.0.1.5", "not a numeric address" },
		{ "192.0.2.1",
		  "cannot listen for data connections on 192.0.2.1" },
	};

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(cases); i++) {
		struct sc_err err = SC_ERR_INIT;
		uint16_t port = 0;
		int fd = sc_listen(cases[i].address, 0, &port, &err);

		assert_int_equal(fd >= 0, !cases[i].text);
		if (fd >= 0) {
			assert_true(port > 0);
			close(fd);
		} else if (!strstr(err.msg, cases[i].text)) {
			fail_msg("'%s'", err.msg);
		}
	}
}

static void port_in_use(void **state)
{
	struct sc_err err = SC_ERR_INIT;
	uint16_t port, other;
	int fd = sc_listen("127.0.0.1", 0, &port, &err);

	(void)state;
	assert_int_equal(sc_listen("127.0.0.1", port, &other, &err), -1);
	assert_int_equal(err.sys_errno, EADDRINUSE);
	close(fd);
	/* A port given by the user works again at once. */
	err = (struct sc_err)SC_ERR_INIT;
	fd = sc_listen("127.0.0.1", port, &other, &err);
	assert_true(fd >= 0);
	assert_int_equal(other, port);
	close(fd);
}

static void over_ipv6(void **state)
{
	struct sc_err err = SC_ERR_INIT;
	uint16_t port;
	int fd = sc_listen("::1", 0, &port, &err), conn;

	(void)state;
	if (fd < 0) {
		print_message("no IPv6 here: %s\n", err.msg);
		skip();
	}
	conn = sc_connect("::1", port, 1000, &never, &err);
	assert_true(conn >= 0);
	close(conn);
	close(fd);
}

static void nobody_listens(void **state)
{
	struct sc_err err = SC_ERR_INIT;
	uint16_t port;
	int fd = sc_listen("127.0.0.1", 0, &port, &err);

	(void)state;
	close(fd);
	assert_int_equal(sc_connect("127.0.0.1", port, 1000, &never, &err), -1);
	assert_int_equal(err.sys_errno, ECONNREFUSED);
	assert_int_equal(err.code, SC_ER_CLONE_DONOR);
	assert_non_null(strstr(err.msg, "HINT: is the port open"));
	err = (struct sc_err)SC_ERR_INIT;
	assert_int_equal(sc_connect("donor", 1, 1000, &never, &err), -1);
	assert_non_null(strstr(err.msg, "not a numeric address"));
}

/* A listener whose queue is full lets connects hang. */
struct full {
	int listener, filler[4];
	uint16_t port;
};

static void fill_listener(struct full *f)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);

	f->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(
		bind(f->listener, (struct sockaddr *)&sin, sizeof(sin)), 0);
	assert_int_equal(listen(f->listener, 0), 0);
	getsockname(f->listener, (struct sockaddr *)&sin, &len);
	f->port = ntohs(sin.sin_port);
	for (int i = 0; i < 4; i++) {
		f->filler[i] = socket(
			AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void)connect(f->filler[i], (struct sockaddr *)&sin,
			      sizeof(sin));
	}
}

static void close_full(struct full *f)
{
	for (int i = 0; i < 4; i++)
		close(f->filler[i]);
	close(f->listener);
}

static void connect_gives_up_in_time(void **state)
{
	struct sc_err err = SC_ERR_INIT;
	uint64_t began = sc_now_ms();
	struct full f;

	(void)state;
	fill_listener(&f);
	assert_int_equal(sc_connect("127.0.0.1", f.port, 200, &never, &err),
			 -1);
	assert_int_equal(err.sys_errno, ETIMEDOUT);
	assert_true(sc_now_ms() - began >= 190);
	assert_true(sc_now_ms() - began < FX_SOON_MS);
	close_full(&f);
}

static void *raise_flag(void *flag)
{
	sc_sleep_ms(50);
	*(atomic_bool *)flag = true;
	return NULL;
}

static void connect_stops_on_the_flag(void **state)
{
	struct sc_err err = SC_ERR_INIT;
	uint64_t began = sc_now_ms();
	atomic_bool stop = false;
	pthread_t thread;
	struct full f;

	(void)state;
	fill_listener(&f);
	pthread_create(&thread, NULL, raise_flag, &stop);
	assert_int_equal(sc_connect("127.0.0.1", f.port, 60000, &stop, &err),
			 -1);
	pthread_join(thread, NULL);
	assert_int_equal(err.sys_errno, ECANCELED);
	assert_true(sc_now_ms() - began < FX_SOON_MS);
	close_full(&f);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(data_both_ways),
		TEST(plain_both_ways),
		TEST(new_keys_on_the_way),
		cmocka_unit_test(hex_of_the_job),
		TEST(wrong_key),
		TEST(wrong_job),
		TEST(wrong_key_is_explained),
		TEST(plain_peer_of_a_tls_end),
		TEST(tls_peer_of_a_plain_server),
		TEST(server_with_a_certificate),
		TEST(client_without_the_key),
		TEST(shutdown_wakes_a_reader),
		TEST(shutdown_wakes_a_writer),
		TEST(shutdown_wakes_a_handshake),
		TEST(peer_hangs_up),
		TEST(writing_to_nobody),
		TEST(junk_between_records),
		TEST(silent_peer_is_left),
		TEST(timeout_of_a_plain_read),
		TEST(failure_leaves_the_descriptor),
		cmocka_unit_test(listen_addresses),
		cmocka_unit_test(port_in_use),
		cmocka_unit_test(over_ipv6),
		cmocka_unit_test(nobody_listens),
		cmocka_unit_test(connect_gives_up_in_time),
		cmocka_unit_test(connect_stops_on_the_flag),
	};

	/* As the daemon does: OpenSSL writes without MSG_NOSIGNAL. */
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
