/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * TLS 1.3 with the job's one-time key; the only user of OpenSSL. See conn.h.
 *
 * Only TLS_AES_128_GCM_SHA256 is offered: a PSK is bound to the hash of its
 * cipher suite, and with the default list OpenSSL prefers a SHA-384 suite and
 * ignores the key. There is no certificate and no ticket, and both sides
 * require that the PSK was used (SSL_session_reused), because a handshake with
 * some certificate would otherwise count as success.
 *
 * Who encrypts what is sent: the kernel (kTLS), when OpenSSL could hand it the
 * keys at the end of the handshake; then whole frames go to the socket as they
 * are. Else OpenSSL, and sc_wire collects its records. What is received is
 * always decrypted by OpenSSL: with kTLS a read returns one record, so large
 * reads save more.
 */
#include "daemon/conn.h"

#include "daemon/wire.h"
#include "io/base/num.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SUITE "TLS_AES_128_GCM_SHA256"
static const unsigned char suite_id[2] = { 0x13, 0x01 };

/* RFC 8446 5.5: at most 2^24.5 full records under one AES-GCM key, about
 * 362 GiB; the sender takes new keys long before, and the kernel, for which
 * OpenSSL cannot, stops before. */
#define REKEY_BYTES (64 * SC_GIB)
#define KERNEL_KEY_BYTES (4 * SC_TLS_KERNEL_MAX)

struct conn_tls {
	struct sc_conn base;
	SSL_CTX *ctx;
	SSL *ssl;
	BIO_METHOD *method;
	struct sc_wire wire;
	int fd;
	bool in_kernel;	     /* encrypts what is sent */
	atomic_bool stopped; /* by a shutdown, for writes */
	uint64_t rekey_bytes;
	uint64_t rekey_at; /* bytes_out */
	char identity[2 * SC_JOB_ID_SIZE + 1];
	uint8_t key[SC_JOB_KEY_SIZE];
};

/* ---- between OpenSSL and the wire -------------------------------------------
 */

static int wire_write(BIO *bio, const char *buf, int len)
{
	struct conn_tls *c = BIO_get_data(bio);

	return sc_wire_put(&c->wire, buf, (size_t)len) < 0 ? -1 : len;
}

static int wire_read(BIO *bio, char *buf, int len)
{
	struct conn_tls *c = BIO_get_data(bio);

	return (int)sc_wire_get(&c->wire, buf, (size_t)len);
}

static long wire_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
	struct conn_tls *c = BIO_get_data(bio);

	(void)num;
	(void)ptr;
	if (cmd == BIO_CTRL_FLUSH)
		return sc_wire_flush(&c->wire) == 0;
	/* No kTLS for what is received: see the head. No BIO_CTRL_EOF: an end
	 * is an error of reading alone, so that the last words can still be
	 * written. Nothing can be cut off unnoticed: frames say their length,
	 * the job its end. */
	return 0;
}

/* A BIO of ours. Source: BIO_meth_new(3). The type needs no number of its own,
 * of which there are only 128: nothing searches for it. */
static BIO *wire_bio(struct conn_tls *c)
{
	BIO *bio;

	if (!c->method) {
		c->method = BIO_meth_new(BIO_TYPE_START | BIO_TYPE_SOURCE_SINK,
					 "snapclone");
		if (!c->method || !BIO_meth_set_write(c->method, wire_write) ||
		    !BIO_meth_set_read(c->method, wire_read) ||
		    !BIO_meth_set_ctrl(c->method, wire_ctrl))
			return NULL;
	}
	bio = BIO_new(c->method);
	if (bio) {
		BIO_set_data(bio, c);
		BIO_set_init(bio, 1);
	}
	return bio;
}

/* ---- the connection ---------------------------------------------------------
 */

/* What the wire, the OpenSSL error queue and errno say, as our error. */
static int tls_failed(struct conn_tls *c, int rc, const char *what,
		      struct sc_err *err)
{
	int sys_errno = c->wire.sys_errno ? c->wire.sys_errno : errno;
	int why = rc == 1 ? SSL_ERROR_SYSCALL : SSL_get_error(c->ssl, rc);
	unsigned long e = ERR_peek_last_error();
	char text[160];

	ERR_error_string_n(e, text, sizeof(text));
	ERR_clear_error();
	if (why == SSL_ERROR_ZERO_RETURN)
		sys_errno = ECONNRESET;
	else if (why == SSL_ERROR_SSL && !c->wire.sys_errno)
		return sc_err_set(err, SC_ER_CLONE_PROTOCOL,
				  "data connection: %s: %s", what, text);
	return sc_err_sys(err, SC_ER_CLONE_PROTOCOL,
			  sys_errno ? sys_errno : ECONNRESET,
			  "data connection: %s", what);
}

/* Before each call of OpenSSL: what failed in an earlier one is no reason. */
static void forget_errors(struct conn_tls *c)
{
	ERR_clear_error();
	c->wire.sys_errno = 0;
	errno = 0;
}

