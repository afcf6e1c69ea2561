/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Connections under TLS 1.3; see conn.h. Who makes the records that are sent:
 * the kernel (kTLS), when it has the keys; then whole frames go to the socket
 * as they are. Else tls_records.c, which opens those that come in any case:
 * less copying than in libssl, and with kTLS a read would return one record.
 * libssl itself where it does not give its keys away.
 */
#include "daemon/tls_impl.h"

#include "io/base/num.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* RFC 8446 5.5: at most 2^24.5 full records under one AES-GCM key, about
 * 362 GiB; the sender takes new keys long before, and the kernel, for which
 * OpenSSL cannot, stops before. */
#define REKEY_BYTES (64 * SC_GIB)
#define KERNEL_KEY_BYTES (4 * SC_TLS_KERNEL_MAX)

/* ---- the connection ---------------------------------------------------------
 */

static int libssl_read(struct sc_conn *conn, void *buf, size_t len,
		       struct sc_err *err)
{
	struct conn_tls *c = (struct conn_tls *)conn;
	size_t done = 0;

	while (done < len) {
		size_t n;
		int rc;

		sc_tls_forget_errors(c);
		rc = SSL_read_ex(c->ssl, (char *)buf + done, len - done, &n);
		if (rc != 1)
			return sc_tls_failed(c, rc, "read", err);
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

static int libssl_writev(struct sc_conn *conn, struct iovec *parts, int n,
			 struct sc_err *err)
{
	struct conn_tls *c = (struct conn_tls *)conn;
	size_t done;
	int rc = 1;

	if (c->in_kernel)
		return kernel_writev(c, parts, n, err);
	sc_tls_forget_errors(c);
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
		return sc_tls_failed(c, rc, "write", err);
	return 0;
}

static int records_read(struct sc_conn *conn, void *buf, size_t len,
			struct sc_err *err)
{
	return sc_records_read(&((struct conn_tls *)conn)->records, buf, len,
			       err);
}

static int records_writev(struct sc_conn *conn, struct iovec *parts, int n,
			  struct sc_err *err)
{
	struct conn_tls *c = (struct conn_tls *)conn;

	if (c->in_kernel)
		return kernel_writev(c, parts, n, err);
	if (conn->bytes_out >= c->rekey_at) {
		c->rekey_at = conn->bytes_out + c->rekey_bytes;
		if (sc_records_update(&c->records, err) < 0)
			return -1;
	}
	return sc_records_writev(&c->records, parts, n, err);
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
	sc_records_free(&c->records);
	sc_wire_free(&c->wire);
	OPENSSL_cleanse(&c->secrets, sizeof(c->secrets));
	free(c);
}

static void tls_free(struct sc_conn *conn)
{
	int fd = ((struct conn_tls *)conn)->fd;

	tls_release((struct conn_tls *)conn);
	close(fd);
}

static const struct sc_conn_ops libssl_ops = {
	.read = libssl_read,
	.writev = libssl_writev,
	.shutdown = tls_shutdown,
	.free = tls_free,
};

static const struct sc_conn_ops records_ops = {
	.read = records_read,
	.writev = records_writev,
	.shutdown = tls_shutdown,
	.free = tls_free,
};

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
	c->rekey_bytes =
		options->rekey_bytes ? options->rekey_bytes : REKEY_BYTES;
	c->rekey_at = c->rekey_bytes;
	c->fd = fd;
	sc_job_id_hex(job_id, c->secrets.identity);
	memcpy(c->secrets.key, key, sizeof(c->secrets.key));
	if (sc_tls_handshake(c, server, options, err) < 0) {
		tls_release(c);
		return NULL;
	}
	c->base.ops = c->ssl ? &libssl_ops : &records_ops;
	return &c->base;
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

bool sc_conn_tls_by_libssl(const struct sc_conn *conn)
{
	return ((const struct conn_tls *)conn)->ssl != NULL;
}
