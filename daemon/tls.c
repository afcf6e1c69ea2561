/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * TLS 1.3 with the job's one-time key; the only user of OpenSSL. See conn.h.
 *
 * Only TLS_AES_128_GCM_SHA256 is offered: a PSK is bound to the hash of its
 * cipher suite, and with the default list OpenSSL prefers a SHA-384 suite and
 * ignores the key. There is no certificate and no ticket, and both sides
 * require that the PSK was used (SSL_session_reused), because a handshake with
 * some certificate would otherwise count as success.
 */
#include "daemon/conn.h"

#include "io/base/num.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SUITE "TLS_AES_128_GCM_SHA256"
static const unsigned char suite_id[2] = { 0x13, 0x01 };

/* RFC 8446 5.5: at most 2^24.5 full records under one AES-GCM key, about
 * 380 GiB; the sender takes new keys long before. */
#define REKEY_BYTES (64 * SC_GIB)

struct conn_tls {
	struct sc_conn base;
	SSL_CTX *ctx;
	SSL *ssl;
	int fd;
	uint64_t rekey_at; /* bytes_out */
	char identity[2 * SC_JOB_ID_SIZE + 1];
	uint8_t key[SC_JOB_KEY_SIZE];
};

/* What the OpenSSL error queue and errno say, as our error. */
static int tls_failed(struct conn_tls *c, int rc, const char *what,
		      struct sc_err *err)
{
	int sys_errno = errno;
	int why = SSL_get_error(c->ssl, rc);
	unsigned long e = ERR_peek_last_error();
	char text[160];

	ERR_error_string_n(e, text, sizeof(text));
	ERR_clear_error();
	if (why == SSL_ERROR_ZERO_RETURN ||
	    (e && ERR_GET_REASON(e) == SSL_R_UNEXPECTED_EOF_WHILE_READING))
		return sc_err_sys(err, SC_ER_CLONE_PROTOCOL, ECONNRESET,
				  "data connection: %s", what);
	if (why == SSL_ERROR_SYSCALL || why == SSL_ERROR_WANT_READ ||
	    why == SSL_ERROR_WANT_WRITE)
		return sc_err_sys(err, SC_ER_CLONE_PROTOCOL,
				  sys_errno ? sys_errno : ECONNRESET,
				  "data connection: %s", what);
	return sc_err_set(err, SC_ER_CLONE_PROTOCOL, "data connection: %s: %s",
			  what, text);
}

static int tls_read(struct sc_conn *conn, void *buf, size_t len,
		    struct sc_err *err)
{
	struct conn_tls *c = (struct conn_tls *)conn;
	size_t done = 0;

	while (done < len) {
		size_t n;
		int rc;

		ERR_clear_error();
		errno = 0;
		rc = SSL_read_ex(c->ssl, (char *)buf + done, len - done, &n);
		if (rc != 1)
			return tls_failed(c, rc, "read", err);
		done += n;
	}
	return 0;
}

static int tls_write(struct sc_conn *conn, const void *buf, size_t len,
		     struct sc_err *err)
{
	struct conn_tls *c = (struct conn_tls *)conn;
	size_t n;
	int rc;

	if (conn->bytes_out >= c->rekey_at) {
		SSL_key_update(c->ssl, SSL_KEY_UPDATE_NOT_REQUESTED);
		c->rekey_at = conn->bytes_out + REKEY_BYTES;
	}
	ERR_clear_error();
	errno = 0;
	rc = SSL_write_ex(c->ssl, buf, len, &n);
	if (rc != 1)
		return tls_failed(c, rc, "write", err);
	return 0;
}

static void tls_shutdown(struct sc_conn *conn, bool read_only)
{
	shutdown(((struct conn_tls *)conn)->fd,
		 read_only ? SHUT_RD : SHUT_RDWR);
}

/* Everything but the socket. */
static void tls_release(struct conn_tls *c)
{
	SSL_free(c->ssl);
	SSL_CTX_free(c->ctx);
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
	.write = tls_write,
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
	/* An end without close_notify is no failure of TLS that would forbid
	 * the last words after shutdown(read_only). Nothing can be cut off
	 * unnoticed: frames say their length, the job its end. */
	SSL_CTX_set_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
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

static int handshake(struct conn_tls *c, bool server, struct sc_err *err)
{
	int rc;

	SSL_set_app_data(c->ssl, c);
	if (!SSL_set_fd(c->ssl, c->fd))
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "SSL_set_fd");
	ERR_clear_error();
	errno = 0;
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
	return 0;
}

static struct sc_conn *tls_new(int fd, const uint8_t job_id[],
			       const uint8_t key[], bool server,
			       struct sc_err *err)
{
	struct conn_tls *c = calloc(1, sizeof(*c));

	if (!c) {
		sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
		return NULL;
	}
	c->base.ops = &tls_ops;
	c->rekey_at = REKEY_BYTES;
	c->fd = fd;
	sc_job_id_hex(job_id, c->identity);
	memcpy(c->key, key, sizeof(c->key));
	c->ctx = make_ctx(server);
	c->ssl = c->ctx ? SSL_new(c->ctx) : NULL;
	if (!c->ssl)
		sc_err_set(err, SC_ER_INTERNAL_ERROR,
			   "cannot set up TLS 1.3 with " SUITE
			   "; HINT: does the system's OpenSSL policy allow it");
	else
		handshake(c, server, err);
	if (!sc_err_is_set(err))
		return &c->base;
	tls_release(c);
	return NULL;
}

struct sc_conn *sc_conn_tls_server(int fd, const uint8_t job_id[],
				   const uint8_t key[], struct sc_err *err)
{
	return tls_new(fd, job_id, key, true, err);
}

struct sc_conn *sc_conn_tls_client(int fd, const uint8_t job_id[],
				   const uint8_t key[], struct sc_err *err)
{
	return tls_new(fd, job_id, key, false, err);
}