static int tls_read(struct sc_conn *conn, void *buf, size_t len,
		    struct sc_err *err)
{
	struct conn_tls *c = (struct conn_tls *)conn;
	size_t done = 0;

	while (done < len) {
		size_t n;
		int rc;

		forget_errors(c);
		rc = SSL_read_ex(c->ssl, (char *)buf + done, len - done, &n);
		if (rc != 1)
			return tls_failed(c, rc, "read", err);
		done += n;
	}
	return 0;
}

/* Plain bytes to a socket whose kernel makes records of them. */
static int kernel_writev(struct conn_tls *c, struct iovec *parts, int n,
			 struct sc_err *err)
{
	int sys_errno;

	if (c->base.bytes_out >= KERNEL_KEY_BYTES)
		return sc_err_set(
			err, SC_ER_CLONE_PROTOCOL,
			"data connection: %llu GiB sent under one key, and the kernel's TLS cannot change it; HINT: without the kernel's module 'tls' OpenSSL encrypts, which can",
			(unsigned long long)(c->base.bytes_out / SC_GIB));
	sys_errno = sc_socket_send(c->fd, parts, (size_t)n);
	/* After a shutdown of its own side kTLS takes some MiB more without an
	 * error. Source: tls_sw_sendmsg() in net/tls/tls_sw.c, Linux 7.2. */
	if (!sys_errno && c->stopped)
		sys_errno = EPIPE;
	return sys_errno ? sc_err_sys(err, SC_ER_CLONE_PROTOCOL, sys_errno,
				      "data connection: write")
			 : 0;
}

static int tls_writev(struct sc_conn *conn, struct iovec *parts, int n,
		      struct sc_err *err)
{
	struct conn_tls *c = (struct conn_tls *)conn;
	size_t done;
	int rc = 1;

	if (c->in_kernel)
		return kernel_writev(c, parts, n, err);
	forget_errors(c);
	if (conn->bytes_out >= c->rekey_at) {
		rc = SSL_key_update(c->ssl, SSL_KEY_UPDATE_NOT_REQUESTED);
		c->rekey_at = conn->bytes_out + c->rekey_bytes;
	}
	for (int i = 0; rc == 1 && i < n; i++) {
		if (parts[i].iov_len)
			rc = SSL_write_ex(c->ssl, parts[i].iov_base,
					  parts[i].iov_len, &done);
	}
	if (rc != 1 || sc_wire_flush(&c->wire) < 0)
		return tls_failed(c, rc, "write", err);
	return 0;
}

static void tls_shutdown(struct sc_conn *conn, bool read_only)
{
	struct conn_tls *c = (struct conn_tls *)conn;

	if (!read_only)
		c->stopped = true;
	shutdown(c->fd, read_only ? SHUT_RD : SHUT_RDWR);
}

/* Everything but the socket. */
static void tls_release(struct conn_tls *c)
{
	SSL_free(c->ssl);
	SSL_CTX_free(c->ctx);
	BIO_meth_free(c->method);
	sc_wire_free(&c->wire);
	OPENSSL_cleanse(c->key, sizeof(c->key));
	free(c);
}

static void tls_free(struct sc_conn *conn)
{
	int fd = ((struct conn_tls *)conn)->fd;

	tls_release((struct conn_tls *)conn);
	close(fd);
}

static const struct sc_conn_ops tls_ops = {
	.read = tls_read,
	.writev = tls_writev,
	.shutdown = tls_shutdown,
	.free = tls_free,
};

/* A session that stands for the external key. Source:
 * SSL_CTX_set_psk_use_session_callback(3). */
static SSL_SESSION *key_session(struct conn_tls *c)
{
	const SSL_CIPHER *cipher = SSL_CIPHER_find(c->ssl, suite_id);
	SSL_SESSION *s = SSL_SESSION_new();

	if (s && cipher &&
	    SSL_SESSION_set1_master_key(s, c->key, sizeof(c->key)) &&
	    SSL_SESSION_set_cipher(s, cipher) &&
	    SSL_SESSION_set_protocol_version(s, TLS1_3_VERSION))
		return s;
	SSL_SESSION_free(s);
	return NULL;
}

static int psk_find(SSL *ssl, const unsigned char *identity, size_t len,
		    SSL_SESSION **ret)
{
	struct conn_tls *c = SSL_get_app_data(ssl);

	*ret = NULL;
	/* An unknown identity: no session, so the handshake fails for want of
	 * a certificate, the same way as for a wrong key. */
	if (len == strlen(c->identity) && !memcmp(identity, c->identity, len))
		*ret = key_session(c);
	return 1;
}

