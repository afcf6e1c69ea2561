/* SPDX-License-Identifier: GPL-2.0-only */
/* Records of ours against a peer that is libssl alone, in its moods: padding,
 * new keys, ends. And where libssl or libcrypto keep their keys to themselves.
 */
#include "io/base/log.h"
#include "io/base/num.h"
#include "tests/unit/conn_fixture.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/ssl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { BIG = 1 << 20 };

/* ---- what OpenSSL may refuse -----------------------------------------------
 */

static bool no_kdf, no_keylog, no_nonce;

EVP_KDF *__real_EVP_KDF_fetch(OSSL_LIB_CTX *ctx, const char *name,
			      const char *properties);
EVP_KDF *__wrap_EVP_KDF_fetch(OSSL_LIB_CTX *ctx, const char *name,
			      const char *properties);
void __real_SSL_CTX_set_keylog_callback(SSL_CTX *ctx,
					SSL_CTX_keylog_cb_func cb);
void __wrap_SSL_CTX_set_keylog_callback(SSL_CTX *ctx,
					SSL_CTX_keylog_cb_func cb);
int __real_EVP_CipherInit_ex(EVP_CIPHER_CTX *ctx, const EVP_CIPHER *type,
			     ENGINE *impl, const unsigned char *key,
			     const unsigned char *iv, int enc);
int __wrap_EVP_CipherInit_ex(EVP_CIPHER_CTX *ctx, const EVP_CIPHER *type,
			     ENGINE *impl, const unsigned char *key,
			     const unsigned char *iv, int enc);

EVP_KDF *__wrap_EVP_KDF_fetch(OSSL_LIB_CTX *ctx, const char *name,
			      const char *properties)
{
	return no_kdf ? NULL : __real_EVP_KDF_fetch(ctx, name, properties);
}

void __wrap_SSL_CTX_set_keylog_callback(SSL_CTX *ctx, SSL_CTX_keylog_cb_func cb)
{
	if (!no_keylog)
		__real_SSL_CTX_set_keylog_callback(ctx, cb);
}

int __wrap_EVP_CipherInit_ex(EVP_CIPHER_CTX *ctx, const EVP_CIPHER *type,
			     ENGINE *impl, const unsigned char *key,
			     const unsigned char *iv, int enc)
{
	if (no_nonce && iv)
		return 0;
	return __real_EVP_CipherInit_ex(ctx, type, impl, key, iv, enc);
}

/* ---- the peer --------------------------------------------------------------
 */

struct peer {
	pthread_t thread;
	struct fx_end *end; /* whose place it takes */
	void (*mood)(struct peer *p);
	SSL *ssl;
	unsigned updates; /* KeyUpdates that came */
	uint8_t *buf;
};

static unsigned psk_server(SSL *ssl, const char *identity, unsigned char *psk,
			   unsigned max)
{
	char hex[2 * SC_JOB_ID_SIZE + 1];

	(void)ssl;
	sc_job_id_hex(fx_job_id, hex);
	if (strcmp(identity, hex) || max < SC_JOB_KEY_SIZE)
		return 0;
	memcpy(psk, fx_server.key, SC_JOB_KEY_SIZE);
	return SC_JOB_KEY_SIZE;
}

static unsigned psk_client(SSL *ssl, const char *hint, char *identity,
			   unsigned max_identity, unsigned char *psk,
			   unsigned max)
{
	(void)hint;
	assert_true(max_identity > 2 * SC_JOB_ID_SIZE);
	sc_job_id_hex(fx_job_id, identity);
	return psk_server(ssl, identity, psk, max);
}

static void see_message(int write_p, int version, int type, const void *buf,
			size_t len, SSL *ssl, void *arg)
{
	struct peer *p = arg;

	(void)version;
	(void)ssl;
	if (!write_p && type == SSL3_RT_HANDSHAKE && len == 5 &&
	    *(const uint8_t *)buf == SSL3_MT_KEY_UPDATE)
		p->updates++;
}

static size_t pad(SSL *ssl, int type, size_t len, void *arg)
{
	(void)ssl;
	(void)type;
	(void)arg;
	return len * 7 % 1000;
}

static void *peer_main(void *arg)
{
	struct peer *p = arg;
	bool server = p->end->server;
	SSL_CTX *ctx =
		SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());

	SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
	SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256");
	SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_psk_server_callback(ctx, psk_server);
	SSL_CTX_set_psk_client_callback(ctx, psk_client);
	p->ssl = SSL_new(ctx);
	SSL_set_msg_callback(p->ssl, see_message);
	SSL_set_msg_callback_arg(p->ssl, p);
	SSL_set_fd(p->ssl, p->end->fd);
	if ((server ? SSL_accept(p->ssl) : SSL_connect(p->ssl)) == 1)
		p->mood(p);
	SSL_free(p->ssl);
	SSL_CTX_free(ctx);
	return NULL;
}

static void fill(uint8_t *buf, size_t len)
{
	for (size_t i = 0; i < len; i++)
		buf[i] = (uint8_t)(i * 2654435761u >> 13);
}

/* With ours in each of the two places; `ours` does its part in this thread. */
static void meet(void (*mood)(struct peer *p), void (*ours)(struct fx_end *e),
		 uint64_t rekey_bytes, unsigned updates)
{
	for (int i = 0; i < 2; i++) {
		struct fx_end *e = i ? &fx_client : &fx_server;
		struct peer p = { .end = i ? &fx_server : &fx_client,
				  .mood = mood,
				  .buf = malloc(BIG) };

		e->options.no_kernel = true;
		e->options.rekey_bytes = rekey_bytes;
		pthread_create(&p.thread, NULL, peer_main, &p);
		fx_start(e);
		fx_join(e);
		if (!e->conn)
			fail_msg("'%s'", e->err.msg);
		assert_false(sc_conn_tls_by_libssl(e->conn));
		ours(e);
		fx_hang_up(e);
		pthread_join(p.thread, NULL);
		assert_int_equal(p.updates, updates);
		free(p.buf);
		assert_int_equal(fx_conn_teardown(NULL), 0);
		assert_int_equal(fx_conn_setup(NULL), 0);
	}
}

static void peer_sends(struct peer *p, const uint8_t *from, size_t len)
{
	size_t done;

	(void)!SSL_write_ex(p->ssl, from, len, &done);
}

static void peer_sends_back(struct peer *p)
{
	size_t at = 0, n;

	while (at < BIG && SSL_read_ex(p->ssl, p->buf + at, BIG - at, &n))
		at += n;
	peer_sends(p, p->buf, at);
}

static void ours_sends(struct fx_end *e, const void *data, size_t len)
{
	if (sc_conn_write(e->conn, data, len, &e->err) < 0)
		fail_msg("'%s'", e->err.msg);
}

static void ours_reads(struct fx_end *e, void *data, size_t len)
{
	if (sc_conn_read(e->conn, data, len, &e->err) < 0)
		fail_msg("'%s'", e->err.msg);
}

/* There and back, in pieces of many sizes. */
static void ours_echoes(struct fx_end *e)
{
	static uint8_t out[BIG], in[BIG];
	size_t n;

	fill(out, BIG);
	memset(in, 0, BIG);
	for (size_t at = 0; at < BIG; at += n) {
		n = SC_MIN(at + 1, BIG - at);
		ours_sends(e, out + at, n);
	}
	for (size_t at = 0; at < BIG; at += n) {
		n = SC_MIN(at / 3 + 1, BIG - at);
		ours_reads(e, in + at, n);
	}
	assert_memory_equal(in, out, BIG);
}

/* ---- moods -----------------------------------------------------------------
 */

static void there_and_back(void **state)
{
	(void)state;
	meet(peer_sends_back, ours_echoes, 0, 0);
}

static void pads(struct peer *p)
{
	SSL_set_record_padding_callback(p->ssl, pad);
	peer_sends_back(p);
}

static void padding(void **state)
{
	(void)state;
	meet(pads, ours_echoes, 0, 0);
}

static void pads_to_blocks(struct peer *p)
{
	SSL_set_block_padding(p->ssl, SSL3_RT_MAX_PLAIN_LENGTH);
	peer_sends_back(p);
}

static void full_padding(void **state)
{
	(void)state;
	meet(pads_to_blocks, ours_echoes, 0, 0);
}

enum { UPDATES = 20, PIECE = 40000 };

static void updates_keys(struct peer *p, int kind)
{
	size_t n;
	char byte;

	for (int i = 0; i < UPDATES; i++) {
		fill(p->buf, PIECE);
		SSL_key_update(p->ssl, kind);
		peer_sends(p, p->buf, PIECE);
		/* Its next words are under the new keys of both. */
		(void)!SSL_read_ex(p->ssl, &byte, 1, &n);
	}
	peer_sends_back(p);
}

static void changes_keys(struct peer *p)
{
	updates_keys(p, SSL_KEY_UPDATE_NOT_REQUESTED);
}

static void asks_for_keys(struct peer *p)
{
	updates_keys(p, SSL_KEY_UPDATE_REQUESTED);
}

static void ours_follows(struct fx_end *e)
{
	static uint8_t in[PIECE], want[PIECE];

	fill(want, PIECE);
	for (int i = 0; i < UPDATES; i++) {
		ours_reads(e, in, PIECE);
		assert_memory_equal(in, want, PIECE);
		ours_sends(e, "x", 1);
	}
	ours_echoes(e);
}