static int psk_use(SSL *ssl, const EVP_MD *md, const unsigned char **id,
		   size_t *id_len, SSL_SESSION **ret)
{
	struct conn_tls *c = SSL_get_app_data(ssl);

	*ret = NULL;
	*id = (const unsigned char *)c->identity;
	*id_len = strlen(c->identity);
	if (md && EVP_MD_get_type(md) != NID_sha256)
		return 0;
	*ret = key_session(c);
	return *ret != NULL;
}

static SSL_CTX *make_ctx(bool server)
{
	SSL_CTX *ctx =
		SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());

	if (!ctx)
		return NULL;
	if (!SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) ||
	    !SSL_CTX_set_ciphersuites(ctx, SUITE)) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_verify(ctx, server ? SSL_VERIFY_NONE : SSL_VERIFY_PEER,
			   NULL);
	if (server)
		SSL_CTX_set_psk_find_session_callback(ctx, psk_find);
	else
		SSL_CTX_set_psk_use_session_callback(ctx, psk_use);
	return ctx;
}

/* The socket itself for what is sent during the handshake: OpenSSL gives the
 * keys to the kernel only through its own BIO of a socket. */
static int connect_bios(struct conn_tls *c, bool kernel)
{
	BIO *in = wire_bio(c);
	BIO *out = kernel ? BIO_new_socket(c->fd, BIO_NOCLOSE) : wire_bio(c);

	if (in && out) {
		if (kernel)
			SSL_set_options(c->ssl, SSL_OP_ENABLE_KTLS);
		SSL_set_bio(c->ssl, in, out);
		return 0;
	}
	BIO_free(in);
	BIO_free(out);
	return -1;
}

/* After the handshake: did the kernel take the keys? */
static int choose_sender(struct conn_tls *c, bool kernel)
{
	BIO *out;

	c->in_kernel = kernel && BIO_get_ktls_send(SSL_get_wbio(c->ssl));
	if (!kernel || c->in_kernel)
		return 0;
	out = wire_bio(c);
	if (!out)
		return -1;
	SSL_set0_wbio(c->ssl, out);
	return 0;
}

static int handshake(struct conn_tls *c, bool server, struct sc_err *err)
{
	int rc;

	SSL_set_app_data(c->ssl, c);
	forget_errors(c);
	rc = server ? SSL_accept(c->ssl) : SSL_connect(c->ssl);
	if (rc != 1)
		return tls_failed(
			c, rc,
			"TLS handshake (does the peer hold the job's key?)",
			err);
	if (SSL_session_reused(c->ssl) != 1)
		return sc_err_set(
			err, SC_ER_CLONE_PROTOCOL,
			"data connection: the peer does not hold the job's key");
	/* Nothing asks for it again. */
	OPENSSL_cleanse(c->key, sizeof(c->key));
	return 0;
}

static int tls_open(struct conn_tls *c, bool server, bool kernel,
		    struct sc_err *err)
{
	c->ctx = make_ctx(server);
	c->ssl = c->ctx ? SSL_new(c->ctx) : NULL;
	if (!c->ssl)
		return sc_err_set(
			err, SC_ER_INTERNAL_ERROR,
			"cannot set up TLS 1.3 with " SUITE
			"; HINT: does the system's OpenSSL policy allow it");
	if (sc_wire_init(&c->wire, c->fd) < 0 || connect_bios(c, kernel) < 0)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	if (handshake(c, server, err) < 0)
		return -1;
	return choose_sender(c, kernel) < 0
		       ? sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory")
		       : 0;
}

static struct sc_conn *tls_new(int fd, const uint8_t job_id[],
			       const uint8_t key[], bool server,
			       const struct sc_tls_options *options,
			       struct sc_err *err)
{
	const struct sc_tls_options defaults = { 0 };
	struct conn_tls *c = calloc(1, sizeof(*c));

	if (!c) {
		sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
		return NULL;
	}
	if (!options)
		options = &defaults;
	c->base.ops = &tls_ops;
	c->rekey_bytes =
		options->rekey_bytes ? options->rekey_bytes : REKEY_BYTES;
	c->rekey_at = c->rekey_bytes;
	c->fd = fd;
	sc_job_id_hex(job_id, c->identity);
	memcpy(c->key, key, sizeof(c->key));
	if (tls_open(c, server, !options->no_kernel, err) == 0)
		return &c->base;
	tls_release(c);
	return NULL;
}

struct sc_conn *sc_conn_tls_server(int fd, const uint8_t job_id[],
				   const uint8_t key[],
				   const struct sc_tls_options *options,
				   struct sc_err *err)
{
	return tls_new(fd, job_id, key, true, options, err);
}

struct sc_conn *sc_conn_tls_client(int fd, const uint8_t job_id[],
				   const uint8_t key[],
				   const struct sc_tls_options *options,
				   struct sc_err *err)
{
	return tls_new(fd, job_id, key, false, options, err);
}

bool sc_conn_tls_in_kernel(const struct sc_conn *conn)
{
	return ((const struct conn_tls *)conn)->in_kernel;
}