static void new_keys_of_libssl(void **state)
{
	(void)state;
	meet(changes_keys, ours_follows, 0, 0);
	meet(asks_for_keys, ours_follows, 0, UPDATES);
}

/* Before all but the first of the writes of the echo: 1, 2, 4, ... bytes. */
static void new_keys_of_ours(void **state)
{
	(void)state;
	meet(peer_sends_back, ours_echoes, 1, 20);
}

static void says_goodbye(struct peer *p)
{
	peer_sends(p, (const uint8_t *)"data", 4);
	SSL_shutdown(p->ssl);
	peer_sends_back(p);
}

static void ours_is_left(struct fx_end *e)
{
	char data[4];

	ours_reads(e, data, 4);
	assert_memory_equal(data, "data", 4);
	assert_int_equal(sc_conn_read(e->conn, data, 1, &e->err), -1);
	assert_int_equal(e->err.sys_errno, ECONNRESET);
	e->err = (struct sc_err)SC_ERR_INIT;
	ours_sends(e, "last words", 10);
}

static void goodbye(void **state)
{
	(void)state;
	meet(says_goodbye, ours_is_left, 0, 0);
}

/* Junk on the socket: libssl says what it thinks of it. */
static void complains(struct peer *p)
{
	size_t n;

	assert_int_equal(SSL_read_ex(p->ssl, p->buf, BIG, &n), 0);
	ERR_clear_error();
}

static void ours_hears(struct fx_end *e)
{
	static const uint8_t junk[22] = { 0x17, 3, 3, 0, 17, 1, 2, 3 };
	char byte;

	assert_int_equal(write(e->fd, junk, sizeof(junk)), sizeof(junk));
	assert_int_equal(sc_conn_read(e->conn, &byte, 1, &e->err), -1);
	assert_non_null(strstr(e->err.msg, "TLS alert 20 (bad record mac)"));
	assert_int_equal(sc_conn_write(e->conn, "x", 1, &e->err), -1);
}

static void complaints(void **state)
{
	(void)state;
	meet(complains, ours_hears, 0, 0);
}

/* The other way round: what libssl hears of junk that came to us. */
static void provokes(struct peer *p)
{
	static const uint8_t junk[22] = { 0x17, 3, 3, 0, 17, 1, 2, 3 };
	size_t n;

	assert_int_equal(write(p->end->fd, junk, sizeof(junk)), sizeof(junk));
	assert_int_equal(SSL_read_ex(p->ssl, p->buf, BIG, &n), 0);
	assert_int_equal(ERR_GET_REASON(ERR_peek_last_error()),
			 SSL_R_SSLV3_ALERT_BAD_RECORD_MAC);
	ERR_clear_error();
}

static void ours_complains(struct fx_end *e)
{
	char byte;

	assert_int_equal(sc_conn_read(e->conn, &byte, 1, &e->err), -1);
	assert_non_null(strstr(e->err.msg, "bad record mac"));
}

static void complaints_of_ours(void **state)
{
	(void)state;
	meet(provokes, ours_complains, 0, 0);
}

/* ---- without records of ours -----------------------------------------------
 */

static char logged[512];

static void keep_line(void *ctx, enum sc_log_level level, const char *line)
{
	(void)ctx;
	assert_int_equal(level, SC_LOG_WARNING);
	snprintf(logged, sizeof(logged), "%s", line);
}

static void libssl_stays(bool *what, const char *why)
{
	char got[6];

	*what = true;
	logged[0] = 0;
	fx_server.options.no_kernel = fx_client.options.no_kernel = true;
	fx_connected();
	*what = false;
	assert_true(sc_conn_tls_by_libssl(fx_server.conn));
	assert_true(sc_conn_tls_by_libssl(fx_client.conn));
	if (!strstr(logged, why))
		fail_msg("'%s', not '%s'", logged, why);
	ours_sends(&fx_server, "hello", 6);
	ours_reads(&fx_client, got, 6);
	assert_string_equal(got, "hello");
	assert_int_equal(fx_conn_teardown(NULL), 0);
	assert_int_equal(fx_conn_setup(NULL), 0);
}

static void keys_that_are_kept(void **state)
{
	(void)state;
	sc_log_redirect(keep_line, NULL);
	libssl_stays(&no_keylog, "libssl keeps its keys");
	libssl_stays(&no_kdf, "libcrypto refuses the keys");
	libssl_stays(&no_nonce, "libcrypto refuses the keys");
	sc_log_redirect(NULL, NULL);
}

#define TEST(f)                                                                \
	cmocka_unit_test_setup_teardown(f, fx_conn_setup, fx_conn_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(there_and_back),	  TEST(padding),
		TEST(full_padding),	  TEST(new_keys_of_libssl),
		TEST(new_keys_of_ours),	  TEST(goodbye),
		TEST(complaints),	  TEST(complaints_of_ours),
		TEST(keys_that_are_kept),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
